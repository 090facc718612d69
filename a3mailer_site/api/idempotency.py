"""``Idempotency-Key``: a POST that comes twice with the same key acts once, and is answered twice alike.

    POST /api/v1/users            Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324
    201 Created                   ... and again, with Idempotency-Replayed: true

Honoured on every POST below ``/api/`` of a caller who is known. The key belongs to the caller, and to one request:
with another path or body it is a conflict. What may go better the next time (403, 404, 429, 5xx) is not kept, so that
trying again does try again. A request whose process died in the middle keeps its key for ``PATIENCE``; what it has done
until then nobody knows, so the next one after that acts.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException
from rest_framework.views import APIView

from a3mailer_site.api.errors import plain_error
from a3mailer_site.figures import figures
from a3mailer_site.keys import decrypt, encrypt
from a3mailer_site.models import KeptAnswer

log = structlog.get_logger("a3mailer_site.api")

HEADER, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"
# Longer than the web process lets a view run: then it has died.
PATIENCE = timedelta(seconds=150)
# Seconds after which a caller may ask again how the first request ended.
RETRY_AFTER = 1
# RFC 9110 section 5.5: field values of visible ASCII; spaces inside are harmless.
_KEY = re.compile(r"[\x20-\x7e]{1,200}")
# Nothing was done, and there is nothing that could be done twice: who may only read would fill a table with these.
_NOTHING = frozenset({403, 404, 405, 429})
# Headers that belong to what was answered, not to how it was carried.
_KEPT_HEADERS = ("Content-Type", "Location", "ETag", "Retry-After", "Allow")


class IdempotencyMiddleware:
    """Stands around the views: claims the key, lets the request through, keeps the answer. Innermost of all."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer from what is kept, or have the request carried out."""
        key = request.headers.get(HEADER)
        if key is None or request.method != "POST" or not request.path.startswith("/api/"):
            return self._get_response(request)
        if not _KEY.fullmatch(key):
            return plain_error(request, 400, _("An Idempotency-Key has 1 to 200 printable characters of ASCII."))
        try:
            caller = _caller(request)
            claim = _claim(caller, key, _fingerprint(request), timezone.now()) if caller else None
        except (OperationalError, InterfaceError) as error:
            log.warning("request.database_away", reason=str(error))
            return plain_error(request, 503)
        if claim is None:
            return self._get_response(request)
        if isinstance(claim, KeptAnswer):
            return self._carry_out(request, claim)
        return _replay(request, claim) if isinstance(claim, str) else _refuse(request, claim)

    def _carry_out(self, request: HttpRequest, claim: KeptAnswer) -> HttpResponseBase:
        response = self._get_response(request)
        # Whoever came after PATIENCE has made the claim his own, and his answer is the one to keep.
        own = KeptAnswer.objects.filter(pk=claim.pk, claimed_at=claim.claimed_at)
        try:
            if (
                isinstance(response, HttpResponse)
                and response.status_code < 500
                and response.status_code not in _NOTHING
            ):
                sealed = encrypt(_written(response))
                own.update(answer=sealed)
            else:
                own.delete()
        except DatabaseError as error:
            # The request has been carried out: its caller gets the answer, though another time it cannot be said again.
            log.warning("answer.not_kept", reason=str(error), request_id=getattr(request, "request_id", ""))
        return response


class _Conflict:
    """Why a key cannot be used now."""

    def __init__(self, details: str, *, running: bool = False) -> None:
        self.details = details
        self.running = running


def _caller(request: HttpRequest) -> str | None:
    """Return who calls, as the views will see it; ``None`` for strangers, whom the view itself turns away."""
    body = request.read()
    # Read once, here: the framework takes what is left of the stream from this.
    request._body = body
    try:
        seen = APIView().initialize_request(request)
        user, auth = seen.user, seen.auth
    except (APIException, PermissionDenied):
        return None
    if getattr(auth, "pk", None) is not None:
        return f"key_{auth.pk}"
    return f"user_{user.pk}" if user is not None and user.pk is not None else None


def _fingerprint(request: HttpRequest) -> str:
    what = "\0".join([request.method or "", request.get_full_path(), request.content_type or ""]).encode()
    # Under the server's secret: there may be a password in the body, and a plain hash is guessed at in no time.
    return salted_hmac("a3mailer_site.api.idempotency", what + b"\0" + request.body, algorithm="sha256").hexdigest()


def _claim(caller: str, key: str, fingerprint: str, now: datetime) -> KeptAnswer | str | _Conflict:
    """Return the row that is ours to fill, or what is in it already, sealed, or why it is neither."""
    try:
        with transaction.atomic():
            return KeptAnswer.objects.create(caller=caller, key=key, fingerprint=fingerprint, claimed_at=now)
    except IntegrityError:
        kept = KeptAnswer.objects.filter(caller=caller, key=key).first()
    if kept is None:  # its request has just ended with an answer that is not kept
        return _Conflict(_("A request with this Idempotency-Key is still running."), running=True)
    is_over = kept.claimed_at <= now - KeptAnswer.KEPT
    if not is_over and kept.fingerprint != fingerprint:
        return _Conflict(_("This Idempotency-Key belongs to another request."))
    if not is_over and kept.answer:
        return kept.answer
    if not is_over and kept.claimed_at > now - PATIENCE:
        return _Conflict(_("A request with this Idempotency-Key is still running."), running=True)
    # Of several who find a claim that nobody holds any more, one gets it.
    left = KeptAnswer.objects.filter(pk=kept.pk, claimed_at=kept.claimed_at, answer=kept.answer)
    if not left.update(claimed_at=now, fingerprint=fingerprint, answer=""):
        return _Conflict(_("A request with this Idempotency-Key is still running."), running=True)
    kept.claimed_at = now
    return kept


def _written(response: HttpResponse) -> str:
    headers = {name: response[name] for name in _KEPT_HEADERS if name in response}
    # What was said in one language is no other because it is asked for again in another.
    headers["Content-Language"] = get_language() or settings.LANGUAGE_CODE
    return json.dumps([response.status_code, headers, response.content.decode("latin-1")])


def _replay(request: HttpRequest, sealed: str) -> HttpResponse:
    figures.count("api.replays")
    try:
        status, headers, body = json.loads(decrypt(sealed))
    except ValueError:
        log.exception("answer.unreadable", request_id=getattr(request, "request_id", ""))
        return plain_error(request, 409, _("The request was carried out; its answer can no longer be read."))
    return HttpResponse(body.encode("latin-1"), status=status, headers={**headers, REPLAYED: "true"})


def _refuse(request: HttpRequest, conflict: _Conflict) -> HttpResponse:
    response = plain_error(request, 409, conflict.details)
    if conflict.running:
        response["Retry-After"] = str(RETRY_AFTER)
    return response
