"""Make a decision true: render what is stored with it, commit it, and never mistake our success for a rival's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tollhouse.change import Change, KeyClaim, Note
from tollhouse.merchant import Project
from tollhouse.operation import SEND_SECONDS_MAX
from tollhouse.ports import CommitUnclear, KeyTaken, Stale, StoreUnreachable, World
from tollhouse.refusal import SessionUnknown, Unavailable
from tollhouse.session import Lease, PaymentSession

ROUNDS_MAX = 20
UNCLEAR_GAPS_SECONDS = (0.05, 0.2, 0.5, 1, 1, 1, 1, 1, 1, 1)
LEASE_MARGIN_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One merchant's call: whose, in which version, what to note of it, and the idempotency key it uses up."""

    project: Project
    api_version: int
    note: Note
    claim: KeyClaim | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a call led to: what its caller is shown, how the session stands, and whether something was committed."""

    answer: PaymentSession
    session: PaymentSession
    is_written: bool


async def settle(world: World, change: Change, *, answer_version: int | None = None) -> Change:
    """Commit, and after an answer lost around the commit find out what became of it before anything else.

    Raises `Stale` (somebody else was first), `KeyTaken`, `StoreUnreachable` (nothing is known; decide nothing).
    """
    change = _completed(world, change, answer_version)
    session, is_unclear = change.session, False
    for gap_seconds in (*UNCLEAR_GAPS_SECONDS, None):
        try:
            await world.store.commit(change)
            break
        except (Stale, KeyTaken):
            # A commit of ours that was believed lost may have moved the version and used the key itself.
            if is_unclear and await world.store.find_change(session.project, session.id, change.id):
                break
            raise
        except CommitUnclear:
            is_unclear = True
            if gap_seconds is None:
                raise StoreUnreachable("the database does not answer") from None
            await world.clock.sleep(gap_seconds)
    for alarm in change.alarms:
        world.log.error("alarm", session=session.id, subject=alarm.subject, what=alarm.what)
    for sealed in change.erased_cvvs:
        try:
            await world.vault.erase_cvv(sealed)
        except OSError as problem:  # the change stands all the same; the vault's sweep erases it later
            world.log.error("security code not erased yet", session=session.id, why=problem.strerror)
    return change


def _completed(world: World, change: Change, answer_version: int | None) -> Change:
    """The change with its bytes rendered and its lease: whoever leaves work behind goes on with it at once."""
    version = change.session.webhook_version or change.session.api_version
    events = tuple(replace(event, body=world.wire.webhook_body(event, version)) for event in change.events)
    claim = change.claim
    if claim is not None and claim.keeps_answer:
        version = answer_version or change.session.api_version
        claim = replace(claim, answer=world.wire.answer_body(change.answer, version))
    seconds = world.limits.answer_seconds + SEND_SECONDS_MAX + LEASE_MARGIN_SECONDS
    lease = Lease(owner=world.node, seconds=seconds) if change.goes_on else None
    session = replace(change.session, lease_owner=world.node if change.goes_on else None)
    return replace(change, events=events, claim=claim, lease=lease, session=session)


async def settle_call(world: World, call: Call, change: Change) -> Settled:
    """`settle` for a merchant's call: with its note and its idempotency key in the same commit."""
    noted = replace(change, notes=(call.note, *change.notes), claim=call.claim)
    done = await settle(world, noted, answer_version=call.api_version)
    return Settled(answer=done.answer, session=done.session, is_written=True)


async def decide(world: World, call: Call, session_id: str, rule: Callable[[PaymentSession], Change | None]) -> Settled:
    """Read the session, apply the rule, commit; the loser of a race reads and decides again.

    Raises `SessionUnknown`, whatever the rule refuses, and `Unavailable` after losing too often.
    """
    for _ in range(ROUNDS_MAX):
        session = await world.store.find_session(call.project.name, session_id)
        if session is None:
            raise SessionUnknown
        change = rule(session)
        if change is None:
            return Settled(answer=session, session=session, is_written=False)
        try:
            return await settle_call(world, call, change)
        except Stale:
            continue
    raise Unavailable("the session changes too fast; retry with the same idempotency key")
