"""What the acquirer answers, and what it books for that.

| asked                  | answer                                                                                   |
|------------------------|------------------------------------------------------------------------------------------|
| the same references    | again what the books say; 94 when the amount, currency or kind differs                   |
| an RRN used before     | 94, nothing booked                                                                       |
| sale, authorization    | 05 a proof of authentication that is none; 13 zero; else as the card says                |
| completion, refund     | 12 no such original, or not one of this kind, state or currency; 13 zero; 61 too much    |
| reversal               | 25 no such original; 13 another amount; 12 something was captured or refunded meanwhile; |
|                        | 00 done, done before, or nothing to undo because it was declined; 96 if the card says so |

A refund names a sale or a completion; a completion names an authorization, and several may share one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tollhouse.sandbox.asked import Asked, Kind
from tollhouse.sandbox.books import Books, Lost, Operation, State, name_of
from tollhouse.sandbox.cards import APPROVED, PARTLY_APPROVED, Fault, Later
from tollhouse.sandbox.faults import DELIVERY_OF, Delivery
from tollhouse.sandbox.proofs import EXEMPTIONS

NOT_VALID, AMOUNT_NOT_VALID, TOO_MUCH = "12", "13", "61"
NOT_FOUND, DUPLICATE, PROCESSING_ERROR, DECLINED = "25", "94", "96", "05"
REVERSALS_REFUSED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back, and how. `afterwards` is done a while later and gives an operation whose answer is due then."""

    response_code: str = ""
    approval_code: str | None = None
    amount_minor: int | None = None  # where less than asked was approved
    delivery: Delivery = Delivery.PROMPT
    afterwards: Callable[[], Operation | None] | None = None


def decide(books: Books, asked: Asked) -> Answer:
    """Answer a request and book it. What is booked is on disk only after the journal says so."""
    if asked.kind is Kind.REVERSAL:
        return _reverse(books, asked)
    earlier = books.find(asked.key)
    if earlier is not None:
        return _answer_again(books, earlier, asked)
    if (other := books.find_rrn(asked.key.rrn)) is not None:
        return _refuse_duplicate(books, other)
    match asked.kind:
        case Kind.SALE | Kind.AUTHORIZATION:
            return _charge(books, asked)
        case Kind.COMPLETION:
            return _complete(books, asked)
        case Kind.REFUND:
            return _refund(books, asked)


def _charge(books: Books, asked: Asked) -> Answer:
    fault = asked.behaviour.fault
    if fault in (Fault.REQUEST_LOST, Fault.TERMINAL_REFUSED):
        if asked.behaviour.later is not Later.NONE:
            books.lost[asked.key] = Lost(asked)
        return Answer(delivery=DELIVERY_OF[fault])
    operation = _book_charge(books, asked)
    if fault is not Fault.NONE:
        operation.note(f"fault {int(fault)}: {fault.text}")
    books.write(operation)
    return _answer_of(operation, DELIVERY_OF[fault])


def _book_charge(books: Books, asked: Asked) -> Operation:
    code, problem = asked.behaviour.response_code, _proof_problem(books, asked)
    if asked.behaviour.fault is Fault.SOFT_DECLINE and asked.proof.strength is None:
        code = asked.soft_decline_code
    if asked.amount_minor == 0:
        code = AMOUNT_NOT_VALID
    if problem is not None:
        code = DECLINED
    operation = _operation_of(asked, code, name_of(asked.behaviour.later))
    operation.authentication_id = asked.proof.authentication_id
    if problem is not None:
        operation.note(problem)
    if asked.proof.exemption is not None:
        operation.note(f"exemption claimed: {EXEMPTIONS[asked.proof.exemption]}")
    if code == PARTLY_APPROVED:
        operation.amount_minor = max(1, asked.amount_minor // 2)
    if asked.kind is Kind.SALE and operation.state is State.APPROVED:
        operation.captured_minor = operation.amount_minor
    return operation


def _proof_problem(books: Books, asked: Asked) -> str | None:
    """Why the proof of authentication is none, if it is one at all. A declined charge uses up no proof."""
    if asked.proof.authentication_id is not None:
        used = books.find_authenticated(asked.proof.authentication_id)
        if used is not None and used.rrn != asked.key.rrn:
            return f"tag 43: this authentication was used for the charge with RRN {used.rrn}"
    return asked.proof.problem


def _complete(books: Books, asked: Asked) -> Answer:
    authorization = books.find_rrn(asked.original_rrn or "")
    if (
        authorization is None
        or authorization.kind is not Kind.AUTHORIZATION
        or authorization.state not in (State.APPROVED, State.CAPTURED)
        or authorization.currency != asked.currency
    ):
        return _book_follower(books, asked, authorization, NOT_VALID)
    left = authorization.amount_minor - authorization.captured_minor
    code = _code_for(asked.amount_minor, left)
    if code == APPROVED and authorization.asks(Later.CAPTURE_DECLINED):
        code = DECLINED
    if code != APPROVED:
        return _book_follower(books, asked, authorization, code)
    authorization.captured_minor += asked.amount_minor
    authorization.state = State.CAPTURED
    authorization.note(f"captured {asked.amount_minor}")
    return _book_follower(books, asked, authorization, APPROVED, lost_if=Later.CAPTURE_ANSWER_LOST)


def _refund(books: Books, asked: Asked) -> Answer:
    charge = books.find_rrn(asked.original_rrn or "")
    if (
        charge is None
        or charge.kind not in (Kind.SALE, Kind.COMPLETION)
        or charge.state is not State.APPROVED
        or charge.currency != asked.currency
    ):
        return _book_follower(books, asked, charge, NOT_VALID)
    code = _code_for(asked.amount_minor, charge.captured_minor - charge.refunded_minor)
    if code == APPROVED and charge.asks(Later.REFUND_DECLINED):
        code = DECLINED
    if code != APPROVED:
        return _book_follower(books, asked, charge, code)
    for charged in _with_authorization(books, charge):
        charged.refunded_minor += asked.amount_minor
        charged.note(f"refunded {asked.amount_minor}")
    return _book_follower(books, asked, charge, APPROVED, lost_if=Later.REFUND_ANSWER_LOST)


def _code_for(amount_minor: int, left_minor: int) -> str:
    if amount_minor == 0:
        return AMOUNT_NOT_VALID
    return TOO_MUCH if amount_minor > left_minor else APPROVED


def _book_follower(
    books: Books, asked: Asked, original: Operation | None, code: str, *, lost_if: Later | None = None
) -> Answer:
    """Book a completion or refund together with what it changed: one line, so both are on disk or neither is."""
    operation = _operation_of(asked, code, original.later if original else name_of(Later.NONE))
    changed = [operation]
    if original is not None:
        operation.card = operation.card or original.card
        changed += _with_authorization(books, original)
    if asked.kind is Kind.COMPLETION and code == APPROVED:
        operation.captured_minor = asked.amount_minor
    delivery = Delivery.PROMPT
    if original is not None and lost_if is not None and original.asks(lost_if):
        operation.note(f"later {int(lost_if)}: {lost_if.text}")
        delivery = Delivery.LOST
    books.write(*changed)
    return _answer_of(operation, delivery)


def _with_authorization(books: Books, charge: Operation) -> list[Operation]:
    """The operation itself and, for a completion, the authorization it draws on."""
    if charge.kind is not Kind.COMPLETION:
        return [charge]
    authorization = books.find_rrn(charge.original_rrn or "")
    return [charge] if authorization is None else [charge, authorization]


def _reverse(books: Books, asked: Asked) -> Answer:
    assert asked.original_key is not None
    original = books.find(asked.original_key)
    if original is None or original.kind is Kind.REVERSAL:
        return _reverse_unknown(books, asked, books.lost.get(asked.original_key))
    if original.asks(Later.REVERSAL_UNANSWERED):
        original.note("asked to reverse it; not done and not answered")
        books.write(original)
        return Answer(delivery=Delivery.LOST)
    code = _reversal_code(original, asked)
    changed, afterwards = [original], None
    if code != APPROVED:
        original.note(f"reversal refused with {code}")
    elif original.state in (State.DECLINED, State.REVERSED):
        original.note(f"asked to reverse it; it is {original.state} already")
    else:
        changed = _undo(books, original)
        is_charge = original.kind in (Kind.SALE, Kind.AUTHORIZATION)
        if is_charge and original.asks(Later.APPROVED_AFTER_REVERSAL) and not original.was_approved_again:
            afterwards = partial(_approve_again, books, original)
    reversal = _reversal_of(books, asked, code)
    reversal.card = original.card
    books.write(reversal, *changed)
    return Answer(response_code=code, afterwards=afterwards)


def _reverse_unknown(books: Books, asked: Asked, lost: Lost | None) -> Answer:
    """Nothing is booked under these references; a request that got lost may still have a word to say."""
    later = lost.asked.behaviour.later if lost else Later.NONE
    if later is Later.REVERSAL_UNANSWERED:
        return Answer(delivery=Delivery.LOST)
    code, afterwards = NOT_FOUND, None
    if lost and later is Later.REVERSAL_REFUSED_TWICE and lost.reversals_refused < REVERSALS_REFUSED:
        lost.reversals_refused += 1
        code = PROCESSING_ERROR
    if lost and later is Later.APPROVED_AFTER_REVERSAL:
        del books.lost[lost.asked.key]
        afterwards = partial(_land, books, lost.asked)
    books.write(_reversal_of(books, asked, code))
    return Answer(response_code=code, afterwards=afterwards)


def _reversal_code(original: Operation, asked: Asked) -> str:
    if original.asks(Later.REVERSAL_REFUSED_TWICE) and original.reversals_refused < REVERSALS_REFUSED:
        original.reversals_refused += 1
        return PROCESSING_ERROR
    if (asked.amount_minor, asked.currency) != (original.requested_minor, original.currency):
        return AMOUNT_NOT_VALID
    if original.state is State.CAPTURED or original.refunded_minor:
        return NOT_VALID
    return APPROVED


def _undo(books: Books, original: Operation) -> list[Operation]:
    """Take back what it did, in itself and in what it had changed. Returns all that changed."""
    original.state = State.REVERSED
    original.captured_minor = 0
    original.note("reversed")
    changed = [original]
    target = books.find_rrn(original.original_rrn) if original.original_rrn else None
    if target is None:
        return changed
    if original.kind is Kind.COMPLETION:
        target.captured_minor -= original.amount_minor
        target.state = State.CAPTURED if target.captured_minor else State.APPROVED
        target.note(f"capture of {original.amount_minor} reversed")
        changed.append(target)
    if original.kind is Kind.REFUND:
        for charged in _with_authorization(books, target):
            charged.refunded_minor -= original.amount_minor
            charged.note(f"refund of {original.amount_minor} reversed")
            changed.append(charged)
    return changed


def _approve_again(books: Books, operation: Operation) -> Operation | None:
    """Later 7: what was reversed stands approved again, once."""
    operation.was_approved_again = True
    operation.state = State.APPROVED
    operation.captured_minor = operation.amount_minor if operation.kind is Kind.SALE else 0
    operation.note("approved again after its reversal; the answer is sent late")
    books.write(operation)
    return operation


def _land(books: Books, asked: Asked) -> Operation | None:
    """Later 7 with fault 2: the lost request arrives after a reversal found nothing, unless it was sent again."""
    if books.find_rrn(asked.key.rrn) is not None:
        return None
    operation = _book_charge(books, asked)
    operation.was_approved_again = True  # its reversal is taken for good
    operation.note("the lost request arrived after its reversal; the answer is sent late")
    books.write(operation)
    return operation


def _answer_again(books: Books, earlier: Operation, asked: Asked) -> Answer:
    is_same = (earlier.kind, earlier.requested_minor, earlier.currency) == (
        asked.kind,
        asked.amount_minor,
        asked.currency,
    )
    if not is_same:
        return _refuse_duplicate(books, earlier)
    earlier.note("asked again with the same references; answered from the books")
    books.write(earlier)
    return _answer_of(earlier, Delivery.PROMPT)


def _refuse_duplicate(books: Books, earlier: Operation) -> Answer:
    earlier.note(f"another request bore its RRN; refused with {DUPLICATE}")
    books.write(earlier)
    return Answer(response_code=DUPLICATE)


def _answer_of(operation: Operation, delivery: Delivery) -> Answer:
    return Answer(
        response_code=operation.response_code,
        approval_code=operation.approval_code,
        amount_minor=operation.amount_minor if operation.response_code == PARTLY_APPROVED else None,
        delivery=delivery,
    )


def answer_of_late(operation: Operation) -> Answer:
    """The answer that comes late for an operation, as the books say."""
    return _answer_of(operation, Delivery.PROMPT)


def _operation_of(asked: Asked, code: str, later: str) -> Operation:
    is_approved = code in (APPROVED, PARTLY_APPROVED)
    key = asked.key
    operation = Operation(
        kind=asked.kind,
        rrn=key.rrn,
        stan=key.stan,
        transmitted_at=key.transmitted_at,
        terminal=key.terminal,
        acceptor=asked.acceptor,
        card=asked.card,
        currency=asked.currency,
        amount_minor=asked.amount_minor,
        requested_minor=asked.amount_minor,
        response_code=code,
        approval_code=secrets.token_hex(3).upper() if is_approved else None,
        state=State.APPROVED if is_approved else State.DECLINED,
        original_rrn=asked.original_rrn,
        later=later,
        history=[],
    )
    operation.note("approved" if is_approved else f"declined with {code}")
    return operation


def _reversal_of(books: Books, asked: Asked, code: str) -> Operation:
    """The reversal's own entry. Its repetitions bear the same references, so they go on in the same entry."""
    fresh = _operation_of(asked, code, name_of(Later.NONE))
    fresh.approval_code = None
    earlier = books.find(asked.key)
    if earlier is not None and earlier.kind is Kind.REVERSAL:
        fresh.history = earlier.history + fresh.history
    return fresh
