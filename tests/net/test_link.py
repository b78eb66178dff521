"""The link to an acquirer: what is written, what is matched, and what is only known to be unknown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import uvloop

from tests.net.acquirer_host import (
    CVV,
    FOREIGN,
    PACE,
    PAN,
    SECOND,
    TERMINAL,
    Message,
    answer_to,
    framed,
    linked,
    request,
    until,
)
from tollhouse.acquirers.iso8583.fields import ECHO, unpack_tags
from tollhouse.acquirers.message import CVVGone, NoAnswer, NotSent, Response


async def test_sale_is_sent_and_answered() -> None:
    """What goes out is the request with the card filled in; what comes back is the answer without card data."""
    async with linked() as desk:
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        assert (message["t"], message["2"], message["14"]) == ("0200", PAN, "3012")
        assert unpack_tags(message["48"]) == {"92": CVV}
        peer.send(answer_to(message))
        response = await exchange
        assert desk.unmatched.empty()
    assert response.mti == "0210"
    assert response.fields["39"] == "00"
    assert response.fields["38"] == "A1B2C3"
    assert response.fields["2"] == "400012******0008"
    assert not {"14", "48", "t"} & set(response.fields)
    assert desk.vault.events == ["fill 000000000001", "left 000000000001"]


async def _fifty_at_once() -> list[str]:
    async with linked() as desk:
        exchanges = [desk.start(request(number)) for number in range(1, 51)]
        heard = [await desk.host.next() for _ in exchanges]
        for peer, message in reversed(heard):
            peer.send(answer_to(message, code=f"{int(message['11']):02d}"))
        responses = await asyncio.gather(*exchanges)
    assert len(desk.host.peers) == 1
    return [response.fields["39"] for response in responses]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_answers_may_come_in_any_order(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Many requests share a connection at once; each gets its own answer, whatever the order and the event loop."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        codes = runner.run(_fifty_at_once())
    assert codes == [f"{number:02d}" for number in range(1, 51)]


async def test_duplicated_answer() -> None:
    """The first answer counts; the same once more is handed on as unmatched, without card data."""
    async with linked() as desk:
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        peer.write(framed(answer_to(message)) * 2)
        assert (await exchange).fields["39"] == "00"
        unmatched = await desk.next_unmatched()
    assert (unmatched.mti, unmatched.fields["37"]) == ("0210", "000000000001")
    assert unmatched.fields["2"] == "400012******0008"
    assert not {"14", "48"} & set(unmatched.fields)


async def test_late_answer() -> None:
    """No answer within the limit is `NoAnswer`; when it comes afterwards it is unmatched, and the line stays up."""
    async with linked(answer_limit_seconds=0.1) as desk:
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        with pytest.raises(NoAnswer, match=r"no answer within 0\.1 s"):
            await exchange
        peer.send(answer_to(message))
        assert (await desk.next_unmatched()).fields["37"] == "000000000001"
        await desk.host.until(lambda: desk.host.count(ECHO) > 0)
        assert desk.link.connected == 1
        assert len(desk.host.peers) == 1


@pytest.mark.parametrize(
    "wrong", [{"11": "000002"}, {"37": "000000000002"}, {"41": SECOND}, {"7": "0302000001"}, {"t": "0110"}]
)
async def test_answer_for_something_else(wrong: Message) -> None:
    """An answer that differs in DE7, DE11, DE37, DE41 or kind is not the answer; the right one still is."""
    async with linked() as desk:
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        peer.send({**answer_to(message, code="05"), **wrong})
        unmatched = await desk.next_unmatched()
        assert unmatched.fields["39"] == "05"
        assert not exchange.done()
        peer.send(answer_to(message))
        assert (await exchange).fields["39"] == "00"


async def test_request_thrown_back_is_no_answer() -> None:
    """Our own request coming back from a confused host is not an answer to it."""
    async with linked() as desk:
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        peer.send(message)
        assert (await desk.next_unmatched()).mti == "0200"
        peer.send(answer_to(message))
        assert (await exchange).mti == "0210"


async def test_unsolicited_answer() -> None:
    """An answer to nothing at all is handed on."""
    async with linked() as desk:
        desk.host.peers[0].send({"t": "0210", "7": "0302000000", "11": "000009", "37": "0" * 12, "39": "00"})
        assert (await desk.next_unmatched()).mti == "0210"


async def test_a_failing_listener_hears_the_next_answer() -> None:
    """When whoever takes unmatched answers fails at one, that is logged and the next one still comes."""
    async with linked() as desk:
        heard: list[str] = []

        async def failing(response: Response) -> None:
            heard.append(response.fields["11"])
            raise RuntimeError(response.fields["11"])

        desk.link._on_unmatched = failing
        for stan in ("000001", "000002"):
            desk.host.peers[0].send({"t": "0210", "7": "0302000000", "11": stan, "39": "00"})
        await until(lambda: desk.log.names().count("acquirer_link.answer_unmatched_lost") == 2)
    assert heard == ["000001", "000002"]


async def test_repeats_are_answered_by_their_own_kind() -> None:
    """0420 and 0421 are both answered by 0430, and 0220 by 0230."""
    async with linked() as desk:
        for mti, answer in [("0400", "0410"), ("0420", "0430"), ("0421", "0430"), ("0220", "0230"), ("0221", "0230")]:
            exchange = desk.start(request(mti=mti))
            peer, message = await desk.host.next()
            assert message["t"] == mti
            peer.send({**answer_to(message), "t": answer})
            assert (await exchange).mti == answer


async def test_garbled_answer_is_no_answer() -> None:
    """When the answer itself cannot be read the outcome is unknown."""
    async with linked(answer_limit_seconds=0.1) as desk:
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        broken = framed(answer_to(message))[:-3]
        peer.write((len(broken) - 2).to_bytes(2, "big") + broken[2:])
        with pytest.raises(NoAnswer):
            await exchange


async def test_nobody_listening() -> None:
    """With the host away nothing is sent, the card stays in the vault, and the log says which address who sets."""
    async with linked(is_open=False, pace=replace(PACE, reconnect_wait_seconds=0.05)) as desk:
        assert desk.link.connected == 0
        with pytest.raises(NotSent, match="no connection"):
            await desk.start(request())
    assert desk.vault.events == []
    lost = next(fields for event, fields in desk.log.lines if event == "acquirer_line.lost")
    assert lost["address"] == f"127.0.0.1:{desk.host.port}"
    assert lost["set_by"] == "TOLLHOUSE_ACQUIRER_HOST, TOLLHOUSE_ACQUIRER_PORT, TOLLHOUSE_ACQUIRER_LINE"


async def test_send_deadline_passed() -> None:
    """After the send deadline nothing is written."""
    async with linked() as desk:
        with pytest.raises(NotSent, match="has passed"):
            await desk.start(request(), within_seconds=-0.001)
        after = desk.start(request(2))
        peer, message = await desk.host.next()
        assert message["11"] == "000002"
        peer.send(answer_to(message))
        await after
    assert "left 000000000001" not in desk.vault.events


async def test_send_deadline_passes_while_the_vault_works() -> None:
    """The deadline is looked at after the vault has filled in the card, immediately before writing."""
    async with linked() as desk:
        release = asyncio.Event()

        async def filling() -> None:
            await release.wait()

        desk.vault.filling = filling
        deadline = time.monotonic() + 0.05
        exchange = asyncio.create_task(desk.link.exchange(request(), send_before=deadline))
        await asyncio.sleep(0.1)
        release.set()
        with pytest.raises(NotSent, match="has passed"):
            await exchange
        assert desk.host.received.empty()
    assert desk.vault.events == ["fill 000000000001"]


async def test_line_lost_while_the_vault_works() -> None:
    """When the last line is lost before writing, nothing is sent."""
    async with linked() as desk:
        release = asyncio.Event()

        async def filling() -> None:
            await release.wait()

        desk.vault.filling = filling
        exchange = desk.start(request())
        await asyncio.sleep(0)
        await desk.host.shut()
        await desk.connected(0)
        release.set()
        with pytest.raises(NotSent, match="no connection"):
            await exchange
        await desk.host.open()
    assert desk.vault.events == ["fill 000000000001"]


async def test_vault_cannot_fill() -> None:
    """A vault that fails means that nothing was sent."""
    async with linked() as desk:

        async def filling() -> None:
            raise RuntimeError("the vault is away")

        desk.vault.filling = filling
        with pytest.raises(NotSent, match="card data"):
            await desk.start(request())
        assert desk.host.received.empty()


async def test_a_demanded_code_that_is_gone() -> None:
    """The vault's word that a security code is gone for good is passed on as it is: waiting would be of no use."""
    async with linked() as desk:

        async def filling() -> None:
            raise CVVGone("the code is gone")

        desk.vault.filling = filling
        with pytest.raises(CVVGone, match="the code is gone"):
            await desk.start(request())
        assert desk.host.received.empty()


async def test_request_that_does_not_fit() -> None:
    """A field that the dialect cannot hold means that nothing was sent; the reason names it without its value."""
    async with linked() as desk:
        unfit = request()
        with pytest.raises(NotSent, match="field 49") as refusal:
            await desk.start(replace(unfit, fields={**unfit.fields, "49": PAN}))
        assert PAN not in str(refusal.value)


async def test_vault_cannot_erase() -> None:
    """When the vault fails to erase the CVV afterwards, that is logged and the answer still counts."""
    async with linked() as desk:

        async def leaving() -> None:
            raise RuntimeError("the vault is away")

        desk.vault.leaving = leaving
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        peer.send(answer_to(message))
        assert (await exchange).fields["39"] == "00"
    assert "acquirer_link.cvv_not_erased" in desk.log.names()


async def test_answer_before_the_vault_is_done() -> None:
    """An answer that arrives while the CVV is still being erased is not lost."""
    async with linked() as desk:
        release = asyncio.Event()

        async def leaving() -> None:
            await release.wait()

        desk.vault.leaving = leaving
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        peer.write(framed(answer_to(message)) * 2)
        await desk.next_unmatched()
        release.set()
        assert (await exchange).fields["39"] == "00"


async def test_own_terminal_has_its_own_line() -> None:
    """A request goes out on the connection of its terminal."""
    async with linked(terminals=(TERMINAL, SECOND)) as desk:
        for number, terminal in enumerate([SECOND, TERMINAL, SECOND, TERMINAL], start=1):
            exchange = desk.start(request(number, terminal=terminal))
            peer, message = await desk.host.next()
            assert (peer.terminal, message["41"]) == (terminal, terminal)
            peer.send(answer_to(message))
            await exchange


async def test_terminal_of_another_node() -> None:
    """A reversal taken over from another node goes out on any line, with the terminal it names."""
    async with linked() as desk:
        exchange = desk.start(request(mti="0400", terminal=FOREIGN))
        peer, message = await desk.host.next()
        assert (peer.terminal, message["41"]) == (TERMINAL, FOREIGN)
        peer.send(answer_to(message))
        assert (await exchange).fields["41"] == FOREIGN


async def test_cancelled_exchange_leaves_nothing_behind() -> None:
    """Whoever gives up waiting makes the answer unmatched, and the same references can be used again."""
    async with linked() as desk:
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        peer.send(answer_to(message))
        await desk.next_unmatched()
        again = desk.start(request())
        peer, message = await desk.host.next()
        peer.send(answer_to(message))
        assert (await again).fields["39"] == "00"


async def test_same_references_twice_at_once_is_a_bug() -> None:
    """Two messages that could not be told apart are not sent at the same time."""
    async with linked() as desk:
        exchange = desk.start(request())
        peer, message = await desk.host.next()
        with pytest.raises(AssertionError):
            await desk.start(request())
        assert desk.host.received.empty()
        peer.send(answer_to(message))
        await exchange
