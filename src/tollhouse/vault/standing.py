"""How the keys stand: which versions there are, what lies under each, how old it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from tollhouse.vault.keys import FINGERPRINT, KEK, ROOT
from tollhouse.vault.registry import current_of, load_rows

BY_KEY = "SELECT key_version AS version, count(*) AS count FROM vault.card GROUP BY 1"
BY_PRINT = "SELECT split_part(fingerprint, '.', 1)::integer AS version, count(*) AS count FROM vault.card GROUP BY 1"
# The others seal nothing for long: a new version of them has no job to do.
AGEING = frozenset({KEK, FINGERPRINT, ROOT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One version of a key. `uses` are cards, projects and keys of the registry under it."""

    purpose: str
    version: int
    kind: str
    state: str  # current, old (may be rewrapped and retired), retired (its retirement was interrupted)
    uses: int
    created_at: datetime
    due_at: datetime | None
    is_due: bool


async def load_standings(
    pool: asyncpg.Pool, *, projects: Iterable[int], period_days: int, now: datetime
) -> list[Standing]:
    """Every version that exists. `projects` has, for each project, the version its secrets lie under."""
    rows = await load_rows(pool)
    held = [row.held_version for row in rows if row.purpose != KEK and row.held_version is not None]
    uses = {
        KEK: Counter({row["version"]: row["count"] for row in await pool.fetch(BY_KEY)}) + Counter(projects),
        FINGERPRINT: Counter({row["version"]: row["count"] for row in await pool.fetch(BY_PRINT)}),
    }
    uses[KEK].update(held)
    standings = []
    for row in rows:
        is_current = row == current_of(rows, row.purpose)
        assert row.created_at is not None
        due_at = row.created_at + timedelta(days=period_days) if is_current and row.purpose in AGEING else None
        standings.append(
            Standing(
                purpose=row.purpose,
                version=row.version,
                kind=row.kind,
                state="current" if is_current else "retired" if row.is_retired else "old",
                uses=uses.get(row.purpose, Counter())[row.version],
                created_at=row.created_at,
                due_at=due_at,
                is_due=due_at is not None and due_at <= now,
            )
        )
    return standings
