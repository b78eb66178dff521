"""Puts the world together: the only place that knows both what flows need and who provides it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from tollhouse.acquirers import ACQUIRERS
from tollhouse.acquirers.message import Response
from tollhouse.api.wire import JsonWire
from tollhouse.boot.chance import NodeNaming, RandomIds, SystemClock, new_node, new_terminals
from tollhouse.boot.config import Config
from tollhouse.boot.herald import WebhookHerald
from tollhouse.flows.hear import hear_late
from tollhouse.net.http import WebhookSender
from tollhouse.net.tcp import AcquirerLink
from tollhouse.operation import Limits
from tollhouse.ports import World
from tollhouse.routing import SANDBOX
from tollhouse.store.postgres import PostgresStore, open_pool
from tollhouse.vault.embedded import EmbeddedVault, keys_of
from tollhouse.vault.keys import IDEMPOTENCY
from tollhouse.vault.secrets import ProjectSecrets
from tollhouse.worker.loops import Deliverer
from tollhouse.worker.tasks import Tasks

CLOSE_SECONDS_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One running process of the gateway: its world and what goes on beside the calls."""

    world: World
    store: PostgresStore
    vault: EmbeddedVault
    link: AcquirerLink
    tasks: Tasks
    deliverer: Deliverer
    idempotency_secret: bytes = field(repr=False)


@asynccontextmanager
async def open_node(config: Config, *, polls: bool) -> AsyncIterator[Node]:
    """A node on the configured database, acquirer and home. `polls`: it also sends other nodes' due webhooks."""
    log = structlog.get_logger()
    name = config.node or new_node()
    pool = await open_pool(config.database_url)

    def announced(project: str, session_id: str) -> None:
        deliverer.tell(project, session_id)

    async def on_unmatched(response: Response) -> None:
        tasks.start(hear_late(world, SANDBOX, response))

    store = PostgresStore(pool, node=name, announced=announced)
    vault = await EmbeddedVault.open(pool, config.home, name)
    idempotency_keys = await keys_of(pool, config.home, IDEMPOTENCY)
    sender = WebhookSender()
    herald = WebhookHerald(pool, await ProjectSecrets.open_home(pool, config.home), sender)
    tasks = Tasks(log)
    terminals = new_terminals()

    link = AcquirerLink(
        config.acquirer_host,
        config.acquirer_port,
        terminals=terminals,
        egress=vault,
        on_unmatched=on_unmatched,
        log=log,
        answer_limit_seconds=config.answer_limit_seconds,
    )
    world = World(
        node=name,
        store=store,
        vault=vault,
        acquirers=ACQUIRERS,
        links={SANDBOX: link},
        clock=SystemClock(),
        ids=RandomIds(),
        naming=NodeNaming(terminals),
        wire=JsonWire(),
        herald=herald,
        log=log,
        limits=Limits(answer_seconds=config.answer_limit_seconds, in_flight_seconds=config.in_flight_limit_seconds),
    )
    deliverer = Deliverer(world, tasks, polls=polls)
    await sender.start()
    await link.start()
    delivering = asyncio.create_task(deliverer.run())
    try:
        yield Node(
            world=world,
            store=store,
            vault=vault,
            link=link,
            tasks=tasks,
            deliverer=deliverer,
            idempotency_secret=idempotency_keys.key(idempotency_keys.current),
        )
    finally:
        await tasks.close(patience_seconds=CLOSE_SECONDS_MAX)
        delivering.cancel()
        await asyncio.gather(delivering, return_exceptions=True)
        await link.close()
        await sender.close()
        herald.close()
        await vault.close()
        await store.close()
