"""The evidence for assessors: each row points to files and tests that exist, and claims no more than they show."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import pytest

from tests.docs.documents import ROOT, blocks, document, name_of, sections
from tests.docs.evidence import NONE, evidence, functions_of, is_there, names, pointers, rows_of, table_rows
from tollhouse.net.tls import SUITES

MATRIX = ("requirement", "what Tollhouse does", "files", "tests", "with the operator", "status")
FLOW = ("letters", "threat", "what stops it", "where", "test", "what is left")
STATUSES = {"kept", "operator, with help", "operator", "not kept yet", "does not apply"}
SECTIONS = ("3", "4", "6", "7", "8", "10", "11", "12", "A1")
NUMBER = re.compile(r"(A1|[1-9]|1[0-2])(\.[0-9]{1,2}){2,4}")
EVERY = pytest.mark.parametrize("path", evidence(), ids=name_of)
TOLD_BY_FILES = ("files", "where", "where in the code")
FILE = re.compile(r"[\w./-]+(\.(py|sql|md|mjs|ts|toml|json|lock)|/)|Makefile|\.importlinter")


@EVERY
def test_no_row_lacks_a_cell(path: Path) -> None:
    """Each row has as many cells as its head, and none is empty but in forms to fill in."""
    for row in table_rows(path):
        if not row.section.startswith("To fill in"):
            assert all(row.cells.values()), row.place


@EVERY
def test_named_tests_exist(path: Path) -> None:
    """Each test that is named is one that pytest collects: a test function at the top of a file of tests."""
    text = path.read_text()
    found = pointers(text)
    assert len(set(found)) > 80 or path.name != "pci-dss.md"
    assert len(found) == len(re.findall(r"::", text)), f"{name_of(path)}: a test is not named as `tests/x.py::test_y`"
    for file, function in found:
        assert (ROOT / file).is_file(), f"{name_of(path)} names {file}, which is not there"
        assert Path(file).name.startswith("test_"), f"{name_of(path)} names {file}, which pytest does not collect"
        assert function.startswith("test_"), f"{name_of(path)} names {function}, which is no test"
        assert function in functions_of(file), f"{name_of(path)} names {file}::{function}, which is not there"


@EVERY
def test_named_files_are_there(path: Path) -> None:
    """Each file or folder in a column of files is in the tree."""
    for row in table_rows(path):
        for head in TOLD_BY_FILES:
            for name in names(row.cells.get(head, "")):
                if FILE.fullmatch(name):
                    assert is_there(name), f"{row.place} names {name}, which is not there"


def test_requirements_are_numbered() -> None:
    """Each row of the matrix has a requirement's number; the numbers rise, and stand in the section they belong to."""
    matrix = rows_of("pci-dss.md", *MATRIX)
    assert len(matrix) > 70
    last = (0,) * 5
    seen = set()
    for row in matrix:
        number = row.cells["requirement"]
        assert NUMBER.fullmatch(number), row.place
        assert row.section.startswith(f"{number.partition('.')[0]}:"), row.place
        assert number not in seen, f"{row.place} stands there twice"
        seen.add(number)
        sizes = tuple(int(part) for part in number.replace("A1", "13").split("."))
        assert sizes > last, f"{row.place} is not in order"
        last = sizes
    assert {number.partition(".")[0] for number in seen} == set(SECTIONS)


def test_statuses_are_honest() -> None:
    """A status is one of the words explained; what is kept has a file and a test, and what is not, says what is not."""
    explained = {row.cells["word"] for row in rows_of("pci-dss.md", "word", "meaning")}
    assert explained == STATUSES
    for row in rows_of("pci-dss.md", *MATRIX):
        files, tests, status = (row.cells[head] for head in ("files", "tests", "status"))
        assert status in STATUSES, row.place
        if status == "kept":
            assert names(files), f"{row.place}: kept by what?"
            assert pointers(tests), f"{row.place}: shown by what?"
        if status == "operator, with help":
            assert names(files), f"{row.place}: which help?"
        if status == "operator":
            assert (files, tests) == (NONE, NONE), row.place
            assert row.cells["what Tollhouse does"].startswith("Nothing"), row.place
        if status in ("operator", "operator, with help"):
            assert row.cells["with the operator"] != "none", row.place
        if status == "not kept yet":
            assert "**" in row.cells["what Tollhouse does"], f"{row.place}: mark what is not kept"


def test_flows_are_those_of_the_drawing() -> None:
    """Each flow that is drawn has a table of threats, and each of the six letters is answered there."""
    model = document("docs/compliance/threat-model.md")
    (drawing,) = (block.text for block in blocks(model, "mermaid"))
    drawn = {int(number) for number in re.findall(r"\bF([0-9]+)\b", drawing)}
    assert drawn == set(range(1, max(drawn) + 1))
    told: dict[int, list[str]] = {}
    for row in rows_of("threat-model.md", *FLOW):
        found = re.match(r"F([0-9]+) ", row.section)
        assert found, row.place
        told.setdefault(int(found[1]), []).extend(row.cells["letters"].split(", "))
        assert row.cells["test"] == NONE or pointers(row.cells["test"]), row.place
        if row.cells["test"] == NONE:
            assert row.cells["what stops it"].startswith("nothing"), row.place
            assert row.cells["what is left"] != NONE, row.place
    assert told.keys() == drawn
    for number, letters in told.items():
        assert sorted(letters) == sorted("STRIDE"), f"F{number}: {letters}"


def test_data_name_drawn_flows() -> None:
    """The table of card data speaks of flows that are drawn."""
    flows = set(re.findall(r"F[0-9]+", document("docs/compliance/threat-model.md").read_text()))
    told = set(re.findall(r"\bF[0-9]+\b", document("docs/compliance/data.md").read_text()))
    assert told
    assert told <= flows


def test_suites_are_those_of_the_code() -> None:
    """The inventory of cipher suites is what our servers offer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    told = [names(row.cells["suite"])[0] for row in rows_of("cryptography.md", "suite", "key exchange")]
    assert sorted(told) == sorted(suite["name"] for suite in context.get_ciphers())


def test_responsibility_covers_every_area() -> None:
    """The table of responsibilities has a row for each of the twelve areas, and for several merchants."""
    areas = [row.cells["area"].split()[0] for row in rows_of("responsibility.md", "area", "operator", "merchant")]
    assert areas[:13] == [*map(str, range(1, 13)), "A1"]


def test_letter_can_be_filled_in() -> None:
    """The letter names what an operator must fill in, and claims nothing for the software by itself."""
    saq = document("docs/compliance/saq.md")
    letter = next(block.text for block in blocks(saq, "text") if "FAQ 1588" in block.text)
    for gap in ("[merchant", "[version]", "[origins]", "[date]", "[name, function, signature]"):
        assert gap in letter
    assert "Tollhouse is compliant" not in saq.read_text()
    assert "struck" in letter or "strike" in sections(saq)["Letter"]
