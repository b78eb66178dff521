"""Our books against the acquirer's: what the rows say of each operation must be what the sandbox really did."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.acceptance.system import System, until_none

OPERATIONS = """
select o.rrn, o.kind, o.state, o.amount_minor, o.id, p.id, p.phase, p.captured_minor, p.refunded_minor, p.currency,
    exists (select from operation r where (r.project, r.target_id) = (o.project, o.id)
        and r.kind = 'reversal' and r.state = 'approved'),
    o.response_code
from operation o join payment p on (p.project, p.id) = (o.project, o.payment_id)
where o.kind <> 'reversal' and o.rrn is not null
"""
KIND = {"sale": "sale", "authorization": "authorization", "capture": "completion", "refund": "refund"}


def book(system: System, **parameters: object) -> list[dict[str, Any]]:
    """The sandbox's operations, oldest first: `book(system, rrn=…)`."""
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    with urllib.request.urlopen(f"{system.books_url}?{query}", timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["operations"]
        return found


def of_session(system: System, session_id: str) -> list[dict[str, Any]]:
    """What the sandbox has booked for a session, reversals left out, oldest first."""
    ours = f"select rrn from operation where session_id = '{session_id}' and kind <> 'reversal'"
    rrns = system.rows(f"{ours} order by planned_at, id")
    return [one for (rrn,) in rrns if rrn for one in book(system, rrn=rrn) if one["kind"] != "reversal"]


def differences(system: System) -> list[str]:
    """Where the two books disagree; open operations are left out."""
    booked = {one["rrn"]: one for one in book(system) if one["kind"] != "reversal"}
    found = []
    ours = system.rows(OPERATIONS)
    for row in ours:
        rrn, kind, state = row[:3]
        if state in ("planned", "submitted", "reversing"):
            continue
        theirs = booked.get(rrn)
        problem = _problem(row, theirs)
        if problem:
            found.append(f"{kind} {rrn} of {row[5]} ({row[6]}): {problem}; the sandbox: {theirs}")
    known = {row[0] for row in ours}
    found += [f"the sandbox knows {rrn}, we do not" for rrn in booked if rrn not in known]
    return found


def _problem(row: tuple[Any, ...], theirs: dict[str, Any] | None) -> str | None:
    _, kind, state, minor, _, _, _, captured, refunded, currency, is_undone, _ = row
    if theirs is None:
        return f"{state} here, unknown there" if state == "approved" else None
    if (theirs["kind"], theirs["requested_minor"], theirs["currency"]) != (KIND[kind], minor, currency):
        return f"{minor} {currency} here"
    wanted = {"approved": ("approved", "captured"), "declined": ("declined",), "reversed": ("reversed", "declined")}
    allowed = ("reversed",) if is_undone and state == "approved" else wanted[state]
    if theirs["state"] not in allowed:
        return f"{state} here (undone: {is_undone})"
    if state == "approved" and not is_undone and kind in ("sale", "authorization"):
        there = (theirs["captured_minor"], theirs["refunded_minor"])
        return None if there == (captured, refunded) else f"captured and refunded here: {(captured, refunded)}"
    return None


def charged_twice(system: System) -> list[str]:
    """Payments for which the acquirer holds or took money more than once, by its own books."""
    live: dict[str, int] = {}
    payments = {row[0]: row[5] for row in system.rows(OPERATIONS)}
    for one in book(system):
        if one["kind"] in ("sale", "authorization") and one["state"] in ("approved", "captured"):
            payment = payments.get(one["rrn"], one["rrn"])
            live[payment] = live.get(payment, 0) + 1
    return [payment for payment, count in live.items() if count > 1]


def assert_sound(system: System, *, seconds: float = 60.0) -> None:
    """Books agree, nobody is charged twice, and `tollhouse verify` finds nothing."""
    until_none(lambda: differences(system), "the books are equal", seconds=seconds)
    assert charged_twice(system) == []
    assert system.run("verify", "--json").returncode == 0
