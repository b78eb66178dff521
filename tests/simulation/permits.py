"""Which authorizations may leave, derived anew from what issuer and bank really said, and the other promises of 3DS.

Nothing here asks the rules of the gateway: a rule that is wrong must not convince its judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bank import SOFT_CODES, Claim, claim_of
from tests.simulation.truth import Violation, entry_of, payer_of
from tollhouse.acquirers.message import Request
from tollhouse.authentication import Authentication, State
from tollhouse.exemption import Exemption
from tollhouse.operation import CHARGES, Operation
from tollhouse.operation import State as OperationState
from tollhouse.outcome import Reason
from tollhouse.payment import Payment
from tollhouse.session import PaymentSession
from tollhouse.verdict import Policy

if TYPE_CHECKING:
    from tests.simulation.world import Node, Simulation
    from tollhouse.flows.authenticate import View

REQUESTS_MAX = 3
SILENCE_SECONDS = 12
CODES = {"05": Exemption.TRA, "10": Exemption.LOW_VALUE, "11": Exemption.CORPORATE}
LOW_VALUE_BELOW_MINOR, LOW_RISK_MINOR_MAX = 3000, 25_000
CHALLENGES = (State.CHALLENGED, State.DECOUPLED)


def at_charge(simulation: Simulation, session: PaymentSession, operation: Operation, request: Request) -> None:
    """3DS: no charge leaves without a permitted outcome, and one that follows a soft decline is another."""
    payment = session.payment(operation.payment_id)
    claim = claim_of(request)
    if payment.is_final:
        raise Violation("3DS", f"a charge leaves of a payment that {payment.phase}: {payment.reason}", session.id)
    earlier = [o for o in _charges_of(session, payment) if o is not operation and o.references is not None]
    if earlier:
        simulation.tally["step-ups"] += 1
        _is_another(simulation, session, operation, earlier, request)
    used = [o for o in _charges_of(session, payment) if o.authentication_id == operation.authentication_id]
    if operation.authentication_id is not None and len(used) > 1:
        raise Violation("3DS", "an authentication is used up twice", session.id)
    if claim.is_authenticated:
        problem = _why_not_proven(simulation, payment, operation, claim)
    else:
        problem = _why_not_unproven(simulation, session, payment, claim, is_second=bool(earlier))
    if problem is not None:
        raise Violation("3DS", problem, session.id)


def _charges_of(session: PaymentSession, payment: Payment) -> list[Operation]:
    return [o for o in session.operations if o.payment_id == payment.id and o.kind in CHARGES]


def _is_another(
    simulation: Simulation, session: PaymentSession, operation: Operation, earlier: list[Operation], request: Request
) -> None:
    """A second charge of a payment: after a clear soft decline of the first, under its own references, without CVV."""
    assert operation.references is not None
    for one in earlier:
        assert one.references is not None
        if one.references.rrn == operation.references.rrn:
            raise Violation("3DS", "a stepped-up charge goes under the references of the first", session.id)
        if one.state is not OperationState.DECLINED or entry_of(simulation, one).code not in SOFT_CODES:
            raise Violation("3DS", "a second charge follows something else than a soft decline", session.id)
    if len(earlier) > 1:
        raise Violation("3DS", f"charge number {len(earlier) + 1} of one payment", session.id)
    if "48" in request.slots or (request.card is not None and request.card.sealed_cvv is not None):
        raise Violation("3DS", "a stepped-up charge carries the security code", session.id)


def _why_not_proven(simulation: Simulation, payment: Payment, operation: Operation, claim: Claim) -> str | None:
    """What is wrong with a claim that somebody vouches for the payer."""
    issuer, server_id = simulation.issuer, operation.authentication_id
    if not issuer.vouches(payer_of(simulation, payment.card.token), claim):
        return f"the issuer never said so: {claim}"
    if server_id is None or claim.value not in [word.value for word in issuer.heard_of(server_id)]:
        return "what the issuer said of another authentication is used"
    entries = simulation.network.bank.entries.values()
    if any(entry.claim.value == claim.value for entry in entries):
        return "an authentication value is used a second time"
    return None


def _why_not_unproven(
    simulation: Simulation, session: PaymentSession, payment: Payment, claim: Claim, *, is_second: bool
) -> str | None:
    """What is wrong with going without the payer's authentication."""
    settings = simulation.books.projects[session.project].settings
    pan = payer_of(simulation, payment.card.token)
    if is_second:
        return "after a soft decline a charge goes without authentication"
    if claim.exemption is not None:
        return _why_not_exempt(session, payment, CODES.get(claim.exemption), settings.threeds_exemptions)
    if settings.threeds is Policy.NEVER or pan not in simulation.issuer.enrolled:
        return None
    if settings.threeds is Policy.ALWAYS:
        return "without authentication in a project that always wants it"
    attempts = session.authentications_of(payment.id)
    if not attempts or attempts[-1].asked_at is None:
        return "nobody asked the issuer"
    for attempt in attempts:
        cases = simulation.issuer.cases.get(attempt.id, ())
        is_opened = any(case.is_opened and case.acs_id == attempt.acs_transaction_id for case in cases)
        if attempt.id in simulation.challenged or is_opened:
            return "a challenge had begun and the charge goes without its outcome"
    words = [word.status for word in simulation.issuer.heard_of(attempts[-1].id)]
    if attempts[-1].state is State.FINISHED and not {"U", "I"} & set(words):
        return f"the issuer said {words}, and the charge goes without authentication"
    return None


def _why_not_exempt(
    session: PaymentSession, payment: Payment, claimed: Exemption | None, switched_on: tuple[Exemption, ...]
) -> str | None:
    """The facts again, in other words than those of the rules."""
    if claimed is None or claimed not in switched_on:
        return f"the exemption {claimed} is claimed and not switched on"
    if payment.threeds is not Policy.AUTO or session.authentications_of(payment.id):
        return f"the exemption {claimed} is claimed where authentication was wanted"
    minor, sender = payment.money.minor, (payment.details.participants or {}).get("sender") or {}
    facts = {
        Exemption.LOW_VALUE: payment.money.currency == "eur" and minor < LOW_VALUE_BELOW_MINOR,
        Exemption.TRA: payment.money.currency == "eur" and minor <= LOW_RISK_MINOR_MAX,
        Exemption.CORPORATE: bool(sender.get("company_name")),
    }
    return None if facts[claimed] else f"the exemption {claimed} is claimed for {payment.money}"


def at_asking(simulation: Simulation, node: Node, server_id: str, return_address: str) -> None:
    """3DS: *asked* is committed before a request leaves, once, and three times at most for one payment."""
    key = simulation.books.authentications.get(server_id)
    session = simulation.books.sessions[key] if key else None
    link = return_address.split("/")[-2]
    asked = simulation.issuer.asked
    asked[link] += 1
    asked[server_id] += 1
    simulation.record(session, f"    {node.name} sends AReq {server_id}")
    if session is None or session.authentication(server_id).asked_at is None:
        raise Violation("3DS", "the issuer is asked before that is committed", session.id if session else None)
    if asked[server_id] > 1 or asked[link] > REQUESTS_MAX:
        raise Violation("3DS", f"the issuer is asked {asked[link]} times", session.id)


def at_authentication(
    simulation: Simulation, node: str, session: PaymentSession, before: Authentication | None, after: Authentication
) -> None:
    """3DS: an outcome is what the issuer said, and not what a browser brought; what is over stays as it is."""
    if before is not None and before.is_final and (before.state, before.result) != (after.state, after.result):
        raise Violation("3DS", f"an authentication {before.state} became {after.state} again", session.id)
    issuer = simulation.issuer
    if after.state is State.ASKED and (before is None or before.state is not State.ASKED):
        issuer.asked_since[after.id] = simulation.scheduler.now
    if after.state in CHALLENGES:
        simulation.challenged.add(after.id)
    if after.state is State.FINISHED and (before is None or not before.is_final):
        said = [(word.status, word.value) for word in issuer.heard_of(after.id)]
        result = after.result
        if result is None or (result.status.value, result.value) not in said:
            raise Violation("3DS", f"an outcome that the issuer never said; it said {said}", session.id)
        results = [word for case in issuer.cases[after.id] for word in case.heard if word is not case.answer]
        if before is not None and before.state in CHALLENGES and not results:
            raise Violation("3DS", "a challenge ends without the issuer's result", session.id)
    if before is not None and before.state is State.ASKED and after.state is State.LAPSED:
        _silence_was_silence(simulation, node, session, after)


def _silence_was_silence(simulation: Simulation, node: str, session: PaymentSession, after: Authentication) -> None:
    """What a process was answered in time, it does not take for silence; one that slept before it asked may."""
    issuer = simulation.issuer
    left_at, word = issuer.told.get((node, after.id), (0.0, None))
    results = [one for one in issuer.heard_of(after.id) if one is not word]
    slept_over = left_at - issuer.asked_since[after.id] > SILENCE_SECONDS
    if word is None or results or after.id in issuer.broken_off or slept_over:
        return
    if simulation.scheduler.now - left_at < SILENCE_SECONDS:
        raise Violation("3DS", f"the issuer said {word.status} and it is taken for silence", session.id)


def at_strange_result(simulation: Simulation, answer: str | None) -> None:
    """3DS: a result for nothing of ours, or a forged one, is refused."""
    if answer in ("RRes", ""):
        raise Violation("3DS", "a result under strange ids is taken")


def is_answer_known(simulation: Simulation, server_id: str) -> bool:
    """Whether the gateway knows the issuer's own ids of an authentication."""
    key = simulation.books.authentications[server_id]
    return simulation.books.sessions[key].authentication(server_id).ds_transaction_id is not None


def at_view(simulation: Simulation, link: str, view: View) -> None:
    """3DS: a payer who has nothing to do any more goes back to the merchant."""
    _, session_id, _ = simulation.books.links[link]
    if view.showing == "over" and f"session_id={session_id}" not in (view.return_url or ""):
        raise Violation("3DS", f"the payer is sent to {view.return_url}", session_id)


def at_no_page(simulation: Simulation, link: str) -> None:
    """3DS: a link that was handed out leads somewhere."""
    raise Violation("3DS", "the payer's link leads nowhere", simulation.books.links[link][1])


def authentications_are_over(simulation: Simulation) -> None:
    """3DS: nothing stays open, nobody was announced for nothing, and a payer who was too late is not charged."""
    for session in simulation.books.sessions.values():
        for one in session.authentications:
            if not one.is_final:
                raise Violation("3DS", f"an authentication stays {one.state}", session.id)
        for payment in session.payments:
            live = [o for o in _charges_of(session, payment) if o.state is OperationState.APPROVED]
            if payment.reason in (Reason.ACTION_TIMEOUT, Reason.NOT_AUTHENTICATED) and live:
                raise Violation("3DS", f"{payment.reason}, and it is charged", session.id)
            simulation.tally["payers too late"] += payment.reason is Reason.ACTION_TIMEOUT
