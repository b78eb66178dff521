"""Public tokens: whom they are given to, what they open, and what a merchant is told of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.builders import (
    call,
    created,
    prepared,
    with_settings,
)
from tests.forms import DAY_SECONDS, issued, opened, pay
from tests.worlds import PROJECT, TWO_STAGE, memory_world
from tollhouse.flows.cancel import cancel
from tollhouse.flows.create_session import create_session
from tollhouse.flows.form import find_frame, find_token, look
from tollhouse.flows.issue_token import issue_token, public_token_info
from tollhouse.merchant import Project, Settings
from tollhouse.public_token import FormOptions, token_id
from tollhouse.refusal import (
    PublicTokenInvalid,
    RequestInvalid,
    SessionUnknown,
    StateForbids,
    TokenUnknown,
)
from tollhouse.session import Offer


@pytest.mark.parametrize("strange", ["", "a" * 64, "A" * 64, "a" * 63, "ключ"])
async def test_a_strange_token_opens_nothing(strange: str) -> None:
    """Unknown and malformed ones are refused alike."""
    world = memory_world()
    await opened(world)
    with pytest.raises(PublicTokenInvalid):
        await find_token(world, strange)


async def test_the_hash_of_a_token_opens_no_form() -> None:
    """Whoever reads our rows, or the frame's address, cannot pay or look."""
    world = memory_world()
    token = await opened(world)
    with pytest.raises(PublicTokenInvalid):
        await find_token(world, token.id)
    frame = await find_frame(world, token.id)
    assert frame == token


async def test_a_token_is_over_after_a_day() -> None:
    """For the form, its frame, and the merchant who asks about it; what it has paid stays paid."""
    world = memory_world()
    session = await created(world)
    text = await issue_token(world, PROJECT, session_id=session.id, options=FormOptions(), may_tokenize=False)
    world.clock.move(DAY_SECONDS - 1)
    await pay(world, await find_token(world, text))
    world.clock.move(1)
    with pytest.raises(PublicTokenInvalid):
        await find_token(world, text)
    assert await find_frame(world, token_id(text)) is None
    assert not (await public_token_info(world, PROJECT, text)).is_active


@pytest.mark.parametrize("id", ["", "0" * 64, "nonsense", "../../" + "0" * 58])
async def test_no_frame_for_nothing(id: str) -> None:
    """An id that nobody was given has no form."""
    assert await find_frame(memory_world(), id) is None


async def test_a_token_for_cards_opens_no_form() -> None:
    """It turns a card into a token, and shows no session: it has none."""
    world = memory_world()
    text = await issue_token(world, PROJECT, session_id=None, options=FormOptions(), may_tokenize=True)
    token = await find_token(world, text)
    assert await find_frame(world, token.id) is None
    with pytest.raises(PublicTokenInvalid, match="opens no payment form"):
        await look(world, token)
    with pytest.raises(PublicTokenInvalid, match="opens no payment form"):
        await pay(world, token)


async def test_tokens_are_given_for_sessions_that_wait() -> None:
    """Neither for one that was started, nor for one that was cancelled, nor for another project's."""
    world = memory_world()
    started, dropped, other = await prepared(world), await created(world), await created(world, project=TWO_STAGE)
    await cancel(world, call(), dropped.id)
    for session in (started, dropped):
        with pytest.raises(StateForbids):
            await issued(world, session)
    with pytest.raises(SessionUnknown):
        await issued(world, other)
    with pytest.raises(SessionUnknown):
        await issued(world, replace(other, id="ps_404"))


async def test_a_form_needs_an_amount() -> None:
    """A session without one is refused by name, since the form could show none."""
    world = memory_world()
    bare = (await create_session(world, call(), Offer(), None)).session
    with pytest.raises(RequestInvalid, match="amount_details"):
        await issued(world, bare)


async def test_a_live_project_need_not_name_origins() -> None:
    """Then its form opens on the hosted page only; `*` names nobody."""
    world = memory_world()
    live = Project(name="live", is_live=True, settings=Settings(widget_origins=("*",)))
    world.books.add_project(live)
    session = await created(world, project=live)
    assert live.form_origins == ()
    assert (await issued(world, session, project=live)).session_id == session.id
    named = with_settings(live, widget_origins=("https://shop.example",))
    assert (await issued(world, session, project=named)).session_id == session.id


async def test_what_a_merchant_is_told_of_a_token() -> None:
    """Active while it can pay; another project's is unknown, as is nonsense."""
    world = memory_world()
    session = await created(world)
    text = await issue_token(world, PROJECT, session_id=session.id, options=FormOptions(), may_tokenize=False)
    before = await public_token_info(world, PROJECT, text)
    assert (before.is_active, before.ends_at - before.created_at) == (True, timedelta(hours=24))
    await pay(world, await find_token(world, text))
    assert not (await public_token_info(world, PROJECT, text)).is_active
    for project, asked_about in ((TWO_STAGE, text), (PROJECT, token_id(text)), (PROJECT, "x")):
        with pytest.raises(TokenUnknown):
            await public_token_info(world, project, asked_about)
