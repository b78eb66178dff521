"""Puts the world together: the only place that knows both what flows need and who provides it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from tollhouse.acquirers import ACQUIRERS
from tollhouse.acquirers.message import Response
from tollhouse.api.widget.watch import Watch
from tollhouse.api.wire import JsonWire
from tollhouse.boot.acquirer_line import line_tls
from tollhouse.boot.chance import NodeIds, NodeNaming, SystemClock, new_node, new_terminals
from tollhouse.boot.config import Config
from tollhouse.boot.directory import KnownDirectory
from tollhouse.boot.herald import WebhookHerald
from tollhouse.boot.vaults import OpenVault, open_vault
from tollhouse.change import Change
from tollhouse.flows.hear import hear_late
from tollhouse.net.directory import DirectoryLink
from tollhouse.net.http import WebhookSender
from tollhouse.net.tcp import AcquirerLink
from tollhouse.operation import Limits
from tollhouse.ports import World
from tollhouse.routing import SANDBOX
from tollhouse.store.postgres import PostgresStore, open_pool
from tollhouse.store.tokens import PostgresTokens
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.port import NodeAudit, NodeVault
from tollhouse.worker.loops import Deliverer
from tollhouse.worker.tasks import Tasks

CLOSE_SECONDS_MAX = 5

OnUnmatched = Callable[[Response], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One running process of the gateway: its world and what goes on beside the calls."""

    world: World
    store: PostgresStore
    vault: NodeVault
    directory: KnownDirectory
    keys: KeySet | None  # only with the vault inside
    tasks: Tasks
    deliverer: Deliverer
    watch: Watch
    audit: NodeAudit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ways:
    """The ways out of a node."""

    webhooks: WebhookSender
    acquirer: AcquirerLink
    directory: DirectoryLink


@asynccontextmanager
async def open_node(config: Config, *, polls: bool, stop: asyncio.Event) -> AsyncIterator[Node]:
    """A node on the configured database, acquirer and home. `polls`: it also sends other nodes' due webhooks.

    Raises `KeysRefused` when the keys are not those of the database, or when `stop` comes before custodians do.
    """
    name = config.node or new_node()
    nodes: list[Node] = []
    store = PostgresStore(
        await open_pool(config.database_url), node=name, changed=lambda change: _tell(change, nodes[0])
    )
    try:
        role = "worker" if polls else "gateway"
        async with (
            open_vault(config, store.pool, name, role=role, stop=stop) as opened,
            _node_on(config, store, name, opened, polls=polls) as node,
        ):
            nodes.append(node)
            yield node
    finally:
        await store.close()


@asynccontextmanager
async def _node_on(
    config: Config, store: PostgresStore, name: str, opened: OpenVault, *, polls: bool
) -> AsyncIterator[Node]:
    log = structlog.get_logger()
    pool, vault = store.pool, opened.vault
    tasks = Tasks(log)
    clock = SystemClock()
    terminals = new_terminals()

    async def on_unmatched(response: Response) -> None:
        tasks.start(hear_late(world, SANDBOX, response))

    ways = _ways(config, vault, terminals, on_unmatched)
    herald = WebhookHerald(pool, vault, ways.webhooks)
    ids = NodeIds()
    directory = KnownDirectory(pool, ways.directory, clock=clock, ids=ids, log=log)
    world = World(
        node=name,
        store=store,
        tokens=PostgresTokens(pool),
        vault=vault,
        acquirers=ACQUIRERS,
        links={SANDBOX: ways.acquirer},
        directory=directory,
        clock=clock,
        ids=ids,
        naming=NodeNaming(terminals),
        wire=JsonWire(config.public_url),
        herald=herald,
        log=log,
        limits=Limits(answer_seconds=config.answer_limit_seconds, in_flight_seconds=config.in_flight_limit_seconds),
        public_url=config.public_url,
        demand_cvv=frozenset({SANDBOX} if config.acquirer_demands_cvv == "on" else ()),
    )
    deliverer = Deliverer(world, tasks, polls=polls)
    node = Node(
        world=world,
        store=store,
        vault=vault,
        keys=opened.keys,
        directory=directory,
        tasks=tasks,
        deliverer=deliverer,
        watch=Watch(),
        audit=opened.audit,
    )
    try:
        async with _running(node, ways):
            yield node
    finally:
        herald.close()


def _tell(change: Change, node: Node) -> None:
    """A change of this node's is durable: forms that show it, and webhooks that announce it."""
    node.watch.tell(change.session.project, change.session.id)
    if change.events:
        node.deliverer.tell(change.session.project, change.session.id)


def _ways(config: Config, vault: NodeVault, terminals: Sequence[str], on_unmatched: OnUnmatched) -> _Ways:
    acquirer = AcquirerLink(
        config.acquirer_host,
        config.acquirer_port,
        terminals=terminals,
        egress=vault,
        on_unmatched=on_unmatched,
        log=structlog.get_logger(),
        answer_limit_seconds=config.answer_limit_seconds,
        monotonic=SystemClock().monotonic,
        tls=line_tls(config),
    )
    directory = DirectoryLink(config.directory_url, egress=vault)
    return _Ways(webhooks=WebhookSender(), acquirer=acquirer, directory=directory)


@asynccontextmanager
async def _running(node: Node, ways: _Ways) -> AsyncIterator[None]:
    """What runs beside the calls, started, and at the end stopped in the order in which it needs each other."""
    await ways.webhooks.start()
    await ways.acquirer.start()
    await ways.directory.start()
    beside = [asyncio.create_task(node.deliverer.run()), asyncio.create_task(node.directory.watch())]
    try:
        await node.directory.start()  # waits a little: a payment right after the start shall know the card ranges
        yield
    finally:
        for task in beside:
            task.cancel()  # or the deliverer would begin new sendings while the others are waited for
        await asyncio.gather(*beside, return_exceptions=True)
        await node.tasks.close(patience_seconds=CLOSE_SECONDS_MAX)
        await ways.acquirer.close()
        await node.tasks.close(patience_seconds=CLOSE_SECONDS_MAX)  # the last answers, which nobody waited for
        await ways.directory.close()
        await ways.webhooks.close()
