"""Every example of every document runs: shell blocks against a running Tollhouse, Python blocks by themselves."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.acceptance.system import System
from tests.docs.documents import ROOT, Block, blocks, document, documents, name_of
from tests.docs.shell import run_blocks
from tests.servers import execute, fetch, run_apart, with_database
from tollhouse.cli.__main__ import group
from tollhouse.store.embedded import Embedded

OWN = re.compile(r"tollhouse up")
WITH_SHELL = [path for path in documents() if blocks(path, "sh") and path.name != "README.md"]
AGAINST_RUNNING = [path for path in WITH_SHELL if not any(OWN.search(b.text) for b in blocks(path, "sh"))]
STARTING_THEIR_OWN = [path for path in WITH_SHELL if path not in AGAINST_RUNNING]  # tests of their own, below


def each(language: str) -> list[Block]:
    """All blocks of a language."""
    return [block for path in documents() for block in blocks(path, language)]


@pytest.mark.parametrize("path", AGAINST_RUNNING, ids=name_of)
def test_shell_examples_run(path: Path, system: System, folder: Path) -> None:
    """The shell blocks of a document run one after another without an error."""
    with socket.socket() as holder:  # nobody else is given this port while the receiver of the tutorial listens on it
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        environment = {**system.environment, "RECEIVER_PORT": str(holder.getsockname()[1])}
        printed = run_blocks(blocks(path, "sh"), folder, environment)
    assert len(printed) == len(blocks(path, "sh"))


def test_crash_example_ends_in_evidence(stopped_system: System, folder: Path) -> None:
    """After `kill -9` in the worst moment the sale is reversed, the payment failed, and the books are proved."""
    path = document("docs/howto/recover-after-crash.md")
    printed = run_blocks(blocks(path, "sh"), folder, stopped_system.environment)
    assert '"code":"provider_timeout"' in printed[5]
    assert "0400 reversal" in printed[6]
    assert '"state":"reversed"' in printed[6]
    assert "every promise holds" in printed[6]


def test_own_postgres_example(stopped_system: System, folder: Path, postgres: Embedded) -> None:
    """On a database made by the document's statements everything runs, without an embedded Postgres."""
    path = document("docs/howto/run-against-your-own-postgres.md")
    superuser = with_login(postgres.dsn, "postgres")
    (statements,) = blocks(path, "sql")
    made = [line.rstrip(";") for line in statements.text.splitlines()]
    try:
        run_apart(execute(superuser, *made))
        # The test's server knows people by who they are on this machine: so log in as they do, then be the new role.
        address = with_database(superuser, "gateway") + "&role=gateway"
        environment = {**stopped_system.environment, "TOLLHOUSE_DATABASE_URL": address}
        printed = run_blocks(blocks(path, "sh"), folder, environment)
        assert "0001_gateway" in printed[0]
        assert "succeeded" in printed[1]
        assert not (stopped_system.home / "postgres").exists()
        owners = run_apart(fetch(address, "select distinct tableowner from pg_tables where schemaname = 'public'"))
        assert owners == [("gateway",)]
    finally:
        run_apart(execute(superuser, "DROP DATABASE IF EXISTS gateway WITH (FORCE)", "DROP ROLE IF EXISTS gateway"))


def test_no_shell_example_is_left_out() -> None:
    """Each document with shell blocks is run by one of the tests above; the README has tests of its own."""
    assert {path.name for path in STARTING_THEIR_OWN} == {"recover-after-crash.md", "run-against-your-own-postgres.md"}


def with_login(dsn: str, role: str) -> str:
    """The same database as another role."""
    return re.sub(r"//[^@]*@", f"//{role}@", dsn)


@pytest.mark.parametrize("block", each("python"), ids=str)
def test_python_examples_run(block: Block, tmp_path: Path) -> None:
    """A Python block runs by itself, and what it asserts is so."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.text], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, f"{block}:\n{ended.stderr}"


@pytest.mark.parametrize("block", each("json"), ids=str)
def test_json_examples_are_json(block: Block) -> None:
    """A JSON block is one JSON value."""
    assert json.loads(block.text) is not None


@pytest.mark.parametrize("block", each("console"), ids=str)
def test_console_examples_name_what_exists(block: Block) -> None:
    """A command after a `$` is a target of the Makefile, or a command of ours with options it has."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in block.text.splitlines():
        words = re.sub(r"\s+#.*", "", line.removeprefix("$ ")).split() if line.startswith("$ ") else []
        words = words[next((at for at, word in enumerate(words) if "=" not in word), 0) :]
        if words and words[0] == "make":
            assert words[1] in targets, f"{block}: make {words[1]}"
        elif words:
            assert words[0].rpartition("/")[2] == "tollhouse", f"{block}: {line}"
            parse(words[1:])


def parse(words: list[str]) -> None:
    """Read a command line as click does, without carrying it out. Raises what click raises."""
    command: click.Command = group
    context = click.Context(group)
    while isinstance(command, click.Group):
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name}"
        command = found
        context = click.Context(command, parent=context, info_name=name)
    command.parse_args(context, words)
