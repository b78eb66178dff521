"""The configuration: one frozen shape, read once from the environment, with every name, default and meaning."""

from __future__ import annotations

import difflib
import re
import secrets
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from tollhouse.boot import readers, retention
from tollhouse.boot.vault_place import TLS, TLS_NEEDS, read_place

PREFIX = "TOLLHOUSE_"


class ConfigError(Exception):
    """A setting is wrong; the text is one line naming it, its value and the cure."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Setting:
    """What people see of a field. `read` turns text into the value or raises `ValueError` with what was expected."""

    default: str
    meaning: str
    read: Callable[[str], Any]


# What each keeper of keys cannot do without.
KEEPER_NEEDS = {
    "pkcs11": ("vault_pkcs11_module", "vault_pkcs11_token", "vault_pkcs11_pin_file"),
    "transit": ("vault_transit_url", "vault_transit_token_file"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the gateway was told. A field `port` is the variable TOLLHOUSE_PORT and the flag --port."""

    home: Annotated[Path, Setting(".tollhouse", "Folder of data, keys and logs.", readers.path)]
    host: Annotated[str, Setting("127.0.0.1", "Address on which our HTTP servers listen.", readers.host)]
    port: Annotated[int, Setting("8400", "Port of the gateway.", readers.port)]
    shop_port: Annotated[int, Setting("8401", "Port of the demo shop.", readers.port)]
    sandbox_port: Annotated[int, Setting("8402", "Port of the sandbox's books and controls.", readers.port)]
    acquirer_host: Annotated[str, Setting("127.0.0.1", "Machine of the acquirer, ISO 8583 over TCP.", readers.host)]
    acquirer_port: Annotated[int, Setting("8583", "Port of the acquirer.", readers.port)]
    acquirer_line: Annotated[
        str,
        Setting(
            "plain",
            "What seals the line to the acquirer: tls; tunnel: something of yours around it; plain: nothing.",
            readers.choice("plain", "tls", "tunnel"),
        ),
    ]
    acquirer_ca_file: Annotated[
        str, Setting("", "Certificates that the acquirer's must come from; empty: those of the system.", readers.file)
    ]
    acquirer_certificate_file: Annotated[
        str,
        Setting("", "Our certificate towards the acquirer, with its chain, PEM; empty: we show none.", readers.file),
    ]
    acquirer_key_file: Annotated[
        str, Setting("", "Private key of that certificate, readable by us alone.", readers.file)
    ]
    acquirer_demands_cvv: Annotated[
        str,
        Setting(
            "off", "Whether the acquirer takes cards with a security code only: on or off.", readers.choice("on", "off")
        ),
    ]
    public_url: Annotated[
        str, Setting("", "How payers and merchants reach us; empty: http://127.0.0.1:<port>.", readers.web_address)
    ]
    directory_url: Annotated[
        str,
        Setting(
            "",
            "Directory server of 3-D Secure; empty: http://<host>:<sandbox port>/ds, the sandbox's.",
            readers.web_address,
        ),
    ]
    database_url: Annotated[
        str, Setting("", "Any Postgres 15 or newer; empty: the embedded one, in the home.", readers.database_address)
    ] = field(repr=False)
    node: Annotated[
        str,
        Setting(
            "",
            "Name of this process among others on one database; empty: random at each start.",
            readers.matching(r"[0-9A-Za-z._-]{1,40}", "expected at most 40 letters, digits, dots and dashes"),
        ),
    ]
    answer_limit_seconds: Annotated[float, Setting("15", "How long the acquirer may take to answer.", readers.seconds)]
    in_flight_limit_seconds: Annotated[
        float, Setting("60", "How long a request to the acquirer may still be on its way.", readers.seconds)
    ]
    log_level: Annotated[
        str, Setting("info", "Least important line to log.", readers.choice("debug", "info", "warning", "error"))
    ]
    log_format: Annotated[str, Setting("text", "Lines for people or for machines.", readers.choice("text", "json"))]
    mode: Annotated[
        str,
        Setting(
            "development",
            "development, or production: refuses to start with what is not fit for real cards.",
            readers.choice("development", "production"),
        ),
    ]
    tls_certificate_file: Annotated[
        str, Setting("", "Certificate of the gateway with its chain, PEM; empty: plain HTTP.", readers.file)
    ]
    tls_key_file: Annotated[str, Setting("", "Private key of that certificate, PEM without a password.", readers.file)]
    trusted_proxies: Annotated[
        str,
        Setting(
            "",
            "Addresses or networks of the proxies before us, with commas; whom they name as the caller is believed.",
            readers.proxies,
        ),
    ]
    connections_max: Annotated[int, Setting("2000", "Most connections to the gateway at a time.", readers.count)]
    connections_per_address_max: Annotated[
        int, Setting("200", "Most of them from one address; proxies are not counted so.", readers.count)
    ]
    vault_keys: Annotated[
        str,
        Setting(
            "file",
            "Who keeps the key-encryption key: file, pkcs11, transit or components; to move keys, the new and the old.",
            readers.keepers,
        ),
    ]
    vault_key_period_days: Annotated[
        int, Setting("365", "Age at which tollhouse vault key status asks for a new version.", readers.days)
    ]
    vault_pkcs11_module: Annotated[str, Setting("", "PKCS#11 library of the HSM.", readers.file)]
    vault_pkcs11_token: Annotated[str, Setting("", "Label of the token in the HSM.", readers.label)]
    vault_pkcs11_pin_file: Annotated[
        str, Setting("", "File that holds the token's PIN, readable by us alone.", readers.file)
    ]
    vault_pkcs11_key: Annotated[
        str, Setting("tollhouse", "Label of the keys in the token; each has -v and its version after it.", readers.name)
    ]
    vault_transit_url: Annotated[str, Setting("", "Address of the OpenBao or Vault server.", readers.key_server)]
    vault_transit_mount: Annotated[
        str, Setting("transit", "Path under which the server has its transit engine.", readers.mount)
    ]
    vault_transit_key: Annotated[str, Setting("tollhouse", "Name of the key in the transit engine.", readers.name)]
    vault_transit_token_file: Annotated[
        str, Setting("", "File that holds the token for the server, readable by us alone.", readers.file)
    ]
    vault_transit_ca_file: Annotated[
        str, Setting("", "Certificates that the server's must come from; empty: those of the system.", readers.file)
    ]
    vault_url: Annotated[
        str,
        Setting(
            "", "Where the vault runs; empty: inside the gateway; unix: or tls://host:port: on its own.", read_place
        ),
    ]
    vault_listen: Annotated[
        str,
        Setting("", "Where tollhouse vault serve listens; empty: at the socket of TOLLHOUSE_VAULT_URL.", read_place),
    ]
    vault_users: Annotated[
        str, Setting("", "Users who may speak with the vault at its socket; empty: its own alone.", readers.users)
    ]
    vault_certificate_file: Annotated[
        str, Setting("", "This process's certificate towards vault or node.", readers.file)
    ]
    vault_key_file: Annotated[str, Setting("", "Private key of that certificate, readable by us alone.", readers.file)]
    vault_ca_file: Annotated[str, Setting("", "Authority that certificates of vault and nodes are from.", readers.file)]
    vault_revoked_file: Annotated[
        str, Setting("", "List of revoked certificates (PEM CRL), read again when it changes.", readers.file)
    ]
    vault_database_url: Annotated[
        str,
        Setting("", "Database as the vault reaches it; empty: as TOLLHOUSE_DATABASE_URL.", readers.database_address),
    ] = field(repr=False)
    retention_cards_days: Annotated[
        int, Setting("540", "How long a card is kept for refunds of what was paid with it.", retention.read_cards)
    ]
    retention_personal_days: Annotated[
        int, Setting("540", "How long what is known of a payer is kept after their session.", retention.read_personal)
    ]
    retention_events_days: Annotated[int, Setting("90", "How long events are kept.", retention.read_events)]
    retention_books_days: Annotated[
        int, Setting("3650", "How long the law wants the books; they are never purged.", retention.read_books)
    ]
    retention_purge: Annotated[
        str, Setting("daily", "Whether workers purge by themselves: daily or off.", readers.choice("daily", "off"))
    ]

    @property
    def is_production(self) -> bool:
        """Whether real cards are expected."""
        return self.mode == "production"

    @property
    def keepers(self) -> tuple[str, ...]:
        """Who keeps the key-encryption key: the first makes new versions, the others have old ones."""
        return tuple(self.vault_keys.split(","))


def settings() -> Iterator[tuple[str, Setting]]:
    """Every field's name with what people see of it, in order."""
    hints = typing.get_type_hints(Config, include_extras=True)
    for shape in fields(Config):
        yield shape.name, next(mark for mark in hints[shape.name].__metadata__ if isinstance(mark, Setting))


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def load_config(env: Mapping[str, str], **overrides: object) -> Config:
    """The configuration from these variables; an override that is not None wins. Raises `ConfigError`."""
    known = dict(settings())
    assert overrides.keys() <= known.keys(), overrides.keys() - known.keys()
    _refuse_unknown(env, [variable(name) for name in known])
    values: dict[str, Any] = {}
    for name, setting in known.items():
        override = overrides.get(name)
        text = (env.get(variable(name), "") if override is None else str(override)).strip() or setting.default
        try:
            values[name] = setting.read(text) if text else ""
        except ValueError as error:
            # A malformed address may hold its password anywhere.
            shown = "" if name.endswith("database_url") else f"={text[:100]!a}"
            raise ConfigError(f"{variable(name)}{shown}: {error}") from None
    scheme = "https" if values["tls_certificate_file"] else "http"
    values["public_url"] = values["public_url"] or f"{scheme}://127.0.0.1:{values['port']}"
    values["directory_url"] = (
        values["directory_url"] or f"http://{_reached(values['host'])}:{values['sandbox_port']}/ds"
    )
    values["node"] = values["node"] or secrets.token_hex(4)
    config = Config(**values)
    _refuse_conflicts(config)
    return config


def _reached(host: str) -> str:
    """How a server of ours that listens on this address is reached from this machine, as an address spells it."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{reached}]" if ":" in reached else reached


def _refuse_unknown(env: Mapping[str, str], known: list[str]) -> None:
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ConfigError(
                f"{name}: there is no such setting; did you mean {near}? `tollhouse config` lists them all"
            )


def _refuse_conflicts(config: Config) -> None:
    taken: dict[int, str] = {}
    for name in ("port", "shop_port", "sandbox_port", "acquirer_port"):
        port = getattr(config, name)
        if port in taken:
            raise ConfigError(
                f"{variable(name)}={port}: {taken[port]} has the same port; choose another for one of them"
            )
        taken[port] = variable(name)
    for pair in (("tls_certificate_file", "tls_key_file"), ("acquirer_certificate_file", "acquirer_key_file")):
        for name, other in (pair, pair[::-1]):
            if getattr(config, name) and not getattr(config, other):
                raise ConfigError(f"{variable(other)}: is missing, and {variable(name)} is nothing without it")
    for name in ("acquirer_ca_file", "acquirer_certificate_file"):
        if getattr(config, name) and config.acquirer_line != "tls":
            line = f"{variable('acquirer_line')}={config.acquirer_line}"
            raise ConfigError(f"{variable(name)}: is nothing with {line}; set that to tls, or leave this empty")
    for keeper in config.keepers:
        _refuse_missing(config, KEEPER_NEEDS.get(keeper, ()), f"{variable('vault_keys')}={keeper}")
    for name in ("vault_url", "vault_listen"):
        if getattr(config, name).startswith(f"{TLS}:"):
            _refuse_missing(config, TLS_NEEDS, f"{variable(name)}={getattr(config, name)}")
    if config.in_flight_limit_seconds < config.answer_limit_seconds:
        raise ConfigError(
            f"{variable('in_flight_limit_seconds')}={config.in_flight_limit_seconds:g}: shorter than"
            f" {variable('answer_limit_seconds')}={config.answer_limit_seconds:g}; a request may be on its way at least"
            " as long as we wait for its answer"
        )


def _refuse_missing(config: Config, needed: Sequence[str], by: str) -> None:
    """All of them at once: nobody sets one, starts again and is told of the next."""
    first, *others = [variable(name) for name in needed if not getattr(config, name)] or [""]
    if first:
        too = f"; so are {', '.join(others)}" if others else ""
        raise ConfigError(f"{first}: is missing, and {by} needs it{too}")


def environment_of(config: Config) -> dict[str, str]:
    """The variables that make `load_config` return this configuration again."""
    values = {name: getattr(config, name) for name, _ in settings()}
    return {variable(name): str(value) for name, value in values.items()}


def example() -> str:
    """Every variable with its meaning and default, as a commented file for a shell."""
    blocks = [f"# {setting.meaning}\n#{variable(name)}={setting.default}\n" for name, setting in settings()]
    return "# The environment of Tollhouse. What is commented out shows the default.\n\n" + "\n".join(blocks)


def without_password(address: str) -> str:
    """The address with stars in place of a password."""
    login = re.sub(r"^([a-z]+://[^:/?#@]*):[^/?#]*@", r"\1:***@", address)
    return re.sub(r"([?&](?:ssl)?password)=[^&]*", r"\1=***", login)
