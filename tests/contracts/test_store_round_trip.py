"""The port `Store`: whatever is committed is found again as it was, whatever the values are."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contracts.shelf import Shelf, claiming
from tests.ground.story import NOON
from tests.strategies import documents, moved, sessions, texts
from tollhouse.change import Change, Note
from tollhouse.ports import Store
from tollhouse.session import PaymentSession

few = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_names = count(1)


def unique(session: PaymentSession) -> PaymentSession:
    """The session and its parts under names that no other example has."""
    number = next(_names)
    payments = tuple(replace(one, id=f"{one.id}_{number}") for one in session.payments)
    operations = tuple(
        replace(
            one,
            id=f"{one.id}_{number}",
            payment_id=f"{one.payment_id}_{number}",
            target_id=one.target_id and f"{one.target_id}_{number}",
        )
        for one in session.operations
    )
    authentications = tuple(
        replace(one, id=f"{one.id}_{number}", payment_id=f"{one.payment_id}_{number}")
        for one in session.authentications
    )
    return with_names(
        replace(session, id=f"ps_{number}", payments=payments, operations=operations, authentications=authentications)
    )


def with_names(session: PaymentSession) -> PaymentSession:
    """The same with an RRN of its own for each message, a link for each payer, an authentication for each charge."""
    return replace(
        session,
        payments=tuple(
            replace(one, action_link=one.action_link and f"link_{next(_names)}") for one in session.payments
        ),
        operations=tuple(
            replace(
                one,
                references=one.references and replace(one.references, rrn=f"R{next(_names):011d}"),
                authentication_id=one.authentication_id and f"au_{next(_names)}",
            )
            for one in session.operations
        ),
    )


def change_to(session: PaymentSession) -> Change:
    """The change after which the session is so; everything in it is listed."""
    return Change(
        id=f"ch_{session.version}",
        at=NOON,
        session=session,
        answer=session,
        payment_ids=frozenset(payment.id for payment in session.payments),
        operation_ids=frozenset(operation.id for operation in session.operations),
        authentication_ids=frozenset(authentication.id for authentication in session.authentications),
    )


@few
@given(st.data())
async def test_any_session_comes_back(store: Store, data: st.DataObject) -> None:
    """A session with any values is found as it was committed, and again after everything that may move has moved."""
    session = unique(data.draw(sessions()))
    for found in (session, with_names(data.draw(moved(session)))):
        await store.commit(change_to(found))
        owned = replace(found, lease_owner=None)  # nobody keeps a session without a lease
        known = await store.find_session("shop", session.id)
        assert known is not None
        assert replace(known, lease_owner=None) == owned


@few
@given(st.data())
async def test_any_note_and_answer_comes_back(store: Store, shelf: Shelf, data: st.DataObject) -> None:
    """Notes with any document and answers with any text are found as they were committed."""
    session = unique(data.draw(sessions()))
    note = Note(kind="request", data=data.draw(documents))
    answer = data.draw(texts.filter(lambda text: "\0" not in text)).encode()
    await store.commit(claiming(replace(change_to(session), notes=(note,)), session.id, answer=answer))
    used = await store.find_key("shop", session.id)
    assert used is not None
    assert used.answer == answer
    assert (await shelf.kept("shop", session.id)).notes == (note,)
