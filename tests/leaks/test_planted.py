"""Planted leaks: each is put into the real processes, and the hunt finds it. So the hunt is awake, everywhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.canaries import CVV
from tests.acceptance.merchant import Merchant, by_card
from tests.acceptance.system import System, until
from tests.house.sources import ROOT
from tests.leaks.flights import door
from tests.leaks.planted import CARDS, CODE, LEAKS
from tests.leaks.scanning import places_of, scan
from tollhouse.card import mask

# Where each is found, and as what: the end of the place, then the encoding.
WHERE = {
    "log line": ("up.log", "base64>digits"),
    "security code in a log line": ("up.log", "code"),
    "exception text": ("up.log", "hex>digits"),
    "crash report": ("crash.txt", "digits"),
    "metric label": ("healthz.txt", "digits"),
    "row": ("database public.planted.memo", "digits"),
    "sample of the planner": ("database pg_catalog.pg_stats.most_common_vals", "digits"),
    "webhook body": ("webhooks.txt", "escapes>digits"),
    "webhook address": ("webhooks.txt", "grouped"),
    "answer": ("answers.txt", "escapes>digits"),
    "file name": (f"receipt-{mask(CARDS['file name'])}.tmp", "digits"),
    "core dump": ("core.1", "digits"),
}
# The processes may not make tables themselves.
TABLES = (
    "create table planted (id integer primary key, memo jsonb)",
    "create table sampled (memo text)",
    "grant all on planted, sampled to public",
)


class Spoilt(System):
    """A system of which every process leaks."""

    program = (sys.executable, "-P", "-m", "tests.leaks.planted")

    def launch(self) -> None:
        """Start it by the module with the plants."""
        self.environment["PYTHONPATH"] = str(ROOT)
        super().launch()


@dataclass(frozen=True)
class Hunted:
    """What the hunt found without knowing the cards, in each of the ways to look."""

    places: list[str]
    said: str


@pytest.fixture(scope="module")
def hunted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hunted]:
    """One run with all plants, one payment for each, and the hunt afterwards."""
    folder = tmp_path_factory.mktemp("planted")
    heard = folder / "heard"
    heard.mkdir()
    known = folder / "known.txt"
    known.write_text(CODE)
    system = Spoilt(folder / "system")
    try:
        merchant = Merchant(system.start())
        for statement in TABLES:
            system.rows(statement)
        answers = [
            merchant.call("init/payment", merchant.body(payment_details=by_card(CARDS[name], security_code=CVV)))
            for name in LEAKS
        ]
        assert {answer.status for answer in answers} == {200}
        answers.append(merchant.call("status", {"session_id": answers[-1].session["id"]}))
        until(lambda: len(merchant.receiver.webhooks) >= len(LEAKS), "every webhook came")
        write(heard / "answers.txt", [f"{one.headers} {one.raw.decode()}" for one in answers])
        write(heard / "webhooks.txt", [f"{one.path} {one.body.decode()}" for one in merchant.receiver.webhooks])
        write(heard / "healthz.txt", [door(f"{system.url}/healthz")])
        for statement in ("analyze sampled", "delete from sampled"):
            system.rows(statement)
        places = scan(system, "--database", heard, known=known).places
        merchant.receiver.close()
        system.stop()
        places += scan(system, *places_of(system), known=known).places
        yield Hunted(places, system.log())
    finally:
        system.destroy()


def write(path: Path, texts: list[str]) -> None:
    """Put down what somebody heard."""
    path.write_text("\n".join(texts))


@pytest.mark.parametrize("name", LEAKS)
def test_each_planted_leak_is_found(hunted: Hunted, name: str) -> None:
    """At its place and in its disguise, by rules alone: the scan does not know the cards."""
    place, encoding = WHERE[name]
    shown = "*" * len(CODE) if name == "security code in a log line" else mask(CARDS[name])
    assert any(found.endswith(f"{place} {encoding} {shown}") for found in hunted.places), [
        found for found in hunted.places if found.endswith(shown)
    ]


def test_a_row_is_found_in_the_files_too(hunted: Hunted) -> None:
    """What was in a row is in the data folder and in the write-ahead log, also when the row is gone."""
    for name in ("row", "sample of the planner"):
        places = [place for place in hunted.places if place.endswith(mask(CARDS[name]))]
        assert any("/base/" in place for place in places), places
        assert any("/pg_wal/" in place for place in places), places


def test_the_log_masks_what_it_can(hunted: Hunted) -> None:
    """No planted number stands in the log in plain digits: what leaks there came disguised."""
    assert [name for name, digits in CARDS.items() if digits in hunted.said] == []
