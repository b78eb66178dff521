"""The form's own calls, from the first look to the end of the payment, through the real flows."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from tests.api.client import CVV, EUROS, PAN, Answered, Shop
from tests.api.widget_site import (
    HOLDER,
    PUBLIC_URL,
    SENT_CARD,
    TYPED,
    admit,
    form_call,
    form_token,
    session_of,
    token_for,
)
from tests.worlds import FakeClock, declined, memory_world
from tollhouse.authentication import Enrolment
from tollhouse.change import Change
from tollhouse.payment import Phase
from tollhouse.ports import CommitUnclear, Stale, StoreUnreachable
from tollhouse.public_token import PUBLIC_TOKEN_SECONDS_MAX
from tollhouse.store.memory import MemoryBooks, MemoryStore

RETURN_URLS = {"success_return_url": "https://shop.example/ok?a=1#top", "failure_return_url": "https://shop.example/no"}


async def state_of(shop: Shop, token: str) -> Any:
    """How the payment stands, asked the plain way."""
    answered = await form_call(shop, "status", token)
    assert answered.status == 200, answered.body
    assert set(answered.json) == {"status", "state"}
    return answered.json["state"]


async def confirm(shop: Shop) -> None:
    """The merchant says yes, and what follows is done."""
    assert (await shop.call("session/confirm", {"session_id": session_of(shop)})).status == 200
    await shop.carry_on()


async def test_what_the_form_is_told(shop: Shop) -> None:
    """Whom the payer pays, how much, how long, and how it stands."""
    admit(shop, display_name="Demo shop")
    token = await form_token(shop, redirect_target="modal", show_recurrent_checkbox="true")
    shop.world.clock.move(600)
    answered = await form_call(shop, "form", token)
    assert answered.status == 200
    assert answered.json == {
        "status": "ok",
        "form": {
            "merchant": "Demo shop",
            "amount": 4990,
            "currency": "eur",
            "exponent": 2,
            "is_test": True,
            "recurrent_checkbox": True,
            "redirect_target": "modal",
            "seconds_left": PUBLIC_TOKEN_SECONDS_MAX - 600,
            "state": {"stage": "ready"},
        },
    }
    admit(shop, is_live=True, widget_origins=("https://shop.example",))
    assert (await form_call(shop, "form", token)).json["form"]["is_test"] is False


async def test_amounts_of_every_kind_of_currency(shop: Shop) -> None:
    """The form learns how many decimals there are."""
    for currency, exponent in (("jpy", 0), ("kwd", 3)):
        created = await shop.call("session/create", {"amount_details": {"amount": 5000, "currency": currency}})
        token = await token_for(shop, str(created.session["id"]))
        form = (await form_call(shop, "form", token)).json["form"]
        assert (form["amount"], form["currency"], form["exponent"]) == (5000, currency, exponent)


async def test_a_payment(shop: Shop) -> None:
    """The payer pays, the merchant confirms, the bank approves; the form is told each time."""
    token = await form_token(shop, **RETURN_URLS)
    assert await state_of(shop, token) == {"stage": "ready"}
    paid = await form_call(shop, "pay", token, TYPED)
    assert (paid.status, paid.json) == (200, {"status": "ok", "state": {"stage": "confirming"}})
    await shop.carry_on()
    assert await state_of(shop, token) == {"stage": "confirming"}
    await confirm(shop)
    assert await state_of(shop, token) == {
        "stage": "succeeded",
        "return_url": f"https://shop.example/ok?a=1&session_id={session_of(shop)}#top",
    }
    payment = shop.stored(session_of(shop)).payments[0]
    assert (payment.phase, payment.card.last4) == (Phase.SUCCEEDED, PAN[-4:])
    assert shop.world.vault.cards[payment.card.token].holder == HOLDER
    assert shop.world.link.had_cvv == [True]


async def test_a_payment_that_needs_no_confirmation(shop: Shop) -> None:
    """Whoever answers the form goes on with the payment at once."""
    admit(shop, auto_confirm=True)
    token = await form_token(shop)
    assert (await form_call(shop, "pay", token, TYPED)).json["state"]["stage"] == "processing"
    assert len(shop.work) == 1
    await shop.carry_on()
    assert await state_of(shop, token) == {"stage": "succeeded"}


async def test_a_decline(shop: Shop) -> None:
    """The reason in words of the API, and where the payer goes."""
    shop.world.link.script.append(declined("51"))
    token = await form_token(shop, **RETURN_URLS)
    await form_call(shop, "pay", token, TYPED)
    await confirm(shop)
    state = await state_of(shop, token)
    assert state["stage"] == "failed"
    assert state["error"]["code"] == "insufficient_funds"
    assert state["error"]["description"]
    assert state["return_url"] == f"https://shop.example/no?session_id={session_of(shop)}"


async def test_a_merchant_who_says_no(shop: Shop) -> None:
    """The form learns that the shop cancelled."""
    token = await form_token(shop)
    await form_call(shop, "pay", token, TYPED)
    assert (await shop.call("session/cancel", {"session_id": session_of(shop)})).status == 200
    await shop.carry_on()
    state = await state_of(shop, token)
    assert (state["stage"], state["error"]["code"]) == ("failed", "session_cancelled_by_partner")


async def test_a_session_that_was_dropped(shop: Shop) -> None:
    """A form whose session is over before it began says so."""
    token = await form_token(shop)
    assert (await shop.call("session/cancel", {"session_id": session_of(shop)})).status == 200
    assert (await state_of(shop, token))["stage"] == "failed"
    assert (await form_call(shop, "form", token)).json["form"]["state"]["stage"] == "failed"
    assert (await form_call(shop, "pay", token, TYPED)).status == 409


@pytest.mark.parametrize("return_params", [True, False])
async def test_where_a_dropped_session_leads(shop: Shop, return_params: bool) -> None:
    """To the failure address, with the session's id unless the project wants it left out."""
    shop.set(return_params=return_params)
    token = await form_token(shop, failure_return_url="https://shop.example/no")
    await shop.call("session/cancel", {"session_id": session_of(shop)})
    wanted = f"https://shop.example/no?session_id={session_of(shop)}" if return_params else "https://shop.example/no"
    assert (await state_of(shop, token))["return_url"] == wanted
    assert (await form_call(shop, "form", token)).json["form"]["state"]["return_url"] == wanted


async def test_an_authentication(shop: Shop) -> None:
    """The form is given the payer's page, and how long it is open."""
    shop.world.directory.enrolled[PAN] = Enrolment(version="2.2.0", method_url=None)
    token = await form_token(shop)
    await form_call(shop, "pay", token, TYPED)
    await confirm(shop)
    link = shop.stored(session_of(shop)).payments[0].action_link
    shop.world.clock.move(60)
    assert await state_of(shop, token) == {
        "stage": "action",
        "action": {"url": f"{PUBLIC_URL}/3ds/{link}", "seconds_left": 3540},
    }
    shop.world.clock.move(7200)
    assert (await state_of(shop, token))["action"]["seconds_left"] == 0


async def test_a_hold_may_be_a_success(shop: Shop) -> None:
    """Where the merchant says so; else the form waits for the capture."""
    created = await shop.call("session/create", {"amount_details": EUROS}, project="inn")
    session_id = str(created.session["id"])
    plain = await token_for(shop, session_id, project="inn")
    on_hold = await token_for(shop, session_id, project="inn", success_on_hold=True)
    await form_call(shop, "pay", on_hold, TYPED)
    await shop.call("session/confirm", {"session_id": session_id}, project="inn")
    await shop.carry_on()
    assert await state_of(shop, on_hold) == {"stage": "succeeded"}
    assert await state_of(shop, plain) == {"stage": "processing"}
    await shop.call("session/capture", {"session_id": session_id}, project="inn")
    await shop.carry_on()
    assert await state_of(shop, plain) == {"stage": "succeeded"}


async def test_one_payment_whoever_is_first(shop: Shop) -> None:
    """A second click, a second window, a repeat of a lost answer: 409, and the state says how it stands."""
    first = await form_token(shop)
    second = await token_for(shop, session_of(shop))
    assert (await form_call(shop, "pay", second, TYPED)).status == 200
    for token in (first, second):
        again = await form_call(shop, "pay", token, TYPED)
        assert (again.status, again.code) == (409, "session_wrong_state")
        assert await state_of(shop, token) == {"stage": "confirming"}
    assert len(shop.stored(session_of(shop)).payments) == 1


async def test_two_windows_at_the_same_moment(open_shop: Callable[..., Shop]) -> None:
    """The second is through while the first is about to commit: one payment, and the slower window is told."""
    meanwhile: list[Coroutine[Any, Any, Answered]] = []
    faster: list[Answered] = []

    async def pause(moment: str) -> None:
        if moment == "commit" and meanwhile:
            faster.append(await meanwhile.pop())

    books, clock = MemoryBooks(), FakeClock()
    store = MemoryStore(books, node="n1", clock=clock, pause=pause)
    shop = open_shop(world=memory_world(books=books, clock=clock, store=store))
    token = await form_token(shop)
    meanwhile.append(form_call(shop, "pay", token, TYPED))
    slower = await form_call(shop, "pay", token, TYPED)
    assert [answered.status for answered in (*faster, slower)] == [200, 409]
    assert len(shop.stored(session_of(shop)).payments) == 1
    assert len(shop.world.vault.cvvs) == 1


@pytest.mark.parametrize("is_written", [True, False])
async def test_a_payment_that_may_have_begun(shop: Shop, is_written: bool) -> None:
    """When the database is lost around the commit, nobody is told that nothing happened: 500, ask how it stands."""
    token = await form_token(shop)
    store = shop.world.store

    async def commit(change: Change) -> None:
        if is_written:
            with suppress(Stale):  # written the first time
                store.write(change)
        raise CommitUnclear("the connection was lost")

    async def find_change(project: str, session_id: str, change_id: str) -> bool:
        raise StoreUnreachable("the database does not answer")

    shop.world.store.commit = commit  # type: ignore[method-assign]
    shop.world.store.find_change = find_change  # type: ignore[method-assign]
    answered = await form_call(shop, "pay", token, TYPED)
    assert (answered.status, answered.code) == (500, "internal_error")
    assert (await state_of(shop, token))["stage"] == ("confirming" if is_written else "ready")
    assert len(shop.world.vault.cvvs) == 1  # of a payment that may have begun; else the sweep takes it


async def test_what_the_payer_calls_themselves(shop: Shop) -> None:
    """The holder's name may be absent or empty, and have any letters."""
    for holder, kept in ((None, None), ("", None), ("Ærø 'O’Neil", "Ærø 'O’Neil"), ("x" * 255, "x" * 255)):
        token = await form_token(shop)
        members = {"card": SENT_CARD} if holder is None else {**TYPED, "cardholder_name": holder}
        assert (await form_call(shop, "pay", token, members)).status == 200
        assert list(shop.world.vault.cards.values())[-1].holder == kept


async def test_a_payment_without_a_customer(shop: Shop) -> None:
    """It gets one that is named after its session."""
    token = await form_token(shop)
    await form_call(shop, "pay", token, TYPED)
    answered = await shop.call("session/status", {"session_id": session_of(shop)})
    assert answered.session["payment_list"][0]["customer"] == {"reference": session_of(shop), "contacts": []}


async def test_a_disabled_project_takes_no_money_and_hides_nothing(shop: Shop) -> None:
    """No form and no payment begins; how a payment stands that has begun is still told."""
    token = await form_token(shop)
    admit(shop, is_disabled=True)
    for step, members in (("form", {}), ("pay", TYPED)):
        refused = await form_call(shop, step, token, members)
        assert (refused.status, refused.code) == (403, "authorization_error")
    admit(shop)
    assert (await form_call(shop, "pay", token, TYPED)).status == 200
    admit(shop, is_disabled=True)
    assert (await form_call(shop, "form", token)).json["form"]["state"] == {"stage": "confirming"}
    assert await state_of(shop, token) == {"stage": "confirming"}


async def test_a_token_reads_its_session_until_its_time_is_over(shop: Shop) -> None:
    """A day, used or not."""
    token = await form_token(shop)
    await form_call(shop, "pay", token, TYPED)
    shop.world.clock.move(PUBLIC_TOKEN_SECONDS_MAX - 1)
    assert (await form_call(shop, "status", token)).status == 200
    shop.world.clock.move(1)
    for step, members in (("form", {}), ("pay", TYPED), ("status", {})):
        assert (await form_call(shop, step, token, members)).code == "public_token_invalid"


async def test_calls_are_noted_with_their_session(shop: Shop) -> None:
    """A payment and a refused one, with the name of the call and nothing of what was typed."""
    token = await form_token(shop)
    await form_call(shop, "pay", token, TYPED)
    await form_call(shop, "pay", token, TYPED)
    notes = [note.data for _, note in shop.world.books.histories["shop", session_of(shop)].notes]
    form_notes = [note for note in notes if note["method"] == "widget/v1/pay"]
    assert [note["status"] for note in form_notes] == [200, 409]
    assert len({note["request_id"] for note in form_notes}) == 2


async def test_nothing_of_the_card_is_told(shop: Shop) -> None:
    """No answer, no page, no webhook, no row, no log has number or code: not even where something fails."""
    token = await form_token(shop)
    said: list[Any] = [await form_call(shop, "pay", token, TYPED)]
    wrong: list[Any] = [
        {"card": {**SENT_CARD, "number": PAN[:-1] + "1"}},
        {"card": {**SENT_CARD, "security_code": PAN}},
        {"card": {**SENT_CARD, "expiration_month": PAN}},
        {**TYPED, "cardholder_name": PAN},
        {PAN: PAN, "card": PAN},
        [TYPED],
    ]
    said += [await form_call(shop, "pay", token, members) for members in wrong]
    said.append(await form_call(shop, "pay", token, raw=b'{"card":{"number":"' + PAN.encode()))
    said += [await form_call(shop, "status", token), await form_call(shop, "form", token)]
    await confirm(shop)
    said += [shop.world.log.lines, shop.world.books, await form_call(shop, "status", token)]
    told = repr(said)
    assert PAN not in told
    assert PAN[:-1] not in told
    assert f"'{CVV}'" not in told
    assert f'"{CVV}"' not in told
    assert HOLDER not in told


async def test_the_time_left_of_a_form(shop: Shop) -> None:
    """It never falls below zero, and has no fraction."""
    token = await form_token(shop)
    shop.world.clock.move(timedelta(hours=23, minutes=59, seconds=59.5).total_seconds())
    assert (await form_call(shop, "form", token)).json["form"]["seconds_left"] == 0


@pytest.mark.parametrize("recurrent", [True, False])
async def test_a_yes_that_nobody_asked_for(shop: Shop, recurrent: bool) -> None:
    """Without the checkbox the payer's consent counts for nothing."""
    token = await form_token(shop)
    assert (await form_call(shop, "pay", token, {**TYPED, "recurrent": recurrent})).status == 200
    options = shop.stored(session_of(shop)).payments[0].details.options
    assert not (options or {}).get("recurrent")
