"""`tollhouse scan`: where it looks, what it says of a find and what it never says, and how it ends."""

from __future__ import annotations

import gzip
import json
import sqlite3
import zipfile
from base64 import b64encode
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner, Result

from tests.cli.commands import Console
from tests.servers import run_apart
from tollhouse.cli.__main__ import group
from tollhouse.cli.scanned import SHOWN_PER_PLACE_MAX

PAN, SHOWN = "4000120000001238", "400012******1238"
FAMILIAR = "4242424242424242"
CODE, TEXT = "0739", "a phrase that is known to nobody"
FOUND, USAGE = 1, 2


def scan(*words: str | Path, input: bytes = b"") -> Result:
    """How the command ended; whatever it says, no number is in it."""
    ended = CliRunner().invoke(group, ["scan", *map(str, words)], input=input)
    assert PAN not in ended.output + repr(ended.exception)
    assert TEXT not in ended.output + repr(ended.exception)
    return ended


def exit_code(ended: Result) -> int:
    """As the program would end."""
    return getattr(ended.exception, "exit_code", ended.exit_code)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a log in it."""
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "shop.log").write_text("all is well\n" * 1000)
    return tmp_path / "place"


def test_nothing_found(place: Path) -> None:
    """Exit code 0, and how much was read."""
    ended = scan(place)
    assert (ended.exit_code, ended.stdout) == (0, "1 file, 0.0 MB: nothing found\n")


def test_a_number_in_a_log(place: Path) -> None:
    """Exit code 1; file, line, place, scheme, BIN and last four, how it is written."""
    (place / "shop.log").write_text(f"one\ntwo\ncard={PAN}\n")
    ended = scan(place)
    assert ended.exit_code == FOUND
    line, end = ended.stdout.splitlines()
    assert line == f"found: {place}/shop.log:3  offset 13  card visa {SHOWN} (digits)"
    assert end == "1 file, 0.0 MB: 1 found"


def test_for_programs(place: Path) -> None:
    """The same as one JSON object."""
    (place / "shop.log").write_text(f"one\n{b64encode(PAN.encode()).decode()}\n")
    said = json.loads(scan("--json", place).stdout)
    assert (said["ok"], said["found"], said["files"], said["unread"]) == (False, 1, 1, [])
    assert said["findings"] == [
        {
            "place": f"{place}/shop.log",
            "kind": "card",
            "number": SHOWN,
            "brand": "visa",
            "encoding": ["base64", "digits"],
            "offset": 4,
            "line": 2,
        }
    ]


def test_a_pipe(place: Path) -> None:
    """`-` is standard input, also beside other places."""
    ended = scan("-", place, input=f"x {PAN} y".encode())
    assert (ended.exit_code, ended.stdout.splitlines()[0]) == (
        FOUND,
        f"found: standard input:1  offset 2  card visa {SHOWN} (digits)",
    )


def test_kinds_of_files(place: Path) -> None:
    """Archives by their members, SQLite, recordings of browsers, names of files; a link is followed, each file once."""
    (place / "old.log.gz").write_bytes(gzip.compress(f"x\n{PAN}\n".encode()))
    with zipfile.ZipFile(place / "backup.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep/orders.csv", f"a;{PAN};b\n" * 5)
    with closing(sqlite3.connect(place / "History")) as database, database:
        database.execute("create table urls (url text)")
        database.execute("insert into urls values (?)", (f"https://shop.example/?card={PAN[:8]}%20{PAN[8:]}",))
    body = b64encode(json.dumps({"number": PAN}).encode()).decode()
    (place / "page.har").write_text(json.dumps({"log": {"content": {"text": body, "encoding": "base64"}}}))
    (place / f"receipt {PAN}.pdf").touch()
    (place / "again").symlink_to(place / "shop.log")
    (place / "around").symlink_to(place)
    (place / "nowhere").symlink_to(place / "gone")
    said = json.loads(scan("--json", place).stdout)
    found = {Path(one["place"]).name: one for one in said["findings"]}
    assert {name: one["encoding"] for name, one in found.items()} == {
        "old.log.gz": ["gzip", "digits"],
        "backup.zip": ["zip", "digits"],
        "History": ["escapes", "grouped"],
        "page.har": ["base64", "digits"],
        f"receipt {SHOWN}.pdf": ["digits"],
    }
    assert found["backup.zip"]["member"] == "deep/orders.csv"
    assert said["files"] == 6


def test_familiar_test_numbers(place: Path) -> None:
    """They are counted and do no harm, unless `--strict` says so."""
    (place / "shop.log").write_text(FAMILIAR)
    ended = scan(place)
    assert (ended.exit_code, ended.stdout.splitlines()[0]) == (0, "1 × familiar test numbers; --strict counts them")
    ended = scan("--strict", place)
    assert (ended.exit_code, "test number visa 424242******4242" in ended.stdout) == (FOUND, True)


def test_what_is_known(place: Path, tmp_path: Path) -> None:
    """Numbers, codes, texts of a file are found where rules would let them be. The file itself is passed over."""
    known = place / "known.txt"
    known.write_text(f"# canaries\n{PAN}\n\n{CODE}\ntext:{TEXT}\nhex:{b'rawkey0123456789'.hex()}\n")
    (place / "shop.log").write_text(f"9{PAN}9 security_code={CODE} {TEXT} rawkey0123456789\n")
    said = json.loads(scan("--json", "--known", known, place).stdout)
    kinds = [(one["kind"], one["number"]) for one in said["findings"]]
    assert kinds == [("known card", SHOWN), ("known code", "****"), ("known text", "***"), ("known text", "***")]
    assert exit_code(scan("--known", known, tmp_path / "place" / "known.txt")) == 0


def test_what_is_harmless(place: Path, tmp_path: Path) -> None:
    """A file of excuses with reasons: place and number must fit, and each tells how often it was used."""
    (place / "shop.log").write_text(f"{PAN} 5454540000001235")
    excuses = tmp_path / "harmless.txt"
    excuses.write_text(f"# checked in November\n'{place}/*.log' {SHOWN} our own card, ended\n*/other * no such thing\n")
    ended = scan("--ignore", excuses, place)
    assert ended.exit_code == FOUND
    assert "545454******1235" in ended.stdout
    assert f"passed over: 1 × {place}/*.log {SHOWN}: our own card, ended" in ended.stdout
    assert "passed over: 0 × */other *: no such thing" in ended.stdout
    excuses.write_text(f"{place}/* * everything here is made up\n")
    assert scan("--ignore", excuses, place).exit_code == 0


def test_many_in_one_place(place: Path) -> None:
    """After a hundred of one place the rest is counted."""
    (place / "shop.log").write_text(f"{PAN}\n" * 5000)
    ended = scan(place)
    assert len(ended.stdout.splitlines()) == SHOWN_PER_PLACE_MAX + 2
    assert f"{place}/shop.log: 4,900 more" in ended.stdout
    assert "5,000 found" in ended.stdout


def test_what_is_looked_for_is_never_cut_off(place: Path) -> None:
    """A number that was given stands in the list, however many others come before it in the same file."""
    other = "5454540000001235"
    (place / "shop.log").write_text(f"{PAN}\n" * 500 + other)
    assert "card mastercard 545454******1235" in scan(place).stdout, "a number that was not shown before is, too"
    known = place.with_name("known")
    known.write_text(other)
    ended = scan("--known", known, place)
    assert "known card mastercard 545454******1235" in ended.stdout
    assert "400 more" in ended.stdout
    assert "501 found" in ended.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a PATH"),
        (("no-such-place",), "no such file"),
        (("--known", "no-such-file", "."), "no-such-file: cannot be read"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], said: str) -> None:
    """Exit code 2, and what to do."""
    ended = scan(*words)
    assert exit_code(ended) == USAGE
    assert said in ended.output + str(ended.exception)


def test_wrong_lines_are_named_and_not_shown(place: Path, tmp_path: Path) -> None:
    """A line of `--known` or `--ignore` that means nothing is told by its number: what it holds may be secret."""
    wrong = tmp_path / "wrong.txt"
    for word, line, said in (
        ("--known", f"{PAN} x", "line 2: expected 12 to 19 digits"),
        ("--known", "hex:xyz", "line 2: expected 12 to 19 digits"),
        ("--ignore", f"place {PAN}", "line 2: expected a place, a number or *, a reason"),
        ("--ignore", f"'place {PAN} x", "line 2: expected a place, a number or *, a reason"),
    ):
        wrong.write_text(f"# first\n{line}\n")
        ended = scan(word, wrong, place)
        assert exit_code(ended) == USAGE
        assert said in str(ended.exception)


def test_what_cannot_be_read_is_no_all_clear(place: Path) -> None:
    """A file that cannot be read ends with 2, named; a find counts more."""
    (place / "a").symlink_to(place / "b")
    (place / "b").symlink_to(place / "a")
    ended = scan(place)
    assert ended.exit_code == USAGE
    assert f"cannot be read: {place}/a: " in ended.stderr
    (place / "shop.log").write_text(PAN)
    assert scan(place).exit_code == FOUND


def test_what_is_not_unpacked_is_told(place: Path) -> None:
    """A file in a format that is not looked into cannot be called clean, unless it is excused as a whole."""
    (place / "dump.zst").write_bytes(b"\x28\xb5\x2f\xfd....")
    ended = scan(place)
    said = f"cannot be read: {place}/dump.zst: not looked into: offset 0: zstd\n"
    assert (ended.exit_code, ended.stderr) == (USAGE, said)
    assert json.loads(scan(place, "--json").stdout)["ok"] is False
    excuses = place.with_name("excuses")
    excuses.write_text(f"{place}/dump.zst * scanned before it was packed\n")
    assert scan(place, "--ignore", str(excuses)).exit_code == 0
    excuses.write_text(f"{place}/dump.zst 400005******5556 another card\n")
    assert scan(place, "--ignore", str(excuses)).exit_code == USAGE


def fill(dsn: str) -> None:
    """Rows that leak, in several ways."""

    async def insert() -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(
            'CREATE SCHEMA odd; CREATE TABLE odd."Old orders" (id integer PRIMARY KEY, memo jsonb)'
        )
        await connection.execute("CREATE TABLE blob (name text, body bytea)")
        await connection.execute('INSERT INTO odd."Old orders" SELECT n, to_json(n) FROM generate_series(1, 500) n')
        await connection.execute('UPDATE odd."Old orders" SET memo = $1 WHERE id = 417', json.dumps({"card": PAN}))
        packed = gzip.compress(f"a\n{PAN}\n".encode())
        await connection.execute("INSERT INTO blob VALUES ('plain', $1), ('packed', $2)", PAN.encode(), packed)
        await connection.close()

    run_apart(insert())


def test_a_database(console: Console) -> None:
    """Every table of every schema: table, column and the row's key; the audit log says that somebody read it all."""
    assert "nothing found" in console.run("scan", "--database")
    fill(console.dsn)
    ended = console.end("scan", "--database", "--json")
    assert ended.exit_code == FOUND
    assert PAN not in ended.output
    said = json.loads(ended.stdout)
    assert said["tables"] > 20
    assert {(one["place"], str(one["row"]), ">".join(one["encoding"])) for one in said["findings"]} == {
        ('database odd."Old orders".memo', "{'id': '417'}", "digits"),
        ("database public.blob.body", "{'name': 'plain'}", "hex>digits"),
        ("database public.blob.body", "{'name': 'packed'}", "hex>gzip>digits"),
    }
    acts = [json.loads(line) for line in console.run("audit", "export").splitlines()]
    assert [act["outcome"] for act in acts if act["what"] == "database.scan"] == ["granted", "done"] * 2


def test_a_database_of_others(empty_database: str, home: Path) -> None:
    """A database that is not Tollhouse's is read too, and nothing is written to it."""
    fill(empty_database)
    ended = scan("--database", "--database-url", empty_database, "--home", home)
    assert ended.exit_code == FOUND
    assert f'database odd."Old orders".memo  id=417  card visa {SHOWN} (digits)' in ended.stdout


def test_a_database_that_is_not_there(home: Path) -> None:
    """Exit code 2 and one line."""
    ended = scan("--database", "--home", home)
    assert exit_code(ended) == USAGE
    assert "there is no database" in str(ended.exception)
