"""What an entry of the audit log says to people: one text for each verb, in the language of whoever reads.

The log keeps verbs and facts; the texts are made when it is read. A verb such as ``domain_created`` is a thing and
what happened to it, and has its text from both; others stand in the first table. An app with words of its own adds them
in ``ready()``:

    describe_things({"widget": _("Widget")})
    describe_verbs({"widgets_counted": _("Widgets were counted")})
"""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

Text = str | Promise

# Verbs whose text is more than a thing and what happened to it. Placeholders are names in the entry's metadata.
_TEXTS: dict[str, Text] = {
    "login": gettext_lazy("Login"),
    "login_failed": gettext_lazy("Failed login attempt for user %(login)s"),
    "message_held": gettext_lazy("Message %(queue_id)s was held: it could not be handled"),
    "sending_limit_reached": gettext_lazy("%(name)s has reached a sending limit; what comes then is held"),
    "message_sent_as": gettext_lazy("Message %(queue_id)s was sent in the name of %(login)s"),
    "queue_paused": gettext_lazy("Mail for %(destination)s is paused: %(reason)s"),
    "queue_resumed": gettext_lazy("Mail for %(destination)s goes on"),
    "queue_retry": gettext_lazy("Queue entries tried again: %(changed)s"),
    "queue_hold": gettext_lazy("Queue entries held: %(changed)s"),
    "queue_release": gettext_lazy("Queue entries released: %(changed)s"),
    "queue_bounce": gettext_lazy("Queue entries returned to their senders: %(changed)s"),
    "queue_delete": gettext_lazy("Queue entries deleted: %(changed)s"),
    "queue_purge": gettext_lazy("Messages purged: %(changed)s"),
    "queue_purged": gettext_lazy("Messages purged from the queue: %(changed)s"),
    "queue_purge_undone": gettext_lazy("Purged messages put back into the queue: %(changed)s"),
    "users_created": gettext_lazy("Users created at once: %(created)s, refused: %(failed)s"),
    "users_imported": gettext_lazy("Users imported: %(created)s, refused: %(failed)s"),
    "api_key_outside_network": gettext_lazy("API key %(name)s was used from outside its networks"),
    "server_restart": gettext_lazy("The server was restarted"),
    "server_reload": gettext_lazy("The settings were read anew"),
    "performance_optimized": gettext_lazy("A size was changed to make the server faster"),
    "performance_optimization_reverted": gettext_lazy("A size was set back to what it was before"),
    "address_blocked": gettext_lazy("%(ip_address)s was blocked: %(reason)s"),
    "address_unblocked": gettext_lazy("The block of %(ip_address)s was lifted"),
    "network_allowed": gettext_lazy("%(ip_address)s was put on the allow-list"),
    "network_disallowed": gettext_lazy("%(ip_address)s was taken off the allow-list"),
    "addresses_probed": gettext_lazy("Mail addresses were probed from %(source)s: %(limit)s or more that do not exist"),
    "rate_limits_updated": gettext_lazy("The rate limits were changed"),
    "mailbox_access_changed": gettext_lazy("Rights of %(identifier)s in %(owner)s's mailbox %(mailbox)s: %(rights)s"),
    "webhook_secret_rotated": gettext_lazy("The webhook %(name)s got a new secret"),
    "webhook_replayed": gettext_lazy("Events since %(since)s are told again to the webhook %(name)s"),
    "webhook_switched_off": gettext_lazy("The webhook %(name)s was switched off: %(error)s"),
    "audit_log_read": gettext_lazy("The audit log was read"),
    "audit_log_purged": gettext_lazy("Old entries purged from the audit log: %(deleted)s"),
}

_THINGS: dict[str, Text] = {
    "user": gettext_lazy("User"),
    "domain": gettext_lazy("Domain"),
    "alias": gettext_lazy("Alias"),
    "group": gettext_lazy("Group"),
    "api_key": gettext_lazy("API key"),
    "apikey": gettext_lazy("API key"),
    "route": gettext_lazy("Route"),
    "webhook": gettext_lazy("Webhook"),
    "suppression": gettext_lazy("Suppressed address"),
    "custom_metric": gettext_lazy("Metric"),
    "custommetric": gettext_lazy("Metric"),
    "queueentry": gettext_lazy("Queue entry"),
    "message": gettext_lazy("Message"),
}

_HAPPENED: dict[str, Text] = {
    "created": gettext_lazy("%(thing)s %(name)s was created"),
    "updated": gettext_lazy("%(thing)s %(name)s was changed"),
    "deleted": gettext_lazy("%(thing)s %(name)s was deleted"),
    "restored": gettext_lazy("%(thing)s %(name)s was restored"),
    "purged": gettext_lazy("%(thing)s %(name)s was deleted for good"),
    "revoked": gettext_lazy("%(thing)s %(name)s was revoked"),
}


def describe_things(things: Mapping[str, Text]) -> None:
    """Add words for things: the part of a verb before what happened."""
    _THINGS.update(things)


def describe_verbs(texts: Mapping[str, Text]) -> None:
    """Add texts for whole verbs, with names of the metadata as placeholders."""
    _TEXTS.update(texts)


def knows(action: str) -> bool:
    """Say whether there is a text for this verb."""
    thing, _underscore, happened = action.rpartition("_")
    return action in _TEXTS or (thing in _THINGS and happened in _HAPPENED)


def describe(action: str, metadata: Mapping[str, Any]) -> str:
    """Say in the language in force what happened; a verb that nobody has described stands for itself."""
    facts = _Facts(metadata)
    if action in _TEXTS:
        return _said(str(_TEXTS[action]), facts)
    thing, _underscore, happened = action.rpartition("_")
    if thing in _THINGS and happened in _HAPPENED:
        words = {"thing": str(_THINGS[thing]), "name": _name(metadata)}
        return (str(_HAPPENED[happened]) % words).replace("  ", " ").strip()
    return action


def _said(text: str, facts: "_Facts") -> str:
    # A fact that is missing (an older entry, an empty reason) leaves no colon behind.
    return (text % facts).rstrip(": \uff1a")


def _name(metadata: Mapping[str, Any]) -> str:
    """Return what people call it, else its id."""
    for group in (metadata, metadata.get("after"), metadata.get("before")):
        if isinstance(group, Mapping):
            for word in ("name", "username", "email", "domain", "address"):
                if isinstance(group.get(word), str) and group[word]:
                    return str(group[word])
    return str(metadata.get("target") or metadata.get("key_id") or "")


class _Facts(dict[str, Any]):
    """Metadata as placeholders see them: what is missing is a question mark, never an error."""

    def __missing__(self, name: str) -> str:
        return "?"
