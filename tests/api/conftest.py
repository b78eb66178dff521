"""A merchant's key for the run; for each test a merchant with a world of its own, and a payer with a payment."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.api.client import Shop
from tests.api.payer_site import Scene, Site

STOP_SECONDS_MAX = 20.0


@pytest.fixture(scope="session")
def merchant_key() -> rsa.RSAPrivateKey:
    """The key that the merchant signs with."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def stranger_key() -> rsa.RSAPrivateKey:
    """The key of somebody else."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def open_shop(merchant_key: rsa.RSAPrivateKey) -> Iterator[Callable[..., Shop]]:
    """Opens merchants; arguments are those of `Shop` after its key."""
    opened: list[Shop] = []

    def open_one(**arguments: Any) -> Shop:
        opened.append(Shop(merchant_key, **arguments))
        return opened[-1]

    yield open_one
    for one in opened:
        one.leave()


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    """A merchant and their world."""
    return open_shop()


@pytest.fixture
async def port(shop: Shop) -> AsyncIterator[int]:
    """The port of a real server in front of the shop's gateway; it stops as the gateway's does."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        shop.app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False, server_header=False
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    yield listener.getsockname()[1]
    shop.stopping.set()
    server.should_exit = True
    await asyncio.wait_for(running, STOP_SECONDS_MAX)


@pytest.fixture
def scene() -> Scene:
    """A payment whose payer has just come."""
    return Scene()


@pytest.fixture
def site(scene: Scene) -> Site:
    """The gateway in front of it."""
    return Site(scene)


@pytest.fixture
def base(scene: Scene) -> str:
    """The page's path."""
    return f"/3ds/{scene.link}"
