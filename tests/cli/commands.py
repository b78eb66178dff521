"""Commands of ours run in this process, against a database of the test's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from tollhouse import signing
from tollhouse.cli.__main__ import group
from tollhouse.cli.failure import Failure

KEY_BITS = 2048


@dataclass(frozen=True)
class Console:
    """Where commands are run: with this database and this home."""

    dsn: str
    home: Path

    def end(self, *words: str) -> Result:
        """How a command ended."""
        environment = {
            "TOLLHOUSE_DATABASE_URL": self.dsn,
            "TOLLHOUSE_HOME": str(self.home),
            "TOLLHOUSE_SANDBOX_PORT": "1",  # nobody answers there
        }
        return CliRunner().invoke(group, list(words), env=environment)

    def run(self, *words: str) -> str:
        """What a command prints when all is well."""
        ended = self.end(*words)
        assert ended.exit_code == 0, f"{ended.output}{ended.exception!r}"
        return ended.stdout

    def json(self, *words: str) -> Any:
        """What a command prints for programs."""
        return json.loads(self.run(*words, "--json"))

    def failure(self, *words: str) -> str:
        """The one line with which a command refuses."""
        ended = self.end(*words)
        assert ended.exit_code != 0, ended.output
        problem = ended.exception
        assert isinstance(problem, Failure) or hasattr(problem, "exit_code"), repr(problem)
        line = str(problem)
        assert line
        assert "\n" not in line
        return line

    def create(self, name: str = "shop", *words: str) -> Any:
        """A project, made with a key of its own."""
        return self.json("project", "create", name, "--public-key", str(self.key_file(name)), *words)

    def key_file(self, name: str) -> Path:
        """A fresh public key in a file."""
        path = self.home / f"{name}.pub.pem"
        path.write_text(signing.public_key_pem(new_key().public_key()))
        return path


def new_key() -> RSAPrivateKey:
    """A merchant's key; small, so that tests are fast."""
    return generate_private_key(65537, KEY_BITS)
