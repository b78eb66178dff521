"""The issuer's access control server: its first answer, as the card's digit a asks for it.

| a | answer | unless                                                                                              |
|---|--------|-----------------------------------------------------------------------------------------------------|
| 1 | Y      | the 3DS server has a mandate for a challenge (indicator 04) and the payer has a browser: then C     |
| 2 | A      | the same                                                                                            |
| 7 | C      | no payer has a browser (3RI): then U, reason 21                                                     |
| 9 | D      | the 3DS server did not offer to wait (threeDSRequestorDecReqInd Y or B): then N, reason 23          |

3, 4, 5, 6 are N, U, R, I; 8 never comes here. A card without digits whose range a test added gets Y.
"""

from __future__ import annotations

import uuid
from typing import Any

from tollhouse.sandbox.cards import Authentication, behaviour_of
from tollhouse.sandbox.threeds.challenges import Challenges
from tollhouse.sandbox.threeds.dossiers import PASSED, UNPROVEN_REASONS, Dossier, open_dossier
from tollhouse.sandbox.threeds.messages import Messages, erro
from tollhouse.sandbox.threeds.values import Values
from tollhouse.threeds.message import Component, Members, MessageRefused, MessageType
from tollhouse.threeds.reading import read
from tollhouse.threeds.writing import compose, compose_erro

ISSUER_REFERENCE = "TOLLHOUSE-SANDBOX-ACS-0001"
MANDATE = "04"
NO_BROWSER, NOT_OFFERED = "21", "23"  # transStatusReason
ADDED_BY_DIRECTORY = ("dsTransID", "dsReferenceNumber", "dsURL")
STATUSES = {
    Authentication.NONE: "Y",
    Authentication.FRICTIONLESS: "Y",
    Authentication.ATTEMPTED: "A",
    Authentication.NOT_AUTHENTICATED: "N",
    Authentication.UNAVAILABLE: "U",
    Authentication.REJECTED: "R",
    Authentication.INFORMED: "I",
    Authentication.CHALLENGE: "C",
    Authentication.UNANSWERED: "U",  # asked past the directory server, which is what does not answer
    Authentication.DECOUPLED: "D",
}


class Issuer:
    """Answers authentication requests, and begins the challenges that follow."""

    def __init__(self, values: Values, challenges: Challenges, messages: Messages) -> None:
        self._values = values
        self._challenges = challenges
        self._messages = messages

    def answer(self, body: bytes, base: str) -> dict[str, Any]:
        """The ARes to an AReq that a directory server hands on, or an Erro. `base` is where browsers find us."""
        try:
            request = read(body, expects={MessageType.AREQ})
        except MessageRefused as refused:
            answer = compose_erro(refused, component=Component.ISSUER)
        else:
            self._messages.note(Component.DIRECTORY, Component.ISSUER, request)
            answer = self._answer(request, base)
        self._messages.note(Component.ISSUER, Component.DIRECTORY, answer)
        return answer

    def _answer(self, request: Members, base: str) -> dict[str, Any]:
        missing = [name for name in ADDED_BY_DIRECTORY if name not in request]
        if missing:
            return erro("201", ",".join(missing), request, component=Component.ISSUER)
        behaviour = behaviour_of(request["acctNumber"])
        dossier = open_dossier(request, behaviour, self._values, issuer_id=str(uuid.uuid4()))
        status, reason = _decide(request, behaviour.authentication)
        dossier.is_decoupled = status == "D"
        answer = _compose_answer(request, dossier, status, reason, base)
        if status in ("C", "D"):
            self._challenges.expect(dossier)
        return answer


def _decide(request: Members, asked: Authentication) -> tuple[str, str | None]:
    """The status and its reason."""
    status = STATUSES[asked]
    has_browser = request["deviceChannel"] == "02"
    if status in PASSED and has_browser and _is_mandated(request):
        status = "C"
    if status == "C" and not has_browser:
        return "U", NO_BROWSER
    if status == "D" and request.get("threeDSRequestorDecReqInd") not in ("Y", "B"):
        return "N", NOT_OFFERED
    return status, UNPROVEN_REASONS.get(status)


def _is_mandated(request: Members) -> bool:
    wishes = request.get("threeDSRequestorChallengeInd")
    return MANDATE in (wishes if isinstance(wishes, list) else [wishes])


def _compose_answer(request: Members, dossier: Dossier, status: str, reason: str | None, base: str) -> dict[str, Any]:
    offered: dict[str, Any] = {
        **dossier.ids,
        "acsReferenceNumber": ISSUER_REFERENCE,
        "dsReferenceNumber": request["dsReferenceNumber"],
        "transStatus": status,
        "transStatusReason": reason,
        **dossier.vouched(status),
    }
    if status == "C":
        offered |= {"acsURL": f"{base}/acs/challenge", **dossier.method}
        offered |= {"acsChallengeMandated": "Y" if _is_mandated(request) else "N"}
    if status == "D":
        offered |= {"acsDecConInd": "Y", "acsChallengeMandated": "Y", **dossier.method}
    return compose(MessageType.ARES, dossier.version, offered)
