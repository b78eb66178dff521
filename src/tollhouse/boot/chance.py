"""Time, ids and references from the real world: the only clock and the only dice of the gateway."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from tollhouse.operation import References

ID_NODE_DIGITS, ID_COUNT_DIGITS = 3, 4
# Linux has a clock that goes on in suspend; elsewhere the usual one has to do.
SLEEPLESS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TOKEN_BYTES = 32
SECRET_BYTES = 16
RRN_TIME_DIGITS, RRN_NODE_DIGITS, RRN_COUNT_DIGITS = 8, 2, 2
STAN_MAX = 999_999
TERMINALS_PER_NODE = 4


class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only grow, also while the machine sleeps: a deadline must not wait for it to wake."""
        return time.clock_gettime(SLEEPLESS)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class NodeIds:
    """Ids of 20 digits: milliseconds, a number of this process, a count; always growing within the process."""

    def __init__(self) -> None:
        self._last = 0
        self._node_part = secrets.randbelow(10**ID_NODE_DIGITS) * 10**ID_COUNT_DIGITS
        self._count = secrets.randbelow(10**ID_COUNT_DIGITS)

    def new(self, prefix: str) -> str:
        """A prefix, an underscore and 20 digits."""
        self._count = (self._count + 1) % 10**ID_COUNT_DIGITS
        milliseconds = time.time_ns() // 1_000_000
        number = milliseconds * 10 ** (ID_NODE_DIGITS + ID_COUNT_DIGITS) + self._node_part + self._count
        self._last = max(number, self._last + 1)
        return f"{prefix}_{self._last:020d}"

    def secret(self) -> str:
        """128 random bits as 22 characters that stand in a URL as they are."""
        return secrets.token_urlsafe(SECRET_BYTES)

    def uuid(self) -> str:
        """A random UUID."""
        return str(uuid.uuid4())

    def token(self) -> str:
        """256 random bits as 64 hexadecimal digits."""
        return secrets.token_hex(TOKEN_BYTES)


class NodeNaming:
    """References of this node's messages: RRNs by time, node and count, STANs counted round, terminals in turn."""

    def __init__(self, terminals: Sequence[str]) -> None:
        self._terminals = terminals
        self._stan = secrets.randbelow(STAN_MAX)
        self._node_part = base36(secrets.randbelow(36**RRN_NODE_DIGITS), RRN_NODE_DIGITS)

    def new(self, now: datetime) -> References:
        """References that no other operation has had for 13 months (the books refuse the rare double)."""
        self._stan = self._stan % STAN_MAX + 1
        time_part = base36(int(now.timestamp() * 1000), RRN_TIME_DIGITS)
        return References(
            rrn=time_part + self._node_part + base36(self._stan, RRN_COUNT_DIGITS),
            stan=f"{self._stan:06d}",
            terminal=self._terminals[self._stan % len(self._terminals)],
            transmitted_at=now.replace(microsecond=0),
        )


def base36(number: int, digits: int) -> str:
    """The last so many digits of the number in base 36, upper case."""
    text = ""
    for _ in range(digits):
        number, place = divmod(number, 36)
        text = BASE36[place] + text
    return text


def new_node() -> str:
    """A name for this process that no other has."""
    return "n" + secrets.token_hex(6)


def new_terminals() -> list[str]:
    """Terminals of this node's own: eight characters each."""
    stem = base36(secrets.randbelow(36**6), 6)
    return [f"T{stem}{place}" for place in range(TERMINALS_PER_NODE)]
