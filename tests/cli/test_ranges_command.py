"""`tollhouse ranges`: asks for card ranges on demand and lists those that are known."""

from __future__ import annotations

import pytest

from tests.cli.commands import Console
from tests.ranges_server import ranges_server
from tests.servers import execute, run_apart
from tollhouse.card_range import CardRange

BOTH = ("2.2.0", "2.3.1")
LOW = CardRange("4000120000000000", "4000129999999999", BOTH, "https://acs.test/method", ("01",))
HIGH = CardRange("4000130000000000", "4000130999999999", ("2.2.0",))


def test_refresh_then_list(console: Console) -> None:
    """What was added, changed and removed, with the serial numbers; then the ranges in order, or those of a BIN."""
    with ranges_server(HIGH, LOW) as server:
        at = ("--directory-url", server.url)
        assert "was never asked" in console.run("ranges", "list", *at)
        assert console.json("ranges", "list", *at)["ranges"] == []
        first = console.json("ranges", "refresh", *at)
        assert first == {
            "directory": server.url,
            "added": 2,
            "changed": 0,
            "removed": 0,
            "total": 2,
            "serial_before": None,
            "serial_after": "0",
            "is_whole": True,
        }
        server.move_to(LOW)
        told = console.run("ranges", "refresh", *at)
        assert "was asked for what changed" in told
        assert "0 added, 0 changed, 1 removed, 1 in all" in told
        assert "serial 0 before, 1 now" in told
        assert "was asked for all ranges" in console.run("ranges", "refresh", "--full", *at)
        server.move_to(LOW, HIGH)
        console.run("ranges", "refresh", *at)
    text = console.run("ranges", "list", *at)
    assert text.index(LOW.first) < text.index(HIGH.first)
    assert "2 of 2 card ranges" in text
    assert f"{LOW.first}–{LOW.last}  2.2.0 2.3.1  info 01  method https://acs.test/method" in text
    shown = console.json("ranges", "list", "--bin", "400013", *at)
    assert (shown["directory"], shown["serial"]) == (server.url, "2")
    assert [one["first"] for one in shown["ranges"]] == [HIGH.first]
    assert "0 of 2 card ranges" in console.run("ranges", "list", "--bin", "424242", *at)


def test_nobody_to_ask(console: Console) -> None:
    """By default the sandbox is asked; while nobody answers there, one line says so."""
    assert console.failure("ranges", "refresh").startswith("no connection to the directory server")


def test_what_went_wrong_on_the_way_is_told_aside(console: Console) -> None:
    """Standard output stays JSON when the kept ranges were of no use."""
    with ranges_server(LOW, HIGH) as server:
        console.run("ranges", "refresh", "--directory-url", server.url)
        run_apart(execute(console.dsn, f"update card_range set last = '{HIGH.last}' where first = '{LOW.first}'"))
        assert console.failure("ranges", "list", "--directory-url", server.url).startswith("card ranges overlap")
        ended = console.end("ranges", "refresh", "--json", "--directory-url", server.url)
    assert "the kept card ranges are of no use: card ranges overlap" in ended.stderr
    assert '"added": 2' in ended.stdout


@pytest.mark.parametrize("text", ["4000", "400012000", "40001a", "visa"])
def test_a_bin_has_six_to_eight_digits(console: Console, text: str) -> None:
    """Anything else is wrong use."""
    ended = console.end("ranges", "list", "--bin", text)
    assert ended.exit_code == 2
    assert "a BIN has 6 to 8 digits" in ended.stderr
