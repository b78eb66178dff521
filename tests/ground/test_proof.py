"""Promises proved from rows: sound lives pass, and each planted flaw is named under its promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.ground.story import ENROLLED, Story, result_of
from tests.lives import (
    STORIES,
    acting,
    authenticated,
    captured,
    challenged,
    life_of,
    paid,
    refunded,
    released,
    reversed_late,
    stepped_up,
    transfers_of,
    unheard,
    unproven,
    waiting,
)
from tollhouse.change import Note, Step
from tollhouse.exemption import Exemption
from tollhouse.ledger import Account
from tollhouse.life import Kept, Life
from tollhouse.operation import Kind, State
from tollhouse.payment import Decision
from tollhouse.proof import CHECKS, KeyUse, Promise, key_used_once
from tollhouse.verdict import Policy


def violations(life: Life) -> dict[Promise, list[str]]:
    """What each check finds, where it finds anything."""
    found = {promise: list(check(life)) for promise, check in CHECKS.items()}
    return {promise: sentences for promise, sentences in found.items() if sentences}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_sound_lives_have_no_violation(story: Callable[[], Story]) -> None:
    """Whatever the rules made is sound, also what is still open, stuck or taken back."""
    assert violations(life_of(story())) == {}


def with_operation(life: Life, kind: Kind, **changed: Any) -> Life:
    """The life with its last operation of this kind changed."""
    operation = [one for one in life.session.operations if one.kind is kind][-1]
    return replace(life, session=life.session.with_operation(replace(operation, **changed)))


def with_payment(life: Life, **changed: Any) -> Life:
    """The life with its payment changed."""
    return replace(life, session=life.session.with_payment(replace(life.session.payments[0], **changed)))


def without_messages(life: Life) -> Life:
    """The life without what the acquirer said."""
    return replace(life, notes=tuple(kept for kept in life.notes if kept.what.kind != "message_in"))  # type: ignore[union-attr]


def with_message(life: Life, **fields: str) -> Life:
    """The life whose acquirer's messages say something else."""
    notes = []
    for kept in life.notes:
        note = kept.what
        assert isinstance(note, Note)
        if note.kind == "message_in":
            note = replace(note, data={**note.data, "fields": {**note.data["fields"], **fields}})
        notes.append(Kept(at=kept.at, what=note))
    return replace(life, notes=tuple(notes))


def with_steps(life: Life, *steps: Step) -> Life:
    """The life whose last change also says these steps."""
    *earlier, last = life.history
    return replace(life, history=(*earlier, replace(last, steps=(*last.steps, *steps))))


def second_sale() -> Life:
    """A payment with two approved sales."""
    life = life_of(paid())
    sale = life.session.operations[0]
    return replace(life, session=life.session.with_operation(replace(sale, id="op_second")))


def late_approval_left_alone() -> Life:
    """A sale whose approval came after it was reversed, and nobody reversed it."""
    life = life_of(reversed_late())
    kept = tuple(o for o in life.session.operations if o.kind is not Kind.REVERSAL)
    return replace(life, session=replace(life.session, operations=kept))


def without_transfer(life: Life) -> Life:
    """The life with its last transfer lost."""
    return replace(life, transfers=life.transfers[:-1])


def with_transfer(life: Life, **changed: Any) -> Life:
    """The life with its first transfer changed."""
    first, *others = life.transfers
    changed_one = replace(transfers_of(life)[0], **changed)
    return replace(life, transfers=(Kept(at=first.at, what=changed_one), *others))


def doubled_version() -> Life:
    """A life in which two changes won the same version."""
    life = life_of(paid())
    first, second, *others = life.history
    return replace(life, history=(first, replace(second, version=first.version), *others))


def authentication_used_twice() -> Life:
    """A life in which the first charge of two has the second one's authentication."""
    life = life_of(stepped_up())
    first, second = (operation for operation in life.session.operations if operation.kind is Kind.SALE)
    return replace(
        life, session=life.session.with_operation(replace(first, authentication_id=second.authentication_id))
    )


confirm_again = Step(subject=paid().payment.id, before="await_confirm", heard="confirm", after="succeeded")
cancel_too = Step(subject=paid().payment.id, before="await_confirm", heard="cancel", after="succeeded")

PLANTED = {
    "two live sales": (second_sale, Promise.P1, "has 2 live charges"),
    "a late approval left alone": (late_approval_left_alone, Promise.P1, "nothing reverses it"),
    "an approval from nowhere": (lambda: without_messages(life_of(paid())), Promise.P2, "no message of the acquirer"),
    "an approval of another amount": (
        lambda: with_message(life_of(paid()), **{"4": "000000000001"}),
        Promise.P2,
        "no message of the acquirer",
    ),
    "an approval that was a decline": (lambda: with_message(life_of(paid()), **{"39": "05"}), Promise.P2, "no message"),
    "an answer that is no message": (lambda: with_message(life_of(paid()), **{"4": "1e9"}), Promise.P2, "no message"),
    "a decline with the code of approval": (
        lambda: with_operation(life_of(refunded()), Kind.SALE, state=State.DECLINED),
        Promise.P2,
        "declined with response code 00",
    ),
    "an approval with another code": (
        lambda: with_operation(life_of(paid()), Kind.SALE, response_code="05"),
        Promise.P2,
        "approved with response code 05",
    ),
    "a state without a step": (
        lambda: with_operation(life_of(waiting_refund()), Kind.REFUND, state=State.DECLINED),
        Promise.P2,
        "history ends with submitted",
    ),
    "more captured than was": (
        lambda: with_payment(life_of(captured()), captured_minor=2590),
        Promise.P3,
        "states 2590 as captured, its operations sum to 2000",
    ),
    "more refunded than captured": (
        lambda: with_payment(with_operation(life_of(refunded()), Kind.REFUND, amount_minor=9000), refunded_minor=10000),
        Promise.P3,
        "states 10000 as refunded, 2590 is possible",
    ),
    "a refund forgotten": (
        lambda: with_payment(life_of(refunded()), refunded_minor=0),
        Promise.P3,
        "states 0 as refunded, its operations sum to 1200",
    ),
    "confirmed twice": (lambda: with_steps(life_of(paid()), confirm_again), Promise.P4, "was decided 2 times"),
    "confirmed and cancelled": (lambda: with_steps(life_of(paid()), cancel_too), Promise.P4, "was decided 2 times"),
    "a decision that is not history": (
        lambda: with_payment(life_of(waiting()), decision=Decision.CONFIRMED),
        Promise.P4,
        "stands as confirmed, history says nothing",
    ),
    "a phase that is not history": (
        lambda: with_payment(life_of(paid()), phase="held"),
        Promise.P4,
        "is held, history ends with succeeded",
    ),
    "a version won twice": (doubled_version, Promise.P4, "the versions of its changes are"),
    "a transfer lost": (lambda: without_transfer(life_of(paid())), Promise.P8, "its transfer"),
    "a transfer of another amount": (
        lambda: with_transfer(life_of(paid()), amount_minor=1),
        Promise.P8,
        "is 1 eur posted",
    ),
    "a transfer to another account": (
        lambda: with_transfer(life_of(paid()), credit=Account.MERCHANT_PAYABLE),
        Promise.P8,
        "its operation makes it",
    ),
    "a transfer of nothing approved": (
        lambda: replace(life_of(waiting()), transfers=life_of(paid()).transfers),
        Promise.P8,
        "follows from nothing that was approved",
    ),
    "a hold resolved by nothing": (
        lambda: without_transfer(life_of(released())),
        Promise.P8,
        "is missing",
    ),
}

PLANTED |= {
    "a charge without authentication": (
        lambda: with_payment(life_of(paid()), card=ENROLLED.card),
        Promise.THREEDS,
        "went out without authentication",
    ),
    "a charge that went although always is the policy": (
        lambda: with_payment(life_of(unproven()), threeds=Policy.ALWAYS),
        Promise.THREEDS,
        "ended with U: threeds is always",
    ),
    "a charge after silence although always is the policy": (
        lambda: with_payment(life_of(unheard()), threeds=Policy.ALWAYS),
        Promise.THREEDS,
        "names no authentication, the last before it was asked, then lapsed",
    ),
    "a charge after N": (lambda: ended_with(authenticated(), "N"), Promise.THREEDS, "which ended with N"),
    "a charge after R": (lambda: ended_with(authenticated(), "R"), Promise.THREEDS, "followed authentication"),
    "a charge after a challenge without proof": (
        lambda: ended_with(challenged(), "U"),
        Promise.THREEDS,
        "threeds is auto, and the issuer had asked for the payer",
    ),
    "a charge after a challenge whose value is missing": (
        lambda: ended_with(challenged(), "Y", value=None),
        Promise.THREEDS,
        "ended with Y without a value",
    ),
    "a step-up without proof": (
        lambda: ended_with(stepped_up(), "I"),
        Promise.THREEDS,
        "ended with I: threeds is auto, and the issuer had asked",
    ),
    "a second charge without an authentication": (
        lambda: with_operation(life_of(stepped_up()), Kind.SALE, authentication_id=None),
        Promise.THREEDS,
        "is a second charge and names no authentication",
    ),
    "an authentication of nobody": (
        lambda: with_operation(life_of(authenticated()), Kind.SALE, authentication_id="another"),
        Promise.THREEDS,
        "names authentication another, which its payment did not have by then",
    ),
    "an authentication that was left": (
        lambda: with_operation(
            life_of(challenged()), Kind.AUTHORIZATION, authentication_id=challenged().session.authentications[0].id
        ),
        Promise.THREEDS,
        "which was lapsed by then",
    ),
    "an outcome that is none": (lambda: ended_with(authenticated(), "C"), Promise.THREEDS, "was finished by then"),
    "proof left out": (
        lambda: with_operation(life_of(authenticated()), Kind.SALE, authentication_id=None),
        Promise.THREEDS,
        "names no authentication, the last before it was asked, then finished",
    ),
    "one authentication for two charges": (authentication_used_twice, Promise.THREEDS, "is used by 2 operations"),
    "an exemption nobody granted": (
        lambda: with_operation(life_of(paid()), Kind.SALE, exemption=Exemption.TRA),
        Promise.THREEDS,
        "claims exemption tra, which it may not",
    ),
    "an exemption although always is the policy": (
        lambda: with_payment(life_of(stepped_up()), threeds=Policy.ALWAYS),
        Promise.THREEDS,
        "went out without authentication",
    ),
    "an exemption beside a proof": (
        lambda: with_payment(
            with_operation(life_of(authenticated()), Kind.SALE, exemption=Exemption.TRA), exemption=Exemption.TRA
        ),
        Promise.THREEDS,
        "claims exemption tra",
    ),
    "an authentication that is not history": (
        lambda: ended_with(acting(), "Y", state="finished"),
        Promise.THREEDS,
        "is finished, history ends with challenged",
    ),
}


def ended_with(story: Story, status: str, state: str = "finished", **result: Any) -> Life:
    """A life whose last authentication ended in another way."""
    life = life_of(story)
    ended = replace(life.session.authentications[-1], state=state, result=result_of(status, **result))
    return replace(life, session=life.session.with_authentication(ended))


def waiting_refund() -> Story:
    """A sale with a refund that waits for its answer."""
    story = paid().refund(200)
    story.send()
    return story


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_flaw_is_found(name: str) -> None:
    """A flaw in the rows is a violation of its promise, in a sentence that says which."""
    make, promise, sentence = PLANTED[name]
    found = violations(make())
    assert any(sentence in one for one in found.get(promise, [])), found


def test_a_key_with_one_change_and_one_operation_is_sound() -> None:
    """A key made its session, in one change, with at most one operation of a payment."""
    assert list(key_used_once(use())) == []


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"has_session": False}, "does not exist"),
        ({"changes": 0}, "came with no change"),
        ({"operations": 2}, "made 2 operations for 1 payments"),
    ],
)
def test_a_key_used_otherwise_is_a_violation(changed: dict[str, Any], sentence: str) -> None:
    """A key without its session or its change, or with two operations of one payment, breaks the promise."""
    (found,) = key_used_once(replace(use(), **changed))
    assert sentence in found


def use() -> KeyUse:
    """A key as it should be used."""
    return KeyUse(
        key="k", path="/api/v2/session/refund", session_id="ps_1", has_session=True, changes=1, payments=1, operations=1
    )
