"""A pile whose cards are opened: each batch stands in the audit log before it is, and again with how many it were."""

from __future__ import annotations

from tollhouse.audit import DONE, GRANTED, Act
from tollhouse.vault.piles import Moved, Pile, Place
from tollhouse.vault.port import Recorder


class RecordedPile:
    """Implements `Pile`. One entry stands for a batch: it names the card it begins behind and how many it may be."""

    def __init__(self, pile: Pile, audit: Recorder) -> None:
        self._pile, self._audit = pile, audit
        self.name = pile.name

    async def count(self) -> int:
        """How many lie under another version than the current one."""
        return await self._pile.count()

    async def count_under(self, version: int) -> int:
        """How many lie under this version."""
        return await self._pile.count_under(version)

    async def move(self, after: Place, limit: int) -> Moved:
        """Move a batch, once it stands in the log. Raises the database's errors: then no card was opened."""
        place = "/".join(str(word) for word in after).strip("/") or "the first"
        await self._audit.write(
            Act(what="card.reveal", outcome=GRANTED, subject=self.name, details=f"up to {limit} after {place}")
        )
        moved = await self._pile.move(after, limit)
        end = "the last" if moved.last is None else "/".join(str(word) for word in moved.last)
        details = f"{moved.moved} moved, {len(moved.broken)} do not open, up to {end}"
        await self._audit.write(Act(what="card.reveal", outcome=DONE, subject=self.name, details=details))
        return moved
