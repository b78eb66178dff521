"""The merchant that `pay` plays: its signatures, its file, and that two runs never share one."""

from __future__ import annotations

import base64
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.cli.commands import Console, new_key
from tests.servers import run_apart
from tollhouse import signing
from tollhouse.boot.config import Config, load_config
from tollhouse.cli.failure import Failure
from tollhouse.cli.identity import Merchant, claimed_name, come_back, headers_of, leave
from tollhouse.merchant import Project, Settings
from tollhouse.net.merchant import Arrived
from tollhouse.webhook import hmac_signature, signed_content

BODY = b'{"type":"payment_finished"}'
RSA, ED25519 = new_key(), Ed25519PrivateKey.generate()
SECRET = signing.webhook_secret(bytes(range(32)))
HOOK = "http://127.0.0.1:9/webhook"
MERCHANT = Merchant(
    project=Project(name="shop"),
    private_key=RSA,
    provider_public_key=signing.public_key_pem(RSA.public_key()),
    webhook_secret=SECRET,
    webhook_public_key=signing.webhook_public_key(ED25519.public_key()),
)


def config_of(console: Console) -> Config:
    """The configuration of its home."""
    return load_config({"TOLLHOUSE_HOME": str(console.home)})


def arrived(*, at: float | None = None, body: bytes = BODY, **headers: str) -> Arrived:
    """A webhook signed as it must be, then changed."""
    seconds = int(time.time() if at is None else at)
    content = signed_content("evt_1", seconds, BODY)
    signed = {
        "x-partner-sign": signing.sign_rsa(RSA, BODY),
        "webhook-id": "evt_1",
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"{signing.ed25519_signature(ED25519, content)} {hmac_signature(SECRET, content)}",
    }
    return Arrived(headers=signed | {name.replace("_", "-"): value for name, value in headers.items()}, body=body)


def test_a_webhook_as_it_must_be_fits() -> None:
    """All three signatures of an untouched webhook are right."""
    assert MERCHANT.check(arrived()) == {"X-PARTNER-SIGN": True, "v1": True, "v1a": True}


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        (lambda: arrived(body=BODY + b" "), {"X-PARTNER-SIGN", "v1", "v1a"}),
        (lambda: arrived(x_partner_sign="", webhook_signature=""), {"X-PARTNER-SIGN", "v1", "v1a"}),
        (lambda: arrived(webhook_id="evt_2"), {"v1", "v1a"}),
        (lambda: arrived(at=time.time() - 400), {"v1", "v1a"}),
        (lambda: arrived(webhook_timestamp="soon"), {"v1", "v1a"}),
        (lambda: arrived(x_partner_sign=base64.b64encode(b"x" * 256).decode()), {"X-PARTNER-SIGN"}),
        (lambda: arrived(webhook_signature="v1,nonsense v1a,non-sense v2,x"), {"v1", "v1a"}),
    ],
    ids=["body", "unsigned", "another id", "too old", "no instant", "rsa", "nonsense"],
)
def test_what_was_changed_does_not_fit(changed: Callable[[], Arrived], wrong: set[str]) -> None:
    """Each signature fails for what it covers, and only for that."""
    assert {name for name, fits in MERCHANT.check(changed()).items() if not fits} == wrong


def test_another_projects_keys_do_not_fit() -> None:
    """A webhook of another project is recognised as such."""
    other = replace(
        MERCHANT,
        provider_public_key=signing.public_key_pem(new_key().public_key()),
        webhook_secret=signing.webhook_secret(bytes(32)),
        webhook_public_key=signing.webhook_public_key(Ed25519PrivateKey.generate().public_key()),
    )
    assert not any(other.check(arrived()).values())


def test_calls_are_signed_over_the_body() -> None:
    """The headers name the project and hold its signature of exactly these bytes."""
    headers = headers_of(MERCHANT, BODY, {"X-PARTNER-IDEMPOTENCY-KEY": "k"})
    assert (headers["X-PARTNER-PROJECT"], headers["X-PARTNER-IDEMPOTENCY-KEY"]) == ("shop", "k")
    assert signing.verify(RSA.public_key(), BODY, headers["X-PARTNER-SIGN"])


def test_runs_at_the_same_time_play_different_merchants(home: Path) -> None:
    """The first free default is taken, and given back at the end; a wanted one is refused while it is played."""
    with claimed_name(home, None, "demo") as first, claimed_name(home, None, "demo") as second:
        assert (first, second) == ("demo", "demo-2")
        with pytest.raises(Failure, match="another `tollhouse pay` plays demo"), claimed_name(home, "demo", "demo"):
            pass
    with claimed_name(home, None, "demo") as again:
        assert again == "demo"
    with pytest.raises(Failure, match="--project"), claimed_name(home, "../x", "demo"):
        pass


def test_a_merchant_comes_back(console: Console) -> None:
    """The second time it has the same key and project, another address, and settings that end with the run."""
    (console.home / "merchant").mkdir(mode=0o700)

    async def play_twice() -> tuple[Merchant, Merchant, Project, Project]:
        async with asyncpg.create_pool(console.dsn, min_size=1) as pool:
            first = await come_back(pool, config_of(console), "demo", webhook_url=HOOK, settings=[])
            await leave(pool, first)
            settings = ["capture_mode=two_stage"]
            second = await come_back(pool, config_of(console), "demo", webhook_url=HOOK + "2", settings=settings)
            during = await find(pool)
            await leave(pool, second)
            return first, second, during, await find(pool)

    first, second, during, after = run_apart(play_twice())
    assert first.private_key.private_numbers() == second.private_key.private_numbers()
    assert first.settings_before is None
    assert second.settings_before == Settings()
    assert (during.webhook_url, during.settings.capture_mode) == (HOOK + "2", "two_stage")
    assert (after.webhook_url, after.settings) == (None, Settings())
    assert during.public_keys == after.public_keys
    assert stat.S_IMODE((console.home / "merchant" / "demo.json").stat().st_mode) == 0o600


def test_a_project_without_its_key_here_is_not_played(console: Console) -> None:
    """A project that somebody else made is refused: its private key is theirs."""
    console.create("shop")
    (console.home / "merchant").mkdir(mode=0o700)

    async def play() -> None:
        async with asyncpg.create_pool(console.dsn, min_size=1) as pool:
            await come_back(pool, config_of(console), "shop", webhook_url=HOOK, settings=[])

    with pytest.raises(Failure, match="project shop exists, but"):
        run_apart(play())


async def find(pool: asyncpg.Pool) -> Project:
    """The project as its rows say."""
    from tollhouse.store.projects import find_project

    known = await find_project(pool, "demo")
    assert known is not None
    return known.project
