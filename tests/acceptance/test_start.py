"""How `tollhouse up` begins and ends: what stands in its way is one line, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from bench.machine import family
from tests.acceptance import books
from tests.acceptance.conftest import NewMerchant, NewSystem
from tests.acceptance.system import PROGRAM, System, is_alive, until


def refused(system: System, *flags: str, code: int = 1) -> str:
    """What a start that is refused says: one line, and nothing is printed."""
    ended = system.run("up", *flags, code=code)
    assert ended.stdout == ""
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("up ")]
    assert len(lines) == 1, ended.stderr
    return lines[0]


@pytest.mark.parametrize("name", ["port", "sandbox_port", "acquirer_port"])
def test_taken_port_is_one_line(new_system: NewSystem, name: str) -> None:
    """The line names the port, its setting and another port; nothing is made."""
    system = new_system()
    with socket.create_server(("127.0.0.1", getattr(system, name))):
        line = refused(system)
    assert f"port {getattr(system, name)} (TOLLHOUSE_{name.upper()}) is taken" in line
    assert f"--{name.replace('_', '-')} " in line
    assert not system.home.exists()


def test_unreachable_database_is_one_line(new_system: NewSystem) -> None:
    """The line names the place but not the password."""
    system = new_system(database_url="postgresql://tollhouse:s3cret-word@127.0.0.1:1/tollhouse")
    line = refused(system)
    assert "127.0.0.1" in line
    assert "TOLLHOUSE_DATABASE_URL" in line
    assert "s3cret-word" not in line + system.log()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prot": "8400"}, ("TOLLHOUSE_PROT", "TOLLHOUSE_PORT")),
        ({"port": "eighty"}, ("TOLLHOUSE_PORT", "1 to 65535")),
        ({"mode": "testing"}, ("TOLLHOUSE_MODE", "development or production")),
        ({"mode": "production"}, ("TOLLHOUSE_MODE=production", "tollhouse serve")),
        ({"answer_limit_seconds": "9"}, ("TOLLHOUSE_IN_FLIGHT_LIMIT_SECONDS", "TOLLHOUSE_ANSWER_LIMIT_SECONDS")),
        ({"database_url": "mysql://db"}, ("TOLLHOUSE_DATABASE_URL", "postgresql://")),
    ],
)
def test_wrong_setting_is_one_line(new_system: NewSystem, settings: dict[str, str], words: tuple[str, ...]) -> None:
    """An unknown variable or a value that cannot be is named, with what would be right."""
    line = refused(new_system(**settings))
    for word in words:
        assert word in line


def test_home_that_is_in_use_is_one_line(own: System) -> None:
    """A second start in the same home is refused while the first one runs, and does it no harm."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        other = free.getsockname()[1]
    line = refused(own, "--port", str(other))
    assert str(own.home) in line
    own.wait_until_answering(own.port)


@pytest.mark.parametrize("wanted", [signal.SIGINT, signal.SIGTERM])
def test_stop_is_clean_and_the_next_start_goes_on(
    own: System, new_merchant: NewMerchant, wanted: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM end everything with exit code 0; after the next start every payment is as it was."""
    shop = new_merchant(own)
    paid, waiting = shop.pay(), shop.prepare()
    assert own.process is not None
    pids = family(own.process.pid)
    assert len(pids) > 5
    os.kill(own.process.pid, wanted)
    assert own.process.wait(60) == 0
    until(lambda: not any(map(is_alive, pids)), "every process is gone", seconds=5)
    assert "Traceback" not in own.log()
    assert "unexpectedly" not in own.log()

    own.start()
    assert shop.status(paid)["status"] == "accepted"
    shop.confirm(waiting)
    assert shop.finished(waiting)["status"] == "accepted"
    books.assert_sound(own)


def test_stop_lets_what_is_under_way_finish_or_recover(own: System, new_merchant: NewMerchant) -> None:
    """Ctrl-C in the middle of many payments loses none: after the next start all of them end, and the books agree."""
    shop = new_merchant(own)
    sessions = [shop.prepare() for _ in range(20)]
    for session_id in sessions:
        shop.confirm(session_id)
    assert own.stop() == 0
    own.start()
    for session_id in sessions:
        assert shop.wait_until_final(session_id)["status"] in ("accepted", "cancelled")
        shop.receiver.wait_for(session_id, "payment_finished")
    books.assert_sound(own)


def test_stop_during_the_start_is_clean(new_system: NewSystem) -> None:
    """Ctrl-C before everything is ready ends what was started already."""
    system = new_system()
    system.launch()
    until(lambda: "making a database" in system.log(), "the start has begun")
    assert system.process is not None
    pids = family(system.process.pid)
    system.stop()
    until(lambda: not any(map(is_alive, pids)), "every process is gone", seconds=5)
    assert "Traceback" not in system.log()
    system.start()


def test_two_systems_live_side_by_side(new_system: NewSystem, new_merchant: NewMerchant) -> None:
    """Each has its own home, ports, projects and money."""
    first, second = new_system(), new_system()
    first.launch()
    second.launch()
    first.wait_until_ready()
    second.wait_until_ready()
    one, other = new_merchant(first), new_merchant(second)
    paid = one.pay(), other.pay()
    for merchant, foreign in ((one, paid[1]), (other, paid[0])):
        assert merchant.call("status", {"session_id": foreign}).error == (404, "session_not_found")
        assert len(books.book(merchant.system)) == 1
    first.stop()
    assert other.status(paid[1])["status"] == "accepted"


def test_any_postgres_will_do(new_system: NewSystem, new_merchant: NewMerchant, empty_database: str) -> None:
    """With TOLLHOUSE_DATABASE_URL no database is made in the home, and a payment works and is proved all the same."""
    system = new_system(database_url=empty_database)
    system.start()
    shop = new_merchant(system)
    session_id = shop.pay()
    shop.refund(session_id, 1000)
    shop.receiver.wait_for(session_id, "payment_refunded")
    assert not (system.home / "postgres").exists()
    assert system.pids("postgres") == []
    books.assert_sound(system)
    system.stop()
    system.start()
    assert shop.status(session_id)["status"] == "accepted"


def test_announcement_names_what_works(own: System) -> None:
    """The printed command pays, from any folder, with nothing else in its environment."""
    printed = own.printed()
    for word in (own.url, f"{own.url}/docs", own.books_url, "4242 4242 4242 4242"):
        assert word in printed
    command = next(line.strip() for line in printed.splitlines() if line.endswith(" pay"))
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")}
    ended = subprocess.run(["/bin/sh", "-c", command], env=ours, cwd="/", capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended
    assert Path(PROGRAM).exists()
