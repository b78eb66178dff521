"""`tollhouse doctor`: what production would refuse, for people and for programs, in any mode."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.cli.programs import environment, free_ports, tollhouse
from tollhouse.boot.production import CHECKS, Part
from tollhouse.signing import public_key_pem


def test_every_check_has_a_line(home: Path) -> None:
    """`ok`, or `refused` and `warning` with the setting and the cure; the last line says how many are refused."""
    ended = tollhouse("doctor", env=environment(home=home))
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert [check.about for check in CHECKS if not any(line[9:].startswith(check.about) for line in lines)] == []
    assert all(line.startswith(("ok       ", "refused  ", "warning  ")) for line in lines)
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
    told = [line for line in ended.stdout.splitlines() if not line.startswith("ok ")]
    assert [line.split(": this login ")[0] for line in told] == ["warning  database: TOLLHOUSE_DATABASE_URL"]


def test_what_is_warned_of(home: Path, database: str) -> None:
    """A live project that nobody pays, and one for trying out that somebody may pay, are told and not refused."""
    given = environment(home=home, database_url=database, acquirer_port=free_ports(1)[0])
    (home / "shop.pem").write_text(public_key_pem(rsa.generate_private_key(65537, 2048).public_key()))
    for name, words in (("shop", ["--live"]), ("trial", [])):
        made = tollhouse("project", "create", name, "--public-key", home / "shop.pem", *words, env=given)
        assert made.returncode == 0, made.stderr
    checks = json.loads(tollhouse("doctor", "--json", env=given).stdout)["checks"]
    (acquirers,) = [check for check in checks if check["about"] == "acquirers of projects"]
    assert acquirers["ok"]
    assert [line.split(":")[0] for line in acquirers["warned"]] == [
        "project shop",
        "project trial",
        "TOLLHOUSE_ACQUIRER_HOST, TOLLHOUSE_ACQUIRER_PORT",
    ]


def test_production_closes_its_memory() -> None:
    """After it no core is written and no debugger let in, and before it both may be."""
    program = (
        "import resource; from tollhouse.boot.cores import *; before = is_dumpable();"
        " forbid_core_dumps(); forbid_looking_in();"
        " print(before, is_dumpable(), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "True False (0, 0)\n"
