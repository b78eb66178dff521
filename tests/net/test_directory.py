"""The way to a directory server, against real servers on loopback: what is sent, and what is made of each answer."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.net.receiver import OK, Answer, Receiver, answering, certified, header, receiving
from tollhouse.acquirers.message import CardUse, NoAnswer, NotSent, Slot
from tollhouse.card import CardDetails, Expiry, parse_pan
from tollhouse.net.directory import ANSWER_BYTES_MAX, RANGES_BYTES_MAX, DirectoryLink
from tollhouse.threeds.translate import Inquiry
from tollhouse.vault.embedded import EmbeddedVault

CANARY = "5204730000002514"
CARD = CardDetails(pan=parse_pan(CANARY), expiry=Expiry(2031, 2))
SLOTS = {"acctNumber": Slot.PAN, "cardExpiryDate": Slot.EXPIRY}
MESSAGE = {"messageType": "AReq", "merchantName": "Café", "browserJavaEnabled": False}
INQUIRY = Inquiry(message=MESSAGE, slots=SLOTS, card=CardUse(project="shop", card_token="card_1"))
ARES = b'{"messageType":"ARes"}'


class FakeEgress:
    """Knows one card."""

    async def fill_text(self, card: CardUse, slots: Mapping[str, Slot]) -> Mapping[str, str]:
        """Its PAN and expiry. Raises `NotSent` for any other."""
        if card.card_token != "card_1":
            raise NotSent(f"no card {card.card_token}")
        values = {Slot.PAN: CANARY, Slot.EXPIRY: "3102"}
        return {name: values[slot] for name, slot in slots.items()}


class BrokenEgress:
    """A vault that fails in a way nobody thought of."""

    async def fill_text(self, card: CardUse, slots: Mapping[str, Slot]) -> Mapping[str, str]:
        """Never."""
        raise KeyError(CANARY)


def told(body: bytes, *, status: str = "200 OK", head: str = "") -> bytes:
    """An HTTP answer."""
    return f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def linked(answer: Answer, **options: object) -> AsyncIterator[tuple[DirectoryLink, Receiver]]:
    """A started link to a server that answers so."""
    async with receiving(answer) as receiver:
        settings = {"egress": FakeEgress(), "limit_seconds": 30.0, **options}
        link = DirectoryLink(f"http://127.0.0.1:{receiver.port}/ds", **settings)  # type: ignore[arg-type]
        await link.start()
        try:
            yield link, receiver
        finally:
            await link.close()


async def refused(answer: Answer, **options: object) -> NotSent | NoAnswer:
    """How the link fails with a server that answers so, whose failure has no trace of the card."""
    async with linked(answer, **options) as (link, _):
        with pytest.raises((NotSent, NoAnswer)) as failure:
            await link.ask(INQUIRY)
    assert_clean(failure.value)
    return failure.value


def sent_card(receiver: Receiver) -> tuple[str, str]:
    """PAN and expiry of the first message that arrived."""
    sent = json.loads(receiver.bodies[0])
    return sent["acctNumber"], sent["cardExpiryDate"]


def assert_clean(problem: BaseException) -> None:
    """Neither its text nor any frame of it or of what led to it has the PAN."""
    shown = "".join(traceback.TracebackException.from_exception(problem, capture_locals=True).format())
    assert CANARY not in shown
    assert problem.__context__ is None or CANARY not in repr(problem.__context__)


async def test_what_is_sent() -> None:
    """The message with its slots filled, as JSON in UTF-8 with a length, and nothing of ours besides."""
    async with linked(answering(told(ARES))) as (link, receiver):
        assert await link.ask(INQUIRY) == ARES
    head = receiver.heads[0]
    assert head.startswith(b"POST /ds HTTP/1.1\r\n")
    assert header(head, "content-type") == "application/json; charset=utf-8"
    assert header(head, "content-length") == str(len(receiver.bodies[0]))
    assert header(head, "accept-encoding") == "identity"
    assert header(head, "cookie") is None
    assert json.loads(receiver.bodies[0]) == {**MESSAGE, "acctNumber": CANARY, "cardExpiryDate": "3102"}
    assert "Café".encode() in receiver.bodies[0]


async def test_connections_are_kept() -> None:
    """The next request goes over the same connection, also after a cookie was offered, which is not kept."""
    async with linked(answering(told(ARES, head="Set-Cookie: a=1\r\n"))) as (link, receiver):
        for _ in range(3):
            assert await link.ask(INQUIRY) == ARES
        assert receiver.connections == 1
        assert header(receiver.heads[-1], "cookie") is None


async def test_nobody_listens() -> None:
    """A refused connection is certain: nothing was sent."""
    async with receiving(answering(OK)) as receiver:
        port = receiver.port
    link = DirectoryLink(f"http://127.0.0.1:{port}/ds", egress=FakeEgress())
    await link.start()
    with pytest.raises(NotSent, match="no connection to the directory server: ") as failure:
        await link.ask(INQUIRY)
    with pytest.raises(NotSent):
        await link.ask_ranges(MESSAGE)
    await link.tell(MESSAGE)
    await link.close()
    assert_clean(failure.value)


async def test_a_link_that_is_not_open() -> None:
    """Before the start and after the end nothing is sent; complaints go nowhere."""
    link = DirectoryLink("http://127.0.0.1:1/ds", egress=FakeEgress())
    with pytest.raises(NotSent, match="closed"):
        await link.ask(INQUIRY)
    await link.tell(MESSAGE)
    await link.close()


async def test_silence() -> None:
    """A server that never answers is given up when the time limit has passed: the outcome is unknown."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    assert "no answer of the directory server within 0.2 s" in str(await refused(hang, limit_seconds=0.2))


async def test_a_drip_of_an_answer() -> None:
    """The limit is for the whole answer, not for its beginning."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        await asyncio.Event().wait()

    assert isinstance(await refused(drip, limit_seconds=0.2), NoAnswer)


async def test_a_server_that_hangs_up() -> None:
    """Without an answer, or in the middle of one: something was written, so the outcome is unknown."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()

    for answer in (hang_up, break_off, answering(b"\x16\x03\x01 no HTTP at all\r\n\r\n")):
        assert isinstance(await refused(answer), NoAnswer)


@pytest.mark.parametrize("status", ["204 No Content", "400 Bad", "404 Not Found", "500 Broken", "503 Busy"])
async def test_only_200_is_an_answer(status: str) -> None:
    """Whatever comes with another status is not looked at."""
    assert str(await refused(answering(told(b"", status=status)))).endswith(f"HTTP status {status[:3]}")


async def test_redirects_are_not_followed() -> None:
    """A card must not go anywhere but to the configured address."""
    async with receiving(answering(told(ARES))) as other:
        where = f"Location: http://127.0.0.1:{other.port}/\r\n"
        for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
            assert isinstance(await refused(answering(told(b"", status=status, head=where))), NoAnswer)
    assert other.connections == 0


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards go the direct way."""
    async with receiving(answering(told(b"{}"))) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        async with linked(answering(told(ARES))) as (link, _):
            assert await link.ask(INQUIRY) == ARES
    assert proxy.connections == 0


async def test_answers_have_a_limit() -> None:
    """64 KiB, and 4 MiB for card ranges; what is longer is dropped, however it is announced."""
    fits, endless = b"x" * ANSWER_BYTES_MAX, b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    async with linked(answering(told(fits))) as (link, _):
        assert await link.ask(INQUIRY) == fits
    assert "more than 65,536 bytes" in str(await refused(answering(told(fits + b"x"))))
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert isinstance(await refused(answering(chunked, endless * 3)), NoAnswer)
    long = b"y" * RANGES_BYTES_MAX
    async with linked(answering(told(long)), egress=None) as (link, _):
        assert await link.ask_ranges(MESSAGE) == long
    async with linked(answering(told(long + b"y"))) as (link, _):
        with pytest.raises(NoAnswer, match="more than 4,194,304 bytes"):
            await link.ask_ranges(MESSAGE)


async def test_complaints_are_best_effort() -> None:
    """They arrive where they can; whatever comes back or goes wrong does not matter."""
    async with linked(answering(told(b"no", status="500 Broken"))) as (link, receiver):
        await link.tell({"messageType": "Erro"})
        assert receiver.bodies == [b'{"messageType":"Erro"}']


async def test_what_cannot_be_filled_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    """No card, no vault, or a vault that fails: nothing leaves, and the failure says nothing of the card."""
    caplog.set_level(logging.DEBUG)
    unknown = Inquiry(message=MESSAGE, slots=SLOTS, card=CardUse(project="shop", card_token="card_2"))
    for egress, inquiry, why in (
        (FakeEgress(), unknown, "no card card_2"),
        (BrokenEgress(), INQUIRY, "could not be filled in: KeyError"),
        (None, INQUIRY, "there is no vault"),
    ):
        async with linked(answering(told(ARES)), egress=egress) as (link, receiver):
            with pytest.raises(NotSent, match=why) as failure:
                await link.ask(inquiry)
            assert receiver.connections == 0
        assert_clean(failure.value)
    assert CANARY not in caplog.text


async def test_nothing_is_logged_of_the_card(caplog: pytest.LogCaptureFixture) -> None:
    """Not even at the most talkative level, whether all goes well or not."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with linked(answering(told(ARES))) as (link, receiver):
        await link.ask(INQUIRY)
        assert CANARY.encode() in receiver.bodies[0]
        assert CANARY not in repr(link)
    await refused(answering(b"garbage\r\n\r\n"))
    assert CANARY not in caplog.text


async def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    """Nothing is said to a server that cannot prove who it is; to one that can, it is."""
    server_tls, certificate = certified(tmp_path, "localhost")
    async with receiving(answering(told(ARES)), server_tls) as receiver:
        url = f"https://127.0.0.1:{receiver.port}/ds"
        stranger, friend = (
            DirectoryLink(url, egress=FakeEgress()),
            DirectoryLink(url, egress=FakeEgress(), trust=ssl.create_default_context(cafile=str(certificate))),
        )
        for link in (stranger, friend):
            await link.start()
        with pytest.raises(NotSent, match="its certificate is not trusted"):
            await stranger.ask(INQUIRY)
        assert receiver.bodies == []
        assert await friend.ask(INQUIRY) == ARES
        for link in (stranger, friend):
            await link.close()


async def test_the_vault_fills_the_slots(database: str, home: Path) -> None:
    """Of a card that is kept: PAN and expiry as YYMM; of another project's nothing; the values print themselves not."""
    vault = await EmbeddedVault.open(database, home, "node")
    kept = await vault.keep("shop", CARD)
    inquiry = Inquiry(message=MESSAGE, slots=SLOTS, card=CardUse(project="shop", card_token=kept.token))
    async with linked(answering(told(ARES)), egress=vault) as (link, receiver):
        assert await link.ask(inquiry) == ARES
        assert sent_card(receiver) == (CANARY, "3102")
        foreign = Inquiry(message=MESSAGE, slots=SLOTS, card=CardUse(project="inn", card_token=kept.token))
        with pytest.raises(NotSent, match="no card") as failure:
            await link.ask(foreign)
        assert_clean(failure.value)
    filled = await vault.fill_text(inquiry.card, SLOTS)
    assert CANARY not in f"{filled!r}"
    assert await vault.fill_text(inquiry.card, {"code": Slot.CVV}) == {}
    await vault.close()
