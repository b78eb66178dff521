"""`tollhouse doctor`: what production would refuse, for people and for programs, in any mode."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.programs import environment, tollhouse
from tollhouse.boot.production import CHECKS, Part


def test_every_check_has_a_line(home: Path) -> None:
    """`ok` or `refused`, with the setting and the cure; the last line says how many."""
    ended = tollhouse("doctor", env=environment(home=home))
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert len(lines) == len(CHECKS)
    assert all(line.startswith(("ok       ", "refused  ")) for line in lines)
    assert "ok       home" in lines
    assert "refused  keys of cards: TOLLHOUSE_VAULT_KEYS=file: " in ended.stdout
    refused = sum(line.startswith("refused") for line in lines)
    assert ended.stderr == f"error: production would refuse {refused} of these; each line says what to change\n"


def test_for_programs(home: Path) -> None:
    """JSON with the same, and the exit code."""
    ended = tollhouse("doctor", "--json", env=environment(home=home, mode="production"))
    found = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert (found["mode"], found["ok"]) == ("production", False)
    assert [check["about"] for check in found["checks"]] == [check.about for check in CHECKS]
    assert all(check["ok"] is not bool(check["refused"]) for check in found["checks"])


@pytest.mark.parametrize("part", Part)
def test_one_part(home: Path, part: Part) -> None:
    """A part is asked for its own rules only."""
    found = json.loads(tollhouse("doctor", "--json", "--part", part, env=environment(home=home)).stdout)
    assert [check["about"] for check in found["checks"]] == [one.about for one in CHECKS if part in one.parts]


def test_the_vault_may_be_fit_alone(home: Path, database: str) -> None:
    """With keys that lie in no file and a login that is checked, a vault passes."""
    settings = environment(home=home, vault_keys="components", database_url=database)
    ended = tollhouse("doctor", "--part", "vault", env=settings)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert all(line.startswith("ok ") for line in ended.stdout.splitlines())


def test_production_closes_its_memory() -> None:
    """After it no core is written and no debugger let in, and before it both may be."""
    program = (
        "import resource; from tollhouse.boot.cores import *; before = is_dumpable();"
        " forbid_core_dumps(); forbid_looking_in();"
        " print(before, is_dumpable(), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "True False (0, 0)\n"
