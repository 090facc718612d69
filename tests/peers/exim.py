"""A real Exim of the tests' own: in a root of its own, on a free loopback port; ended with all that lives there.

``grey0@…`` and so on are told 451 until ``open_door`` was called for them.
"""

from peers.rooted import INTERNATIONAL, SHUT, Rooted

CONFIGURATION = """
primary_hostname = mx.{domain}
domainlist ours = {domains}
domainlist known = {known}
local_interfaces = 127.0.0.1
daemon_smtp_ports = {ports}
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
tls_advertise_hosts = *
tls_certificate = /etc/certs/$received_port.crt
tls_privatekey = /etc/certs/$received_port.key
chunking_advertise_hosts = *
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
message_size_limit = 100M
smtp_accept_max = 100
smtp_accept_max_per_connection = 1000
host_lookup =
keep_environment =
never_users =
delay_warning = 1h
log_file_path = /log/%s
log_selector = +smtp_protocol_error +pipelining
trusted_users = vmail
queue_only_load = 1000
disable_ipv6

begin acl
rcpt:
  defer local_parts = ^grey
        condition = ${{if exists{{/open/$local_part}}{{no}}{{yes}}}}
        message = 451 4.7.1 Greylisted, please come back
  accept domains = +ours
         message = No such user
         verify = recipient
  accept domains = +known
  deny message = relay not permitted

begin routers
local:
  driver = accept
  domains = +ours
  local_parts = lsearch;/etc/users
  transport = maildir
  cannot_route_message = Unknown user
{routers}

begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = /mail/$local_part_data
  create_directory
  user = vmail
  group = vmail
  return_path_add
  delivery_date_add = false
{transports}

begin retry
* * F,1h,1s

begin rewrite
begin authenticators
"""
ROUTER = """
to{number}:
  driver = manualroute
  domains = {domain}
  transport = to{number}
  route_list = * {host}
  self = send
"""
TRANSPORT = """
to{number}:
  driver = smtp
  port = {port}
  allow_localhost
  hosts_try_fastopen =
  tls_verify_certificates = /etc/ssl/certs/ca-certificates.crt
"""
VERIFIED = """
  hosts_require_tls = *
  tls_verify_hosts = *
  tls_verify_cert_hostnames = *
"""
# What is not verified is not even looked at: whatever is shown is better than none.
UNVERIFIED = """
  tls_try_verify_hosts = :
"""
CLEAR = """
  hosts_avoid_tls = *
"""
TLS = {"verified": VERIFIED, "": UNVERIFIED, "clear": CLEAR}


class Exim(Rooted):
    """See ``Rooted``."""

    package = "exim"
    programs = ("/usr/sbin/exim4",)
    directories = ("log", "open", "var/spool/exim4", "etc/exim4")
    serves_tls = True
    reports = True
    extensions = frozenset({"PIPELINING", "CHUNKING", "SMTPUTF8"})

    def configure(self):
        ways = [(number, domain, *self.way(domain)) for number, domain in enumerate(self.relay)]
        routers, transports = "", ""
        for number, domain, address, how in ways:
            port, verified = address.rpartition(":")[2], how == "verified"
            routers += ROUTER.format(number=number, domain=domain, host="localhost byname" if verified else "127.0.0.1")
            transports += TRANSPORT.format(number=number, port=port) + TLS[how]
        text = CONFIGURATION.format(
            domain=self.domain,
            domains=" : ".join(self.domains),
            ports=" : ".join(str(port) for port in (self.port, *self.broken.values())),
            known=" : ".join(self.relay),
            routers=routers,
            transports=transports,
        )
        self.write("etc/exim4/exim4.conf", text)
        grey = [f"grey{number}" for number in range(SHUT)]
        self.write("etc/users", "".join(f"{name}: {name}\n" for name in [*self.names(), *grey, INTERNATIONAL]))
        for path in self.root.glob("etc/certs/*.key"):
            self.give(path.relative_to(self.root), "Debian-exim", 0o600)
        for name in ("log", "var/spool/exim4"):
            self.give(name, "Debian-exim")

    def command(self):
        return ["/usr/sbin/exim4", "-bdf", "-q1s"]

    def open_door(self, local_part):
        """Take mail for somebody from now on."""
        (self.root / "open" / local_part).touch()

    def log(self):
        return super().log() + "".join(path.read_text(errors="replace") for path in self.root.glob("log/*"))
