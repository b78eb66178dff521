"""The configuration: every setting by name, nothing unknown, and errors that say what to do."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tollhouse.boot.config import (
    Config,
    ConfigError,
    environment_of,
    example,
    load_config,
    settings,
    variable,
    without_password,
)


def test_defaults() -> None:
    """An empty environment gives the documented defaults, all on loopback."""
    config = load_config({})
    assert (config.host, config.port, config.shop_port, config.sandbox_port) == ("127.0.0.1", 8400, 8401, 8402)
    assert (config.acquirer_host, config.acquirer_port) == ("127.0.0.1", 8583)
    assert (config.answer_limit_seconds, config.in_flight_limit_seconds) == (15, 60)
    assert (config.log_level, config.log_format, config.mode) == ("info", "text", "development")
    assert (config.public_url, config.database_url) == ("http://127.0.0.1:8400", "")
    assert config.home == Path.cwd() / ".tollhouse"


def test_every_field_is_a_setting() -> None:
    """Each field has a variable, a default that its own reader takes, and one sentence; the example shows them all."""
    text = example()
    assert [name for name, _ in settings()] == [field.name for field in fields(Config)]
    for name, setting in settings():
        assert setting.meaning.endswith(".")
        if setting.default:
            setting.read(setting.default)
        assert f"# {setting.meaning}\n#{variable(name)}={setting.default}\n" in text


def test_example_is_a_shell_file_of_comments() -> None:
    """Uncommented, the example is an environment, and the one that is in force anyway."""
    lines = [line[1:] for line in example().splitlines() if re.match("#[A-Z]", line)]
    env = dict(line.split("=", 1) for line in lines)
    assert load_config(env, node="a") == load_config({}, node="a")


def test_public_url_follows_the_port() -> None:
    """Without a public address payers reach us on the gateway's port; with one its last slash goes."""
    assert load_config({"TOLLHOUSE_PORT": "9000"}).public_url == "http://127.0.0.1:9000"
    assert load_config({"TOLLHOUSE_PUBLIC_URL": "https://pay.example.com/"}).public_url == "https://pay.example.com"


def test_public_url_with_a_certificate() -> None:
    """With a certificate of ours the address we make up begins with https."""
    files = {"TOLLHOUSE_TLS_CERTIFICATE_FILE": "a.pem", "TOLLHOUSE_TLS_KEY_FILE": "a.key"}
    assert load_config(files).public_url == "https://127.0.0.1:8400"


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, "http://127.0.0.1:8402/ds"),
        ({"TOLLHOUSE_SANDBOX_PORT": "9402"}, "http://127.0.0.1:9402/ds"),
        ({"TOLLHOUSE_HOST": "192.0.2.7"}, "http://192.0.2.7:8402/ds"),
        ({"TOLLHOUSE_HOST": "0.0.0.0"}, "http://127.0.0.1:8402/ds"),
        ({"TOLLHOUSE_HOST": "::"}, "http://[::1]:8402/ds"),
        ({"TOLLHOUSE_DIRECTORY_URL": "https://ds.example.com/3ds/"}, "https://ds.example.com/3ds"),
    ],
)
def test_directory_server_is_that_of_the_sandbox(env: dict[str, str], url: str) -> None:
    """Without an address of its own it is where the sandbox listens, as this machine reaches it."""
    assert load_config(env).directory_url == url


def test_flags_win() -> None:
    """A value given by flag wins over the variable; a flag that was not given is none."""
    env = {"TOLLHOUSE_PORT": "9000", "TOLLHOUSE_NODE": "here"}
    config = load_config(env, port="9001", node=None)
    assert (config.port, config.node) == (9001, "here")


def test_node_is_random_when_empty() -> None:
    """Two processes without a name have different ones."""
    assert load_config({}).node != load_config({}).node


def test_goes_through_the_environment() -> None:
    """The variables made of a configuration give the same configuration."""
    config = load_config({"TOLLHOUSE_ANSWER_LIMIT_SECONDS": "0.25", "TOLLHOUSE_DATABASE_URL": "postgresql://a:b@c/d"})
    assert load_config(environment_of(config)) == config


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        ("vault", {}, "TOLLHOUSE_VAULT_KEYS='vault': expected file or pkcs11 or transit or components"),
        ("pkcs11", {}, "TOLLHOUSE_VAULT_PKCS11_MODULE: is missing, and TOLLHOUSE_VAULT_KEYS=pkcs11 needs it"),
        ("pkcs11", {"PKCS11_MODULE": "/l.so", "PKCS11_TOKEN": "t"}, "TOLLHOUSE_VAULT_PKCS11_PIN_FILE: is missing"),
        (
            "pkcs11",
            {},
            "needs it; so are TOLLHOUSE_VAULT_PKCS11_TOKEN, TOLLHOUSE_VAULT_PKCS11_PIN_FILE",
        ),
        ("transit", {"TRANSIT_TOKEN_FILE": "/t"}, "TOLLHOUSE_VAULT_TRANSIT_URL: is missing"),
        ("transit", {"TRANSIT_URL": "http://bao.example.com"}, "expected https://, because keys go over it"),
        ("transit", {"TRANSIT_URL": "bao.example.com"}, "TOLLHOUSE_VAULT_TRANSIT_URL='bao.example.com': expected an"),
        ("transit", {"TRANSIT_MOUNT": "../sys"}, "TOLLHOUSE_VAULT_TRANSIT_MOUNT='../sys': expected a path"),
        ("transit", {"TRANSIT_KEY": "a/b"}, "TOLLHOUSE_VAULT_TRANSIT_KEY='a/b': expected at most 64 letters"),
        ("file", {"KEY_PERIOD_DAYS": "0"}, "TOLLHOUSE_VAULT_KEY_PERIOD_DAYS='0': expected a number of days"),
    ],
)
def test_keepers_of_keys_are_checked(kind: str, given: dict[str, str], told: str) -> None:
    """What a keeper of keys needs is there and well formed before anything starts."""
    env = {"TOLLHOUSE_VAULT_KEYS": kind} | {f"TOLLHOUSE_VAULT_{name}": text for name, text in given.items()}
    with pytest.raises(ConfigError) as refusal:
        load_config(env)
    assert told in str(refusal.value)


def test_keepers_of_keys_go_through_the_environment() -> None:
    """A configuration with a key server or an HSM starts children with the same."""
    here = {"TOLLHOUSE_VAULT_KEYS": "transit", "TOLLHOUSE_VAULT_TRANSIT_TOKEN_FILE": "token"}
    for url in ("https://bao.example.com:8200", "http://localhost:8200"):
        config = load_config({**here, "TOLLHOUSE_VAULT_TRANSIT_URL": url})
        assert load_config(environment_of(config)) == config
        assert config.vault_transit_token_file == str(Path.cwd() / "token")


def test_foreign_variables_do_not_matter() -> None:
    """Only names with our prefix are looked at."""
    assert load_config({"PATH": "/bin", "PORT": "x"}, node="a") == load_config({}, node="a")


@pytest.mark.parametrize(
    ("name", "near"),
    [("TOLLHOUSE_PROT", "TOLLHOUSE_PORT"), ("TOLLHOUSE_DATABASE", "TOLLHOUSE_DATABASE_URL"), ("TOLLHOUSE_", None)],
)
def test_unknown_variable(name: str, near: str | None) -> None:
    """A name with our prefix that is no setting is refused, even when empty, with the nearest name that is one."""
    with pytest.raises(ConfigError, match=rf"^{name}: there is no such setting; did you mean {near or 'TOLLHOUSE_'}"):
        load_config({name: ""})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PORT", "0", "TOLLHOUSE_PORT='0': expected a port from 1 to 65535"),
        ("PORT", "65536", "expected a port from 1 to 65535"),
        ("PORT", "８４００", "expected a port from 1 to 65535"),
        ("SANDBOX_PORT", "8400", "TOLLHOUSE_SANDBOX_PORT=8400: TOLLHOUSE_PORT has the same port; choose another"),
        ("ACQUIRER_HOST", "a..b", "TOLLHOUSE_ACQUIRER_HOST='a..b': expected the name or the address of a machine"),
        ("ACQUIRER_HOST", "a" * 64, "expected the name or the address of a machine"),
        ("HOST", "a b", "TOLLHOUSE_HOST='a b': expected the name or the address of a machine"),
        ("PUBLIC_URL", "javascript:alert(1)", "expected an address such as https://pay.example.com"),
        ("PUBLIC_URL", "https://pay.example.com/?a=1", "expected an address such as"),
        ("PUBLIC_URL", f"https://{'p' * 200}.example.com", "expected at most 200 characters"),
        ("DIRECTORY_URL", "ds.example.com", "TOLLHOUSE_DIRECTORY_URL='ds.example.com': expected an address such as"),
        ("NODE", "a\nb", "TOLLHOUSE_NODE='a\\\\nb': expected at most 40 letters"),
        ("ANSWER_LIMIT_SECONDS", "0", "expected a number of seconds above 0, at most 3600"),
        ("ANSWER_LIMIT_SECONDS", "nan", "expected a number of seconds"),
        ("ANSWER_LIMIT_SECONDS", "61", "TOLLHOUSE_IN_FLIGHT_LIMIT_SECONDS=60: shorter than TOLLHOUSE_ANSWER_LIMIT"),
        ("LOG_LEVEL", "loud", "expected debug or info or warning or error"),
        ("LOG_FORMAT", "xml", "expected text or json"),
        ("MODE", "live", "expected development or production"),
        ("TLS_CERTIFICATE_FILE", "a.pem", "TOLLHOUSE_TLS_KEY_FILE: is missing, and TOLLHOUSE_TLS_CERTIFICATE_FILE is"),
        ("TLS_KEY_FILE", "a.key", "TOLLHOUSE_TLS_CERTIFICATE_FILE: is missing, and TOLLHOUSE_TLS_KEY_FILE is nothing"),
        ("ACQUIRER_LINE", "ssl", "TOLLHOUSE_ACQUIRER_LINE='ssl': expected plain or tls or tunnel"),
        ("ACQUIRER_CERTIFICATE_FILE", "a.pem", "TOLLHOUSE_ACQUIRER_KEY_FILE: is missing, and TOLLHOUSE_ACQUIRER_CERT"),
        ("ACQUIRER_KEY_FILE", "a.key", "TOLLHOUSE_ACQUIRER_CERTIFICATE_FILE: is missing, and TOLLHOUSE_ACQUIRER_KEY"),
        ("ACQUIRER_CA_FILE", "a.pem", "TOLLHOUSE_ACQUIRER_CA_FILE: is nothing with TOLLHOUSE_ACQUIRER_LINE=plain; set"),
        ("TRUSTED_PROXIES", "proxy.example.com", "expected addresses or networks such as 10.0.0.5"),
        ("TRUSTED_PROXIES", "0.0.0.0/0", "expected the addresses of your proxies, not everybody's"),
        ("CONNECTIONS_MAX", "0", "expected a number from 1 to 100000"),
        ("CONNECTIONS_PER_ADDRESS_MAX", "many", "expected a number from 1 to 100000"),
    ],
)
def test_wrong_value(name: str, value: str, told: str) -> None:
    """A wrong value is refused by one line with the variable, the value and what was expected."""
    with pytest.raises(ConfigError, match=told) as refusal:
        load_config({f"TOLLHOUSE_{name}": value})
    assert "\n" not in str(refusal.value)


def test_no_password_is_told() -> None:
    """The database's password is in no error and in no print of the configuration."""
    with pytest.raises(
        ConfigError, match="^TOLLHOUSE_DATABASE_URL: expected an address such as postgresql:"
    ) as refusal:
        load_config({"TOLLHOUSE_DATABASE_URL": "mysql://a:secret@b/c"})
    assert "secret" not in str(refusal.value)
    assert "secret" not in repr(load_config({"TOLLHOUSE_DATABASE_URL": "postgresql://a:secret@b/c"}))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://a:secret@b:5/c", "postgresql://a:***@b:5/c"),
        ("postgresql://a@b/c", "postgresql://a@b/c"),
        ("postgresql:///c?host=/run&password=secret", "postgresql:///c?host=/run&password=***"),
        ("", ""),
    ],
)
def test_password_is_masked(address: str, shown: str) -> None:
    """An address is shown with stars for its password, wherever that stands."""
    assert without_password(address) == shown
