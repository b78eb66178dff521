"""The command line as a whole: help, errors, and the commands about settings and schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.programs import environment, free_settings, tollhouse
from tollhouse.boot.config import load_config
from tollhouse.cli.__main__ import COMMANDS
from tollhouse.store.migrate import MIGRATIONS, load_migrations


def test_help_lists_every_command() -> None:
    """`--help` names all commands with a line each, and none of them is imported for it."""
    ended = tollhouse("--help", env=environment() | {"PYTHONPROFILEIMPORTTIME": "1"})
    assert ended.returncode == 0
    for name, (_, text) in COMMANDS.items():
        assert f"  {name} " in ended.stdout
        assert text.split(":")[0].split(",")[0] in " ".join(ended.stdout.split())
    assert "tollhouse.cli.settings" not in ended.stderr
    assert "asyncpg" not in ended.stderr


def test_wrong_use() -> None:
    """A command that does not exist and a flag that does not exist end with exit code 2."""
    assert tollhouse("paint").returncode == 2
    assert tollhouse("up", "--colour", "red").returncode == 2


def test_config_prints_the_example() -> None:
    """`config` prints every setting; `--json` prints the values in force without a password."""
    assert "#TOLLHOUSE_PORT=8400" in tollhouse("config").stdout
    env = environment(port=9000, database_url="postgresql://a:secret@b/c", node="n")
    shown = json.loads(tollhouse("config", "--json", "--port", 9001, env=env).stdout)
    assert shown["port"] == 9001
    assert shown["database_url"] == "postgresql://a:***@b/c"
    assert shown.keys() == set(load_config({}).__dataclass_fields__)


def test_wrong_setting_is_one_line() -> None:
    """A wrong setting is one line on stderr, exit code 1, and no trace of the program."""
    ended = tollhouse("config", "--json", env=environment(port="high"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: TOLLHOUSE_PORT='high': expected a port from 1 to 65535\n"


def test_what_the_driver_says_is_for_a_log() -> None:
    """A command that loses its database says so in its own line: the driver's log and its traceback stay away."""
    program = (
        "import logging, sys; from tollhouse.cli.__main__ import main\n"
        "sys.argv = ['tollhouse', 'card']\n"
        "try: main()\n"
        "except SystemExit: logging.getLogger('asyncpg.pool').warning('Failed to restore', exc_info=ValueError('x'))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment())
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_file_of_passwords_that_others_read(tmp_path: Path) -> None:
    """What the driver warns of is left to the line of the command, which names the cure where the login fails."""
    passwords = tmp_path / "pgpass"
    passwords.touch(mode=0o644)
    env = environment(database_url=f"postgresql://nobody@/x?host={tmp_path}&passfile={passwords}")
    ended = tollhouse("db", "status", env=env)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: cannot reach the database")


def test_migrate_then_status(empty_database: str) -> None:
    """`db status` fails with the command that helps, `db migrate` helps, `db status` is content."""
    env = environment(database_url=empty_database)
    names = [str(migration) for migration in load_migrations(MIGRATIONS)]
    before = tollhouse("db", "status", env=env)
    assert before.returncode == 1
    assert "run `tollhouse db migrate`" in before.stderr
    assert json.loads(tollhouse("db", "migrate", "--json", env=env).stdout) == {"applied": names}
    after = tollhouse("db", "status", "--json", env=env)
    assert (after.returncode, after.stderr) == (0, "")
    assert all(line["applied_at"] for line in json.loads(after.stdout)["migrations"])


def test_schema_of_the_embedded_database(home: Path) -> None:
    """Without an address the schema of the home's own database is meant, which is started for the moment."""
    env = environment(home=home)
    assert (
        tollhouse("db", "status", env=env).stderr
        == f"error: there is no database in {home} yet; `tollhouse up` makes one\n"
    )
    assert tollhouse("db", "migrate", env=env).returncode == 0
    assert tollhouse("db", "status", env=env).returncode == 0


@pytest.mark.parametrize("command", ["serve", "work"])
def test_parts_need_a_database(command: str, home: Path) -> None:
    """A gateway alone or a worker alone says what to do when there is no database."""
    ended = tollhouse(command, env=environment(home=home, **free_settings()))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        f"error: the embedded Postgres of {home} is not running; start `tollhouse up` or set TOLLHOUSE_DATABASE_URL"
    )
