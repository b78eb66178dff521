"""The gateway's processes: `serve` answers calls and carries on what it began; `work` does everything that is due."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib.metadata import version
from importlib.resources import files

import structlog
import uvloop

from tollhouse.api.access import AccessProject
from tollhouse.api.app import build_app
from tollhouse.api.widget.assets import Assets
from tollhouse.boot.config import Config
from tollhouse.boot.purging import purge_loop
from tollhouse.boot.server import headers_of, serve_app
from tollhouse.boot.wiring import Node, open_node
from tollhouse.ports import Log, StoreUnreachable
from tollhouse.signing import parse_public_key
from tollhouse.source import Trusted
from tollhouse.store.migrate import check
from tollhouse.store.postgres import LOST
from tollhouse.store.projects import KnownProject, find_project
from tollhouse.vault.port import sweep_cvvs
from tollhouse.worker.loops import recover_loop

PROJECT_FRESH_SECONDS = 1.0
SWEEP_SECONDS = 600
READY_SECONDS_MAX = 2
READY_FRESH_SECONDS = 0.5

Needed = Mapping[str, Callable[[], Awaitable[object]]]


class FreshProjects:
    """Projects as the API sees them: read anew at most once a second, unknown ones every time."""

    def __init__(self, node: Node) -> None:
        self._pool = node.store.pool
        self._known: dict[str, tuple[float, KnownProject, AccessProject]] = {}

    async def find(self, name: str) -> AccessProject | None:
        """The project with its parsed public keys."""
        found = await self._find(name)
        return found[2] if found else None

    async def webhook_key(self, name: str) -> str | None:
        """The PEM of the key that signs the project's webhooks."""
        found = await self._find(name)
        return found[1].webhook_public_pem if found else None

    async def _find(self, name: str) -> tuple[float, KnownProject, AccessProject] | None:
        now = time.monotonic()
        entry = self._known.get(name)
        if entry is not None and now - entry[0] < PROJECT_FRESH_SECONDS:
            return entry
        try:
            known = await find_project(self._pool, name)
        except LOST as lost:
            raise StoreUnreachable("the database does not answer") from lost
        if known is None:
            self._known.pop(name, None)
            return None
        if entry is not None and entry[1] == known:
            access = entry[2]
        else:
            keys = tuple(parse_public_key(key.pem) for key in known.project.public_keys)
            access = AccessProject(project=known.project, public_keys=keys)
        self._known[name] = (now, known, access)
        return self._known[name]


class Readiness:
    """Whether everything that a call needs answers. Strangers hear who does not; the log hears why, once.

    Anybody may ask, and each look goes as far as the HSM or the key server: so all who ask at about a time share one.
    """

    def __init__(self, needed: Needed, log: Log, *, fresh_seconds: float = READY_FRESH_SECONDS) -> None:
        self._needed, self._log, self._fresh_seconds = needed, log, fresh_seconds
        self._look: asyncio.Task[str] | None = None
        self._looked_at = 0.0
        self._told = ("", "")

    async def who_is_away(self) -> str:
        """The first that does not answer; empty when all do."""
        now = time.monotonic()
        if self._look is None or (self._look.done() and now - self._looked_at > self._fresh_seconds):
            self._look, self._looked_at = asyncio.create_task(self._find_out()), now
        return await asyncio.shield(self._look)

    async def _find_out(self) -> str:
        asked = ""
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                for name, ask in self._needed.items():
                    asked = name
                    await ask()
        except Exception as problem:  # noqa: BLE001 - whatever keeps us from finding out, we are not ready
            why = str(problem) if isinstance(problem, StoreUnreachable) else type(problem).__name__
            if self._told != (asked, why):
                self._log.warning("not ready", away=asked, why=why)
            self._told = (asked, why)
            return asked
        self._told = ("", "")
        return ""


def serve(config: Config) -> None:
    """Answer merchants until SIGTERM or SIGINT. Raises `SchemaNotCurrent`, `DatabaseUnreachable`, `KeysRefused`."""
    uvloop.run(_serve(config))


def work(config: Config) -> None:
    """Deliver, recover and expire until SIGTERM or SIGINT. Raises as `serve`."""
    uvloop.run(_work(config))


async def _serve(config: Config) -> None:
    await check(config.database_url)
    log = structlog.get_logger()
    stop = _stop_at_signals()
    async with open_node(config, polls=False, stop=stop) as node:
        projects = FreshProjects(node)

        needed: Needed = {
            "the database": partial(node.store.pool.fetchval, "select true"),
            "the vault": node.vault.check,
        }
        app = build_app(
            node.world,
            projects=projects,
            background=node.tasks.start,
            idempotency_secret=node.vault.idempotency_secret,
            webhook_key=projects.webhook_key,
            who_is_away=Readiness(needed, log).who_is_away,
            version=version("tollhouse"),
            assets=Assets.open(files("tollhouse.api.widget") / "built", config.home / "widget", log),
            watch=node.watch,
            stopping=stop,
            denied=node.audit.deny,
            trusted=Trusted.parse(config.trusted_proxies),
            headers=headers_of(config),
        )
        await serve_app(app, config, stop)


async def _work(config: Config) -> None:
    await check(config.database_url)
    log = structlog.get_logger()
    stop = _stop_at_signals()
    async with open_node(config, polls=True, stop=stop) as node:
        loops = [
            asyncio.create_task(recover_loop(node.world, node.tasks)),
            asyncio.create_task(_sweep_loop(node)),
            asyncio.create_task(node.directory.refresh_daily()),
        ]
        if config.retention_purge == "daily":
            loops.append(asyncio.create_task(purge_loop(config, node)))
        log.info("workers ready", node=node.world.node)
        stopped = asyncio.create_task(stop.wait())
        done, running = await asyncio.wait([stopped, *loops], return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for task in done:
            task.result()  # a loop that ended by itself is a bug: let it be seen


def _stop_at_signals() -> asyncio.Event:
    """Set at the first signal to end; later ones change nothing. A closed terminal is one, a reload is not."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reload = partial(structlog.get_logger().info, "nothing to read anew", signal="SIGHUP")
    loop.add_signal_handler(signal.SIGHUP, stop.set if sys.stdin is not None and sys.stdin.isatty() else reload)
    return stop


async def _sweep_loop(node: Node) -> None:
    """Erase keys of security codes that no row names any more, such as those a crash left behind."""
    while True:
        try:
            erased = await sweep_cvvs(node.vault, node.store.live_cvv_slots)
        except StoreUnreachable as problem:
            node.world.log.warning("security codes are swept later", why=str(problem))
            erased = 0
        if erased:
            node.world.log.info("security codes erased", count=erased)
        await asyncio.sleep(SWEEP_SECONDS)
