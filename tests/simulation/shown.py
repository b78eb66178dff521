"""What payers are shown and told, held against the bank's books; the rules of the gateway are not asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.truth import Violation, charges_of, named_by
from tollhouse.operation import CHARGES, Kind, State
from tollhouse.progress import FINAL, Progress, Stage, form_note

if TYPE_CHECKING:
    from tests.simulation.tokens import Issued
    from tests.simulation.world import Simulation
    from tollhouse.flows.authenticate import View

SUCCESS, FAILURE = "https://shop.test/ok", "https://shop.test/no"


def at_progress(simulation: Simulation, issued: Issued, progress: Progress) -> None:
    """P2, P6, P12: a form shows its own session, no success before a charge, and no failure while one may exist."""
    if progress.session_id != issued.session_id:
        raise Violation("P12", f"a token of {issued.session_id} shows {progress.session_id}", progress.session_id)
    if progress.stage in FINAL:
        key, on_hold = (issued.project, progress.session_id), issued.options.succeeds_on_hold
        _stands(simulation, key, is_success=progress.stage is Stage.SUCCEEDED, on_hold=on_hold)
    simulation.tally[f"forms shown {progress.stage}"] += 1


def at_view(simulation: Simulation, link: str, view: View) -> None:
    """P2, P6: the payer's page leads to the address of the end that there is."""
    project, session_id, payment_id = simulation.books.links[link]
    url = view.return_url or ""
    note = form_note(simulation.books.sessions[project, session_id].payment(payment_id))
    if note is not None and url.startswith((SUCCESS, FAILURE)):
        is_success = url.startswith(SUCCESS)
        _stands(simulation, (project, session_id), is_success=is_success, on_hold=note.succeeds_on_hold)


def _stands(simulation: Simulation, key: tuple[str, str], *, is_success: bool, on_hold: bool) -> None:
    """By the bank's books alone: whether an end that a payer is told of is one."""
    session = simulation.books.sessions[key]
    mine = [
        entry
        for entry in charges_of(simulation)
        if entry.key not in simulation.network.mistaken and named_by(simulation, entry.key)[:2] == key
    ]
    taken = [entry for entry in mine if entry.captured_minor > 0]
    if is_success and not (mine if on_hold else taken):
        raise Violation("P2", "a payer is told of a success, and the bank has none", key[1])
    was_refused = any(o.kind is Kind.CAPTURE and o.state is State.DECLINED for o in session.operations)
    kept = taken if was_refused else mine  # a hold that cannot be captured is a failure before it is given back
    if not is_success and kept:
        raise Violation("P6", "a payer is told of a failure while the bank has it approved", key[1])
    if not is_success and any(o.kind in CHARGES and not o.is_final for o in session.operations):
        raise Violation("P6", "a payer is told of a failure while a charge is open", key[1])
