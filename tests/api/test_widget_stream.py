"""How a payment stands, as it is streamed: at once, at each change, and no longer than anybody listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from tests.api.client import PAN, Shop
from tests.api.widget_site import (
    NDJSON,
    PATIENCE_SECONDS,
    PUBLIC_URL,
    TYPED,
    form_call,
    form_token,
    listening,
    session_of,
    token_for,
)
from tollhouse.api.widget.stream import STREAMS_PER_TOKEN_MAX, Beat
from tollhouse.api.widget.watch import Watch
from tollhouse.authentication import Enrolment
from tollhouse.ports import StoreUnreachable

OpenShop = Callable[..., Shop]
NEVER = 3600.0
STILL = Beat(poll_seconds=NEVER, alive_seconds=NEVER, end_seconds=NEVER)


@pytest.fixture
def quiet(open_shop: OpenShop) -> Shop:
    """A merchant whose streams do nothing by themselves: only what is told wakes them."""
    return open_shop(beat=STILL)


async def pay(shop: Shop, token: str) -> None:
    """The payer submits the form; whoever listens here is told, as by the store."""
    assert (await form_call(shop, "pay", token, TYPED)).status == 200
    shop.watch.tell("shop", session_of(shop))


async def confirm(shop: Shop) -> None:
    """The merchant confirms, and the bank is asked."""
    await shop.call("session/confirm", {"session_id": session_of(shop)})
    shop.watch.tell("shop", session_of(shop))
    await shop.carry_on()
    shop.watch.tell("shop", session_of(shop))


async def test_each_change_is_a_line(quiet: Shop) -> None:
    """The state at once and after each change; the stream ends after the last."""
    token = await form_token(quiet, success_return_url="https://shop.example/ok")
    async with listening(quiet, token) as (stream, request):
        headers = await stream.headers()
        assert headers["content-type"] == NDJSON
        assert headers["cache-control"] == "no-store"
        assert headers["x-accel-buffering"] == "no"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert {"content-length", "access-control-allow-origin"}.isdisjoint(headers)
        assert await stream.state() == {"stage": "ready"}
        await pay(quiet, token)
        assert await stream.state() == {"stage": "confirming"}
        await confirm(quiet)
        state = await stream.state()
        while state["stage"] == "processing":
            state = await stream.state()
        assert state == {
            "stage": "succeeded",
            "return_url": f"https://shop.example/ok?session_id={session_of(quiet)}",
        }
        await asyncio.wait_for(asyncio.shield(request), PATIENCE_SECONDS)
        assert stream.has_end
    assert len(quiet.watch) == 0


async def test_what_is_told_without_a_change_is_no_line(quiet: Shop) -> None:
    """Nor is the time that passes: the next line is the next change."""
    quiet.world.directory.enrolled[PAN] = Enrolment(version="2.2.0", method_url=None)
    token = await form_token(quiet)
    await pay(quiet, token)
    await confirm(quiet)
    async with listening(quiet, token) as (stream, _):
        link = quiet.stored(session_of(quiet)).payments[0].action_link
        assert await stream.state() == {
            "stage": "action",
            "action": {"url": f"{PUBLIC_URL}/3ds/{link}", "seconds_left": 3600},
        }
        quiet.world.clock.move(60)
        for _ in range(3):
            quiet.watch.tell("shop", session_of(quiet))
            await asyncio.sleep(0)
        assert stream.pieces.empty()


async def test_a_change_of_another_node_is_seen(open_shop: OpenShop) -> None:
    """Nobody tells this process of it: it looks every few seconds."""
    shop = open_shop(beat=Beat(poll_seconds=0.01, alive_seconds=NEVER, end_seconds=NEVER))
    token = await form_token(shop)
    async with listening(shop, token) as (stream, _):
        assert await stream.state() == {"stage": "ready"}
        assert (await form_call(shop, "pay", token, TYPED)).status == 200
        assert await stream.state() == {"stage": "confirming"}


async def test_a_sign_of_life(open_shop: OpenShop) -> None:
    """An empty line now and then, so that nobody on the way takes the connection for dead."""
    shop = open_shop(beat=Beat(poll_seconds=NEVER, alive_seconds=0.01, end_seconds=NEVER))
    async with listening(shop, await form_token(shop)) as (stream, _):
        assert await stream.state() == {"stage": "ready"}
        assert await stream.piece() == b"\n"
        assert await stream.piece() == b"\n"


async def test_a_stream_ends_by_itself(open_shop: OpenShop) -> None:
    """After a while without a last state; the form asks again."""
    shop = open_shop(beat=Beat(poll_seconds=NEVER, alive_seconds=NEVER, end_seconds=0.01))
    async with listening(shop, await form_token(shop)) as (stream, request):
        assert await stream.state() == {"stage": "ready"}
        await asyncio.wait_for(asyncio.shield(request), PATIENCE_SECONDS)
        assert stream.has_end
        assert stream.pieces.empty()


async def test_the_usual_beat() -> None:
    """Looks every 2 s, a sign of life every 10 s, an end after 55 s: before proxies give up after a minute."""
    assert Beat() == Beat(poll_seconds=2, alive_seconds=10, end_seconds=55)


async def test_a_last_state_is_the_whole_stream(quiet: Shop) -> None:
    """Who listens after the end hears it and is done."""
    token = await form_token(quiet)
    await pay(quiet, token)
    await confirm(quiet)
    async with listening(quiet, token) as (stream, request):
        assert (await stream.state())["stage"] == "succeeded"
        await asyncio.wait_for(asyncio.shield(request), PATIENCE_SECONDS)
        assert stream.has_end


async def test_who_hangs_up_is_forgotten(quiet: Shop) -> None:
    """At once: nothing waits for them and their place is free."""
    token = await form_token(quiet)
    async with listening(quiet, token) as (stream, request):
        await stream.state()
        assert len(quiet.watch) == 1
        stream.hang_up()
        await asyncio.wait_for(asyncio.shield(request), PATIENCE_SECONDS)
    assert len(quiet.watch) == 0
    async with AsyncExitStack() as stack:
        for _ in range(STREAMS_PER_TOKEN_MAX):
            stream, _ = await stack.enter_async_context(listening(quiet, token))
            assert (await stream.headers())["content-type"] == NDJSON


async def test_a_gateway_that_stops_ends_its_streams(quiet: Shop) -> None:
    """In order, so that browsers ask another node; new ones end at once."""
    token = await form_token(quiet)
    async with listening(quiet, token) as (stream, request):
        assert await stream.state() == {"stage": "ready"}
        quiet.stopping.set()
        await asyncio.wait_for(asyncio.shield(request), PATIENCE_SECONDS)
        assert stream.has_end
    async with listening(quiet, token) as (stream, request):
        await asyncio.wait_for(asyncio.shield(request), PATIENCE_SECONDS)
        assert stream.has_end


async def test_a_few_streams_for_each_token(quiet: Shop) -> None:
    """Further ones get the plain answer; other tokens of the same session have their own."""
    token = await form_token(quiet)
    other = await token_for(quiet, session_of(quiet))
    async with AsyncExitStack() as stack:
        for _ in range(STREAMS_PER_TOKEN_MAX):
            stream, _ = await stack.enter_async_context(listening(quiet, token))
            assert await stream.state() == {"stage": "ready"}
        plain = await form_call(quiet, "status", token, accept=NDJSON)
        assert (plain.status, plain.json) == (200, {"status": "ok", "state": {"stage": "ready"}})
        assert plain.headers["content-type"] == "application/json"
        stream, _ = await stack.enter_async_context(listening(quiet, other))
        assert (await stream.headers())["content-type"] == NDJSON
        await pay(quiet, token)
        assert await stream.state() == {"stage": "ready"}
        assert await stream.state() == {"stage": "confirming"}


async def test_a_stream_that_breaks(quiet: Shop) -> None:
    """It ends early, the log says why without what was read, and its place is free again."""
    token = await form_token(quiet)
    store, find_session = quiet.world.store, quiet.world.store.find_session

    async def fail(project: str, session_id: str) -> None:
        raise StoreUnreachable("the database does not answer")

    async with listening(quiet, token) as (stream, request):
        assert await stream.state() == {"stage": "ready"}
        store.find_session = fail  # type: ignore[method-assign,assignment]
        quiet.watch.tell("shop", session_of(quiet))
        await asyncio.wait_for(asyncio.shield(request), PATIENCE_SECONDS)
        assert stream.has_end
    ((level, event, fields),) = quiet.world.log.lines
    assert (level, event, fields["code"]) == ("info", "stream broken off", "service_unavailable")
    store.find_session = find_session  # type: ignore[method-assign]
    assert len(quiet.watch) == 0
    async with listening(quiet, token) as (stream, _):
        assert await stream.state() == {"stage": "ready"}


async def test_a_refused_stream_is_an_answer(quiet: Shop) -> None:
    """Nothing begins to stream for a token that is none."""
    refused = await form_call(quiet, "status", "0" * 64, accept=NDJSON)
    assert (refused.status, refused.code) == (401, "public_token_invalid")
    assert refused.headers["content-type"] == "application/json"


# --- the watch --------------------------------------------------------------------------------------------------------


async def test_what_is_told_while_nobody_waits() -> None:
    """It ends the next wait at once; the one after that waits again."""
    watch = Watch()
    with watch.follow("shop", "ps_1") as follower, watch.follow("shop", "ps_2") as other:
        watch.tell("shop", "ps_1")
        await asyncio.wait_for(follower.wait(NEVER), PATIENCE_SECONDS)
        waiting = asyncio.create_task(follower.wait(NEVER))
        foreign = asyncio.create_task(other.wait(NEVER))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        watch.tell("inn", "ps_1")
        watch.tell("shop", "ps_1")
        await asyncio.wait_for(waiting, PATIENCE_SECONDS)
        assert not foreign.done()
        foreign.cancel()
        await asyncio.gather(foreign, return_exceptions=True)
    assert len(watch) == 0


async def test_a_wait_that_nobody_ends() -> None:
    """It is over after its time."""
    watch = Watch()
    with watch.follow("shop", "ps_1") as follower:
        await asyncio.wait_for(follower.wait(0.01), PATIENCE_SECONDS)
        assert len(watch) == 1
