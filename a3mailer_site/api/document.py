"""``GET /api/v1/schema``: the OpenAPI document, made once for each language and form.

Making and writing it takes half a second, and it is for strangers: made for each request anew it would be a lever for
whoever wants to keep the server busy.
"""

from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from django.utils import translation
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request
from rest_framework.response import Response

# The body and its headers, by language and form. There are few of either.
_made: dict[tuple[str, str], tuple[bytes, dict[str, str]]] = {}


class DocumentView(SpectacularAPIView):
    """The document in the caller's language, or in that of ``?lang``. Other parameters change nothing."""

    @extend_schema(exclude=True)  # it does not describe itself
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002 - the router passes them
        """Give the document."""
        wanted = request.query_params.get("lang") or translation.get_language()
        # Django remembers whatever language is put in force, so only ours are.
        language = wanted if wanted in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
        key = language, request.accepted_renderer.media_type
        if known := _made.get(key):
            body, headers = known
            return HttpResponse(body, headers=headers)
        response: Response
        with translation.override(language):
            response = self._get_schema_response(request)  # type: ignore[no-untyped-call]

        def keep(done: Any) -> None:
            _made[key] = done.content, {name: done[name] for name in ("Content-Type", "Content-Disposition")}

        response.add_post_render_callback(keep)
        return response

    def _get_version_parameter(self, request: Request) -> None:  # noqa: ARG002 - there is one version
        return None
