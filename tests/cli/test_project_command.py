"""`tollhouse project`: what a merchant is given, what is refused, and what may be changed."""

from __future__ import annotations

import base64
from dataclasses import asdict
from pathlib import Path

import asyncpg
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tests.cli.commands import Console, new_key
from tests.servers import run_apart
from tollhouse import signing
from tollhouse.boot.herald import SecretsDocument
from tollhouse.boot.onboarding import KEY_BITS
from tollhouse.merchant import Settings, parse_setting
from tollhouse.store.projects import find_project
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.secrets import ProjectSecrets

HOOK = "http://127.0.0.1:9/hook"
WIRE_SETTINGS = (
    "webhook_url rate_limit idempotency auto_confirm sync_payments show_fees capture_mode hold_period hold_expiry"
    " partial_refunds return_params redirect_passthrough card_id webhook_version webhook_retry_window webhook_order"
    " threeds threeds_exemptions widget_origins display_name signature live"
)


def test_create_prints_everything_a_merchant_needs(console: Console) -> None:
    """One object: the project, the keys for its webhooks, and every setting of the wire API."""
    made = console.create("shop-1", "--webhook-url", HOOK, "--set", "capture_mode=two_stage")
    assert (made["project"], made["live"], made["webhook_url"]) == ("shop-1", False, HOOK)
    assert signing.parse_public_key(made["provider_public_key"]).key_size == KEY_BITS
    assert len(signing.parse_webhook_secret(made["webhook_secret"])) == 32
    assert len(base64.b64decode(made["webhook_public_key"].removeprefix("whpk_"))) == 32
    assert set(made["settings"]) == set(WIRE_SETTINGS.split())
    assert (made["settings"]["capture_mode"], made["settings"]["hold_period"]) == ("two_stage", 342_000)


def test_shown_settings_can_be_given_back(console: Console) -> None:
    """What is printed is what `--set` reads: on and off as booleans, durations in seconds."""
    shown = console.create()["settings"]
    del shown["webhook_url"], shown["live"]
    words = {name: ("on" if value else "off") if isinstance(value, bool) else value for name, value in shown.items()}
    read = [parse_setting(name, str(word)) for name, word in words.items()]
    assert {name: value for one in read for name, value in one.items()} == asdict(Settings())


def test_secrets_are_sealed_and_belong_to_what_was_printed(console: Console) -> None:
    """The row opens with the home's keys only, and holds the private halves of the printed keys."""
    made = console.create()

    async def unsealed() -> SecretsDocument:
        async with asyncpg.create_pool(console.dsn, min_size=1) as pool:
            known = await find_project(pool, "shop")
            assert known is not None
            assert made["webhook_secret"].encode() not in known.sealed_secrets
            assert b"PRIVATE KEY" not in known.sealed_secrets
            project_secrets = ProjectSecrets((await KeySet.of_home(pool, console.home)).ring)
            return msgspec.json.decode(await project_secrets.unseal("shop", known.sealed_secrets), type=SecretsDocument)

    document = run_apart(unsealed())
    rsa = load_pem_private_key(document.rsa_pem.encode(), None)
    assert isinstance(rsa, RSAPrivateKey)
    assert signing.public_key_pem(rsa.public_key()) == made["provider_public_key"]
    ed25519 = Ed25519PrivateKey.from_private_bytes(base64.b64decode(document.ed25519_seed))
    assert signing.webhook_public_key(ed25519.public_key()) == made["webhook_public_key"]
    assert document.hmac_secrets == [made["webhook_secret"]]


def test_a_name_that_is_taken_is_refused(console: Console) -> None:
    """Two projects cannot have one name; the first one stays as it is."""
    first = console.create()
    line = console.failure("project", "create", "shop", "--public-key", str(console.key_file("other")))
    assert "project shop exists already" in line
    assert console.json("project", "show", "shop")["provider_public_key"] == first["provider_public_key"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["../shop"], "project '../shop'"),
        (["..", "--live"], "project '..'"),
        (["shop", "--webhook-url", "ftp://x"], "webhook URL: the address must begin with"),
        (["shop", "--webhook-url", "http://169.254.169.254/"], "webhook URL"),
        (["shop", "--live", "--webhook-url", HOOK], "webhook URL: the address of a live project"),
        (["shop", "--live", "--webhook-url", "https://127.0.0.1/"], "webhook URL"),
        (["shop", "--set", "idempotency"], "'idempotency': KEY=VALUE expected"),
        (["shop", "--set", "idempotency=maybe"], "idempotency=maybe: reject or replay expected"),
        (["shop", "--set", "webhook_url=http://x"], "webhook_url: give it with --webhook-url"),
        (["shop", "--set", "nonsense=1"], "nonsense: no such setting"),
    ],
)
def test_what_cannot_be_is_named(console: Console, words: list[str], said: str) -> None:
    """A wrong name, address or setting is one line that names it, and no project is made."""
    line = console.failure("project", "create", *words, "--public-key", str(console.key_file("any")))
    assert said in line
    assert console.json("project", "list") == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("nonsense", "no RSA public key"),
        (
            new_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "the file holds a private key",
        ),
    ],
    ids=["missing", "nonsense", "private"],
)
def test_a_key_that_cannot_be_used_is_refused(console: Console, tmp_path: Path, content: str | None, said: str) -> None:
    """A file that is not there, holds no key, or a private one: one line says so, without the key."""
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_text(content)
    line = console.failure("project", "create", "shop", "--public-key", str(path))
    assert said in line
    assert line.startswith(f"{path}: ")
    assert "BEGIN" not in line


def test_set_changes_settings_and_address(console: Console) -> None:
    """Settings, the webhook address and whether calls are taken change; what was not named stays."""
    console.create("shop", "--webhook-url", HOOK, "--set", "show_fees=on")
    words = ("hold_period=2d", "webhook_version=v1", "--no-webhook", "--disable")
    changed = console.json("project", "set", "shop", *words)
    assert (changed["webhook_url"], changed["disabled"]) == (None, True)
    settings = changed["settings"]
    assert (settings["hold_period"], settings["webhook_version"], settings["show_fees"]) == (172_800, "v1", True)
    again = console.json("project", "set", "shop", "--webhook-url", HOOK, "--enable", "webhook_version=session")
    assert (again["webhook_url"], again["disabled"], again["settings"]["webhook_version"]) == (HOOK, False, "session")
    assert console.json("project", "show", "shop")["settings"] == again["settings"]


def test_what_was_set_for_3d_secure_is_shown(console: Console) -> None:
    """Policy and exemptions are shown as they are, in the words that `set` reads, also to people."""
    console.create("shop", "--set", "threeds=always")
    assert "settings            threeds=always\n" in console.run("project", "show", "shop")
    changed = console.json("project", "set", "shop", "threeds=auto", "threeds_exemptions=low_value,tra")["settings"]
    assert (changed["threeds"], changed["threeds_exemptions"]) == ("auto", "low_value,tra")
    unset = console.json("project", "set", "shop", "threeds_exemptions=none")["settings"]
    assert (unset["threeds"], unset["threeds_exemptions"]) == ("auto", "none")


def test_set_without_anything_is_a_usage_error(console: Console) -> None:
    """A call that changes nothing, or two contrary things, is refused with exit code 2."""
    console.create()
    assert console.end("project", "set", "shop").exit_code == 2
    assert console.end("project", "set", "shop", "--no-webhook", "--webhook-url", HOOK).exit_code == 2


def test_a_live_project_never_gets_a_private_address(console: Console) -> None:
    """Also later: what creation refuses, `set` refuses."""
    console.create("real", "--live", "--webhook-url", "https://shop.example/hook")
    assert "webhook URL" in console.failure("project", "set", "real", "--webhook-url", HOOK)


def test_list_and_show_for_people(console: Console) -> None:
    """People see names, kinds and addresses; secrets are never shown again."""
    made = console.create("shop", "--webhook-url", HOOK)
    console.create("quiet")
    listed = console.run("project", "list")
    assert [line.split()[0] for line in listed.splitlines()] == ["quiet", "shop"]
    shown = console.run("project", "show", "shop")
    assert HOOK in shown
    assert made["webhook_secret"] not in shown
    assert "all at their defaults" in shown
    assert "there is no project 'nope'" in console.failure("project", "show", "nope")


def test_create_tells_people_what_to_do_next(console: Console) -> None:
    """Without --json the secret is shown, and a first call that can be copied."""
    text = console.run("project", "create", "shop", "--public-key", str(console.key_file("shop")))
    assert "whsec_" in text
    assert "X-PARTNER-PROJECT: shop" in text
    assert "session/create" in text
