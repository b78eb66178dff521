"""What production refuses: every row of the table, with what it refuses and what it lets pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from tollhouse.boot.config import Config, load_config
from tollhouse.boot.production import (
    CHECKS,
    Facts,
    Part,
    Unfit,
    address_problems,
    database_settings,
    findings,
    has_keys,
)
from tollhouse.merchant import Project, PublicKey
from tollhouse.signing import public_key_pem
from tollhouse.store.login import OWNER, SUPERUSER, Login

FIT = {
    "TOLLHOUSE_MODE": "production",
    "TOLLHOUSE_VAULT_KEYS": "components",
    "TOLLHOUSE_DATABASE_URL": "postgresql://tollhouse@db.example.com/tollhouse?sslmode=verify-full",
    "TOLLHOUSE_PUBLIC_URL": "https://pay.example.com",
    "TOLLHOUSE_DIRECTORY_URL": "https://ds.example.com",
    "TOLLHOUSE_TRUSTED_PROXIES": "10.0.0.5",
}
HSM = {
    "TOLLHOUSE_VAULT_KEYS": "pkcs11,file",
    "TOLLHOUSE_VAULT_PKCS11_MODULE": "/usr/lib/hsm.so",
    "TOLLHOUSE_VAULT_PKCS11_TOKEN": "tollhouse",
    "TOLLHOUSE_VAULT_PKCS11_PIN_FILE": "/etc/tollhouse/pin",
}
PUBLISHED = Project(
    name="old",
    public_keys=(
        PublicKey(id="k1", pem=public_key_pem(RSAPublicNumbers(65537, (2**2203 - 1) * (2**521 - 1)).public_key())),
    ),
)


def configured(**changes: str) -> Config:
    """A configuration that is fit, but for these."""
    return load_config(FIT | changes)


def said(part: Part | None = None, settings: Mapping[str, str] | None = None, **facts: Any) -> list[str]:
    """All refusals."""
    looked_at = {"logins": {"database_url": Login(method="scram-sha-256")}, **facts}
    found = findings(Facts(config=configured(**(settings or {})), **looked_at), part)
    return [line for finding in found for line in finding.refused]


def warnings(part: Part | None = None, settings: Mapping[str, str] | None = None, **facts: Any) -> list[str]:
    """Everything that is told and not refused."""
    looked_at = {"logins": {"database_url": Login(method="scram-sha-256")}, **facts}
    found = findings(Facts(config=configured(**(settings or {})), **looked_at), part)
    return [line for one in found for line in one.warned]


def test_nothing_is_refused_where_all_is_well() -> None:
    """Each part starts with a configuration that is fit."""
    for part in (None, *Part):
        assert said(part) == []


REFUSED: list[tuple[dict[str, str], dict[str, Any], str]] = [
    ({"TOLLHOUSE_VAULT_KEYS": "file"}, {}, "TOLLHOUSE_VAULT_KEYS=file: a key in a file goes with every copy"),
    ({"TOLLHOUSE_VAULT_KEYS": "file,components"}, {}, "TOLLHOUSE_VAULT_KEYS=file,components: a key in a file"),
    (
        {},
        {"keepers_of_rows": frozenset({"file", "components"})},
        "TOLLHOUSE_VAULT_KEYS=components: rows of this database lie under keys in files; set components,file and run",
    ),
    (
        {"TOLLHOUSE_VAULT_KEYS": "components,file"},
        {"keepers_of_rows": frozenset({"file"})},
        "TOLLHOUSE_VAULT_KEYS=components,file: every key of this database is in a file still; run `tollhouse vault key",
    ),
    ({}, {"surroundings": ("PGPASSWORD",)}, "PGPASSWORD: every program that we start sees this password; unset it"),
    ({}, {"surroundings": ("PGHOST",)}, "PGHOST: takes us to another server where the address names none; unset it"),
    (
        {},
        {"logins": {"database_url": Login(method="trust", is_guess=True)}},
        "TOLLHOUSE_DATABASE_URL: the server lets us in by `trust`; write scram-sha-256 or cert for us into its pg_hba."
        "conf; a server before Postgres 16",
    ),
    (
        {"TOLLHOUSE_PUBLIC_URL": "https://127.0.0.1:8400"},
        {},
        "TOLLHOUSE_PUBLIC_URL=https://127.0.0.1:8400: leads every payer to a machine of their own; give the address",
    ),
    ({"TOLLHOUSE_DATABASE_URL": ""}, {"logins": {}}, "TOLLHOUSE_DATABASE_URL: is empty; the embedded Postgres is for"),
    *(
        (
            {},
            {"logins": {"database_url": Login(method=method)}},
            f"TOLLHOUSE_DATABASE_URL: the server lets us in by `{method}`; write scram-sha-256",
        )
        for method in ("trust", "password", "md5", "ident")
    ),
    (
        {},
        {"logins": {"database_url": Login(problem="no answer")}},
        "TOLLHOUSE_DATABASE_URL: cannot be looked at: no answer; start it, or correct the address",
    ),
    (
        {},
        {"logins": {"database_url": Login(problem="refused", cure="run: chmod 600 x")}},
        "TOLLHOUSE_DATABASE_URL: cannot be looked at: refused; run: chmod 600 x",
    ),
    (
        {},
        {"secret_files": {"database_url": "/etc/pgpass: mode 0644"}},
        "TOLLHOUSE_DATABASE_URL: /etc/pgpass: mode 0644",
    ),
    (
        {"TOLLHOUSE_PUBLIC_URL": "http://pay.example.com"},
        {},
        "TOLLHOUSE_PUBLIC_URL=http://pay.example.com: payers type cards there; give an https:// address",
    ),
    ({"TOLLHOUSE_TRUSTED_PROXIES": ""}, {}, "TOLLHOUSE_TLS_CERTIFICATE_FILE: is empty, and nobody encrypts; give a"),
    ({}, {"certificate": "TOLLHOUSE_TLS_KEY_FILE=x: no"}, "TOLLHOUSE_TLS_KEY_FILE=x: no"),
    ({"TOLLHOUSE_DIRECTORY_URL": ""}, {}, "TOLLHOUSE_DIRECTORY_URL=http://127.0.0.1:8402/ds: is the sandbox's"),
    ({"TOLLHOUSE_DIRECTORY_URL": "http://ds.example.com"}, {}, "TOLLHOUSE_DIRECTORY_URL=http://ds.example.com: is"),
    ({"TOLLHOUSE_DIRECTORY_URL": "https://localhost"}, {}, "TOLLHOUSE_DIRECTORY_URL=https://localhost: is the sandbox"),
    (
        {"TOLLHOUSE_ACQUIRER_HOST": "acquirer.example.com"},
        {},
        "TOLLHOUSE_ACQUIRER_LINE=plain: acquirer.example.com is another machine, and whoever is between reads card",
    ),
    ({"TOLLHOUSE_LOG_LEVEL": "debug"}, {}, "TOLLHOUSE_LOG_LEVEL=debug: libraries tell of requests then; set info"),
    ({}, {"home": "lets others in"}, "TOLLHOUSE_HOME="),
    ({}, {"played_merchants": ("shop",)}, "TOLLHOUSE_HOME="),
    ({}, {"secret_files": {"tls_key_file": "mode 0644 lets others at it"}}, "TOLLHOUSE_TLS_KEY_FILE: mode 0644"),
    ({}, {"projects": (PUBLISHED,)}, "project old: key k1: the key is the published test key"),
    ({}, {"keeps_assertions": False}, "PYTHONOPTIMIZE: assertions are off"),
    ({}, {"core_bytes_max": 1}, "core files: this process may leave one"),
    ({}, {"is_dumpable": True}, "core files: this process may leave one"),
]


@pytest.mark.parametrize(
    ("settings", "facts", "line"), REFUSED, ids=lambda value: value[:60] if isinstance(value, str) else ""
)
def test_what_is_refused(settings: dict[str, str], facts: dict[str, Any], line: str) -> None:
    """One fault is one line, which begins with the setting; all else passes."""
    (refused,) = said(None, settings, **facts)
    assert refused.startswith(line)
    assert "\n" not in refused


@pytest.mark.parametrize("line", ["tls", "tunnel"])
def test_lines_that_something_seals(line: str) -> None:
    """To an acquirer elsewhere, by TLS of ours or by something around the line."""
    settings = {"TOLLHOUSE_ACQUIRER_HOST": "acquirer.example.com", "TOLLHOUSE_ACQUIRER_LINE": line}
    assert said(None, settings) == []


def test_every_check_is_tested() -> None:
    """The table above fails each check but that of acquirers, which no project can fail today."""
    failed = set()
    for settings, facts, _ in REFUSED:
        looked_at = {"logins": {"database_url": Login(method="cert")}, **facts}
        found = findings(Facts(config=configured(**settings), **looked_at))
        failed |= {one.about for one in found if one.refused}
    assert {check.about for check in CHECKS} - failed == {"acquirers of projects"}


def test_live_projects_are_not_paid_at_the_sandbox() -> None:
    """A live project is routed to no acquirer as long as there is none but the sandbox, so it passes."""
    assert said(projects=(Project(name="shop", is_live=True), Project(name="trial"))) == []


TRIAL, LIVE = Project(name="trial"), Project(name="shop", is_live=True)
WARNED: list[tuple[dict[str, Any], str]] = [
    ({"projects": (LIVE,)}, "project shop: is live, and this version has no acquirer for live projects:"),
    (
        {"projects": (TRIAL,)},
        "project trial: is a test project, paid at whoever listens at 127.0.0.1:8583 (TOLL",
    ),
    (
        {"acquirer": "Connection refused"},
        "TOLLHOUSE_ACQUIRER_HOST, TOLLHOUSE_ACQUIRER_PORT: nobody takes connections at 127.0.0.1:8583: Connection ref",
    ),
    *(
        (
            {"logins": {"database_url": Login(method="cert", might=might)}},
            f"TOLLHOUSE_DATABASE_URL: this login {might}; let what takes calls log in as a role that `tollhouse db rol",
        )
        for might in (OWNER, SUPERUSER)
    ),
]


@pytest.mark.parametrize(("facts", "line"), WARNED, ids=lambda value: value[:40] if isinstance(value, str) else "")
def test_what_is_warned_of(facts: dict[str, Any], line: str) -> None:
    """What small installations may well have is not refused, and told."""
    assert said(**facts) == []
    (warned,) = warnings(**facts)
    assert warned.startswith(line)
    assert "\n" not in warned


def test_what_is_not_warned_of() -> None:
    """Nothing where all is well; nor a project that is disabled, nor an acquirer of the vault, which speaks to none."""
    assert warnings() == []
    assert warnings(projects=(replace(LIVE, is_disabled=True), replace(TRIAL, is_disabled=True))) == []
    assert warnings(Part.VAULT, projects=(LIVE, TRIAL), acquirer="no answer") == []


def test_moving_away_from_files() -> None:
    """While keys are moved to another keeper, the file may be named second, and one is told until it is done."""
    moving = frozenset({"file", "pkcs11"})
    assert said(settings=HSM, keepers_of_rows=moving) == []
    (line,) = warnings(settings=HSM, keepers_of_rows=moving)
    assert line.startswith("TOLLHOUSE_VAULT_KEYS=pkcs11,file: cards may still lie under a key in a file; finish with")


def test_a_node_without_keys_is_not_asked_for_them() -> None:
    """Where the vault is apart, who keeps its keys is not set on nodes."""
    apart = {"TOLLHOUSE_VAULT_KEYS": "", "TOLLHOUSE_VAULT_URL": "unix:"}
    assert said(Part.GATEWAY, apart, has_keys=False) == []
    assert len(said(Part.VAULT, apart)) == 1


@pytest.mark.parametrize(
    ("part", "settings", "holds"),
    [
        (Part.GATEWAY, {}, True),
        (Part.GATEWAY, {"TOLLHOUSE_VAULT_URL": "unix:"}, False),
        (Part.VAULT, {"TOLLHOUSE_VAULT_URL": "unix:"}, True),
        (None, {"TOLLHOUSE_VAULT_URL": "unix:"}, False),
        (None, {"TOLLHOUSE_VAULT_URL": "unix:", "TOLLHOUSE_VAULT_LISTEN": "unix:"}, True),
    ],
)
def test_who_holds_keys(part: Part | None, settings: dict[str, str], holds: bool) -> None:
    """The vault always; a node only when the vault is inside."""
    assert has_keys(configured(**settings), part) is holds


def test_all_refusals_are_told_at_once() -> None:
    """The error has a line for each, and exit code 1."""
    lines = said(settings={"TOLLHOUSE_VAULT_KEYS": "file", "TOLLHOUSE_LOG_LEVEL": "debug"}, keeps_assertions=False)
    assert len(lines) == 3
    error = Unfit(lines)
    assert error.exit_code == 1
    assert str(error).splitlines() == [
        "TOLLHOUSE_MODE=production: 3 refusals; nothing was started",
        *(f"  {line}" for line in lines),
    ]
    assert "1 refusal;" in str(Unfit(lines[:1]))


@pytest.mark.parametrize(
    ("part", "settings", "count"),
    [
        (Part.GATEWAY, {"TOLLHOUSE_TRUSTED_PROXIES": ""}, 1),
        (Part.WORKER, {"TOLLHOUSE_TRUSTED_PROXIES": ""}, 0),
        (Part.VAULT, {"TOLLHOUSE_TRUSTED_PROXIES": "", "TOLLHOUSE_PUBLIC_URL": "", "TOLLHOUSE_DIRECTORY_URL": ""}, 0),
        (Part.VAULT, {"TOLLHOUSE_VAULT_KEYS": "file"}, 1),
        (Part.WORKER, {"TOLLHOUSE_VAULT_KEYS": "file"}, 1),
    ],
)
def test_parts_have_their_own_rules(part: Part, settings: dict[str, str], count: int) -> None:
    """A worker has no port, and the vault no public address: they are not asked for what they do not need."""
    assert len(said(part, settings)) == count


GOOD_ADDRESSES = [
    "postgresql://gateway@db.example.com/gateway?sslmode=verify-full",
    "postgresql://gateway@db.example.com/gateway?sslmode=verify-full&sslrootcert=/etc/ca.pem&passfile=/etc/pgpass",
    "postgresql://gateway@/gateway?host=/run/postgresql",
    "postgresql://gateway@127.0.0.1/gateway?passfile=/etc/pgpass",
    "postgresql://gateway@[::1]:5432/gateway",
    "postgresql://gateway@localhost:5432/gateway",
    "postgresql:///gateway",
]
BAD_ADDRESSES = [
    ("postgresql://gateway:secret@127.0.0.1/gateway", "holds a password"),
    ("postgresql://gateway@127.0.0.1/gateway?password=secret", "holds a password"),
    ("postgresql://gateway@db.example.com/gateway", "db.example.com is another machine"),
    ("postgresql://gateway@db.example.com/gateway?sslmode=require", "db.example.com is another machine"),
    ("postgresql://gateway@db.example.com/gateway?sslmode=verify-ca", "db.example.com is another machine"),
    ("postgresql://gateway@/gateway?host=db.example.com", "db.example.com is another machine"),
    ("postgresql://gateway@localhost,db.example.com:5433/gateway", "db.example.com is another machine"),
    ("postgresql://gateway@[2001:db8::1]:5432/gateway", "2001:db8::1 is another machine"),
    ("postgresql://gateway@db.example.com/gateway?host=127.0.0.1", "db.example.com is another machine"),
]


@pytest.mark.parametrize("address", GOOD_ADDRESSES)
def test_addresses_that_pass(address: str) -> None:
    """This machine, or another one that is known by its certificate; the password is in a file."""
    assert address_problems(address) == []


@pytest.mark.parametrize(("address", "problem"), BAD_ADDRESSES)
def test_addresses_that_are_refused(address: str, problem: str) -> None:
    """The problem is told without the password."""
    (told,) = address_problems(address)
    assert told.startswith(problem)
    assert "secret" not in told


def test_whose_database_is_looked_at() -> None:
    """A vault with a database address of its own is asked for that one, and its nodes for theirs."""
    apart = {"TOLLHOUSE_VAULT_URL": "unix:", "TOLLHOUSE_VAULT_DATABASE_URL": "postgresql:///vault"}
    assert database_settings(configured(**apart), Part.VAULT) == ["vault_database_url"]
    assert database_settings(configured(**apart), Part.GATEWAY) == ["database_url"]
    assert database_settings(configured(), Part.VAULT) == ["database_url"]
    inside = {"TOLLHOUSE_VAULT_DATABASE_URL": "postgresql:///vault"}
    assert database_settings(configured(**inside), Part.GATEWAY) == ["database_url", "vault_database_url"]
