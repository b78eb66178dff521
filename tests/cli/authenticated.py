"""The life of a payment whose payer was challenged, with every message of 3-D Secure as it is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.ground.story import ACS_ID, DS_ID, ENROLLED, NOON, VALUE, Story
from tests.lives import answered, life_of, told
from tollhouse.change import Note
from tollhouse.life import Kept, Life

MASKED = "400000******3184"


def challenged(number: int = 1) -> Story:
    """The issuer challenged the payer, who passed; the sale was approved."""
    story = told(number).start(ENROLLED).wait(1).confirm().wait(1).ask().wait(0.1).reply("C")
    return answered(story.wait(20).result("Y", eci="05"), "00")


def notes_of(story: Story, *, ends_in_silence: bool = False) -> tuple[Kept, ...]:
    """The messages of its authentication; or a request without an answer, and an error message."""
    ids = {"threeDSServerTransID": story.attempt.id, "acsTransID": ACS_ID, "dsTransID": DS_ID}
    asked = message("AReq", acctNumber=MASKED, threeDSServerTransID=story.attempt.id, acctInfo={"chAccAgeInd": "01"})
    if ends_in_silence:
        erro = message("Erro", errorCode="203", errorDescription="Wrong", errorDetail="eci", errorMessageType="ARes")
        return (
            kept(story, 2, "out", asked),
            kept(story, 12, "in", None, silence="no answer within 10 s", authentication=story.attempt.id),
            kept(story, 13, "out", erro),
        )
    return (
        kept(story, 2, "out", asked),
        kept(story, 2.1, "in", message("ARes", transStatus="C", acsURL="https://acs.test/", **ids)),
        kept(story, 22.0, "in", message("CRes", transStatus="Y")),
        kept(story, 22.1, "in", message("RReq", transStatus="Y", eci="05", authenticationValue=VALUE, **ids)),
        kept(story, 22.1, "out", message("RRes", resultsStatus="01", **ids)),
    )


def message(type: str, **members: Any) -> dict[str, Any]:
    """A message of the newest version."""
    return {"messageType": type, "messageVersion": "2.3.1", **members}


def kept(story: Story, seconds: float, direction: str, members: dict[str, Any] | None, **more: Any) -> Kept:
    """A message as a note, so long after noon."""
    data: dict[str, Any] = {"payment": story.payment.id, "direction": direction, **more}
    if members is not None:
        data["message"] = members
    return Kept(at=NOON + timedelta(seconds=seconds), what=Note(kind="threeds", data=data))


def life(*, ends_in_silence: bool = False) -> Life:
    """The life with these messages in it, in the order of time."""
    story = challenged()
    lived = life_of(story)
    notes = (*lived.notes, *notes_of(story, ends_in_silence=ends_in_silence))
    return replace(lived, notes=tuple(sorted(notes, key=lambda one: one.at)))
