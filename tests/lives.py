"""Lives of sessions: what the rows would tell after a story, in memory or written into a database."""

from __future__ import annotations

from dataclasses import replace

from tests.ground.story import ENROLLED, ONE_STAGE, TWO_STAGE, Counted, Story, outcome_for
from tollhouse.api.wire.answers import JsonWire
from tollhouse.change import Change, KeyClaim, Note
from tollhouse.exemption import Exemption
from tollhouse.ledger import Transfer
from tollhouse.life import Kept, Life, Past
from tollhouse.merchant import Settings
from tollhouse.operation import Kind, Operation
from tollhouse.store.postgres import PostgresStore

MTI = {Kind.SALE: "0200", Kind.AUTHORIZATION: "0100", Kind.CAPTURE: "0220", Kind.REFUND: "0200", Kind.REVERSAL: "0400"}
IDS_APART = 1000


def told(number: int = 1, settings: Settings = ONE_STAGE) -> Story:
    """A story whose session and ids no other number has."""
    ids = Counted()
    ids.count = number * IDS_APART
    story = Story(settings, ids=ids, names=number * IDS_APART)
    story.session = replace(story.session, id=f"ps_{number:03d}")
    return story


def answered(story: Story, code: str, kind: Kind | None = None) -> Story:
    """What is due is sent and answered a moment later."""
    operation = story.wait(1).send(kind)
    return story.wait(0.05).hear(operation, outcome_for(operation, code))


def paid(number: int = 1) -> Story:
    """A sale that was approved."""
    return answered(told(number).start().wait(1).confirm(), "00")


def refunded(number: int = 1) -> Story:
    """A sale of which a part was given back, a refund was declined, and one waits for its answer."""
    story = answered(answered(paid(number).refund(1000), "00").refund(500), "05").refund(200)
    story.wait(1).send()
    return story


def captured(number: int = 1) -> Story:
    """A hold of which a part was taken."""
    return answered(answered(told(number, TWO_STAGE).start().confirm(), "00").capture(2000), "00")


def released(number: int = 1) -> Story:
    """A hold that was given back."""
    return answered(answered(told(number, TWO_STAGE).start().confirm(), "00").cancel(), "00")


def reversed_late(number: int = 1) -> Story:
    """A sale without an answer, reversed; its approval came too late and was reversed again."""
    story = answered(answered(told(number).start().confirm(), ""), "00")
    return answered(story.wait(1).hear_late("00"), "00")


def declined(number: int = 1) -> Story:
    """A sale the bank refused."""
    return answered(told(number).start().confirm(), "51")


def cancelled(number: int = 1) -> Story:
    """A payment the merchant did not want any more."""
    return told(number).start().cancel()


def timed_out(number: int = 1) -> Story:
    """A payment nobody decided about."""
    return told(number).start().wait(241 * 60).sweep()


def stuck(number: int = 1) -> Story:
    """A sale without an answer, and a reversal that is not answered either for a day."""
    return answered(told(number).start().confirm(), "").be_stuck(Kind.REVERSAL)


def waiting(number: int = 1) -> Story:
    """A payment that waits to be confirmed."""
    return told(number).start()


def asked(number: int = 1, settings: Settings = ONE_STAGE) -> Story:
    """A payer who must act, for whom the directory server was asked."""
    return told(number, settings).start(ENROLLED).wait(1).confirm().wait(5).ask().wait(1)


def authenticated(number: int = 1) -> Story:
    """A sale with proof, without a challenge."""
    return answered(asked(number).reply("Y"), "00")


def challenged(number: int = 1) -> Story:
    """A hold with proof, after one challenge that was left and another that was passed."""
    story = asked(number, TWO_STAGE).reply("C").wait(60).retry().ask().reply("C").wait(40).result("Y")
    return answered(story, "00")


def unproven(number: int = 1) -> Story:
    """A sale for whose payer the issuer could not vouch."""
    return answered(asked(number).reply("U"), "00")


def unheard(number: int = 1) -> Story:
    """A sale although the directory server was silent."""
    return answered(asked(number).reply(""), "00")


def stepped_up(number: int = 1) -> Story:
    """An exempt sale, declined softly, and a second one with proof."""
    story = answered(told(number).start(ENROLLED, Exemption.LOW_VALUE).confirm(), "1A")
    return answered(story.wait(5).ask().reply("C").wait(30).result("Y"), "00")


def refused(number: int = 1) -> Story:
    """A payer who was not authenticated."""
    return asked(number).reply("C").wait(50).result("N")


def away(number: int = 1) -> Story:
    """A payer who never came."""
    return told(number).start(ENROLLED).confirm().wait(3600).sweep()


def acting(number: int = 1) -> Story:
    """A payer in the middle of a challenge."""
    return asked(number).reply("C")


GUARDED = (authenticated, challenged, unproven, unheard, stepped_up, refused, away, acting)
STORIES = (
    *(paid, refunded, captured, released, reversed_late, declined, cancelled, timed_out, stuck, waiting),
    *GUARDED,
)


def life_of(story: Story) -> Life:
    """What the rows would tell."""
    changes = [_noted(story, change) for change in story.changes]
    return Life(
        session=story.session,
        history=tuple(
            Past(change_id=one.id, version=one.session.version, at=one.at, node="n1", steps=one.steps)
            for one in changes
        ),
        notes=tuple(Kept(at=one.at, what=note) for one in changes for note in one.notes),
        alarms=tuple(Kept(at=one.at, what=alarm) for one in changes for alarm in one.alarms),
        transfers=tuple(Kept(at=one.at, what=transfer) for one in changes for transfer in one.transfers),
        events=(),
    )


async def keep(dsn: str, *stories: Story) -> None:
    """Write every change of the stories into a database, as the gateway would have."""
    store = await PostgresStore.open(dsn, node="n1")
    for story in stories:
        for change in story.changes:
            await store.commit(_noted(story, change))
    await store.close()


def transfers_of(life: Life) -> list[Transfer]:
    """The transfers of a life."""
    return [kept.what for kept in life.transfers if isinstance(kept.what, Transfer)]


def _noted(story: Story, change: Change) -> Change:
    """The change as it is committed: with bodies, messages, and a key where a merchant began or refunded."""
    wire = JsonWire()
    events = tuple(replace(event, body=wire.webhook_body(event, 2)) for event in change.events)
    heard = {step.heard for step in change.steps}
    notes: list[Note] = []
    claim = None
    if heard & {"start", "confirm", "cancel"}:
        method = "init/payment" if "start" in heard else "confirm" if "confirm" in heard else "cancel"
        notes.append(Note(kind="request", data={"method": f"session/{method}", "request_id": "rq_1", "status": 200}))
    if "start" in heard:
        claim = KeyClaim(
            key=f"key-{change.id}", path="/api/v2/session/init/payment", body_hash=b"hash", keeps_answer=False
        )
    for step in change.steps:
        operation = next((o for o in change.session.operations if o.id == step.subject), None)
        if operation is not None:
            notes += _messages(operation, step.heard)
    for alarm in change.alarms:
        if alarm.what.startswith("approved after"):
            late = next(o for o in change.session.operations if o.id == alarm.subject)
            notes += _messages(late, "approval")
    return replace(change, events=events, notes=tuple(notes), claim=claim)


def _messages(operation: Operation, heard: str) -> list[Note]:
    code = {"approval": "00", "decline": operation.response_code or "05"}.get(heard)
    references = operation.references
    if references is None or (heard != "leaving" and code is None):
        return []
    fields = {
        "4": f"{operation.amount_minor:012d}",
        "11": references.stan,
        "37": references.rrn,
        "41": references.terminal,
        "49": "978",
    }
    mti = MTI[operation.kind]
    if heard == "leaving":
        slots = {"2": "<pan>", "14": "<expiry>"}
        return [_message("message_out", operation, mti, fields | slots)]
    answer = {"39": code or "", "38": "7K20QX"} if code == "00" else {"39": code or ""}
    return [_message("message_in", operation, f"{mti[:2]}{int(mti[2:]) + 10:02d}", fields | answer)]


def _message(kind: str, operation: Operation, mti: str, fields: dict[str, str]) -> Note:
    return Note(kind=kind, data={"operation": operation.id, "mti": mti, "fields": fields})
