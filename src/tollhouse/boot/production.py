"""What production refuses to start with: a table of checks over what was looked at. Nothing here looks itself.

A check returns nothing, or one line that names the setting, what is wrong and the cure. All are made at once, so that
an operator reads one list and not ten, one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qs, unquote, urlsplit

from tollhouse.boot.config import Config, variable
from tollhouse.merchant import Project
from tollhouse.routing import SANDBOX, route
from tollhouse.signing import parse_public_key
from tollhouse.source import are_loopback, is_of_this_machine
from tollhouse.store.login import TRUST, Login

FILE = "file"
# `password` sends it as it is; `md5` is broken; `ident` believes the other machine.
WEAK_LOGINS = (TRUST, "password", "md5", "ident")
VERIFIED = "verify-full"
# Variables that a client of Postgres takes what is not in the address from.
SURROUNDINGS = {
    "PGHOST": "takes us to another server where the address names none; unset it and name the server there",
    "PGPASSWORD": "every program that we start sees this password; unset it and name a file, as in ?passfile=",
}
NAMES_SHOWN = 3


class Part(StrEnum):
    """A process that can refuse to start."""

    GATEWAY = "gateway"
    WORKER = "worker"
    VAULT = "vault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was looked at. `home`, `secret_files` (by setting) and `acquirer` say what is wrong with them.

    `has_keys` tells whether this part opens cards; `surroundings` are variables that Postgres' clients listen to.
    """

    config: Config
    has_keys: bool = True
    surroundings: tuple[str, ...] = ()
    keeps_assertions: bool = True
    core_bytes_max: int = 0
    is_dumpable: bool = False
    home: str = ""
    played_merchants: tuple[str, ...] = ()
    secret_files: Mapping[str, str] = field(default_factory=dict)
    certificate: str = ""
    logins: Mapping[str, Login] = field(default_factory=dict)
    keepers_of_rows: frozenset[str] = frozenset()
    projects: tuple[Project, ...] = ()
    acquirer: str = ""


Look = Callable[[Facts], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of the table: what it is about, who must pass it, and the lines of what is refused.

    `warn` has lines of what is not refused, because honest small installations have it too.
    """

    about: str
    look: Look
    warn: Look | None = None
    parts: tuple[Part, ...] = tuple(Part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check said: nothing when all is well."""

    about: str
    refused: tuple[str, ...]
    warned: tuple[str, ...] = ()


class Unfit(Exception):
    """Not fit for production; the text has a line for each refusal."""

    exit_code = 1

    def __init__(self, refused: list[str]) -> None:
        self.refused = refused
        count = "1 refusal" if len(refused) == 1 else f"{len(refused)} refusals"
        super().__init__("\n  ".join([f"{variable('mode')}=production: {count}; nothing was started", *refused]))


def findings(facts: Facts, part: Part | None = None) -> list[Finding]:
    """What each check says that this part must pass; without a part, what all of them say."""
    chosen = [check for check in CHECKS if part is None or part in check.parts]
    return [
        Finding(about=one.about, refused=tuple(one.look(facts)), warned=tuple(one.warn(facts) if one.warn else ()))
        for one in chosen
    ]


def has_keys(config: Config, part: Part | None) -> bool:
    """Whether this part holds keys: the vault always, the others when it runs inside them.

    Where no part is named, whoever is told where the vault listens may be it.
    """
    return part is Part.VAULT or not config.vault_url or (part is None and bool(config.vault_listen))


def _line(facts: Facts, name: str, problem: str, *, shown: bool = True) -> str:
    value = f"={getattr(facts.config, name)}" if shown and getattr(facts.config, name) else ""
    return f"{variable(name)}{value}: {problem}"


def _keys(facts: Facts) -> list[str]:
    config = facts.config
    if not facts.has_keys:
        return []
    if config.keepers[0] == FILE:
        problem = "a key in a file goes with every copy of the disk; set pkcs11, transit or components"
        return [_line(facts, "vault_keys", problem)]
    if FILE in facts.keepers_of_rows and FILE not in config.keepers:
        cure = f"set {config.vault_keys},{FILE} and run `tollhouse vault key rotate`, `rewrap` and `retire`"
        return [_line(facts, "vault_keys", f"rows of this database lie under keys in files; {cure}")]
    if facts.keepers_of_rows == {FILE}:
        cure = f"run `tollhouse vault key rotate`, which makes one at {config.keepers[0]}"
        return [_line(facts, "vault_keys", f"every key of this database is in a file still; {cure}")]
    return []


def _moving(facts: Facts) -> list[str]:
    if not facts.has_keys or FILE not in facts.config.keepers[1:]:
        return []
    cure = f"finish with `tollhouse vault key rewrap` and `retire`, then take {FILE} out"
    return [_line(facts, "vault_keys", f"cards may still lie under a key in a file; {cure}")]


def database_settings(config: Config, part: Part | None) -> list[str]:
    """The settings that say where a database is which this part speaks to."""
    own = ["vault_database_url"] if config.vault_database_url and has_keys(config, part) else []
    if part is Part.VAULT and own:
        return own
    return ["database_url", *own]


def _database(facts: Facts) -> list[str]:
    if not facts.config.database_url and not facts.config.vault_database_url:
        problem = "is empty; the embedded Postgres is for trying out: give the address of one that is backed up"
        return [_line(facts, "database_url", problem)]
    refused = []
    refused += [f"{name}: {SURROUNDINGS[name]}" for name in facts.surroundings]
    for name in ("database_url", "vault_database_url"):
        if address := getattr(facts.config, name):
            refused += [_line(facts, name, problem, shown=False) for problem in address_problems(address)]
    for name, login in facts.logins.items():
        if login.problem:
            cure = login.cure or "start it, or correct the address"
            refused.append(_line(facts, name, f"cannot be looked at: {login.problem}; {cure}", shown=False))
        elif login.method in WEAK_LOGINS:
            cure = "write scram-sha-256 or cert for us into its pg_hba.conf"
            if login.is_guess:
                cure += "; a server before Postgres 16 does not tell peer and cert from trust: there take scram-sha-256"
            refused.append(_line(facts, name, f"the server lets us in by `{login.method}`; {cure}", shown=False))
    return refused


def _mighty(facts: Facts) -> list[str]:
    cure = "let what takes calls log in as a role that `tollhouse db roles` makes, and keep this one for commands"
    return [
        _line(facts, name, f"this login {login.might}; {cure}", shown=False)
        for name, login in facts.logins.items()
        if login.might
    ]


def address_problems(address: str) -> list[str]:
    """What is wrong with a database's address itself."""
    parts = urlsplit(address)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    problems = []
    if ":" in parts.netloc.rpartition("@")[0] or "password" in asked or "sslpassword" in asked:
        problems.append(
            "holds a password, which every program sees that we start; take it out and name a file, as in"
            " ?passfile=/etc/tollhouse/pgpass"
        )
    # What stands before the path wins over ?host=.
    hosts = [_host(one) for one in (parts.netloc.rpartition("@")[2] or asked.get("host", "")).split(",")]
    remote = [host for host in hosts if host and not host.startswith("/") and not are_loopback([host])]
    if remote and asked.get("sslmode") != VERIFIED:
        problems.append(
            f"{remote[0]} is another machine, and anybody between could be it; add"
            f" sslmode={VERIFIED}&sslrootcert=/etc/tollhouse/database-ca.pem"
        )
    return problems


def _host(text: str) -> str:
    host = unquote(text)
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _public_url(facts: Facts) -> list[str]:
    if not facts.config.public_url.startswith("https://"):
        return [_line(facts, "public_url", "payers type cards there; give an https:// address")]
    if is_of_this_machine(urlsplit(facts.config.public_url).hostname or ""):
        return [_line(facts, "public_url", "leads every payer to a machine of their own; give the address they see")]
    return []


def _tls(facts: Facts) -> list[str]:
    config = facts.config
    if facts.certificate:
        return [facts.certificate]
    if not config.tls_certificate_file and not config.trusted_proxies:
        other = variable("trusted_proxies")
        problem = f"is empty, and nobody encrypts; give a certificate, or name the proxy that terminates TLS in {other}"
        return [_line(facts, "tls_certificate_file", problem)]
    return []


def _directory(facts: Facts) -> list[str]:
    parts = urlsplit(facts.config.directory_url)
    if are_loopback([parts.hostname or ""]) or parts.scheme != "https":
        problem = "is the sandbox's, or not encrypted; give the https:// address of your scheme's directory server"
        return [_line(facts, "directory_url", problem)]
    return []


def _line_to_acquirer(facts: Facts) -> list[str]:
    config = facts.config
    if config.acquirer_line != "plain" or are_loopback([config.acquirer_host]):
        return []
    problem = f"{config.acquirer_host} is another machine, and whoever is between reads card numbers; set tls"
    return [_line(facts, "acquirer_line", f"{problem}, or tunnel if something of yours seals that way")]


def _acquirers(facts: Facts) -> list[str]:
    played = [project.name for project in facts.projects if project.is_live and route(project) == SANDBOX]
    if played:
        return [f"project {_some(played)}: is live and would be paid at the sandbox; give it an acquirer"]
    return []


def _unpaid(facts: Facts) -> list[str]:
    """Projects whose payments do not go where somebody may think."""
    active = [project for project in facts.projects if not project.is_disabled]
    live = [project.name for project in active if project.is_live and route(project) is None]
    tests = [project.name for project in active if not project.is_live]
    where = f"{facts.config.acquirer_host}:{facts.config.acquirer_port}"
    set_by = f"{variable('acquirer_host')}, {variable('acquirer_port')}"
    lines = []
    if live:
        lines.append(
            f"project {_some(live)}: is live, and this version has no acquirer for live projects:"
            " each payment fails with `No acquirer is available`; do not send payers there yet"
        )
    if tests:
        lines.append(
            f"project {_some(tests)}: is a test project, paid at whoever listens at {where} ({set_by});"
            " `tollhouse project set NAME --disable` ends that"
        )
    if facts.acquirer:
        lines.append(f"{set_by}: nobody takes connections at {where}: {facts.acquirer}; start it, or correct them")
    return lines


def _logs(facts: Facts) -> list[str]:
    if facts.config.log_level == "debug":
        return [_line(facts, "log_level", "libraries tell of requests then; set info or less")]
    return []


def _project_keys(facts: Facts) -> list[str]:
    refused = []
    for project in facts.projects:
        for key in project.public_keys:
            try:
                parse_public_key(key.pem)
            except ValueError as problem:
                cure = f"`tollhouse key retire {project.name} {key.id}`"
                refused.append(f"project {project.name}: key {key.id}: {problem}; {cure}")
    return refused


def _played(facts: Facts) -> list[str]:
    if facts.played_merchants:
        problem = (
            f"has the private keys of {_some(facts.played_merchants)}, made by `tollhouse pay` or the demo shop;"
            " take a home in which nobody played"
        )
        return [_line(facts, "home", problem)]
    return []


def _home(facts: Facts) -> list[str]:
    return [_line(facts, "home", facts.home)] if facts.home else []


def _secret_files(facts: Facts) -> list[str]:
    return [
        _line(facts, name, problem, shown=not name.endswith("database_url"))
        for name, problem in facts.secret_files.items()
    ]


def _assertions(facts: Facts) -> list[str]:
    if facts.keeps_assertions:
        return []
    return ["PYTHONOPTIMIZE: assertions are off, and they guard money; unset it, and start without -O"]


def _core_files(facts: Facts) -> list[str]:
    if facts.core_bytes_max == 0 and not facts.is_dumpable:
        return []
    return ["core files: this process may leave one, with keys and cards in it; run `ulimit -c 0` before the start"]


def _some(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"


_SERVING = (Part.GATEWAY, Part.WORKER)
CHECKS = (
    Check(about="keys of cards", look=_keys, warn=_moving),
    Check(about="database", look=_database, warn=_mighty),
    Check(about="public address", look=_public_url, parts=_SERVING),
    Check(about="TLS of the API", look=_tls, parts=(Part.GATEWAY,)),
    Check(about="directory server of 3-D Secure", look=_directory, parts=_SERVING),
    Check(about="line to the acquirer", look=_line_to_acquirer, parts=_SERVING),
    Check(about="acquirers of projects", look=_acquirers, warn=_unpaid, parts=_SERVING),
    Check(about="keys of projects", look=_project_keys, parts=_SERVING),
    Check(about="merchants that were played", look=_played),
    Check(about="logs", look=_logs),
    Check(about="home", look=_home),
    Check(about="files with secrets", look=_secret_files),
    Check(about="assertions", look=_assertions),
    Check(about="core files", look=_core_files),
)
