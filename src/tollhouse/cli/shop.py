"""`tollhouse shop`: the demo shop, a merchant of its own with a page, against a running gateway."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import click
import structlog
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tollhouse.boot.config import Config
from tollhouse.boot.logs import set_up_logs
from tollhouse.cli.database import on_database
from tollhouse.cli.failure import Failure
from tollhouse.cli.home import make_home
from tollhouse.cli.listening import local_url
from tollhouse.cli.serving import refuse_in_production
from tollhouse.cli.settings import with_config

if TYPE_CHECKING:
    from tollhouse.cli.identity import Merchant
    from tollhouse.vault.registry import KeyRow

NAME, DISPLAY_NAME = "shop", "Corner shop"
NAMES_MAX = 20
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOCAL = ("127.0.0.1", "localhost")
_EPILOG = """\b
Examples:
  tollhouse shop
  tollhouse shop --shop-port 9401
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the shop is reached: by the gateway's webhooks, and by browsers."""

    webhook_url: str
    origins: tuple[str, ...]

    @property
    def widget_origins(self) -> str:
        """The setting of this name: it takes plain http on this machine only, so beyond it anybody may frame."""
        are_local = all(urlsplit(origin).hostname in _LOCAL for origin in self.origins)
        return ",".join(self.origins) if are_local else "*"


def places_of(config: Config) -> Places:
    """The usual address first; a public address of the gateway means that payers reach the shop under that name too."""
    usual = local_url(config.host, config.shop_port)
    public = urlsplit(config.public_url).hostname or "localhost"
    named = f"[{public}]" if ":" in public else public
    origins = (usual, f"http://localhost:{config.shop_port}", f"http://{named}:{config.shop_port}")
    return Places(webhook_url=f"{usual}/webhooks", origins=tuple(dict.fromkeys(origins)))


@click.command(epilog=_EPILOG)
@with_config("home", "host", "port", "shop_port", "public_url", "database_url", "log_level", "log_format")
def command(config: Config) -> None:
    """Run the demo shop alone. It makes, or comes back to, the project `shop`; payments need a running gateway."""
    refuse_in_production(config, "the demo shop")
    set_up_logs(config.log_level, config.log_format)
    make_home(config.home)
    places = places_of(config)
    with ExitStack() as claimed:  # nobody else plays this merchant meanwhile
        merchant = on_database(config, lambda pool: _come_back(pool, config, places, claimed))
        asyncio.run(_serve(config, places, merchant))


async def _come_back(pool: asyncpg.Pool, config: Config, places: Places, claimed: ExitStack) -> Merchant:
    """The merchant of the project `shop`, or of `shop-2` and so on where others have projects of these names."""
    from tollhouse.cli.identity import claimed_name, come_back

    settings = [f"widget_origins={places.widget_origins}", f"display_name={DISPLAY_NAME}"]
    for name in (NAME, *(f"{NAME}-{number}" for number in range(2, NAMES_MAX))):
        with suppress(Failure):  # this name is somebody else's
            claimed.enter_context(claimed_name(config.home, name, name))
            return await come_back(
                pool,
                config,
                name,
                webhook_url=places.webhook_url,
                settings=settings,
                ask_root=lambda row: _ask_root(config, row),
            )
    raise Failure(f"the projects {NAME} to {NAME}-{NAMES_MAX - 1} all belong to others than the demo shop")


async def _ask_root(config: Config, row: KeyRow) -> bytes:
    """Custodians enter their parts at a socket, as they do for the gateway; a signal ends the wait in order."""
    from tollhouse.boot.keyholders import root_from_socket

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for wanted in STOP_SIGNALS:
        loop.add_signal_handler(wanted, stop.set)
    try:
        return await root_from_socket(config.home, NAME, tell=structlog.get_logger().info, stop=stop)(row)
    finally:
        for wanted in STOP_SIGNALS:
            loop.remove_signal_handler(wanted)


async def _serve(config: Config, places: Places, merchant: Merchant) -> None:
    """Until SIGTERM or SIGINT."""
    from tollhouse.sandbox.shop.display import serve
    from tollhouse.sandbox.shop.shop import Gateway

    gateway = Gateway(
        local_url(config.host, config.port),
        project=merchant.project.name,
        private_pem=merchant.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        webhook_pem=merchant.provider_public_key,
        webhook_secret=merchant.webhook_secret,
    )
    serving = asyncio.create_task(
        serve(gateway, widget_url=config.public_url, origins=places.origins, host=config.host, port=config.shop_port)
    )
    for wanted in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(wanted, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        return
    except OSError as problem:
        raise Failure(
            f"cannot listen on {config.host}:{config.shop_port} (TOLLHOUSE_SHOP_PORT): {problem.strerror};"
            " choose another port"
        ) from None
