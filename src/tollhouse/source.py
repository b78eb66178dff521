"""Where a request comes from: the address of the connection, or whom a proxy that we trust names as the caller.

Anybody may write `X-Forwarded-For`, and each proxy adds the address that it was called from at its right end. So the
list is read from the right, and the first address that is no proxy of ours is the caller; what stands left of it is
hearsay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

HOPS_MAX = 20
# Who has an IPv6 address has a whole network of them.
IPV6_PREFIX = 64
# How IPv4 addresses are reached from networks without any (RFC 6052): the last 32 bits are the address.
NAT64 = IPv6Network("64:ff9b::/96")

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Trusted:
    """The proxies whose word we take."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Trusted:
        """From a list such as `10.0.0.5, 10.1.0.0/16`. Raises `ValueError` with what was expected."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        try:
            networks = tuple(ip_network(word) for word in words)
        except ValueError:
            raise ValueError("expected addresses or networks such as 10.0.0.5 or 10.1.0.0/16, with commas") from None
        if any(network.prefixlen == 0 for network in networks):
            raise ValueError("expected the addresses of your proxies, not everybody's")
        return cls(networks)

    def holds(self, address: str) -> bool:
        """Whether this is the address of one of them."""
        found = _address(address)
        return found is not None and self._has(found)

    def _has(self, address: Address) -> bool:
        return any(address in network for network in self.networks)

    def caller(self, peer: str, forwarded: Sequence[str]) -> str:
        """The caller of a connection from `peer` with these values of X-Forwarded-For."""
        found = _address(peer)
        if found is None or not self._has(found):
            return str(found or peer)
        hops = ",".join(forwarded).split(",") if forwarded else []
        for hop in list(reversed(hops))[:HOPS_MAX]:
            named = _address(hop)
            if named is None:
                break  # what a proxy of ours wrote is an address; whoever sent this is it, then
            found = named
            if not self._has(named):
                break
        return str(found)


NO_PROXIES = Trusted()


def place_of(address: str) -> str:
    """What is counted as one source: an IPv4 address, or the network of an IPv6 one."""
    found = _address(address)
    if isinstance(found, IPv6Address) and found in NAT64:
        return str(IPv4Address(int(found) & 0xFFFF_FFFF))
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, IPV6_PREFIX), strict=False))
    return str(found or address)


def is_of_this_machine(address: str) -> bool:
    """Whether the address is a loopback one."""
    found = _address(address)
    return found is not None and found.is_loopback


def are_loopback(hosts: Iterable[str]) -> bool:
    """Whether all of these names and addresses lead to this very machine."""
    return all(host == "localhost" or is_of_this_machine(host) for host in hosts)


def _address(text: str) -> Address | None:
    """An address, perhaps with a port, as proxies write them; IPv4 in IPv6 is IPv4."""
    word = text.strip().strip('"')
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    try:
        found = ip_address(word.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
