"""Production for real: a gateway with TLS, key custodians and a database that wants a password; and what is refused."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.acceptance.system import PROGRAM, reserve_port, until
from tests.certificates import Authority
from tests.servers import execute, remove_database, run_apart
from tollhouse.net.tls import client_context
from tollhouse.signing import public_key_pem, sign_rsa
from tollhouse.store.embedded import Embedded

SECONDS_MAX = 60.0
PASSWORD = "a password of the database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardened:
    """Settings that are fit, and what belongs to them."""

    folder: Path
    port: int
    authority: Authority
    environment: dict[str, str]

    def run(self, *words: str, entered: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
        """One command to its end; `changes` are settings that are otherwise for it."""
        other = {f"TOLLHOUSE_{name.upper()}": value for name, value in changes.items()}
        return subprocess.run(
            [PROGRAM, *words],
            env=self.environment | other,
            cwd=self.folder,
            input=entered,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
        )

    def done(self, *words: str, entered: str = "") -> str:
        """What a command printed that shall succeed."""
        ended = self.run(*words, entered=entered)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A Postgres that wants a password of `gateway`, and none of `anybody`."""
    embedded = Embedded(tmp_path_factory.mktemp("database"))
    superuser = embedded.start().replace("//tollhouse@", "//postgres@")
    assert embedded.folder is not None
    rules = embedded.folder / "pg_hba.conf"
    rules.write_text("local all gateway scram-sha-256\nlocal all anybody trust\n" + rules.read_text())
    run_apart(
        execute(
            superuser,
            f"CREATE ROLE gateway LOGIN PASSWORD '{PASSWORD}'",
            "CREATE ROLE anybody LOGIN",
            "CREATE DATABASE gateway OWNER gateway",
            "SELECT pg_reload_conf()",
        )
    )
    yield embedded
    embedded.stop()
    remove_database(embedded.home)


@pytest.fixture
def hardened(server: Embedded, tmp_path: Path) -> Iterator[Hardened]:
    """Everything as production wants it, with a schema that is current."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    passwords = tmp_path / "pgpass"
    passwords.touch(mode=0o600)
    passwords.write_text(f"*:*:*:*:{PASSWORD}\n")
    authority = Authority(tmp_path)
    pair = authority.server()
    socket = quote(parse_qs(urlsplit(server.dsn).query)["host"][0])
    with reserve_port() as holder:
        port = holder.getsockname()[1]
        settings = {
            "mode": "production",
            "home": str(home),
            "port": str(port),
            "public_url": f"https://localhost:{port}",
            "tls_certificate_file": str(pair.certificate),
            "tls_key_file": str(pair.key),
            "database_url": f"postgresql://gateway@/gateway?host={socket}&passfile={quote(str(passwords))}",
            "directory_url": "https://directory.example.com",
            "vault_keys": "components",
        }
        ours = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")}
        environment = ours | {f"TOLLHOUSE_{name.upper()}": value for name, value in settings.items()}
        made = Hardened(folder=tmp_path, port=port, authority=authority, environment=environment)
        made.done("db", "migrate")
        yield made


def ask(hardened: Hardened, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer over TLS."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"https://localhost:{hardened.port}{path}", body, names)
    context = client_context(hardened.authority.file)
    try:
        with urllib.request.urlopen(request, context=context, timeout=SECONDS_MAX) as answer:
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, {name.lower(): value for name, value in answer.headers.items()}, answer.read()


def is_up(hardened: Hardened) -> bool:
    """Whether the gateway is ready."""
    try:
        return ask(hardened, "/readyz")[0] == 200
    except (OSError, ssl.SSLError):
        return False


def test_a_hardened_gateway_takes_calls(hardened: Hardened) -> None:
    """Nothing is refused, the log warns; custodians enter their parts, and a signed call over TLS is answered."""
    custodians = hardened.folder / "custodians"
    hardened.done("vault", "key", "components", "--split", "2", "--to", str(custodians))
    parts = [file.read_text() for file in sorted(custodians.iterdir())]
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (hardened.folder / "shop.pub.pem").write_text(public_key_pem(key.public_key()))
    hardened.done("project", "create", "shop", "--live", "--public-key", "shop.pub.pem", entered="".join(parts))
    looked_at = json.loads(hardened.done("doctor", "--json"))
    assert looked_at["ok"], looked_at
    gateway = subprocess.Popen(
        [PROGRAM, "serve"], env=hardened.environment, cwd=hardened.folder, stderr=subprocess.PIPE, text=True
    )
    try:
        until((hardened.folder / "home" / "unlock").exists, "the gateway waits for custodians")
        for part in parts:
            until(lambda part=part: hardened.run("vault", "key", "unlock", entered=part).returncode == 0, "unlocked")
        until(lambda: is_up(hardened), "the gateway is ready")
        body = b"{}"
        status, headers, said = ask(
            hardened,
            "/api/v2/session/create",
            body,
            Content_Type="application/json",
            X_Partner_Project="shop",
            X_Partner_Sign=sign_rsa(key, body),
        )
        assert status == 200, said
        assert headers["strict-transport-security"] == "max-age=31536000"
        assert "server" not in headers
    finally:
        gateway.terminate()
        _, log = gateway.communicate(timeout=SECONDS_MAX)
    assert gateway.returncode == 0, log
    assert "Traceback" not in log
    for warned in ("this login owns the tables", "project shop: is live, and this version has no acquirer"):
        assert warned in log


KEYS, DATABASE, ADDRESS, LOGS = (
    "VAULT_KEYS=file",
    "DATABASE_URL",
    "PUBLIC_URL=http://pay.example.com",
    "LOG_LEVEL=debug",
)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["serve"], [KEYS, DATABASE, ADDRESS, LOGS]),
        (["work"], [KEYS, DATABASE, ADDRESS, LOGS]),
        (["vault", "serve"], [KEYS, DATABASE, LOGS]),
    ],
    ids=["gateway", "worker", "vault"],
)
def test_everything_that_is_refused_is_told_at_once(hardened: Hardened, words: list[str], names: list[str]) -> None:
    """One list, exit code 1, and nothing begins to listen."""
    trusting = hardened.environment["TOLLHOUSE_DATABASE_URL"].replace("gateway@/gateway", "anybody@/gateway")
    ended = hardened.run(
        *words, vault_keys="file", public_url="http://pay.example.com", log_level="debug", database_url=trusting
    )
    assert ended.returncode == 1
    lines = [line.strip() for line in ended.stderr.partition("error: ")[2].splitlines()]
    assert lines[0] == f"TOLLHOUSE_MODE=production: {len(names)} refusals; nothing was started", ended.stderr
    for line, name in zip(lines[1:], names, strict=True):
        assert line.startswith(f"TOLLHOUSE_{name}: ")
    assert "lets us in by `trust`" in ended.stderr


@pytest.mark.parametrize("words", [["up"], ["pay"], ["shop"], ["sandbox"]], ids=lambda words: words[0])
def test_what_has_no_place_in_production(hardened: Hardened, words: list[str]) -> None:
    """What is there for trying out says in one line what to start instead."""
    ended = hardened.run(*words)
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: TOLLHOUSE_MODE=production: has no place for ")
    assert not (hardened.folder / "home" / "merchant").exists()
    assert "`tollhouse serve`" in line
