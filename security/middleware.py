"""Who is turned away before anything is done for them, on the web: blocked addresses, and who asks too much."""

import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import translation
from django.utils.translation import gettext as _

from a3mailer_site.api.errors import is_api, plain_error, try_again
from a3mailer_site.api.peers import client_address, is_loopback
from a3mailer_site.figures import figures
from security import blocklist, budgets, ratelimits, tallies

# Where an administrator on this machine can always mend limits that are too tight.
RATE_LIMITS_PATH = "/api/v1/security/rate-limits"


class BlockedMiddleware:
    """Refuse blocked addresses with 403, and close their connections. Only the request's id comes before it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on if its address may come in."""
        blocklist.look()
        if not blocklist.guard.refuses(client_address(request)):
            return self._get_response(request)
        figures.count("http.blocked")
        blocklist.write_down()
        with translation.override(translation.get_language_from_request(request)):
            text = _("Your address is blocked.")
            response: HttpResponse = (
                plain_error(request, 403, text)
                if is_api(request)
                else HttpResponse(f"{text}\n", status=403, content_type="text/plain; charset=utf-8")
            )
        response["Connection"] = "close"
        return response


class RateLimitMiddleware:
    """Count requests to the API and to the login form, and refuse with 429 what is too much.

    Health, readiness and metrics are not counted: who watches the server must see it when it is busiest.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._login = str(settings.LOGIN_URL)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on if its address may ask more, and say in the answer how much more."""
        login = request.method == "POST" and request.path == self._login
        if not login and not request.path.startswith("/api/"):
            return self._get_response(request)
        try:
            given = budgets.arrive(request, time.time(), login=login)
        except Exception as error:  # noqa: BLE001 - Redis' errors are of no common class; the log is told
            ratelimits.broken.tell(error)
            return self._get_response(request)
        if given.verdict is not None and given.verdict.refused and not _may_mend(request, given):
            given.count_refusal()
            response: HttpResponseBase = self._refuse(request, given.verdict)
        else:
            request.rate_pass = given  # type: ignore[attr-defined]
            response = self._get_response(request)
            self._leave(request, given, response)
        if not login and given.verdict is not None:
            _say(response, given.verdict)
        tallies.write_down()
        return response

    @staticmethod
    def _refuse(request: HttpRequest, verdict: ratelimits.Verdict) -> HttpResponse:
        with translation.override(translation.get_language_from_request(request)):
            text = try_again(verdict.reset)
            response: HttpResponse = (
                plain_error(request, 429, text)
                if is_api(request)
                else HttpResponse(f"{text}\n", status=429, content_type="text/plain; charset=utf-8")
            )
        response["Retry-After"] = str(verdict.reset)
        return response

    @staticmethod
    def _leave(request: HttpRequest, given: budgets.Pass, response: HttpResponseBase) -> None:
        try:
            budgets.leave(request, given, response.status_code)
        except Exception as error:  # noqa: BLE001 - as above
            ratelimits.broken.tell(error)


def _may_mend(request: HttpRequest, given: budgets.Pass) -> bool:
    """Say whether this may be an administrator on this machine who mends the limits; the throttle looks who it is."""
    return request.path == RATE_LIMITS_PATH and given.credentials is not None and is_loopback(request)


def _say(response: HttpResponseBase, verdict: ratelimits.Verdict) -> None:
    """Tell how it stands with the tightest limit (draft-ietf-httpapi-ratelimit-headers)."""
    response["RateLimit-Limit"] = str(verdict.limit)
    response["RateLimit-Remaining"] = str(verdict.remaining)
    response["RateLimit-Reset"] = str(verdict.reset)
