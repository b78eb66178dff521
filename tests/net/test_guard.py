"""Where webhooks may not go: the list of addresses that fool `ipaddress`, both modes, URLs, rebinding names."""

from __future__ import annotations

import asyncio

import pytest

from tollhouse.net.guard import UrlRefused, check_url, is_public, may_connect
from tollhouse.net.http import WebhookSender

# Addresses that CPython 3.11 calls global although they are not, or not for us.
FOOLING = [
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "fec0::1",
    "3fff::1",
    "5f00::1",
    "192.88.99.1",
    "192.0.0.8",
    "192.0.0.9",
    "224.0.0.1",
    "239.255.255.250",
    "ff02::1",
    "ff0e::1",
]

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.1",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "febf::1",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:42::42",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "::ffff:169.254.169.254",
    "::ffff:168.63.129.16",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::a83f:8110",
    "64:ff9b:1::169.254.169.254",
    "2002:a9fe:a9fe::",
    "2001:0:5db8:d822:0:0:5601:5601",
]

LOCAL = [
    "127.0.0.1",
    "127.8.9.10",
    "::1",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "fc00::1",
    "fd12:3456::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::10.0.0.1",
]

NOWHERE = [
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "192.0.2.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "192.31.196.1",
    "192.52.193.1",
    "192.175.48.1",
    "240.0.0.1",
    "255.255.255.255",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "100::1",
    "::ffff:0:8.8.8.8",
    "::8.8.8.8",
    "2002:808:808::1",
    "4000::1",
]

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001::200e",
    "2001:4860:4860::8888",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]


@pytest.mark.parametrize("address", FOOLING + METADATA + LOCAL + NOWHERE)
def test_not_public(address: str) -> None:
    """No address but a public one is public, however it is wrapped; a live project's webhooks do not go there."""
    assert not is_public(address)
    assert not may_connect(address, live=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    """Public addresses, also behind NAT64, can be reached by live and by test projects."""
    assert is_public(address)
    assert may_connect(address, live=True)
    assert may_connect(address, live=False)


@pytest.mark.parametrize("address", LOCAL)
def test_test_project_reaches_its_own_network(address: str) -> None:
    """Test projects may send to loopback and private addresses."""
    assert may_connect(address, live=False)


@pytest.mark.parametrize("address", METADATA + NOWHERE + [a for a in FOOLING if a != "64:ff9b::7f00:1"])
def test_test_project_never_reaches_metadata(address: str) -> None:
    """Link-local, metadata and meaningless addresses are closed to test projects too."""
    assert not may_connect(address, live=False)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://shop.example/hook", "https://shop.example/hook"),
        ("https://shop.example", "https://shop.example/"),
        ("https://SHOP.example:443/Hook?a=1&b=%20", "https://shop.example/Hook?a=1&b=%20"),
        ("https://shop.example:8443/hook#part", "https://shop.example:8443/hook"),
        ("https://shop.example./hook", "https://shop.example./hook"),
        ("https://магазин.рф/путь", "https://xn--80aairftm.xn--p1ai/%D0%BF%D1%83%D1%82%D1%8C"),
        ("https://my_shop.example/a%2Fb", "https://my_shop.example/a%2Fb"),
    ],
)
def test_accepted_for_live(url: str, canonical: str) -> None:
    """A live project may use https addresses of public names; they are requested in one unmistakable spelling."""
    assert check_url(url, live=True).url == canonical


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8402/hook",
        "http://shop.example:443/hook",
        "http://127.0.0.1:5000/hook",
        "http://[::1]:5000/hook",
        "http://192.168.1.7/hook",
        "https://shop.example:12345/hook",
        "http://8.8.8.8/hook",
        "http://web:3000/",
    ],
)
def test_accepted_for_test_only(url: str) -> None:
    """Plain http, any port, one-word names and literal addresses are for test projects only."""
    assert check_url(url, live=False).url == url
    with pytest.raises(UrlRefused):
        check_url(url, live=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example/hook",
        "//shop.example/hook",
        "ftp://shop.example/hook",
        "file:///etc/passwd",
        "unix:///run/docker.sock",
        "https://",
        "https:///hook",
        "https://user@shop.example/",
        "https://user:word@shop.example/",
        "https://@shop.example/",
        "https://shop.example@127.0.0.1/",
        "https://shop.example\\@127.0.0.1/",
        "https://shop.example/a b",
        "https://shop.example/a\r\nHost: other",
        "https://shop.example/\x00",
        " https://shop.example/",
        "https://shop.example\t/",
        "https://shop.example:0/",
        "https://shop.example:65536/",
        "https://shop.example:abc/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://1.2.3.4.5/",
        "https://256.256.256.256/",
        "https://[::1%25eth0]/",
        "https://[fe80::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[not-an-address]/",
        "https://[::1/",
        "https://169.254.169.254/latest/meta-data/",
        "http://168.63.129.16/machine",
        "http://0.0.0.0:8400/",
        "http://[::]:8400/",
        "https://①⑥⑨.254.169.254/",
        "https://169。254。169。254/",
        "https://shop..example/",
        "https://-shop.example/",
        "https://shop%2eexample/",
        "https://" + "a" * 64 + ".example/",
        "https://shop.example/" + "a" * 2048,
    ],
)
def test_refused_for_everybody(url: str) -> None:
    """An address that is broken, ambiguous or leads to metadata is refused in both modes, in one line."""
    for live in (True, False):
        with pytest.raises(UrlRefused) as refusal:
            check_url(url, live=live)
        assert refusal.value.reason
        assert "\n" not in refusal.value.reason


@pytest.mark.parametrize("port", [80, 22, 25, 8080, 8400, 5432])
def test_live_ports(port: int) -> None:
    """A live project's port must be one that web servers use for https; the refusal lists them."""
    with pytest.raises(UrlRefused, match="443, 8443, 8843"):
        check_url(f"https://shop.example:{port}/", live=True)


class Names:
    """A name server whose answers can be changed."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def lookup(self, host: str) -> list[str]:
        """The addresses of the moment."""
        self.asked += 1
        return self.addresses


class Door:
    """A server on loopback that counts who comes in and answers 204."""

    def __init__(self) -> None:
        self.visitors = 0
        self.port = 0

    async def __aenter__(self) -> Door:
        self._server = await asyncio.start_server(self._visit, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visitors += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


async def test_rebinding_gains_nothing() -> None:
    """A name that was public when the address was set and turns to loopback later is not connected to."""
    names = Names("93.184.215.14")
    url = "https://rebind.example:8443/hook"
    assert check_url(url, live=True)
    assert all(may_connect(address, live=True) for address in await names.lookup("rebind.example"))
    names.addresses = ["127.0.0.1"]
    sender = WebhookSender(lookup=names.lookup)
    await sender.start()
    try:
        delivery = await sender.post(url, b"{}", {}, live=True)
    finally:
        await sender.close()
    assert (delivery.status, delivery.error) == (None, "address not allowed")
    assert names.asked == 2


async def test_name_of_metadata_address_is_refused_for_test_projects() -> None:
    """A test project's name that resolves to link-local is not connected to."""
    sender = WebhookSender(lookup=Names("169.254.169.254", "fe80::1").lookup)
    await sender.start()
    try:
        delivery = await sender.post("http://meta.example/", b"{}", {}, live=False)
    finally:
        await sender.close()
    assert (delivery.status, delivery.error) == (None, "address not allowed")


async def test_the_checked_address_is_the_one_connected_to() -> None:
    """The name is looked up once; of its addresses only the permitted one is used, whatever the name says next."""

    class Turning(Names):
        async def lookup(self, host: str) -> list[str]:
            """Once what is below, afterwards something else."""
            found = await super().lookup(host)
            self.addresses = ["169.254.169.254"]
            return found

    names = Turning("169.254.169.254", "127.0.0.1")
    sender = WebhookSender(lookup=names.lookup)
    await sender.start()
    async with Door() as door:
        try:
            delivery = await sender.post(f"http://turning.example:{door.port}/", b"{}", {}, live=False)
        finally:
            await sender.close()
    assert delivery.status == 204
    assert names.asked == 1
    assert door.visitors == 1


async def test_literal_addresses_pass_the_same_guard() -> None:
    """A literal address, which is never looked up, is refused when it is not allowed."""
    names = Names("127.0.0.1")
    sender = WebhookSender(lookup=names.lookup)
    await sender.start()
    async with Door() as door:
        try:
            for url, live in [
                (f"https://127.0.0.1:{door.port}/", True),
                (f"https://[::ffff:127.0.0.1]:{door.port}/", True),
                ("http://169.254.169.254/latest/meta-data/", False),
                ("http://[::ffff:169.254.169.254]/", False),
                (f"http://2130706433:{door.port}/", False),
            ]:
                delivery = await sender.post(url, b"{}", {}, live=live)
                assert delivery.status is None
                assert delivery.error is not None
                assert delivery.error.startswith("address not allowed")
        finally:
            await sender.close()
    assert door.visitors == 0
    assert names.asked == 0
