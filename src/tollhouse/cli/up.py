"""`tollhouse up`: everything a payment needs on this machine, from one command, in the foreground."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

import click

from tollhouse.boot.config import Config, environment_of, settings, variable
from tollhouse.boot.vault_place import UNIX, listening_place
from tollhouse.cli.failure import Failure
from tollhouse.cli.home import Claim, claim, make_home
from tollhouse.cli.listening import local_address, local_url, refuse_taken_ports
from tollhouse.cli.serving import refuse_in_production
from tollhouse.cli.settings import with_config
from tollhouse.cli.spelling import own_program
from tollhouse.cli.supervise import Kept, MergedLog, Part, Ready
from tollhouse.store.cluster import SUPERUSER
from tollhouse.store.embedded import Embedded, EmbeddedFailed

_READY_SECONDS_MAX = 60.0
_WATCH_SECONDS = 0.2
_BACK_OFF_SECONDS_MIN, _BACK_OFF_SECONDS_MAX = 0.5, 30.0
_KILLED = 130
_PARTS_ASKED = """
It asks for every key part when it plays a project for the first time: making one needs the keys.
"""
_EPILOG = """\b
Examples:
  tollhouse up
  tollhouse up --home /tmp/second --port 9400 --shop-port 9401 --sandbox-port 9402 --acquirer-port 9583
  tollhouse up --database-url postgresql://tollhouse@localhost/tollhouse
"""


@click.command(epilog=_EPILOG)
@with_config()
def command(config: Config) -> None:
    """Start everything on this machine: database, sandbox, gateway, workers, demo shop. Ctrl-C stops it."""
    refuse_in_production(config, "the sandbox and the demo shop, which `tollhouse up` brings along")
    if config.tls_certificate_file:
        raise Failure(
            f"TOLLHOUSE_TLS_CERTIFICATE_FILE={config.tls_certificate_file}: is for `tollhouse serve`;"
            " what `tollhouse up` starts speaks plain HTTP on this machine, so unset it"
        )
    if config.acquirer_line == "tls":
        raise Failure(
            "TOLLHOUSE_ACQUIRER_LINE=tls: is for `tollhouse serve` and `tollhouse work`; the sandbox's acquirer, which"
            " `tollhouse up` starts, speaks plain TCP on this machine, so unset it"
        )
    log = MergedLog(config.log_format)
    if config.home.exists():
        make_home(config.home)
        claimed = claim(config.home, log.say)
        refuse_taken_ports(config)
    else:
        refuse_taken_ports(config)
        make_home(config.home)
        claimed = claim(config.home, log.say)
    try:
        asyncio.run(_Up(config, claimed, log).run())
    finally:
        claimed.release()


class _Up:
    """One run, from the first start to the last stop."""

    def __init__(self, config: Config, claimed: Claim, log: MergedLog) -> None:
        self._config = config
        self._claimed = claimed
        self._log = log
        self._stop_asked = asyncio.Event()
        self._database = None if config.database_url else Embedded(config.home)
        self._parts: dict[str, Kept] = {}

    async def run(self) -> None:
        """Returns after a clean stop that was asked for; raises a `Failure` where the start or a part fails."""
        loop = asyncio.get_running_loop()
        for wanted in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A terminal that closes ends the run, unless it was started with nohup.
            if wanted is not signal.SIGHUP or signal.getsignal(wanted) is not signal.SIG_IGN:
                loop.add_signal_handler(wanted, self._ask_to_stop)
        try:
            if await self._unless_stopped(self._start()):
                click.echo(announcement(self._config))
                await self._unless_stopped(self._keep())
        finally:
            await self._stop()

    def _ask_to_stop(self) -> None:
        if self._stop_asked.is_set():
            # Every child is tied to this process: the kernel ends them when it goes.
            os._exit(_KILLED)
        self._stop_asked.set()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the work came to its end before a stop was asked for. Its errors are raised."""
        working = asyncio.create_task(work)
        asked = asyncio.create_task(self._stop_asked.wait())
        await asyncio.wait([working, asked], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if working.done():
            working.result()
            return not self._stop_asked.is_set()
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        return False

    async def _start(self) -> None:
        dsn = self._config.database_url
        if self._database is not None:
            dsn = self._start_database(self._database)
        await self._migrate(dsn)
        parts = _parts(await self._with_roles(dsn), owner_url=dsn)
        self._parts = {part.name: Kept(part, self._log) for part in parts}
        shop = self._parts["shop"]
        # Custodians enter each part once, for all processes that wait for it: so the shop waits with the others.
        has_custodians = "components" in self._config.keepers
        first = [part for name, part in self._parts.items() if has_custodians or part is not shop]
        for part in first:
            await part.start()
        self._log.say("waiting until the gateway and the sandbox are ready")
        try:
            async with asyncio.timeout(None if has_custodians else _READY_SECONDS_MAX):
                for part in first:
                    if part is not shop:
                        await part.wait_until_ready()
                if not has_custodians:
                    await shop.start()
                await shop.wait_until_ready()
        except TimeoutError:
            raise Failure(
                f"not ready after {_READY_SECONDS_MAX:.0f} s; the lines above may tell why, or --log-level debug"
            ) from None

    def _start_database(self, database: Embedded) -> str:
        begin = time.monotonic()
        if not (self._config.home / "postgres").exists():
            self._log.say(f"making a database in {self._config.home}")
        dsn = database.start()
        self._log.say(f"Postgres is ready ({time.monotonic() - begin:.2f} s)")
        return dsn

    async def _migrate(self, dsn: str) -> None:
        from tollhouse.cli.acting import record_done, shortened
        from tollhouse.store.migrate import apply

        applied = await apply(dsn)
        if applied:
            await record_done(dsn, "database.migrate", details=shortened(applied))
        self._log.say(f"schema brought up to date: {', '.join(applied)}" if applied else "the schema is up to date")

    async def _with_roles(self, dsn: str) -> Config:
        """The configuration of gateway and workers: on our own server each of gateway and vault is a role of its own.

        On another's server the operator says who logs in; roles that are there get their rights on new tables.
        """
        from tollhouse.store.roles import grant_again, make

        if self._database is None:
            await grant_again(dsn)
            return replace(self._config, database_url=dsn)
        made = await make(self._database.dsn_as(SUPERUSER))
        return replace(
            self._config,
            database_url=self._database.dsn_as(made.gateway),
            vault_database_url=self._database.dsn_as(made.vault),
        )

    async def _watch(self, database: Embedded) -> None:
        """Starts the database again when it dies. The parts reconnect by themselves."""
        wait_seconds = _BACK_OFF_SECONDS_MIN
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if database.is_running():
                continue
            self._log.say(f"Postgres does not run any more; starting it again in {wait_seconds:g} s")
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(wait_seconds * 2, _BACK_OFF_SECONDS_MAX)
            try:
                self._start_database(database)
            except EmbeddedFailed as error:
                self._log.say(str(error))
            else:
                wait_seconds = _BACK_OFF_SECONDS_MIN

    async def _keep(self) -> None:
        watching = [self._watch(self._database)] if self._database is not None else []
        await asyncio.gather(*watching, *(part.keep() for part in self._parts.values()))

    async def _stop(self) -> None:
        """Stops in the order in which they need each other: who asks for payments first, the database last."""
        self._claimed.mark_stopping()
        self._log.say("stopping")
        for name in ("shop", "gateway", "work", "vault", "sandbox"):
            if name in self._parts:
                await self._parts[name].stop()
        if self._database is not None:
            # In a thread, so that a second Ctrl-C is heard while the database writes its pages.
            await asyncio.to_thread(self._database.stop)
        self._log.say("stopped")


def _parts(config: Config, *, owner_url: str) -> list[Part]:
    """The processes of a run, in the order of their start. The shop makes its project, so it logs in as the owner."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")}
    environment = ours | environment_of(config) | {"PYTHONUNBUFFERED": "1"}
    owner = {variable("database_url"): owner_url, variable("vault_database_url"): ""}
    place = local_address(config.host)
    wanted: list[tuple[str, str, Ready]] = [
        ("sandbox", "sandbox", (place, config.sandbox_port, "/healthz")),
        ("gateway", "serve", (place, config.port, "/readyz")),
        ("work", "work", None),
        ("shop", "shop", (place, config.shop_port, "/healthz")),
    ]
    logins = {"shop": owner}
    if config.vault_url.startswith(f"{UNIX}:"):
        path = listening_place(config.vault_url, config.vault_listen, config.home).path
        wanted.insert(1, ("vault", "vault serve", path))
        logins |= {name: {variable("vault_database_url"): ""} for name in ("gateway", "work")}
    return [
        Part(
            name=name,
            command=[sys.executable, "-P", "-m", "tollhouse.cli", *called.split()],
            environment=environment | logins.get(name, {}),
            ready_at=ready_at,
        )
        for name, called, ready_at in wanted
    ]


def announcement(config: Config) -> str:
    """What to open and what to try next."""
    gateway = local_url(config.host, config.port)
    reached = "" if config.public_url == gateway else f"  (from outside: {config.public_url})"
    return f"""
Tollhouse is ready.

  Gateway          {gateway}{reached}
  Demo shop        {local_url(config.host, config.shop_port)}
  API reference    {gateway}/docs
  Sandbox's books  {local_url(config.host, config.sandbox_port)}/books
  Test card        4242 4242 4242 4242, any month to come, any CVV
  With 3-D Secure  4000 0027 6000 3184, code 1234

Next, in another terminal:

  {_next_command(config)}
{_PARTS_ASKED if "components" in config.keepers else ""}
Ctrl-C stops everything.
"""


def _next_command(config: Config) -> str:
    """`tollhouse pay` as it must be called to find this run."""
    defaults = {name: str(setting.read(setting.default)) if setting.default else "" for name, setting in settings()}
    keys = [name for name in defaults if name.startswith(("vault_keys", "vault_pkcs11_", "vault_transit_"))]
    needed = ("home", "host", "port", "sandbox_port", "database_url", *keys)
    words = [
        f"{variable(name)}={shlex.quote(str(getattr(config, name)))}"
        for name in needed
        if str(getattr(config, name)) != defaults[name]
    ]
    return " ".join([*words, own_program(), "pay"])
