"""What `pay` learns from the rows while it plays: messages of 3-D Secure, soft declines. For display only."""

from __future__ import annotations

import asyncio

import asyncpg

from tollhouse.cli.conversation import Conversation
from tollhouse.cli.identity import Merchant, leave
from tollhouse.cli.step_up import softly_declined
from tollhouse.cli.threeds import exchanged
from tollhouse.store.postgres import LOST
from tollhouse.store.reads import find_life

PAUSE_SECONDS = 0.3  # between one look and the next
LAG_SECONDS = 0.5  # so late a message may come to its row
LOOK_SECONDS_MAX = 5.0


class Overhearing:
    """Looks at the rows of a conversation's session. A database that is away is no reason to end a play."""

    def __init__(self, pool: asyncpg.Pool, conversation: Conversation) -> None:
        self._pool = pool
        self._conversation = conversation
        self.is_lost = False  # whether the last look failed

    async def look(self) -> None:
        """Tell the conversation what the rows say by now."""
        conversation = self._conversation
        session_id = conversation.session.get("id")
        if session_id is None:
            return
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                life = await find_life(self._pool, conversation.merchant.project.name, session_id)
        except LOST:
            self.is_lost = True
            return
        self.is_lost = False
        if life is not None:
            conversation.hear(exchanged(life))
            conversation.hear_declines(softly_declined(life))

    async def keep_looking(self) -> None:
        """Until cancelled; what can have no predecessor any more is told."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            known_until = self._conversation.seconds_now() - LAG_SECONDS
            await self.look()
            self._conversation.in_order.tell_until(known_until)

    async def finish(self) -> None:
        """The last look; then everything is told."""
        await self.look()
        self._conversation.in_order.tell_all()

    @property
    def warning(self) -> str | None:
        """What a reader must know of what was told."""
        if not self.is_lost:
            return None
        return "the database went away at the end: messages of 3-D Secure may be missing above; nothing else is"


async def leave_or_say(pool: asyncpg.Pool, merchant: Merchant) -> str | None:
    """Put the project back as `identity.leave` does; where the database is away, what is therefore left to do."""
    name = merchant.project.name
    try:
        await leave(pool, merchant)
    except LOST:
        kept = "" if merchant.settings_before is None else ", and so do the settings that this run's flags changed"
        return f"the database went away: the webhook address of this run stays with project {name}{kept}"
    return None
