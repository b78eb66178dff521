"""The promises of money-safety as checks: while it happens where that is cheap, and all of them at the end.

Each check is a function that raises `Violation` with the promise it guards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.bank import Entry, Key, Standing, key_of
from tests.worlds import START
from tollhouse.acquirers.message import Request
from tollhouse.change import Change
from tollhouse.event import EventType
from tollhouse.flows.settle import Settled
from tollhouse.ledger import Account, TransferPhase, balances, flaws
from tollhouse.merchant import WebhookOrder
from tollhouse.operation import CHARGES, UNDOABLE, Kind, Operation, State
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, Payment, Phase
from tollhouse.session import PaymentSession, Status
from tollhouse.webhook import HOLD_BACK_SECONDS, Delivery, DeliveryState

if TYPE_CHECKING:
    from tests.simulation.world import Node, Simulation

OPEN_SECONDS_MAX = 6 * 3600  # an operation is over so long after the storm, or after it was planned
ATTEMPTS_IN_WINDOW = 8
RELEASES = (Reason.CANCELLED_BY_MERCHANT, Reason.CAPTURE_TIMEOUT)


class Violation(Exception):
    """A promise is broken. `session_id` tells whose trace shows how."""

    def __init__(self, promise: str, what: str, session_id: str | None = None) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise
        self.what = what
        self.session_id = session_id


# While it happens


def at_sending(simulation: Simulation, node: Node, request: Request) -> None:
    """P1: *submitted* is committed before the first byte leaves, and nothing leaves of what is over."""
    rrn, stan, _, terminal = key_of(request)
    simulation.record(None, f"    {node.name} sends {request.mti} {rrn}/{stan}")
    named = simulation.books.references.get((rrn, stan, terminal))
    if named is None:
        raise Violation("P1", f"{request.mti} {rrn}/{stan} leaves before *submitted* is committed")
    project, session_id, operation_id = named
    operation = simulation.books.sessions[project, session_id].operation(operation_id)
    if operation.kind in UNDOABLE and operation.state is not State.SUBMITTED:
        raise Violation("P1", f"{request.mti} of {operation_id} leaves while it is {operation.state}", session_id)


def at_bank(simulation: Simulation, request: Request) -> None:
    """P1: no cardholder is charged twice, not even for a moment."""
    payer = _payer(simulation, request.card.card_token if request.card else "")
    live = [entry for entry in _charges(simulation) if _payer(simulation, entry.payer) == payer]
    if len(live) > 1:
        _, session_id, _ = _named(simulation, live[-1].key)
        raise Violation("P1", f"one purchase is charged {len(live)} times", session_id)


def at_answer(simulation: Simulation, settled: Settled) -> None:
    """P10: what is answered with success is durable."""
    answer = settled.answer
    known = simulation.versions.get((answer.project, answer.id), {})
    if settled.is_written and answer.version not in known:
        raise Violation("P10", f"version {answer.version} was answered and is not committed", answer.id)


def at_commit(simulation: Simulation, before: PaymentSession | None, change: Change) -> None:
    """All that is checked on each commit."""
    after = change.session
    payments = {payment.id: payment for payment in before.payments} if before else {}
    operations = {operation.id: operation for operation in before.operations} if before else {}
    _sessions_stay(before, after)
    for payment in after.payments:
        earlier = payments.get(payment.id)
        if payment is not earlier:
            _payment_stays(after, earlier, payment)
            _payment_has_evidence(after, earlier, payment)
    for operation in after.operations:
        was = operations.get(operation.id)
        if operation is not was:
            _operation_stays(after, was, operation)
            if operation.is_final and (was is None or not was.is_final):
                _operation_has_evidence(simulation, after, operation)
    _is_announced(change, payments, operations)


def _sessions_stay(before: PaymentSession | None, after: PaymentSession) -> None:
    """P7: an end is dated once, and cancelled is an end for good."""
    if before is None or before.status not in (Status.ACCEPTED, Status.CANCELLED):
        return
    if before.status is Status.CANCELLED and after.status is not Status.CANCELLED:
        raise Violation("P7", f"a cancelled session became {after.status}", after.id)
    if before.status is after.status and before.finished_at != after.finished_at:
        raise Violation("P7", f"an ended session got another end: {before.finished_at} {after.finished_at}", after.id)


def _payment_stays(session: PaymentSession, before: Payment | None, after: Payment) -> None:
    """P4 and P7: a decision is made once; a final payment keeps its phase, reason, time and amount."""
    if before is None:
        return
    if before.decision is not None and before.decision is not after.decision:
        raise Violation("P4", f"decided {before.decision}, then {after.decision}", session.id)
    if before.is_final:
        facts = [(one.phase, one.reason, one.finished_at, one.captured_minor) for one in (before, after)]
        if facts[0] != facts[1]:
            raise Violation("P7", f"a final payment changed from {facts[0]} to {facts[1]}", session.id)


def _payment_has_evidence(session: PaymentSession, before: Payment | None, after: Payment) -> None:
    """P6: a payment that was confirmed ends only when the acquirer has said enough."""
    if not after.is_final or (before is not None and before.is_final) or after.decision is not Decision.CONFIRMED:
        return
    mine = [operation for operation in session.operations if operation.payment_id == after.id]
    over = {o.target_id for o in mine if o.kind is Kind.REVERSAL and o.state is State.APPROVED}
    for operation in mine:
        if after.phase is Phase.FAILED and operation.kind in CHARGES:
            is_refused = any(o.kind is Kind.CAPTURE and o.state is State.DECLINED for o in mine)
            is_kept = operation.state is State.APPROVED and operation.id not in over and not is_refused
            if is_kept or not operation.is_final:
                raise Violation("P6", f"failed while {operation.kind} is {operation.state}", session.id)
    if after.phase is Phase.SUCCEEDED:
        taken = [o for o in mine if o.kind in (Kind.SALE, Kind.CAPTURE) and o.state is State.APPROVED]
        if len(taken) != 1 or taken[0].amount_minor != after.captured_minor:
            raise Violation("P6", "succeeded without an approval of its amount", session.id)


def _operation_stays(session: PaymentSession, before: Operation | None, after: Operation) -> None:
    """P7: a final operation stays as it is."""
    if before is not None and before.is_final:
        facts = [(one.state, one.response_code, one.finished_at, one.references) for one in (before, after)]
        if facts[0] != facts[1]:
            raise Violation("P7", f"final {after.kind} changed from {facts[0]} to {facts[1]}", session.id)


def _operation_has_evidence(simulation: Simulation, session: PaymentSession, operation: Operation) -> None:
    """P6: what becomes final is what the bank has in its books, and nothing of it is on its way any more."""
    about = session.target_of(operation) if operation.kind is Kind.REVERSAL else operation
    if about.references is None or (operation.kind is Kind.REVERSAL and operation.state is not State.APPROVED):
        return
    key = _key(about)
    if key in simulation.network.mistaken:
        return  # the bank contradicts itself
    entry = simulation.network.bank.entries.get(key)
    is_live = entry is not None and entry.standing is Standing.APPROVED
    said = f"{operation.kind} became {operation.state}"
    if operation.state is State.APPROVED and operation.kind is not Kind.REVERSAL:
        if entry is None or not is_live or entry.amount_minor != operation.amount_minor:
            raise Violation("P2", f"{said} and the bank has not approved it", session.id)
        return
    if is_live:
        raise Violation("P6", f"{said} and the bank has it approved", session.id)
    if simulation.network.on_the_way.get(key) and operation.state is not State.DECLINED:
        raise Violation("P6", f"{said} while its request is still on its way", session.id)


def _is_announced(change: Change, payments: dict[str, Payment], operations: dict[str, Operation]) -> None:
    """P9: what a merchant waits for is announced in the same commit, once."""
    expected: Counter[EventType] = Counter()
    for payment in change.session.payments:
        before = payments.get(payment.id)
        if before is not None and before.phase is payment.phase:
            continue
        match payment.phase:
            case Phase.AWAIT_CONFIRM:
                expected[EventType.READY_TO_CONFIRM] += 1
            case Phase.HELD:
                expected[EventType.READY_TO_CAPTURE] += 1
            case Phase.SUCCEEDED | Phase.FAILED:
                expected[EventType.PAYMENT_FINISHED] += 1
            case _:
                pass
    for operation in change.session.operations:
        was = operations.get(operation.id)
        if operation.kind is Kind.REFUND and operation.is_final and not (was is not None and was.is_final):
            expected[EventType.PAYMENT_REFUNDED] += 1
    announced = Counter(event.type for event in change.events)
    if announced != expected:
        raise Violation("P9", f"announced {dict(announced)}, expected {dict(expected)}", change.session.id)


# At the end


def at_end(simulation: Simulation) -> None:
    """Everything, when nothing is left to do."""
    for check in AT_END:
        check(simulation)


def everything_ends(simulation: Simulation) -> None:
    """P13: no operation, payment or session is left open, and it did not take for ever."""
    for session in simulation.books.sessions.values():
        if session.status not in (Status.ACCEPTED, Status.CANCELLED):
            raise Violation("P13", f"the session stays {session.status}", session.id)
        for operation in session.operations:
            if not operation.is_final:
                raise Violation("P13", f"{operation.kind} stays {operation.state}", session.id)
            assert operation.finished_at is not None
            ended = _seconds(operation.finished_at) - _seconds(operation.planned_at)
            since_calm = _seconds(operation.finished_at) - max(simulation.calm_at, simulation.network.away_until)
            if min(ended, since_calm) > OPEN_SECONDS_MAX:
                raise Violation("P13", f"{operation.kind} took {since_calm:.0f} s after the storm", session.id)


def charged_at_most_once(simulation: Simulation) -> None:
    """P1 and P3: by the bank's books a purchase is charged once or not at all, and never more is given back."""
    charges: Counter[str] = Counter()
    for entry in _charges(simulation):
        charges[_payer(simulation, entry.payer)] += 1
        if not 0 <= entry.refunded_minor <= entry.captured_minor <= entry.amount_minor:
            raise Violation("P3", f"the bank refunded {entry.refunded_minor} of {entry.captured_minor}")
    if any(count > 1 for count in charges.values()):
        raise Violation("P1", "a purchase stays charged more than once")


def books_agree(simulation: Simulation) -> None:
    """P2: what we call approved, captured and refunded is what the bank calls so, in both directions."""
    for entry in _charges(simulation):
        project, session_id, operation_id = _named(simulation, entry.key)
        session = simulation.books.sessions[project, session_id]
        operation = session.operation(operation_id)
        payment = session.payment(operation.payment_id)
        if operation.state is not State.APPROVED or (payment.phase is not Phase.SUCCEEDED):
            raise Violation("P2", f"the bank holds {operation.kind} approved, here it is {operation.state}", session_id)
        ours = (payment.captured_minor, payment.refunded_minor)
        theirs = (entry.captured_minor, _refunded(simulation, entry))
        if ours != theirs:
            raise Violation("P2", f"captured and refunded: {ours} here, {theirs} at the bank", session_id)
    for session in simulation.books.sessions.values():
        for payment in session.payments:
            charge = session.charge_of(payment.id)
            if payment.phase is Phase.SUCCEEDED and (charge is None or not _at_bank(simulation, charge).is_live):
                raise Violation("P2", "succeeded here, not approved at the bank", session.id)


def one_decision(simulation: Simulation) -> None:
    """P4: what merchants were told about their decisions is what happened."""
    for key, answers in simulation.answers.items():
        session = simulation.books.sessions.get(key)
        for payment in session.payments if session else ():
            told = {name for name, code in answers if code == "ok"}
            is_released = payment.reason in RELEASES
            if payment.decision is Decision.CONFIRMED and "cancel" in told and not is_released:
                raise Violation("P4", "cancel was answered with ok and the payment went on", key[1])
            if payment.decision in (Decision.CANCELLED, Decision.TIMED_OUT) and "confirm" in told:
                raise Violation("P4", "confirm was answered with ok and the payment was cancelled", key[1])
            if "capture" in told and is_released:
                raise Violation("P4", "capture was answered with ok and the hold was released", key[1])


def one_key_one_operation(simulation: Simulation) -> None:
    """P5: every purchase has one session and every refund call one refund, however often they were asked for."""
    purchases: Counter[object] = Counter()
    for session in simulation.books.sessions.values():
        named = [payment.details.metadata for payment in session.payments] or [session.offer.details.metadata]
        purchases[named[0]] += 1
        refunds = Counter(str(o.metadata) for o in session.operations if o.kind is Kind.REFUND)
        if any(count > 1 for count in refunds.values()):
            raise Violation("P5", "one key made two refunds", session.id)
        if purchases[named[0]] > 1:
            raise Violation("P5", "one key made two sessions", session.id)


def ledger_is_sound(simulation: Simulation) -> None:
    """P8: no flaw, every transfer names an approved operation, and the sums are the bank's."""
    ours: Counter[str] = Counter()
    for key, session in simulation.books.sessions.items():
        transfers = simulation.books.transfers_of(key)
        found = flaws(transfers)
        approved = {operation.id for operation in session.operations if operation.state is State.APPROVED}
        found += [
            f"transfer {one.id} names no approved operation" for one in transfers if one.operation_id not in approved
        ]
        resolved = {one.resolves_id for one in transfers}
        pending = [one.id for one in transfers if one.phase is TransferPhase.PENDING and one.id not in resolved]
        found += [f"transfer {id} stays pending" for id in pending]
        if found:
            raise Violation("P8", "; ".join(found), session.id)
        kept = sum(payment.captured_minor - payment.refunded_minor for payment in session.payments)
        posted = sum(v for (_, account), v in balances(transfers).items() if account is Account.ACQUIRER_RECEIVABLE)
        if kept != posted:
            raise Violation("P8", f"{kept} is kept of the payments and {posted} is in the ledger", session.id)
        ours[session.id] = posted
    theirs = sum(entry.captured_minor - _refunded(simulation, entry) for entry in _charges(simulation))
    if sum(ours.values()) != theirs:
        raise Violation("P8", f"the acquirer owes {sum(ours.values())} by the ledger and {theirs} by its books")


def every_event_arrives(simulation: Simulation) -> None:
    """P9: delivered at least once, always the same bytes, in order as the project has chosen it."""
    for key, events in simulation.books.deliveries.items():
        ordered = sorted(events.values(), key=lambda delivery: delivery.sequence)
        if [one.sequence for one in ordered] != list(range(1, len(ordered) + 1)):
            raise Violation("P9", "the sequence of events has gaps", key[1])
        if len(ordered) != simulation.books.sessions[key].events_count:
            raise Violation("P9", "an event was counted and not kept", key[1])
        for delivery in ordered:
            _event_arrived(simulation, key, delivery)
        if not simulation.weather.clock_jump:
            _events_in_order(simulation, key, ordered)


def _event_arrived(simulation: Simulation, key: tuple[str, str], delivery: Delivery) -> None:
    receipts = [one for one in simulation.receivers.receipts.get(key, []) if one.event_id == delivery.event_id]
    if len({(one.body, one.signature) for one in receipts}) > 1 or any(one.body != delivery.body for one in receipts):
        raise Violation("P9", f"event {delivery.sequence} was sent with different bytes", key[1])
    is_silent = simulation.books.projects[key[0]].webhook_url is None
    match delivery.state:
        case DeliveryState.SILENT:
            is_right = is_silent
        case DeliveryState.DELIVERED:
            is_right = bool(receipts)
        case DeliveryState.ABANDONED:  # only after a window full of failures
            is_right = delivery.attempts >= ATTEMPTS_IN_WINDOW or simulation.weather.clock_jump > 0
        case DeliveryState.WAITING:
            is_right = False
    if not is_right:
        raise Violation("P9", f"event {delivery.sequence} is {delivery.state} after {len(receipts)} receipts", key[1])


def _events_in_order(simulation: Simulation, key: tuple[str, str], ordered: list[Delivery]) -> None:
    """The first attempt of an event waits for the receipt of the earlier ones, as long as the project wants."""
    order = simulation.books.projects[key[0]].settings.webhook_order
    if order is WebhookOrder.NONE:
        return
    starts: dict[str, float] = {}
    receipts: dict[str, float] = {}
    for start in simulation.receivers.starts.get(key, []):
        starts.setdefault(start.event_id, start.at)
    for receipt in simulation.receivers.receipts.get(key, []):
        receipts.setdefault(receipt.event_id, receipt.at)
    for earlier, later in pairwise(ordered):
        began = starts.get(later.event_id)
        if began is None or receipts.get(earlier.event_id, float("inf")) <= began:
            continue
        failing = began - starts.get(earlier.event_id, float("inf"))
        waited = order is WebhookOrder.SESSION and failing >= HOLD_BACK_SECONDS - 1
        if not waited and earlier.state is not DeliveryState.ABANDONED:
            raise Violation("P9", f"event {later.sequence} overtook event {earlier.sequence}", key[1])


def answers_survive(simulation: Simulation) -> None:
    """P10: every version that was committed is in the history of what followed."""
    for key, versions in simulation.versions.items():
        if simulation.books.sessions[key].version < max(versions):
            raise Violation("P10", "a committed version is gone", key[1])


def security_codes_are_gone(simulation: Simulation) -> None:
    """P11, as far as rows go: no session names a code at its end; without crashes no key of one is left at all."""
    for session in simulation.books.sessions.values():
        if session.offer.sealed_cvv or any(payment.sealed_cvv for payment in session.payments):
            raise Violation("P11", "a row still names a security code", session.id)
    weather = simulation.weather
    if not (weather.crash or weather.commit_lost or weather.read_lost) and simulation.vault.cvvs:
        raise Violation("P11", f"keys of security codes are left: {sorted(simulation.vault.cvvs)}")


def projects_are_apart(simulation: Simulation) -> None:
    """P12: what a project was told of, it owns."""
    for (project, session_id), answers in simulation.answers.items():
        owners = {owner for owner, id in simulation.books.sessions if id == session_id}
        if owners and project not in owners and any(code != "session_not_found" for _, code in answers):
            raise Violation("P12", f"{project} was answered {answers} about {session_id}", session_id)


AT_END = (
    charged_at_most_once,
    books_agree,
    everything_ends,
    one_decision,
    one_key_one_operation,
    ledger_is_sound,
    every_event_arrives,
    answers_survive,
    security_codes_are_gone,
    projects_are_apart,
)


def _charges(simulation: Simulation) -> Iterator[Entry]:
    """What the bank holds approved of cardholders' money."""
    return (entry for entry in simulation.network.bank.entries.values() if entry.is_charge and entry.is_live)


def _refunded(simulation: Simulation, charge: Entry) -> int:
    """What the bank gave back of a charge, whether it was taken by a sale or by a completion."""
    entries = simulation.network.bank.entries.values()
    taken = [charge, *(entry for entry in entries if entry.original is charge and entry.is_live)]
    return sum(entry.refunded_minor for entry in taken)


def _payer(simulation: Simulation, token: str) -> str:
    card = simulation.vault.cards.get(token)
    return card.pan.reveal() if card else token


def _key(operation: Operation) -> Key:
    named = operation.references
    assert named is not None
    return named.rrn, named.stan, f"{named.transmitted_at:%m%d%H%M%S}", named.terminal


def _named(simulation: Simulation, key: Key) -> tuple[str, str, str]:
    named = simulation.books.references.get((key[0], key[1], key[3]))
    if named is None:
        raise Violation("P2", f"the bank has {key[0]} and the gateway knows nothing of it")
    return named


def _at_bank(simulation: Simulation, operation: Operation) -> Entry:
    entry = simulation.network.bank.entries.get(_key(operation))
    if entry is None:
        raise Violation("P2", f"{operation.kind} {operation.id} is unknown to the bank")
    return entry


def _seconds(at: datetime) -> float:
    return (at - START).total_seconds()
