"""What a person sees who starts the server at a terminal: what listens where, and three things to try."""

from django.utils.translation import gettext as _

from a3mailer_site.env import DEVELOPMENT_LISTEN, Env

_WHAT = {
    "smtp": "SMTP",
    "submission": "submission, STARTTLS",
    "submissions": "submission, TLS",
    "lmtp": "LMTP",
    "imap": "IMAP, STARTTLS",
    "imaps": "IMAP, TLS",
    "pop3": "POP3, STLS",
    "pop3s": "POP3, TLS",
    "http": "HTTP",
    "https": "HTTPS",
}


def banner(env: Env, mailbox: str) -> str:
    """Write the banner for these settings; ``mailbox`` is the address for the things to try."""
    lines = ["", f"A3Mailer · {env.host_name} · {env.data_dir}", ""]
    for name in DEVELOPMENT_LISTEN:
        for host, port in env.listen(name) if name in _WHAT else []:
            lines.append(f"  {_url_host(host) + ':' + str(port):<24} {_WHAT[name]}")
    if env.catch_all:
        said = _("All mail goes to %(address)s; nothing is sent to other servers.") % {"address": env.catch_all}
        lines += ["", f"  {said}"]
    lines += ["", _("Try it:"), "", *[f"  {line}" for line in things_to_try(env, mailbox)], ""]
    return "\n".join(lines)


def things_to_try(env: Env, mailbox: str) -> list[str]:
    """Return commands that send a mail, read it, and open the administration."""
    tries: list[str] = []
    if address := _first(env, "smtp"):
        tries.append(f"swaks --server {address} --to {mailbox} --from me@example.com")
    if address := _first(env, "imaps"):
        tries.append(f"curl --insecure --user {mailbox} 'imaps://{address}/INBOX;MAILINDEX=1'")
    if address := _first(env, "http"):
        tries.append(f"http://{address}/admin/")
    return tries


def _first(env: Env, name: str) -> str:
    """Return an address that a client on this machine can connect to, or nothing."""
    for host, port in env.listen(name):
        return f"{_url_host({'0.0.0.0': '127.0.0.1', '::': '::1'}.get(host, host))}:{port}"  # noqa: S104
    return ""


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
