"""The gateway's HTTP server: uvicorn with our bounds on connections, TLS of our own, and an end that we decide."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Iterator

import structlog
import uvicorn

from tollhouse.api.app import App, Headers
from tollhouse.api.policy import HSTS, bare_headers
from tollhouse.boot.config import Config, variable
from tollhouse.boot.connections import BoundedProtocol, Bounds, Doorway
from tollhouse.net.tls import Certificates, CertificateUnusable, server_context
from tollhouse.source import Trusted

IDLE_SECONDS_MAX = 75
GOODBYE_SECONDS_MAX = 5
HANDSHAKE_SECONDS_MAX = 10.0
BACKLOG = 1024
# Of uvicorn's ticks, ten a second.
SWEEP_TICKS, CERTIFICATE_TICKS = 10, 50
# Files and sockets that are no connections: the database, the vault, the acquirer, webhooks, logs.
OTHER_FILES = 400


async def serve_app(app: App, config: Config, stop: asyncio.Event) -> None:
    """Answer by this application until it is asked to stop. Raises `CertificateUnusable`, `OSError`."""
    bounds = bounds_of(config)
    server = Server(app, bounds, certificates_of(config), headers_of(config))
    _have_room_for(bounds.connections_max)
    with listening(config.host, config.port) as listener:
        structlog.get_logger().info("gateway ready", url=config.public_url, node=config.node)
        await server.serve_until(stop, listener)


def bounds_of(config: Config) -> Bounds:
    """What the configuration allows. Without TLS of our own, production speaks to its proxies only."""
    return Bounds(
        connections_max=config.connections_max,
        per_address_max=config.connections_per_address_max,
        trusted=Trusted.parse(config.trusted_proxies),
        only_proxies=config.is_production and not config.tls_certificate_file,
    )


def headers_of(config: Config) -> Headers:
    """What stands in every answer because of where we run: in production everybody comes by https, and for good."""
    return (HSTS,) if config.is_production else ()


def certificates_of(config: Config) -> Certificates | None:
    """The gateway's certificate; None without TLS. Raises `CertificateUnusable` naming the settings."""
    if not config.tls_certificate_file:
        return None
    certificate, key = config.tls_certificate_file, config.tls_key_file

    try:
        return Certificates(lambda: server_context(certificate, key), (certificate, key))
    except CertificateUnusable as problem:
        names = f"{variable('tls_certificate_file')}, {variable('tls_key_file')}"
        raise CertificateUnusable(f"{names}: {problem}") from None


class Server(uvicorn.Server):
    """Leaves the signals to us: raised again, they would end the process before the node is closed in order."""

    def __init__(self, app: App, bounds: Bounds, certificates: Certificates | None, headers: Headers = ()) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=IDLE_SECONDS_MAX,
                timeout_graceful_shutdown=GOODBYE_SECONDS_MAX,
            )
        )
        self.doorway = Doorway(bounds, [*headers, *bare_headers()])
        self._certificates = certificates
        self._log = structlog.get_logger()
        self._complaint = ""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def serve_until(self, stop: asyncio.Event, listener: socket.socket) -> None:
        """Serve until it is asked to stop, then let the calls at work end. SIGHUP reads certificates anew."""
        loop = asyncio.get_running_loop()
        if self._certificates is not None:
            loop.add_signal_handler(signal.SIGHUP, self._renew)
        serving = asyncio.create_task(self.serve(sockets=[listener]))
        asked = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([serving, asked], return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            self.should_exit = True
            await serving
        finally:
            if self._certificates is not None:
                loop.remove_signal_handler(signal.SIGHUP)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, with our protocol, and with a handshake that may not last for ever."""
        assert sockets, "a listener is given"
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        context = None if self._certificates is None else self._certificates.context

        def connected() -> BoundedProtocol:
            return BoundedProtocol(
                self.doorway,
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
                _loop=loop,
            )

        patience = None if context is None else HANDSHAKE_SECONDS_MAX
        self.servers = [
            await loop.create_server(connected, sock=one, ssl=context, backlog=BACKLOG, ssl_handshake_timeout=patience)
            for one in sockets
        ]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Asked for by uvicorn, ten times a second: look after connections and certificates."""
        if counter % SWEEP_TICKS == 0:
            self.doorway.sweep(asyncio.get_running_loop().time())
        if counter % CERTIFICATE_TICKS == 0 and self._certificates is not None and self._certificates.are_changed():
            self._renew()
        return await super().on_tick(counter)

    def _renew(self) -> None:
        assert self._certificates is not None
        try:
            self._certificates.renew()
        except CertificateUnusable as problem:
            if str(problem) != self._complaint:  # once: the next look is in five seconds
                self._complaint = str(problem)
                self._log.error("certificate not renewed, the old one goes on", why=str(problem))
        else:
            self._complaint = ""
            self._log.info("certificate renewed")


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A listener, gone at the end."""
    listener = socket.create_server((host, port), backlog=BACKLOG)
    try:
        yield listener
    finally:
        listener.close()


def _have_room_for(connections: int) -> None:
    """Have the system let us open as many files as there may be connections, as far as it lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            structlog.get_logger().warning(
                "fewer connections than configured", open_files=allowed, cure="raise the limit of open files (nofile)"
            )
