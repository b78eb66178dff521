"""A merchant's key for the run, and a merchant with a world of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.api.client import Shop


@pytest.fixture(scope="session")
def merchant_key() -> rsa.RSAPrivateKey:
    """The key that the merchant signs with."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def stranger_key() -> rsa.RSAPrivateKey:
    """The key of somebody else."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def shop(merchant_key: rsa.RSAPrivateKey) -> Iterator[Shop]:
    """A merchant and their world."""
    one = Shop(merchant_key)
    yield one
    one.leave()
