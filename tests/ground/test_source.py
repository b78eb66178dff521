"""Who calls: the connection's address, or whom a trusted proxy names, whatever the caller claims."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.source import NO_PROXIES, Trusted, are_loopback, place_of

PROXIES = Trusted.parse("10.0.0.0/8, 192.0.2.1, 2001:db8::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),  # no proxy of ours: hearsay
        ("10.0.0.5", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.5", ["1.2.3.4, 203.0.113.9"], "203.0.113.9"),  # the caller wrote the left one
        ("10.0.0.5", ["1.2.3.4", "203.0.113.9, 192.0.2.1"], "203.0.113.9"),
        ("10.0.0.5", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.5", ["[2a00::1]:443"], "2a00::1"),
        ("10.0.0.5", ["2a00::1"], "2a00::1"),
        ("::ffff:10.0.0.5", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.5", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("10.0.0.5", [], "10.0.0.5"),
        ("10.0.0.5", ["10.0.0.9"], "10.0.0.9"),
        ("10.0.0.5", ["1.2.3.4, unknown"], "10.0.0.5"),
        ("10.0.0.5", ["1.2.3.4, "], "10.0.0.5"),
        ("", ["203.0.113.9"], ""),
    ],
)
def test_the_caller(peer: str, forwarded: list[str], caller: str) -> None:
    """The first from the right that is no proxy of ours."""
    assert PROXIES.caller(peer, forwarded) == caller


@given(st.text(alphabet='0123456789.,:[]abf "x%', max_size=60))
def test_nobody_but_a_proxy_is_believed(claimed: str) -> None:
    """Whatever a caller writes, without a trusted proxy its own address counts, and behind one what the proxy added."""
    assert NO_PROXIES.caller("198.51.100.7", [claimed]) == "198.51.100.7"
    assert PROXIES.caller("10.0.0.5", [f"{claimed}, 203.0.113.9"]) == "203.0.113.9"


@pytest.mark.parametrize("text", ["nonsense", "10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.1;10.0.0.2"])
def test_lists_that_are_refused(text: str) -> None:
    """What is no list of addresses, and what would trust everybody."""
    with pytest.raises(ValueError, match="expected"):
        Trusted.parse(text)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("64:ff9b::198.51.100.7", "198.51.100.7"),
        ("unknown", "unknown"),
    ],
)
def test_what_is_counted_as_one(address: str, place: str) -> None:
    """An IPv4 address, or the network of an IPv6 one."""
    assert place_of(address) == place


def test_loopback() -> None:
    """Names and addresses of this machine, and nothing else."""
    assert are_loopback(["127.0.0.1", "127.9.9.9", "::1", "localhost"])
    assert not are_loopback(["127.0.0.1", "0.0.0.0"])
    assert not are_loopback(["gateway"])
