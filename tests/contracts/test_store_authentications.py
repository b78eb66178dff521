"""The port `Store` and 3-D Secure: links, authentications, counters of low value, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contracts.sessions import CARD, NOW, authentication, change, fresh, operation, payment, written
from tests.contracts.shelf import Shelf
from tollhouse.authentication import Authentication, Result, State, TransStatus
from tollhouse.change import Step
from tollhouse.exemption import Exemption, LowValueUse
from tollhouse.operation import Kind
from tollhouse.operation import State as OperationState
from tollhouse.outcome import Reason
from tollhouse.payment import Payment, Phase
from tollhouse.ports import KeyTaken, Stale, Store
from tollhouse.session import PaymentSession

FOUND = replace(CARD, fingerprint="f-1")


def waiting(number: int = 1, project: str = "shop") -> PaymentSession:
    """A session whose payer must act."""
    awaited = payment(
        f"pm_{number}", phase=Phase.AWAIT_ACTION, action_link=f"link-{number}", action_deadline_at=NOW, card=FOUND
    )
    attempt = authentication(f"au_{number}", payment_id=f"pm_{number}")
    return replace(fresh(f"ps_{number}", project), payments=(awaited,), authentications=(attempt,))


async def test_a_link_leads_to_its_payment(store: Store) -> None:
    """From the moment it is committed, also when the payer's action is long over; another leads nowhere."""
    assert await store.find_link("link-1") is None
    session = await written(store, waiting(1))
    await written(store, waiting(2, "inn"))
    assert await store.find_link("link-1") == ("shop", "ps_1", "pm_1")
    assert await store.find_link("link-2") == ("inn", "ps_2", "pm_2")
    over = replace(session.payments[0], phase=Phase.FAILED, reason=Reason.ACTION_TIMEOUT)
    lapsed = replace(session.authentications[0], state=State.LAPSED)
    await written(store, replace(session, payments=(over,), authentications=(lapsed,)))
    assert await store.find_link("link-1") == ("shop", "ps_1", "pm_1")
    assert await store.find_link("") is None
    assert await store.find_link("link-3") is None


async def test_an_authentication_leads_to_its_session(store: Store) -> None:
    """By its id alone, which no other project has; what was never committed leads nowhere."""
    await written(store, waiting(1))
    await written(store, waiting(2, "inn"))
    assert await store.find_authentication("au_1") == ("shop", "ps_1")
    assert await store.find_authentication("au_2") == ("inn", "ps_2")
    assert await store.find_authentication("au_3") is None


async def test_an_authentication_moves_with_its_session(store: Store) -> None:
    """Each change writes what it lists; the oldest stands first."""
    session = await written(store, waiting())
    lapsed = replace(session.authentications[0], state=State.LAPSED, finished_at=NOW)
    second = authentication("au_2", number=2, state=State.ASKED, asked_at=NOW)
    session = await written(store, replace(session, authentications=(lapsed, second)))
    assert await store.find_session("shop", "ps_1") == session
    result = Result(status=TransStatus.AUTHENTICATED, value="v")
    done = replace(second, state=State.FINISHED, result=result, ds_transaction_id="ds", finished_at=NOW)
    session = await written(store, replace(session, authentications=(lapsed, done)))
    assert await store.find_session("shop", "ps_1") == session


async def test_steps_of_an_authentication_are_history(store: Store, shelf: Shelf) -> None:
    """Like those of payments and operations."""
    step = Step(subject="au_1", before="", heard="opened", after="opened")
    await written(store, waiting(), steps=(step,))
    assert (await shelf.kept("shop", "ps_1")).steps == (step,)


def finished(**parts: object) -> Authentication:
    """An authentication that is over."""
    return authentication("au_1", state=State.FINISHED, result=Result(status=TransStatus.AUTHENTICATED), **parts)


BROKEN: dict[str, Callable[[], PaymentSession]] = {
    "a payer without a link": lambda: replace(waiting(), payments=(replace(waiting().payments[0], action_link=None),)),
    "two open attempts": lambda: replace(
        waiting(), authentications=(authentication("au_1"), authentication("au_2", state=State.CHALLENGED))
    ),
    "an attempt used twice": lambda: replace(
        waiting(),
        authentications=(finished(),),
        operations=(
            operation("op_1", Kind.SALE, number=1, state=OperationState.DECLINED, authentication_id="au_1"),
            operation("op_2", Kind.SALE, number=2, state=OperationState.SUBMITTED, authentication_id="au_1"),
        ),
    ),
    "a security code at the end": lambda: replace(
        waiting(), payments=(payment(phase=Phase.AUTHORIZING, sealed_cvv="cvv1.A.B"),)
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_constraints(store: Store, name: str) -> None:
    """What no rule may write is refused as a bug of ours, and nothing of it is left."""
    with pytest.raises(Exception) as refused:
        await store.commit(change(BROKEN[name]()))
    assert not isinstance(refused.value, Stale | KeyTaken)
    assert await store.find_session("shop", "ps_1") is None
    assert await store.find_link("link-1") is None


async def test_an_authentication_of_another_session(store: Store) -> None:
    """An id that another session has is not taken from it."""
    await written(store, waiting(1))
    stolen = replace(authentication("au_1", state=State.LAPSED), payment_id="pm_2")
    with pytest.raises(Stale):
        await store.commit(change(replace(waiting(2), authentications=(stolen,))))
    assert await store.find_authentication("au_1") == ("shop", "ps_1")


async def test_a_security_code_waits_for_the_payer(store: Store) -> None:
    """It is still needed while the payer acts."""
    awaited = replace(waiting().payments[0], sealed_cvv="cvv1.A.B")
    session = await written(store, replace(waiting(), payments=(awaited,)))
    assert await store.find_session("shop", "ps_1") == session


# --- counters of low value --------------------------------------------------------------------------------------------


def small(number: int, **parts: object) -> Payment:
    """A payment of 49.90 that claimed low value, a minute after the one before."""
    at = NOW + timedelta(minutes=number)
    given = {"exemption": Exemption.LOW_VALUE, "card": FOUND, "phase": Phase.CONFIRMED, "created_at": at, **parts}
    return payment(f"pm_{number}", **given)


async def keep_small(store: Store, number: int, project: str = "shop", **parts: object) -> None:
    """Commit a session with such a payment."""
    await written(store, replace(fresh(f"ps_{number}", project), payments=(small(number, **parts),)))


async def test_low_value_is_counted(store: Store) -> None:
    """Each payment of this card and project that claimed it and did not fail, and no other."""
    assert await store.low_value_use("shop", "f-1") == LowValueUse()
    await keep_small(store, 1)
    await keep_small(store, 2, phase=Phase.SUCCEEDED, held_minor=4990, captured_minor=4990)
    await keep_small(store, 3, phase=Phase.FAILED, reason=Reason.INSUFFICIENT_FUNDS)
    await keep_small(store, 4, exemption=None)
    await keep_small(store, 5, exemption=Exemption.TRA)
    await keep_small(store, 6, card=replace(FOUND, fingerprint="f-2"))
    await keep_small(store, 7, "inn")
    assert await store.low_value_use("shop", "f-1") == LowValueUse(count=2, sum_minor=9980)
    assert await store.low_value_use("shop", "f-2") == LowValueUse(count=1, sum_minor=4990)
    assert await store.low_value_use("inn", "f-1") == LowValueUse(count=1, sum_minor=4990)
    assert await store.low_value_use("inn", "f-2") == LowValueUse()


async def authenticate(store: Store, number: int, status: TransStatus | None, **parts: object) -> None:
    """Commit a session in which the payer of this card was asked, with this end, half a minute after that number."""
    at = NOW + timedelta(minutes=number, seconds=30)
    attempt = authentication(
        f"au_{number}",
        payment_id=f"pm_{number}a",
        state=State.LAPSED if status is None else State.FINISHED,
        result=None if status is None else Result(status=status),
        finished_at=at,
    )
    paid = payment(f"pm_{number}a", **{"card": FOUND, "created_at": at, **parts})
    await written(store, replace(fresh(f"ps_{number}a"), payments=(paid,), authentications=(attempt,)))


async def test_authentication_starts_the_counters_anew(store: Store) -> None:
    """What was paid before the payer was last authenticated counts no more."""
    for number in (1, 2, 3):
        await keep_small(store, number)
    await authenticate(store, 2, TransStatus.AUTHENTICATED)
    await authenticate(store, 1, TransStatus.AUTHENTICATED)
    assert await store.low_value_use("shop", "f-1") == LowValueUse(count=1, sum_minor=4990)


@pytest.mark.parametrize("status", [*(one for one in TransStatus if one != "Y"), None])
async def test_nothing_else_starts_them_anew(store: Store, status: TransStatus | None) -> None:
    """Neither any other outcome nor silence."""
    await keep_small(store, 1)
    await authenticate(store, 2, status)
    assert await store.low_value_use("shop", "f-1") == LowValueUse(count=1, sum_minor=4990)


async def test_another_cards_authentication_does_not_count(store: Store) -> None:
    """The payer of another card proved nothing for this one."""
    await keep_small(store, 1)
    await authenticate(store, 2, TransStatus.AUTHENTICATED, card=replace(FOUND, fingerprint="f-2"))
    assert (await store.low_value_use("shop", "f-1")).count == 1
