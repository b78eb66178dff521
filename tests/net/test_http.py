"""Sending webhooks, against real servers on loopback: what is sent, and what is made of each way to answer."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.net.receiver import OK, PATIENCE_SECONDS, Answer, answering, certified, header, post, receiving, sending
from tollhouse.net.http import WebhookSender


async def test_what_is_sent() -> None:
    """The body goes out byte for byte with its length, the given headers, our name, and nothing encoded or chunked."""
    body = b'{"type":"payment_finished"}'
    headers = {"Content-Type": "application/json", "webhook-id": "evt_1", "X-PARTNER-SIGN": "c2lnbg=="}
    async with receiving(answering(OK)) as receiver, sending() as sender:
        url = f"http://127.0.0.1:{receiver.port}/hook?shop=7&x=%2F"
        delivery = await sender.post(url, body, headers, live=False)
    assert (delivery.status, delivery.error, delivery.excerpt) == (200, None, "ok")
    assert delivery.is_delivered
    assert delivery.duration_seconds > 0
    head = receiver.heads[0]
    assert head.startswith(b"POST /hook?shop=7&x=%2F HTTP/1.1\r\n")
    assert receiver.bodies == [body]
    assert header(head, "host") == f"127.0.0.1:{receiver.port}"
    assert header(head, "content-length") == str(len(body))
    assert header(head, "transfer-encoding") is None
    assert header(head, "user-agent") == "Tollhouse-Webhook/1"
    assert header(head, "accept-encoding") == "identity"
    assert header(head, "cookie") is None
    for name, value in headers.items():
        assert header(head, name.lower()) == value


async def test_empty_body_has_a_length() -> None:
    """Even an empty body is announced with Content-Length."""
    async with receiving(answering(OK)) as receiver, sending() as sender:
        await sender.post(f"http://127.0.0.1:{receiver.port}/", b"", {}, live=False)
    assert header(receiver.heads[0], "content-length") == "0"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_delivered(status: int) -> None:
    """Every 2xx counts as delivered."""
    delivery = await post(answering(f"HTTP/1.1 {status} Fine\r\nContent-Length: 0\r\n\r\n".encode()))
    assert (delivery.status, delivery.error, delivery.is_delivered) == (status, None, True)


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
async def test_refusals_are_told_by_their_status(status: int) -> None:
    """4xx and 5xx are not delivered; status and excerpt say why."""
    delivery = await post(answering(f"HTTP/1.1 {status} No\r\nContent-Length: 4\r\n\r\noops".encode()))
    assert (delivery.status, delivery.error, delivery.excerpt) == (status, None, "oops")
    assert not delivery.is_delivered


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """A redirect is a failure, and the place it points to is not asked."""
    async with receiving(answering(OK)) as other:
        location = f"http://127.0.0.1:{other.port}/elsewhere"
        head = f"HTTP/1.1 {status} Over there\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        delivery = await post(answering(head.encode()))
    assert (delivery.status, delivery.error) == (status, "redirect not followed")
    assert not delivery.is_delivered
    assert other.connections == 0


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request and never answer."""
    await reader.read()
    await asyncio.Event().wait()


async def test_no_answer() -> None:
    """A receiver that never answers is given up when the time limit has passed."""
    delivery = await post(hang, timeout_seconds=0.2)
    assert (delivery.status, delivery.error) == (None, "timed out after 0.2 s")


def dripping(beginning: bytes, drop: bytes) -> Answer:
    """A beginning at once, then drops for ever."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.01)

    return answer


async def test_dripping_head() -> None:
    """A head that drips for ever does not hold us beyond the time limit."""
    delivery = await post(dripping(b"HTTP/1.1 200 OK\r\n", b"x"), timeout_seconds=0.3)
    assert (delivery.status, delivery.error) == (None, "timed out after 0.3 s")


async def test_dripping_body() -> None:
    """A body that drips after a good status: the answer has been given, and what came of it is the excerpt."""
    delivery = await post(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n", b"y"), timeout_seconds=0.3)
    assert (delivery.status, delivery.error) == (200, None)
    assert set(delivery.excerpt) == {"y"}


async def test_endless_interim_answers() -> None:
    """Interim answers without end are no answer."""
    delivery = await post(dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), timeout_seconds=0.3)
    assert (delivery.status, delivery.error) == (None, "timed out after 0.3 s")


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request and hang up."""
    writer.transport.abort()


async def test_hang_up_before_the_answer() -> None:
    """A connection closed without an answer is a failure that says so."""
    delivery = await post(hang_up)
    assert (delivery.status, delivery.error) == (None, "connection closed before an answer")


async def test_hang_up_within_the_head() -> None:
    """A connection closed in the middle of the head is no answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-")
        await writer.drain()
        writer.close()

    delivery = await post(answer)
    assert (delivery.status, delivery.error) == (None, "connection closed before an answer")


async def test_hang_up_within_the_body() -> None:
    """A body that breaks off after a good status changes nothing."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    delivery = await post(answer)
    assert (delivery.status, delivery.error, delivery.excerpt) == (200, None, "half")


async def test_not_http() -> None:
    """An answer that is not HTTP is a failure."""
    delivery = await post(answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))
    assert (delivery.status, delivery.error) == (None, "answer not understood")


@pytest.mark.parametrize(
    "head",
    [
        b"X-Long: " + b"a" * 100_000 + b"\r\n",
        b"".join(b"X-Many-%d: 1\r\n" % number for number in range(5000)),
    ],
    ids=["long", "many"],
)
async def test_huge_headers(head: bytes) -> None:
    """An answer with far too much head is refused rather than read."""
    delivery = await post(answering(b"HTTP/1.1 200 OK\r\n", head, b"Content-Length: 0\r\n\r\n"))
    assert (delivery.status, delivery.error) == (None, "answer not understood")


async def test_endless_body() -> None:
    """Of an endless body 1 KiB is read, and the connection is given up at once."""
    gone = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"1000\r\n" + b"z" * 4096 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            gone.set()

    async with receiving(answer) as receiver, sending() as sender:
        delivery = await sender.post(f"http://127.0.0.1:{receiver.port}/", b"{}", {}, live=False)
        await asyncio.wait_for(gone.wait(), PATIENCE_SECONDS)
    assert (delivery.status, delivery.excerpt) == (200, "z" * 1024)


async def test_compressed_answers_stay_as_they_are() -> None:
    """A compressed body is not unpacked: a small one cannot become a huge one."""
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n"
    delivery = await post(answering(head, b"\x1f\x8bzz"))
    assert (delivery.status, delivery.excerpt) == (200, "�zz")


async def test_excerpt_is_one_readable_line() -> None:
    """The excerpt has no line ends, control or direction characters; bytes that are not UTF-8 are replaced."""
    body = "first\r\n\tsecond\x1b[31m \x00\u202eред\u00a0x ".encode() + b"\xff"
    delivery = await post(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body))
    assert delivery.excerpt == "first second[31m ред x �"


async def test_connection_refused() -> None:
    """Nobody listening is told as that."""
    async with receiving(hang) as receiver:
        port = receiver.port
    async with sending() as sender:
        delivery = await sender.post(f"http://127.0.0.1:{port}/", b"{}", {}, live=False)
    assert (delivery.status, delivery.error) == (None, "connection refused")


async def test_unknown_name() -> None:
    """A name that does not exist is told as that."""

    async def nothing(host: str) -> list[str]:
        return []

    async with sending(WebhookSender(lookup=nothing)) as sender:
        delivery = await sender.post("http://gone.example/", b"{}", {}, live=False)
    assert (delivery.status, delivery.error) == (None, "host name not found")


async def test_hanging_name_server() -> None:
    """The lookup counts towards the time limit."""

    async def hanging(host: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with sending(WebhookSender(lookup=hanging)) as sender:
        delivery = await sender.post("http://slow.example/", b"{}", {}, live=False, timeout_seconds=0.2)
    assert (delivery.status, delivery.error) == (None, "timed out after 0.2 s")


async def test_names_are_looked_up_by_the_system() -> None:
    """Without a lookup of ours the operating system's is used."""
    async with receiving(answering(OK)) as receiver, sending() as sender:
        delivery = await sender.post(f"http://localhost:{receiver.port}/", b"{}", {}, live=False)
    assert (delivery.status, delivery.error) == (200, None)


async def test_connections_are_used_again() -> None:
    """One delivery after the other to the same receiver uses one connection."""
    async with receiving(answering(OK)) as receiver, sending() as sender:
        for _ in range(5):
            delivery = await sender.post(f"http://127.0.0.1:{receiver.port}/", b"{}", {}, live=False)
            assert delivery.is_delivered
    assert receiver.connections == 1
    assert len(receiver.bodies) == 5


async def test_cookies_are_not_kept() -> None:
    """What one delivery is given as a cookie is not shown by the next."""
    answer = answering(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
    async with receiving(answer) as receiver, sending() as sender:
        for _ in range(2):
            await sender.post(f"http://localhost:{receiver.port}/", b"{}", {}, live=False)
    assert [header(head, "cookie") for head in receiver.heads] == [None, None]


async def test_places_bound_what_is_sent_at_once() -> None:
    """No more deliveries are under way than there are places, and waiting for a place does not use up the time."""
    together = 0
    most = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal together, most
        together += 1
        most = max(most, together)
        await asyncio.sleep(0.05)
        together -= 1
        writer.write(OK)

    async with receiving(answer) as receiver, sending(WebhookSender(concurrent_max=2)) as sender:
        url = f"http://127.0.0.1:{receiver.port}/"
        deliveries = await asyncio.gather(*(sender.post(url, b"{}", {}, live=False) for _ in range(8)))
    assert all(delivery.is_delivered for delivery in deliveries)
    assert most == 2


async def test_one_that_hangs_does_not_hold_the_others() -> None:
    """While one receiver hangs, deliveries to another go through."""
    async with receiving(hang) as slow, receiving(answering(OK)) as quick, sending() as sender:
        waiting = asyncio.create_task(
            sender.post(f"http://127.0.0.1:{slow.port}/", b"{}", {}, live=False, timeout_seconds=PATIENCE_SECONDS)
        )
        delivery = await sender.post(f"http://127.0.0.1:{quick.port}/", b"{}", {}, live=False)
        assert delivery.is_delivered
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables do not lead webhooks elsewhere."""
    async with receiving(answering(OK)) as proxy, receiving(answering(OK)) as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with sending() as sender:
            delivery = await sender.post(f"http://127.0.0.1:{receiver.port}/", b"{}", {}, live=False)
    assert delivery.is_delivered
    assert (receiver.connections, proxy.connections) == (1, 0)


async def loopback(host: str) -> list[str]:
    """Every name is on this machine."""
    return ["127.0.0.1"]


async def test_self_signed_certificate_is_refused(tmp_path: Path) -> None:
    """A certificate that nobody vouches for ends the delivery before anything is sent."""
    context, _ = certified(tmp_path, "shop.example")
    async with receiving(answering(OK), tls=context) as receiver, sending(WebhookSender(lookup=loopback)) as sender:
        delivery = await sender.post(f"https://shop.example:{receiver.port}/", b"{}", {}, live=False)
    assert (delivery.status, delivery.error) == (None, "certificate not trusted")
    assert receiver.heads == []


async def test_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    """A trusted certificate must also be made out to the host of the URL."""
    context, certificate_file = certified(tmp_path, "other.example")
    trust = ssl.create_default_context(cafile=str(certificate_file))
    sender = WebhookSender(lookup=loopback, trust=trust)
    async with receiving(answering(OK), tls=context) as receiver, sending(sender):
        delivery = await sender.post(f"https://shop.example:{receiver.port}/", b"{}", {}, live=False)
    assert (delivery.status, delivery.error) == (None, "certificate not trusted")
    assert receiver.heads == []


async def test_name_is_kept_when_the_address_is_pinned(tmp_path: Path) -> None:
    """Connecting to the checked address, TLS and the Host header still name the host of the URL."""
    context, certificate_file = certified(tmp_path, "shop.example")
    asked: list[str | None] = []
    context.sni_callback = lambda connection, name, settings: asked.append(name)
    trust = ssl.create_default_context(cafile=str(certificate_file))
    sender = WebhookSender(lookup=loopback, trust=trust)
    async with receiving(answering(OK), tls=context) as receiver, sending(sender):
        delivery = await sender.post(f"https://shop.example:{receiver.port}/", b"{}", {}, live=False)
    assert (delivery.status, delivery.error) == (200, None)
    assert asked == ["shop.example"]
    assert header(receiver.heads[0], "host") == f"shop.example:{receiver.port}"


async def test_tls_to_a_plain_port() -> None:
    """A server that does not speak TLS is told as that."""
    server = await asyncio.start_server(_speak_plainly, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with sending() as sender:
        delivery = await sender.post(f"https://127.0.0.1:{port}/", b"{}", {}, live=False)
    server.close()
    await server.wait_closed()
    assert (delivery.status, delivery.error) == (None, "TLS handshake failed")


async def _speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "http://shop.example/", "https://u:p@shop.example/", "nonsense"])
async def test_refused_urls(url: str) -> None:
    """An address that is not allowed is a failed delivery, not an error of ours."""
    async with sending() as sender:
        delivery = await sender.post(url, b"{}", {}, live=True)
    assert delivery.status is None
    assert delivery.error is not None
    assert delivery.error.startswith("address not allowed: ")
    assert delivery.excerpt == ""
