"""JSON as answers have it: UTF-8, and the content type says so."""

from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.renderers import JSONRenderer


class Utf8JSONRenderer(JSONRenderer):
    """``application/json; charset=utf-8``, written by a library that takes a tenth of the time."""

    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the answer's body; one that is to be indented, or has numbers beyond 64 bits, takes the slow way."""
        if data is not None and not self.get_indent(accepted_media_type or "", dict(renderer_context or {})):
            try:
                return orjson.dumps(data, default=self.encoder_class().default, option=orjson.OPT_NON_STR_KEYS)
            except TypeError:
                pass
        return super().render(data, accepted_media_type, renderer_context)
