"""The promises of money-safety, each a named function that is checked when a world has come to rest.

What is cheap is checked at every step already: see `moments`.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.simulation import permits
from tests.simulation.truth import Violation, charges_of, entry_of, named_by, payer_of, refunded_of, seconds_of
from tollhouse.event import EventType
from tollhouse.ledger import Account, TransferPhase, balances, flaws
from tollhouse.merchant import Settings, WebhookOrder
from tollhouse.operation import Kind, State
from tollhouse.outcome import Reason
from tollhouse.payment import Decision, Phase
from tollhouse.session import Status
from tollhouse.webhook import GAP_SECONDS_LAST, HOLD_BACK_SECONDS, JITTER_PERCENT_MAX, Delivery, DeliveryState

if TYPE_CHECKING:
    from tests.simulation.world import Simulation

OPEN_SECONDS_MAX = 6 * 3600  # an operation is over so long after the storm, or after it was planned
ALARM_SECONDS_MAX = 27 * 3600  # what is unclear for longer was brought before a person
TRIED_SECONDS = Settings().webhook_retry_window - GAP_SECONDS_LAST * (100 + JITTER_PERCENT_MAX) / 100
RELEASES = (Reason.CANCELLED_BY_MERCHANT, Reason.CAPTURE_TIMEOUT, Reason.ACTION_TIMEOUT)  # cancelled all the same


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
            unclear_since = operation.unclear_since or operation.finished_at
            is_long = (operation.finished_at - unclear_since).total_seconds() > ALARM_SECONDS_MAX
            alarms = simulation.books.histories[session.project, session.id].alarms
            if is_long and all(alarm.subject != operation.id for _, alarm in alarms):
                raise Violation("P13", f"{operation.kind} was unclear for a day and nobody was told", session.id)
            ended = seconds_of(operation.finished_at) - seconds_of(operation.planned_at)
            since_calm = seconds_of(operation.finished_at) - max(simulation.calm_at, simulation.network.away_until)
            if min(ended, since_calm) > OPEN_SECONDS_MAX:
                raise Violation("P13", f"{operation.kind} took {since_calm:.0f} s after the storm", session.id)


def charged_at_most_once(simulation: Simulation) -> None:
    """P1 and P3: by the bank's books a purchase is charged once or not at all, and never more is given back."""
    charges: Counter[object] = Counter()
    for entry in charges_of(simulation):
        charges[payer_of(simulation, entry.payer)] += 1
        charges[named_by(simulation, entry.key)[:2]] += 1
        if not 0 <= entry.refunded_minor <= entry.captured_minor <= entry.amount_minor:
            raise Violation("P3", f"the bank refunded {entry.refunded_minor} of {entry.captured_minor}")
    if any(count > 1 for count in charges.values()):
        raise Violation("P1", "a purchase stays charged more than once")


def books_agree(simulation: Simulation) -> None:
    """P2: what we call approved, captured and refunded is what the bank calls so, in both directions."""
    for entry in charges_of(simulation):
        project, session_id, operation_id = named_by(simulation, entry.key)
        session = simulation.books.sessions[project, session_id]
        operation = session.operation(operation_id)
        payment = session.payment(operation.payment_id)
        if operation.state is not State.APPROVED or (payment.phase is not Phase.SUCCEEDED):
            raise Violation("P2", f"the bank holds {operation.kind} approved, here it is {operation.state}", session_id)
        ours = (payment.captured_minor, payment.refunded_minor)
        theirs = (entry.captured_minor, refunded_of(simulation, entry))
        if ours != theirs:
            raise Violation("P2", f"captured and refunded: {ours} here, {theirs} at the bank", session_id)
    for session in simulation.books.sessions.values():
        for payment in session.payments:
            charge = session.charge_of(payment.id)
            if payment.phase is Phase.SUCCEEDED and (charge is None or not entry_of(simulation, charge).is_live):
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
    theirs = sum(entry.captured_minor - refunded_of(simulation, entry) for entry in charges_of(simulation))
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
            is_right = simulation.weather.clock_jump > 0 or _tried_seconds(simulation, key, delivery) >= TRIED_SECONDS
        case DeliveryState.WAITING:
            is_right = False
    if not is_right:
        raise Violation("P9", f"event {delivery.sequence} is {delivery.state} after {len(receipts)} receipts", key[1])


def _tried_seconds(simulation: Simulation, key: tuple[str, str], delivery: Delivery) -> float:
    """How long it was tried, from the first attempt that is known of to the last."""
    attempts = simulation.books.histories[key].attempts
    times = [attempt.at for event_id, attempt in attempts if event_id == delivery.event_id]
    return (max(times) - min(times)).total_seconds()


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
        if later.type is EventType.ACTION_REQUIRED:
            continue  # a payer waits for it, so it waits for nothing
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
    left = simulation.vault.cvvs - simulation.tokens.waiting_cvvs()
    if not (weather.crash or weather.commit_lost or weather.read_lost) and left:
        raise Violation("P11", f"keys of security codes are left: {sorted(left)}")


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
    permits.authentications_are_over,
)
