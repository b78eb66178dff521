"""What is looked at for production: the home, files with secrets, certificates, and how the database lets us in."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.acceptance.system import reserve_port
from tests.certificates import Authority
from tests.servers import execute, remove_database, run_apart
from tollhouse.boot.config import load_config
from tollhouse.boot.fitness import acquirer_problem, home_problem, look, look_and_judge, require_fit
from tollhouse.boot.production import Part
from tollhouse.net.tls import server_context
from tollhouse.store.embedded import Embedded
from tollhouse.store.login import OWNER, SUPERUSER, Login, look_at_login
from tollhouse.store.migrate import MIGRATIONS, DatabaseUnreachable, apply, check

LOGINS = """\
local all strict scram-sha-256
local all old md5
local all open trust
local all plain password
"""


def test_a_home_of_our_own(home: Path) -> None:
    """A folder that nobody else enters, below folders that nobody else changes, is fine."""
    assert home_problem(home) == ""


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o777])
def test_a_home_that_others_enter(home: Path, mode: int) -> None:
    """Any right of others is told with the mode and the cure."""
    home.chmod(mode)
    assert home_problem(home) == f"mode {mode:04o} lets others in; run: chmod 700 {home}"


def test_a_home_that_others_could_replace(home: Path) -> None:
    """A folder above it in which others write is as bad."""
    inner = home / "open" / "home"
    inner.mkdir(parents=True, mode=0o700)
    inner.parent.chmod(0o777)
    inner.chmod(0o700)
    assert home_problem(inner) == (
        f"lies in {inner.parent}, and others may put another folder in its place; run: chmod go-w {inner.parent}"
    )


def test_no_home(home: Path) -> None:
    """A home that is not there is to be made."""
    assert "install -d -m 700" in home_problem(home / "gone")


async def test_files(home: Path) -> None:
    """Files with secrets that others read, that are not there, and keys of merchants that somebody played."""
    pair = Authority(home).server()
    pair.key.chmod(0o640)
    (home / "merchant").mkdir()
    (home / "merchant" / "shop.json").touch()
    settings = {
        "TOLLHOUSE_HOME": str(home),
        "TOLLHOUSE_TLS_CERTIFICATE_FILE": str(pair.certificate),
        "TOLLHOUSE_TLS_KEY_FILE": str(pair.key),
        "TOLLHOUSE_VAULT_PKCS11_PIN_FILE": str(home / "pin"),
    }
    facts = await look(load_config(settings))
    assert facts.played_merchants == ("shop",)
    assert facts.certificate == ""
    assert facts.secret_files == {
        "tls_key_file": f"mode 0640 lets others at it; run: chmod 600 {pair.key}",
        "vault_pkcs11_pin_file": "cannot be read: No such file or directory; name a file that is there",
    }
    pair.certificate.write_text("nothing")
    assert "holds no PEM" in (await look(load_config(settings))).certificate


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A server of this module's own, which lets different roles in by different methods."""
    embedded = Embedded(tmp_path_factory.mktemp("logins"))
    superuser = embedded.start().replace("//tollhouse@", "//postgres@")
    assert embedded.folder is not None
    rules = embedded.folder / "pg_hba.conf"
    rules.write_text(LOGINS + rules.read_text())
    roles = [f"CREATE ROLE {role} LOGIN PASSWORD 'right'" for role in ("strict", "open", "plain")]
    old = ["SET password_encryption = 'md5'", "CREATE ROLE old LOGIN PASSWORD 'right'"]
    run_apart(execute(superuser, *roles, *old, "SELECT pg_reload_conf()"))
    yield embedded
    embedded.stop()
    remove_database(embedded.home)


def address(server: Embedded, role: str, passfile: Path | None = None) -> str:
    """How this role reaches the server."""
    socket = parse_qs(urlsplit(server.dsn).query)["host"][0]
    given = "" if passfile is None else f"&passfile={quote(str(passfile))}"
    return f"postgresql://{role}@/tollhouse?host={quote(socket)}{given}"


@pytest.fixture
def passfile(home: Path) -> Path:
    """A file with the right password."""
    file = home / "pgpass"
    file.touch(mode=0o600)
    file.write_text("*:*:*:*:right\n")
    return file


@pytest.mark.parametrize(
    ("role", "method"),
    [("strict", "scram-sha-256"), ("open", "trust"), ("plain", "password"), ("old", "md5"), ("tollhouse", "peer")],
)
async def test_how_the_database_lets_us_in(server: Embedded, passfile: Path, role: str, method: str) -> None:
    """The server itself says by which method it let us in."""
    assert await look_at_login(address(server, role, passfile)) == Login(method=method)


async def test_a_login_that_fails(server: Embedded, home: Path) -> None:
    """Why there is none is one line."""
    login = await look_at_login(address(server, "strict", home / "gone"))
    assert login.method == ""
    assert login.problem
    assert "\n" not in login.problem


async def test_passwords_that_others_may_read(
    server: Embedded, passfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver leaves such a file alone, so the login fails: the cure names the file, whoever named it to us."""
    passfile.chmod(0o644)
    cure = f"{passfile}: mode 0644 lets others at it, so its passwords are not taken; run: chmod 600 {passfile}"
    named, unnamed = address(server, "strict", passfile), address(server, "strict")
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    for dsn in (named, unnamed):
        with pytest.warns(UserWarning, match="group or world access"):
            assert (await look_at_login(dsn)).cure == cure
        with pytest.warns(UserWarning, match="group or world access"), pytest.raises(DatabaseUnreachable) as refused:
            await check(dsn)
        assert str(refused.value).endswith(f"; {cure}")
        with pytest.warns(UserWarning, match="group or world access"):
            facts = await look(load_config({"TOLLHOUSE_DATABASE_URL": dsn}))
        assert facts.secret_files == {"database_url": cure}
    passfile.chmod(0o600)
    passfile.write_text("*:*:*:*:wrong\n")
    assert (await look_at_login(named)).cure.startswith("correct the password, in the file that passfile= of")


async def test_who_may_do_everything(server: Embedded, passfile: Path, database: str) -> None:
    """A superuser and the owner of the tables are told from a role of ours."""
    superuser = server.dsn.replace("//tollhouse@", "//postgres@")
    assert (await look_at_login(superuser)).might == SUPERUSER
    assert (await look_at_login(database)).might == OWNER
    assert (await look_at_login(address(server, "strict", passfile))).might == ""


async def test_whether_the_acquirer_answers() -> None:
    """An address that takes connections is fine; why another does not is told."""
    with reserve_port() as holder:
        port = holder.getsockname()[1]
        config = load_config({"TOLLHOUSE_ACQUIRER_PORT": str(port)})
        assert await acquirer_problem(config) == "Connection refused"
        holder.listen()
        assert await acquirer_problem(config) == ""


async def test_whether_the_acquirer_proves_who_it_is(tmp_path: Path) -> None:
    """With a sealed line, one that nobody vouches for is a problem, and so are files that cannot be used."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    pair = authority.server()
    async with await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=server_context(pair.certificate, pair.key)
    ) as host:
        port = host.sockets[0].getsockname()[1]

        async def problem(ca: Path) -> str:
            settings = {"ACQUIRER_PORT": port, "ACQUIRER_LINE": "tls", "ACQUIRER_CA_FILE": ca}
            return await acquirer_problem(
                load_config({f"TOLLHOUSE_{name}": str(text) for name, text in settings.items()})
            )

        assert await problem(authority.file) == ""
        assert "certificate verify failed" in await problem(other.file)
        gone = tmp_path / "gone.pem"
        assert await problem(gone) == f"TOLLHOUSE_ACQUIRER_CA_FILE={gone}: cannot be read: No such file or directory"


def test_a_database_of_an_older_release(empty_database: str, home: Path, tmp_path: Path) -> None:
    """Is looked at as far as it goes; the start itself says that its schema is not current."""
    old = tmp_path / "old"
    old.mkdir()
    for file in sorted(MIGRATIONS.glob("*.sql"))[:4]:
        shutil.copy(file, old)
    run_apart(apply(empty_database, old))
    config = load_config({"TOLLHOUSE_HOME": str(home), "TOLLHOUSE_DATABASE_URL": empty_database})
    assert "database" in [finding.about for finding in look_and_judge(config)]


def test_a_certificate_that_only_openssl_takes(home: Path, tmp_path: Path) -> None:
    """Is refused by a line that names it."""
    pair = Authority(tmp_path).server()
    pair.certificate.write_text(pair.certificate.read_text().replace("BEGIN CERT", "BEGIN TRUSTED CERT"))
    settings = {"home": home, "tls_certificate_file": pair.certificate, "tls_key_file": pair.key}
    lines = [line for one in look_and_judge(load_config({}, **settings)) for line in one.refused]
    assert any(str(pair.certificate) in line for line in lines)


def test_trust_is_refused(server: Embedded, home: Path) -> None:
    """With a server that trusts us, its line stands among the refusals."""
    settings = {"TOLLHOUSE_HOME": str(home), "TOLLHOUSE_DATABASE_URL": address(server, "open")}
    found = look_and_judge(load_config(settings), Part.VAULT)
    refused = [line for one in found if one.about == "database" for line in one.refused]
    assert len(refused) == 1
    assert "the server lets us in by `trust`" in refused[0]


def test_development_is_not_asked() -> None:
    """Outside of production nothing is looked at and nothing is refused."""
    assert load_config({}).mode == "development"
    require_fit(load_config({"TOLLHOUSE_DATABASE_URL": "postgresql://nobody@db.invalid/x"}), Part.GATEWAY)
