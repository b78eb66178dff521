"""What tests of keys share: a token, a key server, and for each test a key of its own of each kind."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.vault.keepers import KINDS, Keeper, openbao, softhsm
from tollhouse.store.postgres import open_pool

_numbers = itertools.count(1)

NewKeeper = Callable[[str], Keeper]


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings of a SoftHSM token."""
    with softhsm(tmp_path_factory.mktemp("softhsm")) as settings:
        yield settings


@pytest.fixture(scope="session")
def key_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings of a running OpenBao."""
    with openbao(tmp_path_factory.mktemp("openbao")) as settings:
        yield settings


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """The pool of a gateway on a fresh database."""
    opened = await open_pool(database)
    yield opened
    await opened.close()


@pytest.fixture
def new_keeper(request: pytest.FixtureRequest, tmp_path: Path) -> NewKeeper:
    """Makes keys that nobody else has: `new_keeper("pkcs11")`."""

    def make(kind: str) -> Keeper:
        number = next(_numbers)
        settings = {"TOLLHOUSE_VAULT_KEYS": kind}
        if kind == "pkcs11":
            settings = request.getfixturevalue("token") | {"TOLLHOUSE_VAULT_PKCS11_KEY": f"key{number}"}
        if kind == "transit":
            settings = request.getfixturevalue("key_server") | {"TOLLHOUSE_VAULT_TRANSIT_KEY": f"key{number}"}
        home = tmp_path / f"home{number}"
        home.mkdir(mode=0o700)
        return Keeper(settings, home)

    return make


@pytest.fixture(params=KINDS)
def keeper(request: pytest.FixtureRequest, new_keeper: NewKeeper) -> Keeper:
    """A key of each kind in turn."""
    return new_keeper(request.param)
