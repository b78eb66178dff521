"""Secrets: who may see a card number, a security code or a key in the clear."""

from __future__ import annotations

import ast

from tests.house.sources import SRC, expect_none, functions, parse, python_files, shown

# Each with why it must. Whoever adds a line shows it to somebody else first.
CALLERS = {
    "src/tollhouse/vault/sealed.py": "encrypts the PAN",
    "src/tollhouse/vault/cvv.py": "encrypts the security code",
    "src/tollhouse/vault/store.py": "makes the keyed fingerprint of the PAN",
    "src/tollhouse/vault/frames.py": "puts PAN and CVV into messages between a node and the vault's own process",
    "src/tollhouse/vault/egress.py": "fills the slots of a request on its way out",
    "src/tollhouse/cli/play.py": "plays a merchant who was given a test card on the command line",
}


def test_callers_of_reveal() -> None:
    """`.reveal()` is called in these files and in no other."""
    found = {
        shown(path)
        for path in python_files(SRC)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute) and node.attr == "reveal"
    }
    assert found == set(CALLERS)


def test_only_secrets_look_inside() -> None:
    """What a secret holds is reached by its own methods only."""
    found = [
        f"{shown(path)}::{name}"
        for path in python_files(SRC)
        if path.name != "card.py"
        for name, function in functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr == "_value"
    ]
    expect_none(found)
