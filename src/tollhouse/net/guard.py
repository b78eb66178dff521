"""Where webhooks may not go: which URLs are accepted, and which addresses may be connected to.

Two checks, because one is not enough: `check_url` when an address is set and again before each delivery, and
`may_connect` on every address a name resolves to, in the moment of connecting. A name that changes its mind in
between (DNS rebinding) gains nothing: the connection goes to the very address that was checked.

An address is judged by what it reaches. IPv4-mapped addresses and NAT64's `64:ff9b::/96` are opened and the IPv4
address inside is judged; every other wrapping (IPv4-compatible, 6to4, Teredo, local NAT64) is refused as a whole.
`ipaddress.is_global` says yes to some of these and to multicast, and its answers change between Python versions:
it is asked too, but the lists below are complete without it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urlsplit

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

URL_LENGTH_MAX = 2048
LIVE_PORTS = frozenset({443, 8443, 8843})
_DEFAULT_PORTS = {"https": 443, "http": 80}


def _networks(*texts: str) -> Networks:
    return tuple(ip_network(text) for text in texts)


# Nobody's webhooks go here, test projects included: these addresses hand out a machine's identity and secrets.
NEVER = _networks(
    "169.254.0.0/16",  # link-local: the metadata address of nearly every cloud
    "fe80::/10",
    "fd00:ec2::/32",  # Amazon
    "fd20:ce::/32",  # Google
    "fd00:42::42/128",  # Scaleway
    "100.100.100.200/32",  # Alibaba
    "192.0.0.192/32",  # Oracle
    "168.63.129.16/32",  # Azure: looks public
)

# Test projects may go here: the developer's own machine and network.
LOCAL = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
)

# What is left of the addresses that mean nothing, or something else, outside one's own network.
NOT_PUBLIC = _networks(
    "0.0.0.0/8",  # this network
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24",  # documentation
    "192.31.196.0/24",  # AS112
    "192.52.193.0/24",  # automatic multicast tunnelling
    "192.88.99.0/24",  # 6to4 relays
    "192.175.48.0/24",  # AS112
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, broadcast
    "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4
    "3fff::/20",  # documentation
)

# The only part of IPv6 that is handed out to the public; ::, fec0::, 5f00::, ff00:: and the like lie outside.
_IPV6_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")

_HOST = re.compile(r"(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Left as they are in path and query: what a URL may contain, and %, since the text may be encoded already.
_URL_SAFE = "/%:@!$&'()*+,;=?~-._"


class UrlRefused(ValueError):
    """A webhook address that is not accepted; `reason` is one line for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTarget:
    """A webhook address taken apart. `address` is set when the host is a literal IP address."""

    scheme: str
    host: str  # ASCII, lower case, without brackets
    port: int
    path: str  # with the query, percent-encoded
    address: Address | None

    @property
    def url(self) -> str:
        """The address as it is requested: nothing in it can be read in two ways."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def check_url(url: str, *, live: bool) -> ParsedTarget:
    """The parts of a webhook address a project may use. Raises `UrlRefused`."""
    if len(url) > URL_LENGTH_MAX:
        raise UrlRefused(f"the address is longer than {URL_LENGTH_MAX} characters")
    if "\\" in url or any(character.isspace() or not character.isprintable() for character in url):
        raise UrlRefused("the address contains blanks, control characters or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UrlRefused("the address is not a valid URL") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise UrlRefused("the address must begin with https:// (test projects: or http://) and a host name")
    if "@" in parts.netloc:
        raise UrlRefused("the address must not contain a user name or password")
    if live and parts.scheme != "https":
        raise UrlRefused("the address of a live project must begin with https://")
    port = _DEFAULT_PORTS[parts.scheme] if port is None else port
    if port == 0:
        raise UrlRefused("port 0 is not a port")
    if live and port not in LIVE_PORTS:
        allowed = ", ".join(map(str, sorted(LIVE_PORTS)))
        raise UrlRefused(f"port {port} is not allowed for a live project; use one of {allowed}")
    host, address = _host(parts.hostname, live=live)
    path = quote(parts.path or "/", safe=_URL_SAFE)
    if parts.query:
        path += "?" + quote(parts.query, safe=_URL_SAFE)
    return ParsedTarget(scheme=parts.scheme, host=host, port=port, path=path, address=address)


def _host(text: str, *, live: bool) -> tuple[str, Address | None]:
    """The host in ASCII, and the address it is when it is a literal one."""
    if ":" in text:
        host = text
    else:
        try:
            host = text.encode("idna").decode("ascii").lower()
        except UnicodeError:
            raise UrlRefused("the host name is not valid") from None
    address = _literal(host)
    if address is None:
        if not _HOST.fullmatch(host):
            raise UrlRefused("the host name is not valid")
        if live and "." not in host.rstrip("."):
            raise UrlRefused("the host name must be a public one, with a dot in it")
    elif live:
        raise UrlRefused("the address of a live project must have a host name, not an IP address")
    elif not may_connect(address, live=False):
        raise UrlRefused(f"webhooks are never sent to {address}")
    return host, address


def _literal(host: str) -> Address | None:
    try:
        if "%" in host:
            raise ValueError
        return ip_address(host)
    except ValueError:
        # 2130706433, 0x7f.1 and 127.1 are addresses to the operating system, though not to us.
        if ":" in host or _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]):
            raise UrlRefused("an IP address must be written in its usual form") from None
        return None


def is_public(address: Address | str) -> bool:
    """Whether anybody on the internet would reach the same machine at this address."""
    plain = _opened(address)
    if isinstance(plain, IPv6Address) and plain not in _IPV6_UNICAST:
        return False
    denied = _lies_in(plain, NEVER) or _lies_in(plain, LOCAL) or _lies_in(plain, NOT_PUBLIC)
    return plain.is_global and not plain.is_multicast and not denied


def may_connect(address: Address | str, *, live: bool) -> bool:
    """Whether a webhook may be sent to this address.

    Live projects reach public addresses only. Test projects also reach the developer's machine and network,
    but never link-local or metadata addresses.
    """
    plain = _opened(address)
    if _lies_in(plain, NEVER):
        return False
    return is_public(plain) or (not live and _lies_in(plain, LOCAL))


def _opened(address: Address | str) -> Address:
    """The IPv4 address inside where packets certainly end there, otherwise the address itself."""
    plain = ip_address(address) if isinstance(address, str) else address
    if isinstance(plain, IPv6Address):
        if plain.ipv4_mapped is not None:
            return plain.ipv4_mapped
        if plain in _NAT64:
            return IPv4Address(int(plain) & 0xFFFFFFFF)
    return plain


def _lies_in(address: Address, networks: Networks) -> bool:
    return any(address.version == network.version and address in network for network in networks)
