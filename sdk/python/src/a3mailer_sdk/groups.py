"""All operations of the API, by group. Parameters and members are named as in the API reference.

What is left out, or ``None``, is not sent: the server's default holds, or what is there stays.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from a3mailer_sdk import answers
from a3mailer_sdk.calls import Call, given, path
from a3mailer_sdk.operations import Group, Way, iteration, operation

# Answers of which the server says by 503 what they say themselves.
_EVEN_UNHEALTHY = frozenset({503})
Time = datetime | str


class Keys(Group[Way]):
    """API keys. All of it needs ``admin``."""

    @operation
    def create(
        self,
        *,
        name: str,
        permissions: Sequence[str],
        expires_at: Time | None = None,
        allowed_networks: Sequence[str] | None = None,
        domains: Sequence[str] | None = None,
    ) -> Call[answers.NewApiKey]:
        """Make a key, bound to networks and domains if you like. Only this answer has its secret (``api_key``)."""
        body = given(
            name=name,
            permissions=permissions,
            expires_at=expires_at,
            allowed_networks=allowed_networks,
            domains=domains,
        )
        return Call("POST", path("auth/keys"), answers.NewApiKey, body=body)

    @operation
    def list(self, *, page: int | None = None, limit: int | None = None) -> Call[answers.ApiKeyPage]:
        """List keys, without their secrets."""
        return Call("GET", path("auth/keys"), answers.ApiKeyPage, given(page=page, limit=limit))

    iterate = iteration(list)

    @operation
    def get(self, key_id: str) -> Call[answers.ApiKey]:
        """Show a key, without its secret."""
        return Call("GET", path("auth/keys/{key_id}", key_id=key_id), answers.ApiKey)

    @operation
    def delete(self, key_id: str) -> Call[None]:
        """Revoke a key."""
        return Call("DELETE", path("auth/keys/{key_id}", key_id=key_id))


class Server(Group[Way]):
    """The server as a whole."""

    @operation
    def get_info(self) -> Call[answers.ServerInfo]:
        """Say what server this is, since when it runs and what it listens on."""
        return Call("GET", path("server/info"), answers.ServerInfo)

    @operation
    def restart(self) -> Call[answers.Restart]:
        """Replace the server's processes, without refusing a connection."""
        return Call("POST", path("server/restart"), answers.Restart)

    @operation
    def reload(self, *, dry_run: bool | None = None) -> Call[answers.Reload]:
        """Check settings and certificates, then put them in force."""
        return Call("POST", path("server/reload"), answers.Reload, given(dry_run=dry_run))

    @operation
    def get_schema(self) -> Call[answers.Schema]:
        """Return the OpenAPI document of the API."""
        return Call("GET", path("schema"), answers.Schema, accept="application/vnd.oai.openapi+json")


class Users(Group[Way]):
    """Users and their mailboxes."""

    @operation
    def create(
        self,
        *,
        username: str,
        email: str,
        password: str,
        quota: int | None = None,
        undo_seconds: int | None = None,
        send_limit_hour: int | None = None,
        send_limit_day: int | None = None,
        enabled: bool | None = None,
        groups: Sequence[str] | None = None,
    ) -> Call[answers.User]:
        """Make a user with a mailbox. The domain of the address must be on the server."""
        body = given(
            username=username,
            email=email,
            password=password,
            quota=quota,
            undo_seconds=undo_seconds,
            send_limit_hour=send_limit_hour,
            send_limit_day=send_limit_day,
            enabled=enabled,
            groups=groups,
        )
        return Call("POST", path("users"), answers.User, body=body)

    @operation
    def list(
        self,
        *,
        page: int | None = None,
        limit: int | None = None,
        search: str | None = None,
        deleted: bool | None = None,
    ) -> Call[answers.UserPage]:
        """List users. ``search`` is a part of the login name or the address; ``deleted`` shows the trash."""
        return Call(
            "GET", path("users"), answers.UserPage, given(page=page, limit=limit, search=search, deleted=deleted)
        )

    iterate = iteration(list)

    @operation
    def get(self, user_id: str) -> Call[answers.User]:
        """Show a user."""
        return Call("GET", path("users/{user_id}", user_id=user_id), answers.User)

    @operation
    def update(
        self,
        user_id: str,
        *,
        username: str | None = None,
        email: str | None = None,
        password: str | None = None,
        quota: int | None = None,
        undo_seconds: int | None = None,
        send_limit_hour: int | None = None,
        send_limit_day: int | None = None,
        enabled: bool | None = None,
        groups: Sequence[str] | None = None,
        if_match: str | None = None,
    ) -> Call[answers.User]:
        """Change what is named and leave the rest; with ``if_match=user.etag`` only if nobody else has changed it."""
        body = given(
            username=username,
            email=email,
            password=password,
            quota=quota,
            undo_seconds=undo_seconds,
            send_limit_hour=send_limit_hour,
            send_limit_day=send_limit_day,
            enabled=enabled,
            groups=groups,
        )
        return Call("PUT", path("users/{user_id}", user_id=user_id), answers.User, body=body, if_match=if_match)

    @operation
    def delete(self, user_id: str, *, if_match: str | None = None) -> Call[None]:
        """Delete a user: into the trash, from where ``restore`` takes it back."""
        return Call("DELETE", path("users/{user_id}", user_id=user_id), if_match=if_match)

    @operation
    def restore(self, user_id: str) -> Call[answers.User]:
        """Take a user out of the trash."""
        return Call("POST", path("users/{user_id}/restore", user_id=user_id), answers.User)

    @operation
    def bulk_create(self, users: Sequence[Mapping[str, Any]], *, dry_run: bool | None = None) -> Call[answers.Imported]:
        """Make many users, each with the members that ``create`` takes; each is made or refused for itself."""
        return Call("POST", path("users/bulk"), answers.Imported, given(dry_run=dry_run), body=given(users=users))

    @operation
    def import_csv(self, csv: str, *, dry_run: bool | None = None) -> Call[answers.Imported]:
        """Make many users from a table, whose first line names the columns."""
        return Call("POST", path("users/import"), answers.Imported, given(dry_run=dry_run), csv=csv)


class Domains(Group[Way]):
    """Domains and their limits."""

    @operation
    def create(
        self,
        *,
        domain: str,
        enabled: bool | None = None,
        max_users: int | None = None,
        max_quota: int | None = None,
        send_limit_hour: int | None = None,
        send_limit_day: int | None = None,
    ) -> Call[answers.Domain]:
        """Add a domain. ``max_quota`` is in bytes, for its users together; 0 is no limit."""
        body = given(
            domain=domain,
            enabled=enabled,
            max_users=max_users,
            max_quota=max_quota,
            send_limit_hour=send_limit_hour,
            send_limit_day=send_limit_day,
        )
        return Call("POST", path("domains"), answers.Domain, body=body)

    @operation
    def list(
        self,
        *,
        page: int | None = None,
        limit: int | None = None,
        search: str | None = None,
        deleted: bool | None = None,
    ) -> Call[answers.DomainPage]:
        """List domains. ``search`` is a part of the name; ``deleted`` shows the trash."""
        query = given(page=page, limit=limit, search=search, deleted=deleted)
        return Call("GET", path("domains"), answers.DomainPage, query)

    iterate = iteration(list)

    @operation
    def get(self, domain_id: str) -> Call[answers.Domain]:
        """Show a domain."""
        return Call("GET", path("domains/{domain_id}", domain_id=domain_id), answers.Domain)

    @operation
    def update(
        self,
        domain_id: str,
        *,
        enabled: bool | None = None,
        max_users: int | None = None,
        max_quota: int | None = None,
        send_limit_hour: int | None = None,
        send_limit_day: int | None = None,
        if_match: str | None = None,
    ) -> Call[answers.Domain]:
        """Change what is named and leave the rest; with ``if_match=domain.etag`` only if nobody else has changed it."""
        body = given(
            enabled=enabled,
            max_users=max_users,
            max_quota=max_quota,
            send_limit_hour=send_limit_hour,
            send_limit_day=send_limit_day,
        )
        where = path("domains/{domain_id}", domain_id=domain_id)
        return Call("PUT", where, answers.Domain, body=body, if_match=if_match)

    @operation
    def delete(self, domain_id: str, *, if_match: str | None = None) -> Call[None]:
        """Delete a domain that has no users: into the trash, from where ``restore`` takes it back."""
        return Call("DELETE", path("domains/{domain_id}", domain_id=domain_id), if_match=if_match)

    @operation
    def restore(self, domain_id: str) -> Call[answers.Domain]:
        """Take a domain out of the trash."""
        return Call("POST", path("domains/{domain_id}/restore", domain_id=domain_id), answers.Domain)


class Aliases(Group[Way]):
    """Addresses that stand for others."""

    @operation
    def create(self, *, address: str, targets: Sequence[str], enabled: bool | None = None) -> Call[answers.Alias]:
        """Make an alias."""
        body = given(address=address, targets=targets, enabled=enabled)
        return Call("POST", path("aliases"), answers.Alias, body=body)

    @operation
    def list(
        self, *, page: int | None = None, limit: int | None = None, search: str | None = None
    ) -> Call[answers.AliasPage]:
        """List aliases. ``search`` is a part of the address."""
        return Call("GET", path("aliases"), answers.AliasPage, given(page=page, limit=limit, search=search))

    iterate = iteration(list)

    @operation
    def get(self, alias_id: str) -> Call[answers.Alias]:
        """Show an alias."""
        return Call("GET", path("aliases/{alias_id}", alias_id=alias_id), answers.Alias)

    @operation
    def update(
        self,
        alias_id: str,
        *,
        address: str | None = None,
        targets: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> Call[answers.Alias]:
        """Change what is named and leave the rest."""
        body = given(address=address, targets=targets, enabled=enabled)
        return Call("PUT", path("aliases/{alias_id}", alias_id=alias_id), answers.Alias, body=body)

    @operation
    def delete(self, alias_id: str) -> Call[None]:
        """Delete an alias."""
        return Call("DELETE", path("aliases/{alias_id}", alias_id=alias_id))


class Groups(Group[Way]):
    """Groups of users."""

    @operation
    def create(self, *, name: str) -> Call[answers.UserGroup]:
        """Make a group."""
        return Call("POST", path("groups"), answers.UserGroup, body=given(name=name))

    @operation
    def list(self, *, page: int | None = None, limit: int | None = None) -> Call[answers.UserGroupPage]:
        """List groups."""
        return Call("GET", path("groups"), answers.UserGroupPage, given(page=page, limit=limit))

    iterate = iteration(list)

    @operation
    def get(self, group_id: str) -> Call[answers.UserGroup]:
        """Show a group."""
        return Call("GET", path("groups/{group_id}", group_id=group_id), answers.UserGroup)

    @operation
    def update(self, group_id: str, *, name: str) -> Call[answers.UserGroup]:
        """Rename a group."""
        return Call("PUT", path("groups/{group_id}", group_id=group_id), answers.UserGroup, body=given(name=name))

    @operation
    def delete(self, group_id: str) -> Call[None]:
        """Delete a group; its members stay."""
        return Call("DELETE", path("groups/{group_id}", group_id=group_id))


class Queue(Group[Way]):
    """Messages that wait to be sent on."""

    @operation
    def get_status(self) -> Call[answers.QueueStatus]:
        """Count the messages in the queue, by state and by lane."""
        return Call("GET", path("queue/status"), answers.QueueStatus)

    @operation
    def purge(self, queue_name: str, *, dry_run: bool | None = None) -> Call[answers.Purged]:
        """Empty ``incoming``, ``outgoing``, ``retry`` or ``bounce`` into the trash; what is on its way stays."""
        where = path("queue/{queue_name}", queue_name=queue_name)
        return Call("DELETE", where, answers.Purged, given(dry_run=dry_run))

    @operation
    def retry(
        self,
        *,
        queue: str | None = None,
        domain: str | None = None,
        message_ids: Sequence[str] | None = None,
        dry_run: bool | None = None,
    ) -> Call[answers.Retried]:
        """Try deferred messages again now: all, or those named."""
        body = given(queue=queue, domain=domain, message_ids=message_ids)
        return Call("POST", path("queue/retry"), answers.Retried, given(dry_run=dry_run), body=body)

    @operation
    def list_purges(self, *, page: int | None = None, limit: int | None = None) -> Call[answers.PurgePage]:
        """List purges."""
        return Call("GET", path("queue/purges"), answers.PurgePage, given(page=page, limit=limit))

    iterate_purges = iteration(list_purges)

    @operation
    def undo_purge(self, purge_id: str) -> Call[answers.Restored]:
        """Bring back what a purge took."""
        return Call("POST", path("queue/purges/{purge_id}/undo", purge_id=purge_id), answers.Restored)

    @operation
    def list_messages(
        self,
        *,
        page: int | None = None,
        limit: int | None = None,
        lane: str | None = None,
        state: str | None = None,
        search: str | None = None,
        sender: str | None = None,
        recipient: str | None = None,
        destination: str | None = None,
    ) -> Call[answers.QueuedMessagePage]:
        """List messages in the queue, narrowed by what is given."""
        query = given(
            page=page,
            limit=limit,
            lane=lane,
            state=state,
            search=search,
            sender=sender,
            recipient=recipient,
            destination=destination,
        )
        return Call("GET", path("queue/messages"), answers.QueuedMessagePage, query)

    iterate_messages = iteration(list_messages)

    @operation
    def get_message(self, message_id: str) -> Call[answers.QueuedMessageDetails]:
        """Show a message in the queue."""
        return Call("GET", path("queue/messages/{message_id}", message_id=message_id), answers.QueuedMessageDetails)

    @operation
    def delete_message(self, message_id: str) -> Call[answers.Purged]:
        """Take a message out of the queue, into the trash; ``undo_purge`` brings it back."""
        return Call("DELETE", path("queue/messages/{message_id}", message_id=message_id), answers.Purged)

    @operation
    def retry_message(self, message_id: str) -> Call[answers.QueuedMessageDetails]:
        """Try a message again now."""
        return Call(
            "POST", path("queue/messages/{message_id}/retry", message_id=message_id), answers.QueuedMessageDetails
        )

    @operation
    def hold_message(self, message_id: str) -> Call[answers.QueuedMessageDetails]:
        """Hold a message back until it is released."""
        return Call(
            "POST", path("queue/messages/{message_id}/hold", message_id=message_id), answers.QueuedMessageDetails
        )

    @operation
    def release_message(self, message_id: str) -> Call[answers.QueuedMessageDetails]:
        """Let a held message go on."""
        return Call(
            "POST", path("queue/messages/{message_id}/release", message_id=message_id), answers.QueuedMessageDetails
        )


class Messages(Group[Way]):
    """What came and went."""

    @operation
    def send(
        self,
        *,
        from_: str,
        to: Sequence[str] | None = None,
        cc: Sequence[str] | None = None,
        bcc: Sequence[str] | None = None,
        reply_to: Sequence[str] | None = None,
        subject: str | None = None,
        text: str | None = None,
        html: str | None = None,
        attachments: Sequence[Mapping[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        raw: str | None = None,
        send_at: Time | None = None,
    ) -> Call[answers.Sent]:
        """Send a message, in parts or as a whole (``raw``). Bytes are in Base64, addresses may have a name."""
        body = given(
            from_=from_,
            to=to,
            cc=cc,
            bcc=bcc,
            reply_to=reply_to,
            subject=subject,
            text=text,
            html=html,
            attachments=attachments,
            headers=headers,
            raw=raw,
            send_at=send_at,
        )
        return Call("POST", path("messages/send"), answers.Sent, body=body)

    @operation
    def search(
        self,
        *,
        page: int | None = None,
        limit: int | None = None,
        sender: str | None = None,
        recipient: str | None = None,
        message_id: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        outcome: str | None = None,
        direction: str | None = None,
        search: str | None = None,
    ) -> Call[answers.MessagePage]:
        """Find messages, newest first."""
        query = given(
            page=page,
            limit=limit,
            sender=sender,
            recipient=recipient,
            message_id=message_id,
            since=since,
            until=until,
            outcome=outcome,
            direction=direction,
            search=search,
        )
        return Call("GET", path("messages"), answers.MessagePage, query)

    iterate = iteration(search)

    @operation
    def get(self, message_id: str) -> Call[answers.MessageDetails]:
        """Show a message: who, when, how it stands with each recipient."""
        return Call("GET", path("messages/{message_id}", message_id=message_id), answers.MessageDetails)

    @operation
    def list_events(
        self, message_id: str, *, page: int | None = None, limit: int | None = None
    ) -> Call[answers.EventPage]:
        """Show what happened to a message, step by step."""
        where = path("messages/{message_id}/events", message_id=message_id)
        return Call("GET", where, answers.EventPage, given(page=page, limit=limit))

    iterate_events = iteration(list_events)


class Webhooks(Group[Way]):
    """Programs that are told over HTTP what happens to mail."""

    @operation
    def create(
        self,
        *,
        url: str,
        events: Sequence[str],
        description: str | None = None,
        domains: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> Call[answers.NewWebhook]:
        """Make a webhook. Only this answer has its secret, which signs what is sent (``secret``)."""
        body = given(url=url, events=events, description=description, domains=domains, enabled=enabled)
        return Call("POST", path("webhooks"), answers.NewWebhook, body=body)

    @operation
    def list(self, *, page: int | None = None, limit: int | None = None) -> Call[answers.WebhookPage]:
        """List webhooks, and how they do."""
        return Call("GET", path("webhooks"), answers.WebhookPage, given(page=page, limit=limit))

    iterate = iteration(list)

    @operation
    def get(self, webhook_id: str) -> Call[answers.Webhook]:
        """Show a webhook."""
        return Call("GET", path("webhooks/{webhook_id}", webhook_id=webhook_id), answers.Webhook)

    @operation
    def update(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        domains: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> Call[answers.Webhook]:
        """Change what is named and leave the rest."""
        body = given(url=url, events=events, description=description, domains=domains, enabled=enabled)
        return Call("PUT", path("webhooks/{webhook_id}", webhook_id=webhook_id), answers.Webhook, body=body)

    @operation
    def delete(self, webhook_id: str) -> Call[None]:
        """Delete a webhook, and what waits for it."""
        return Call("DELETE", path("webhooks/{webhook_id}", webhook_id=webhook_id))

    @operation
    def rotate_secret(self, webhook_id: str) -> Call[answers.NewWebhook]:
        """Give a webhook a new secret; the old one signs too for 24 hours."""
        return Call("POST", path("webhooks/{webhook_id}/rotate-secret", webhook_id=webhook_id), answers.NewWebhook)

    @operation
    def test(self, webhook_id: str) -> Call[answers.WebhookDelivery]:
        """Send a test event."""
        return Call("POST", path("webhooks/{webhook_id}/test", webhook_id=webhook_id), answers.WebhookDelivery)

    @operation
    def replay(self, webhook_id: str, *, since: Time, until: Time | None = None) -> Call[answers.Replaying]:
        """Tell again what happened in a span of time."""
        body = given(since=since, until=until)
        return Call("POST", path("webhooks/{webhook_id}/replay", webhook_id=webhook_id), answers.Replaying, body=body)

    @operation
    def list_deliveries(
        self, webhook_id: str, *, page: int | None = None, limit: int | None = None, state: str | None = None
    ) -> Call[answers.WebhookDeliveryPage]:
        """List what a webhook has not taken: what is ``waiting``, and what ``failed`` for good."""
        return Call(
            "GET",
            path("webhooks/{webhook_id}/deliveries", webhook_id=webhook_id),
            answers.WebhookDeliveryPage,
            given(page=page, limit=limit, state=state),
        )

    iterate_deliveries = iteration(list_deliveries)


class Metrics(Group[Way]):
    """Measurements. ``explain`` adds where each number comes from."""

    @operation
    def get_system_metrics(self, *, explain: bool | None = None) -> Call[answers.SystemMetrics]:
        """Measure the machine."""
        return Call("GET", path("metrics/system"), answers.SystemMetrics, given(explain=explain))

    @operation
    def get_application_metrics(self, *, explain: bool | None = None) -> Call[answers.ApplicationMetrics]:
        """Measure the server: requests, sessions, queues, caches."""
        return Call("GET", path("metrics/application"), answers.ApplicationMetrics, given(explain=explain))

    @operation
    def get_prometheus_metrics(self) -> Call[str]:
        """Return all figures in Prometheus' text format."""
        return Call("GET", "/metrics", str, accept="text/plain, */*;q=0.5")

    @operation
    def set_custom_metric(
        self, *, name: str, type: str, value: float, labels: Mapping[str, str] | None = None
    ) -> Call[answers.Sample]:
        """Add to a counter of your own, set a gauge, or observe in a histogram."""
        body = given(name=name, type=type, value=value, labels=labels)
        return Call("POST", path("metrics/custom"), answers.Sample, body=body)

    @operation
    def list_custom_metrics(
        self, *, page: int | None = None, limit: int | None = None
    ) -> Call[answers.CustomMetricPage]:
        """List custom metrics."""
        return Call("GET", path("metrics/custom"), answers.CustomMetricPage, given(page=page, limit=limit))

    iterate_custom_metrics = iteration(list_custom_metrics)

    @operation
    def get_custom_metric(self, metric_name: str) -> Call[answers.CustomMetricSeries]:
        """Show a custom metric with all its label sets."""
        return Call("GET", path("metrics/custom/{metric_name}", metric_name=metric_name), answers.CustomMetricSeries)

    @operation
    def delete_custom_metric(self, metric_name: str) -> Call[None]:
        """Forget a custom metric."""
        return Call("DELETE", path("metrics/custom/{metric_name}", metric_name=metric_name))


class Security(Group[Way]):
    """Blocks, the audit log and rate limits."""

    @operation
    def get_overview(self, *, explain: bool | None = None) -> Call[answers.SecurityOverview]:
        """Say how safe the server stands, and what happened."""
        return Call("GET", path("security/overview"), answers.SecurityOverview, given(explain=explain))

    @operation
    def list_checks(self, *, page: int | None = None, limit: int | None = None) -> Call[answers.PostureCheckPage]:
        """List the posture checks behind the score."""
        return Call("GET", path("security/checks"), answers.PostureCheckPage, given(page=page, limit=limit))

    iterate_checks = iteration(list_checks)

    @operation
    def list_blocked_ips(
        self, *, page: int | None = None, limit: int | None = None, search: str | None = None
    ) -> Call[answers.BlockedIpPage]:
        """List blocked addresses and networks. ``search`` is how one begins."""
        query = given(page=page, limit=limit, search=search)
        return Call("GET", path("security/blocked-ips"), answers.BlockedIpPage, query)

    iterate_blocked_ips = iteration(list_blocked_ips)

    @operation
    def get_blocked_ip(self, ip_address: str) -> Call[answers.BlockedIp]:
        """Show a block."""
        return Call("GET", path("security/blocked-ips/{ip_address}", ip_address=ip_address), answers.BlockedIp)

    @operation
    def block_ip(
        self,
        *,
        ip_address: str,
        reason: str | None = None,
        duration: int | None = None,
        permanent: bool | None = None,
        force: bool | None = None,
    ) -> Call[answers.BlockedIp]:
        """Block an address or network on every port, for ``duration`` seconds or permanently."""
        body = given(ip_address=ip_address, reason=reason, duration=duration, permanent=permanent, force=force)
        return Call("POST", path("security/block-ip"), answers.BlockedIp, body=body)

    @operation
    def unblock_ip(self, ip_address: str) -> Call[None]:
        """Lift a block."""
        return Call("DELETE", path("security/blocked-ips/{ip_address}", ip_address=ip_address))

    @operation
    def list_allowed_ips(
        self, *, page: int | None = None, limit: int | None = None, search: str | None = None
    ) -> Call[answers.AllowedIpPage]:
        """List addresses and networks that are never blocked. ``search`` is how one begins."""
        query = given(page=page, limit=limit, search=search)
        return Call("GET", path("security/allowed-ips"), answers.AllowedIpPage, query)

    iterate_allowed_ips = iteration(list_allowed_ips)

    @operation
    def get_allowed_ip(self, ip_address: str) -> Call[answers.AllowedIp]:
        """Show an entry of the allow-list."""
        return Call("GET", path("security/allowed-ips/{ip_address}", ip_address=ip_address), answers.AllowedIp)

    @operation
    def allow_ip(self, *, ip_address: str, reason: str | None = None) -> Call[answers.AllowedIp]:
        """Never block an address or network."""
        body = given(ip_address=ip_address, reason=reason)
        return Call("POST", path("security/allowed-ips"), answers.AllowedIp, body=body)

    @operation
    def disallow_ip(self, ip_address: str) -> Call[None]:
        """Take an address off the allow-list."""
        return Call("DELETE", path("security/allowed-ips/{ip_address}", ip_address=ip_address))

    @operation
    def list_audit_logs(
        self,
        *,
        page: int | None = None,
        limit: int | None = None,
        start_date: Time | date | None = None,
        end_date: Time | date | None = None,
        event_type: str | None = None,
        severity: str | None = None,
        outcome: str | None = None,
        user_id: str | None = None,
        source_ip: str | None = None,
        action: str | None = None,
    ) -> Call[answers.AuditLogPage]:
        """Read the audit log, newest first. A bare ``end_date`` includes that day."""
        query = given(
            page=page,
            limit=limit,
            start_date=start_date,
            end_date=end_date,
            event_type=event_type,
            severity=severity,
            outcome=outcome,
            user_id=user_id,
            source_ip=source_ip,
            action=action,
        )
        return Call("GET", path("security/audit-logs"), answers.AuditLogPage, query)

    iterate_audit_logs = iteration(list_audit_logs)

    @operation
    def get_rate_limits(self) -> Call[answers.RateLimits]:
        """Show the rate limits of the API, and how far they are used."""
        return Call("GET", path("security/rate-limits"), answers.RateLimits)

    @operation
    def set_rate_limits(
        self,
        *,
        global_: Mapping[str, int] | None = None,
        per_ip: Mapping[str, int] | None = None,
        per_user: Mapping[str, int] | None = None,
    ) -> Call[answers.RateLimits]:
        """Set rate limits of the API, each ``{"max_requests": …, "window_seconds": …}``."""
        body = given(global_=global_, per_ip=per_ip, per_user=per_user)
        return Call("PUT", path("security/rate-limits"), answers.RateLimits, body=body)


class Performance(Group[Way]):
    """How fast the server is, and what would make it faster."""

    @operation
    def get_stats(self, *, explain: bool | None = None) -> Call[answers.PerformanceStats]:
        """Measure pools, caches and requests."""
        return Call("GET", path("performance/stats"), answers.PerformanceStats, given(explain=explain))

    @operation
    def get_recommendations(self) -> Call[answers.Recommendations]:
        """Say what would make the server faster; nothing when nothing would."""
        return Call("GET", path("performance/recommendations"), answers.Recommendations)

    @operation
    def optimize(
        self, optimizations: Sequence[Mapping[str, Any]], *, dry_run: bool | None = None
    ) -> Call[answers.Optimized]:
        """Resize caches and pools: ``[{"type": "cache_size", "value": 2147483648}]``."""
        body = given(optimizations=optimizations)
        return Call("POST", path("performance/optimize"), answers.Optimized, given(dry_run=dry_run), body=body)

    @operation
    def list_optimizations(
        self, *, page: int | None = None, limit: int | None = None
    ) -> Call[answers.OptimizationPage]:
        """List optimizations that were applied."""
        return Call("GET", path("performance/optimizations"), answers.OptimizationPage, given(page=page, limit=limit))

    iterate_optimizations = iteration(list_optimizations)

    @operation
    def revert_optimization(self, optimization_id: str) -> Call[answers.Optimization]:
        """Take an optimization back."""
        where = path("performance/optimizations/{optimization_id}/revert", optimization_id=optimization_id)
        return Call("POST", where, answers.Optimization)


class Health(Group[Way]):
    """How the server is. An unhealthy server answers, too: that is no error."""

    @operation
    def get_status(self) -> Call[answers.Health]:
        """Say how the server is."""
        return Call("GET", "/health", answers.Health, also=_EVEN_UNHEALTHY)

    @operation
    def get_detailed(self) -> Call[answers.Health]:
        """Say how each part of the server is."""
        return Call("GET", path("health/detailed"), answers.Health, also=_EVEN_UNHEALTHY)

    @operation
    def check(self, component: str) -> Call[answers.ComponentHealth]:
        """Check one part now."""
        where = path("health/check/{component}", component=component)
        return Call("POST", where, answers.ComponentHealth)

    @operation
    def get_readiness(self) -> Call[answers.Readiness]:
        """Say whether every service answers."""
        return Call("GET", "/ready", answers.Readiness, also=_EVEN_UNHEALTHY)
