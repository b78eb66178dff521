"""A merchant's key for the run; for each test a merchant with a world of its own, and a payer with a payment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.api.client import Shop
from tests.api.payer_site import Scene, Site


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
