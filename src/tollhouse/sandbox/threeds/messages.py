"""Every message that passed, the PAN masked, for tests and people; and the Erro for what no table refuses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tollhouse.card import mask
from tollhouse.masking import mask_cards
from tollhouse.threeds.message import Component, Members, MessageType
from tollhouse.threeds.writing import compose

KEPT_MAX = 10_000  # authentications
MESSAGES_MAX = 50  # of one authentication

VERSION_NOT_SUPPORTED, INVALID, NOT_RECOGNISED, SERIAL_UNKNOWN = "102", "101", "301", "307"
TIMEOUT, TRANSIENT, PERMANENT, UNREACHABLE = "402", "403", "404", "405"
DESCRIPTIONS: Mapping[str, str] = {
    INVALID: "The card is in no range of this directory server",
    VERSION_NOT_SUPPORTED: "The card's range does not speak this message version",
    "201": "Required element missing or empty",
    "203": "Format, length or value of an element is wrong",
    NOT_RECOGNISED: "Transaction ID not recognised",
    SERIAL_UNKNOWN: "Serial number not recognised; ask again without it",
    TIMEOUT: "The 3DS server did not answer in time",
    TRANSIENT: "The 3DS server could not answer now",
    PERMANENT: "The issuer's system failed, because the card asks for it",
    UNREACHABLE: "The 3DS server could not be reached",
}


def erro(code: str, detail: str, about: Members, *, component: Component) -> dict[str, Any]:
    """An Erro about a message that was read. `detail` names fields and never holds a value."""
    return compose(
        MessageType.ERRO,
        about["messageVersion"],
        {
            **{name: value for name, value in about.items() if name.endswith("TransID")},
            "errorCode": code,
            "errorComponent": component.value,
            "errorDescription": DESCRIPTIONS[code],
            "errorDetail": detail,
            "errorMessageType": about["messageType"],
        },
    )


class Messages:
    """What was said, by threeDSServerTransID; the newest authentications only."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()

    def note(self, sender: Component, receiver: Component, members: Members) -> None:
        """Keep a message. One that names no authentication is kept nowhere."""
        named = members.get("threeDSServerTransID")
        if not isinstance(named, str):
            return
        seen = self._seen.setdefault(named, [])
        self._seen.move_to_end(named)
        if len(seen) < MESSAGES_MAX:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            seen.append({"at": now, "from": sender.value, "to": receiver.value, "message": masked(members)})
        while len(self._seen) > KEPT_MAX:
            self._seen.popitem(last=False)

    def of(self, server_id: str) -> list[dict[str, Any]]:
        """All messages of one authentication, oldest first."""
        return list(self._seen.get(server_id, ()))


def masked(members: Members) -> dict[str, Any]:
    """The message with its PAN masked, also where it stands in a field that is meant for something else."""
    return {name: mask(value) if name == "acctNumber" else _masked(value) for name, value in members.items()}


def _masked(value: Any) -> Any:
    match value:
        case str():
            return mask_cards(value)
        case dict():
            return {name: _masked(member) for name, member in value.items()}
        case list():
            return [_masked(item) for item in value]
        case _:
            return value
