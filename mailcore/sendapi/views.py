"""``POST /api/v1/messages/send``: hands a message in, by the same rules as submission over SMTP.

Who sends is the owner of the key, as far as he may write as ``from``; for a key that nobody owns, and for an
administrator, whoever has that address here. From there on it is submission: the same checks, the same limits, the same
transaction, and a whole message (``raw``) with a Message-ID that comes twice within the hour is taken once. Of one in
parts a program says so itself: ``Idempotency-Key``.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from a3mailer_site.api.errors import ConflictError
from a3mailer_site.api.middleware import BODY_LIMITS
from a3mailer_site.api.peers import client_address
from a3mailer_site.api.permissions import domains_of, granted
from a3mailer_site.env import current
from accounts.addresses import may_send_as, normalize, resolve
from accounts.models import User
from mailcore.dialogue import Login, Peer
from mailcore.message.envelope import BodyRefusedError, Client, Envelope, Recipient, Reply
from mailcore.sendapi.letter import Letter, LetterError, bare, write
from mailcore.sendapi.serializers import SendSerializer, SentSerializer
from mailcore.smtp.backend import accept_message, check_sender, queue_id_in
from mailcore.smtp.questions import AcceptMessage, CheckRecipients, CheckSender
from mailcore.smtp.recipients import check_recipients
from mailcore.store.commit import run
from mailcore.store.spool import Spool
from security.audit import record
from security.models import AuditEntry

T = TypeVar("T")

_REQUEST = {
    "from": "Shop <shop@example.com>",
    "to": ["jane@example.org"],
    "subject": "Your order",
    "text": "It is on its way.",
    "html": "<p>It is on its way.</p>",
}
_ANSWER = {
    "id": "bcdfghjklmnpq",
    "recipients": ["jane@example.org"],
    "send_at": None,
    "events": "/api/v1/messages/bcdfghjklmnpq/events",
    "page": "/admin/mailqueue/messagetrace/timeline/bcdfghjklmnpq",
}


class NotNowError(APIException):
    """What may go better the next time."""

    status_code = 503


class _Here:
    """The doors of the mail process, without a reactor: everything is done at once, in this thread."""

    connection = None
    begun = None

    async def database(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return function(*args, **kwargs)

    async def commit(self, work: Any) -> Any:
        """Commit it."""
        return run(work)


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what comes of something that has nothing to wait for, or for the same message that is under way."""
    try:
        coroutine.send(None)
    except StopIteration as over:
        result: T = over.value
        return result
    coroutine.close()
    raise ConflictError(_("The same message is being handed in just now."))


class SendView(APIView):
    """Hands in a message."""

    per_domain = True

    @extend_schema(
        operation_id="messages_send",
        tags=["messages"],
        summary="Send a message",
        description=(
            "Hand in a message, in parts or whole. It is answered 201 once it is on disk: in mailboxes here, in the "
            f"queue for others. At most {BODY_LIMITS['/api/v1/messages/send'] // 1024**2} MiB of JSON."
        ),
        request=SendSerializer,
        responses={201: SentSerializer},
        examples=[
            OpenApiExample("A message", value=_REQUEST, request_only=True),
            OpenApiExample("Taken", value=_ANSWER, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Check and take it."""
        given = SendSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        data = given.validated_data
        sender = bare(data["from"])
        recipients = _recipients(data)
        envelope = Envelope(
            _client(request, self._account(request, sender)),
            normalize(sender),
            tuple(Recipient(address) for address in recipients),
            smtputf8=not all(address.isascii() for address in (sender, *recipients, *_replies_to(data))),
            hold_until=given.hold_until(),
        )
        _check(envelope, {address: where for where, address in _places(data)})
        content = data["raw"] if "raw" in data else _written(given)
        if len(content) > current().message_limit:
            raise serializers.ValidationError(
                _("The message has more than %(most)d bytes.") % {"most": current().message_limit}
            )
        reply = self._hand_in(envelope, content)
        queue_id = queue_id_in(reply)
        self._note_for_others(request, envelope, queue_id)
        events = f"/api/v1/messages/{queue_id}/events"
        answer = {
            "id": queue_id,
            "recipients": recipients,
            "send_at": data.get("send_at"),
            "events": events,
            "page": reverse("admin:mailqueue_messagetrace_timeline", args=[queue_id]),
        }
        headers = {"Location": f"/api/v1/messages/{queue_id}"}
        return Response(SentSerializer(answer).data, status=201, headers=headers)

    def _account(self, request: Request, sender: str) -> User:
        """Return who sends; raises ``ValidationError`` that names ``from``."""
        problem = serializers.ValidationError({"from": _("You may not send as this address.")})
        try:
            domain = normalize(sender).rpartition("@")[2]
        except ValueError as error:
            raise problem from error
        within = domains_of(request)
        if within is not None and domain not in within:
            raise problem
        owner = request.user if isinstance(request.user, User) else None
        if owner is not None and may_send_as(owner.pk, sender):
            return owner
        if owner is not None and "admin" not in granted(request):
            raise problem
        found = resolve(sender)
        if found.status != "ok" or not found.users:
            raise problem
        account = User.objects.filter(pk=found.users[0].id).select_related("domain").first()
        if account is None or not account.may_log_in:
            raise problem
        return account

    def _note_for_others(self, request: Request, envelope: Envelope, queue_id: str) -> None:
        """Write down who has sent in somebody else's name: an administrator, or a key that nobody owns."""
        login = envelope.client.login if envelope.client else None
        if login is not None and getattr(request.user, "pk", None) != login.account_id:
            facts = {"login": login.name, "sender": envelope.sender, "queue_id": queue_id}
            record("message_sent_as", AuditEntry.EventType.EMAIL, request=request, metadata=facts)

    def _hand_in(self, envelope: Envelope, content: bytes) -> Reply:
        body = Spool()
        try:
            body.write(content)
            reply = _at_once(accept_message(AcceptMessage(envelope.with_size(body.size), body), _Here()))
        except BodyRefusedError as error:
            reply = error.reply
        finally:
            body.abandon()
        if reply.code == 250:
            return reply
        if reply.code < 500:
            raise NotNowError(reply.text)
        raise serializers.ValidationError({"raw" if "From" in reply.text else "non_field_errors": reply.text})


def _places(data: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f"{name}.{n}", bare(each)) for name in ("to", "cc", "bcc") for n, each in enumerate(data.get(name, ()))]


def _replies_to(data: dict[str, Any]) -> list[str]:
    return [bare(each) for each in data.get("reply_to", ())]


def _recipients(data: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(address for _place, address in _places(data)))


def _client(request: Request, account: User) -> Client:
    peer = Peer(client_address(request), int(request.META.get("REMOTE_PORT") or 0))
    return Client(peer, None, "", "HTTP", Login(account.pk, account.username))


def _check(envelope: Envelope, places: dict[str, str]) -> None:
    """Ask what submission asks at MAIL and RCPT; raises ``ValidationError`` that names what is wrong."""
    refusal = _at_once(check_sender(CheckSender(envelope), _Here()))
    if refusal is not None:
        if refusal.code < 500:
            raise NotNowError(refusal.text)
        raise serializers.ValidationError({"send_at" if envelope.hold_until else "from": refusal.text})
    verdicts = _at_once(check_recipients(CheckRecipients(envelope, envelope.recipients), _Here()))
    wrong = {
        places[recipient.address]: refusal.text
        for recipient, refusal in zip(envelope.recipients, verdicts, strict=True)
        if refusal is not None
    }
    if wrong:
        raise serializers.ValidationError(wrong)


def _written(given: SendSerializer) -> bytes:
    data = given.validated_data
    letter = Letter(
        sender=data["from"],
        to=data.get("to", ()),
        cc=data.get("cc", ()),
        reply_to=data.get("reply_to", ()),
        subject=data.get("subject", ""),
        text=data.get("text"),
        html=data.get("html"),
        attachments=given.attachments_of(),
        headers=data.get("headers", {}),
    )
    try:
        return write(letter)
    except LetterError as error:
        raise serializers.ValidationError({error.member: str(error)}) from error
