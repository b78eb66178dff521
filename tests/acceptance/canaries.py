"""Where card data must not be: how digits may lie about in the clear, and where to look for them."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path

from tests.acceptance.system import System

# A zero in front: no process id, port or duration looks so, and no card of these tests ends so.
CVV = "0739"
# Cards begin so; what may be shown of one stops after the first six digits. Those that take part in 3-D Secure begin
# otherwise, as the card ranges do that are kept in the clear: they are looked for whole.
STEMS = ("400012000", "545454000", "371449000")

_CVV_IN_BYTES = (
    b'"0739"',
    b"'0739'",
    b"92040739",  # the tag of field 48 on its way to the acquirer
    b"code=0739",
    b"code: 0739",
    b'code\\":\\"0739',
)
_CVV_IN_TEXT = re.compile(r"(?<![0-9A-Za-z.\-_+/])0739(?![0-9A-Za-z])")


def _shifted(plain: bytes) -> set[bytes]:
    """Base64 of something that holds these bytes, at each of the three places where they may begin."""
    forms = set()
    for shift in range(3):
        coded = b64encode(b"\0" * shift + plain)
        forms.add(coded[4 if shift else 0 : len(coded) - 4])
    return forms


def _forms(digits: str) -> set[bytes]:
    plain = digits.encode()
    grouped = {" ".join(re.findall("..?.?.?", digits)).encode(), "-".join(re.findall("..?.?.?", digits)).encode()}
    return {plain, digits.encode("utf-16-le"), plain.hex().encode(), *grouped, *_shifted(plain)}


class Canaries:
    """Cards that went through a system, and what would betray them."""

    def __init__(self, numbers: list[str]) -> None:
        assert not any(number.endswith(CVV) for number in numbers)
        whole = [number for number in numbers if not number.startswith(STEMS)]
        packed = {bytes.fromhex(number.ljust(16, "f")) for number in numbers}
        self._of_cards = {form for digits in (*STEMS, *whole) for form in _forms(digits)} | packed
        self._of_codes = {*_CVV_IN_BYTES, *_shifted(f'"security_code":"{CVV}"'.encode())}

    def in_bytes(self, content: bytes) -> list[bytes]:
        """Every trace in the content of a file."""
        return [trace for trace in (*self._of_cards, *self._of_codes) if trace in content]

    def in_text(self, text: str) -> list[str]:
        """Every trace in something to be read, with what stands around it."""
        found = [repr(trace) for trace in self.in_bytes(text.encode())]
        return found + [text[max(0, match.start() - 60) : match.end() + 20] for match in _CVV_IN_TEXT.finditer(text)]


def files_of(system: System) -> list[Path]:
    """Every file of a system: its home, the database wherever it lies, and what it said."""
    folders = [system.folder, (system.home / "postgres").resolve()]
    return sorted({path for folder in folders for path in folder.rglob("*") if path.is_file()})


def rows_of(system: System) -> dict[str, str]:
    """Every row of every table, as text."""
    tables = system.rows(
        "select format('%I.%I', schemaname, tablename) from pg_tables"
        " where schemaname not in ('pg_catalog', 'information_schema') order by 1"
    )
    return {table: "\n".join(row for (row,) in system.rows(f"select t::text from {table} t")) for (table,) in tables}
