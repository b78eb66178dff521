"""Links and names of files in the documents lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.documents import LANGUAGES, ROOT, anchors, blocks, documents, links, name_of, prose

EVERY = pytest.mark.parametrize("path", documents(), ids=name_of)
_FILE = re.compile(r"`([A-Za-z0-9_./*-]+(?:\.(?:py|sql|md|toml|json|lock)|/))`")
_PLACES = (ROOT, ROOT / "src" / "tollhouse")
# Written by programs when they run, or named as something that is still to come.
_MADE = re.compile(
    r"^(keys/.*|cvv-keys/|sandbox/books\.jsonl|up\.lock|body\.json|bench/results/latest\.json|payload\.json"
    r"|threeds\.py|credential\.py|limits\.py|dispute\.py|reconciliation\.py|dashboard/|widget/"
    r"|flows/authenticate\.py|api/wire\.py|acquirers/<name>/)$"
)


@EVERY
def test_links_lead_to_files_and_headings(path: Path) -> None:
    """Every link inside the tree leads to a file that exists, and to a heading in it where it names one."""
    for link in links(path):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), f"{name_of(path)} links to {link}, which is not there"
        if anchor:
            assert anchor in anchors(target), f"{name_of(path)} links to {link}; the headings are {anchors(target)}"


@EVERY
def test_named_files_exist(path: Path) -> None:
    """Every file that a document names in backquotes is in the tree, seen from its root or from the package."""
    for name in _FILE.findall(prose(path)):
        if _MADE.match(name) or name.startswith(("/", ".")):
            continue
        places = [place for place in (*_PLACES, path.parent) if any(place.glob(name.rstrip("/")))]
        by_name = "/" not in name and any((ROOT / "src" / "tollhouse").rglob(name))
        assert places or by_name, f"{name_of(path)} names {name}, which is not there"


@EVERY
def test_blocks_have_a_known_language(path: Path) -> None:
    """Every fenced block says what it is, so that none escapes from being checked by a misspelled word."""
    for block in blocks(path):
        assert block.language in LANGUAGES, f"{block}: {block.language!r} is none of {sorted(LANGUAGES)}"


@EVERY
def test_documents_name_no_machine(path: Path) -> None:
    """No document holds a path of somebody's machine or the host of a package registry."""
    found = re.findall(r"/(?:home|Users|work)/\w+|pypi\.org|pythonhosted|npmjs", path.read_text())
    assert not found, f"{name_of(path)} names {found}"
