"""A purge on the configured database and vault."""

from __future__ import annotations

import asyncpg

from tollhouse.boot.chance import SystemClock
from tollhouse.boot.config import Config
from tollhouse.boot.wiring import Node
from tollhouse.store.purge import PurgeStore, Retention
from tollhouse.vault.port import NodeAudit
from tollhouse.vault.shredding import Shredder
from tollhouse.worker.purging import SETTLE_SECONDS, Purge, Told, purge_daily


def retention_of(config: Config) -> Retention:
    """How long things are kept."""
    return Retention(
        cards_days=config.retention_cards_days,
        personal_days=config.retention_personal_days,
        events_days=config.retention_events_days,
        books_days=config.retention_books_days,
    )


def purge_on(
    config: Config,
    pool: asyncpg.Pool,
    vault_pool: asyncpg.Pool,
    audit: NodeAudit,
    *,
    told: Told,
    settle_seconds: float = SETTLE_SECONDS,
) -> Purge:
    """A purge for somebody who reaches both the gateway's rows and the vault's."""
    return Purge(
        store=PurgeStore(pool),
        vault=Shredder(vault_pool, audit),
        retention=retention_of(config),
        now=SystemClock().now,
        told=told,
        settle_seconds=settle_seconds,
    )


async def purge_loop(config: Config, node: Node) -> None:
    """The daily purge of a node, until cancelled."""
    purge = Purge(
        store=PurgeStore(node.store.pool),
        vault=node.vault,
        retention=retention_of(config),
        now=node.world.clock.now,
    )
    await purge_daily(purge, audit=node.audit, log=node.world.log)
