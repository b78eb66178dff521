"""The issuer's result on its way to the 3DS server, through the directory server; repeated where nobody took it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import structlog

from tollhouse.sandbox.cards import Challenge
from tollhouse.sandbox.threeds.courier import NotTaken
from tollhouse.sandbox.threeds.directory import Directory
from tollhouse.sandbox.threeds.dossiers import Dossier
from tollhouse.sandbox.threeds.messages import PERMANENT, TIMEOUT, TRANSIENT, UNREACHABLE, erro
from tollhouse.threeds.message import Component, MessageType
from tollhouse.threeds.writing import compose

REPEATS_MAX = 3
REPEATED = frozenset({TIMEOUT, TRANSIENT, UNREACHABLE})  # Erro codes after which a result is sent again
INTERACTIONS_MAX = 99

log = structlog.get_logger("tollhouse.sandbox")


class Results:
    """Sends results. What the 3DS server said to one stands in the dossier."""

    def __init__(self, directory: Directory, repeat_seconds: float) -> None:
        self._directory = directory
        self._repeat_seconds = repeat_seconds

    async def send(self, dossier: Dossier, *, after_seconds: float = 0) -> None:
        """Send the result of a dossier as its card asks: once, twice, or an Erro in its place."""
        await asyncio.sleep(after_seconds)
        for _ in range(2 if dossier.behaviour.challenge is Challenge.TWICE else 1):
            if not await self._send_until_taken(dossier):
                log.warning("sandbox.result_not_taken", acs_id=dossier.issuer_id)

    async def _send_until_taken(self, dossier: Dossier) -> bool:
        for attempt in range(1 + REPEATS_MAX):
            if attempt:
                await asyncio.sleep(self._repeat_seconds)
            if await self._send_once(dossier):
                return True
        return False

    async def _send_once(self, dossier: Dossier) -> bool:
        if dossier.behaviour.challenge is Challenge.ERROR:
            try:
                await self._directory.hand_erro(compose_error(dossier), dossier.directory_id)
            except NotTaken:
                return False
            return True
        answer = await self._directory.answer(msgspec.json.encode(compose_result(dossier)), "")
        assert answer is not None
        dossier.results_status = answer.get("resultsStatus")
        return answer.get("errorCode") not in REPEATED


def compose_result(dossier: Dossier) -> dict[str, Any]:
    """The RReq of an authentication that ended."""
    result = dossier.result
    assert result is not None
    interactions = f"{min(dossier.interactions, INTERACTIONS_MAX):02d}"
    return compose(
        MessageType.RREQ,
        dossier.version,
        {
            **dossier.ids,
            "messageCategory": dossier.category,
            "transStatus": result.status,
            "transStatusReason": result.reason,
            "challengeCancel": result.cancel,
            "interactionCounter": None if dossier.is_decoupled else interactions,
            **dossier.method,
            **dossier.vouched(result.status),
        },
    )


def compose_error(dossier: Dossier) -> dict[str, Any]:
    """The Erro of an issuer whose system failed, in place of a result."""
    about = {**dossier.ids, "messageVersion": dossier.version, "messageType": MessageType.RREQ.value}
    return erro(PERMANENT, "message", about, component=Component.ISSUER)


def compose_return(dossier: Dossier) -> dict[str, Any]:
    """The CRes that the payer's browser takes back."""
    assert dossier.result is not None
    ids = {name: value for name, value in dossier.ids.items() if name != "dsTransID"}
    has_passed = dossier.result.status in ("Y", "A")
    return compose(MessageType.CRES, dossier.version, {**ids, "transStatus": "Y" if has_passed else "N"})
