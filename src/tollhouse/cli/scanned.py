"""Where `tollhouse scan` looks, and each thing it finds with its place: files, what comes in by a pipe, a database."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO

from tollhouse.leak import Kind, Seeker, Sighting, Wanted, search
from tollhouse.masking import mask_cards

READ_BYTES = 1 << 20
KEY_CHARACTERS_MAX = 60
# Of one place at most so many are told one by one; the rest is counted.
SHOWN_PER_PLACE_MAX, DIFFERENT_MAX = 100, 1000
STDIN = "-"

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found: a file or a table's column, and what and where in it."""

    place: str
    sighting: Sighting
    row: dict[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """For people."""
        one = self.sighting
        member = f" member {one.member}" if one.member else ""
        at = f":{one.line}" if one.line is not None and not self.row else ""
        inside = f", {one.inside} inside" if one.inside is not None else ""
        where = " ".join(f"{name}={value}" for name, value in self.row.items()) or f"offset {one.offset}{inside}"
        brand = f"{one.brand} " if one.brand else ""
        return f"{self.place}{at}{member}  {where}  {one.kind} {brand}{one.shown} ({one.encoding})"

    @property
    def members(self) -> dict[str, Any]:
        """For programs."""
        one = self.sighting
        return {
            "place": self.place,
            "kind": one.kind.value,
            "number": one.shown,
            "brand": one.brand,
            "encoding": [*one.layers, one.shape],
            **({"row": self.row} if self.row else {"offset": one.offset, "line": one.line}),
            **({"inside": one.inside} if one.inside is not None else {}),
            **({"member": one.member} if one.member else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Excuse:
    """What is known to be harmless: a place with wildcards, the number as it is shown or `*`, and why."""

    place: str
    shown: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Whether it speaks of this."""
        return self.shown in ("*", finding.sighting.shown) and fnmatchcase(finding.place, self.place)


@dataclass(slots=True)
class Report:
    """All that was found. `unread` is what could not be looked into although it was asked for."""

    excuses: list[Excuse] = field(default_factory=list)
    is_strict: bool = False
    findings: list[Finding] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    files: int = 0
    tables: int = 0
    size: int = 0
    more: dict[str, int] = field(default_factory=dict)
    used: dict[Excuse, int] = field(default_factory=dict)
    tests: int = 0
    _told: dict[str, int] = field(default_factory=dict)
    _listed: dict[str, set[str]] = field(default_factory=dict)

    def cannot(self, place: str, why: str) -> None:
        """Something could not be looked into: then nobody can say that it is clean, unless it is excused as a whole."""
        excuse = next((one for one in self.excuses if one.shown == "*" and fnmatchcase(place, one.place)), None)
        if excuse is not None:
            self.used[excuse] = self.used.get(excuse, 0) + 1
            return
        self.unread.append(f"{place}: {why}")

    def add(self, finding: Finding) -> None:
        """One more, unless it is excused or no more than a test number."""
        excuse = next((one for one in self.excuses if one.covers(finding)), None)
        if excuse is not None:
            self.used[excuse] = self.used.get(excuse, 0) + 1
            return
        if finding.sighting.kind is Kind.TEST:
            self.tests += 1
            if not self.is_strict:
                return
        told = self._told[finding.place] = self._told.get(finding.place, 0) + 1
        if told > SHOWN_PER_PLACE_MAX and not self._must_be_shown(finding):
            self.more[finding.place] = self.more.get(finding.place, 0) + 1
        else:
            self.findings.append(finding)

    def _must_be_shown(self, finding: Finding) -> bool:
        """However many were shown of its place: what somebody looks for by name, and a number that is new there."""
        listed = self._listed.setdefault(
            finding.place, {one.sighting.shown for one in self.findings if one.place == finding.place}
        )
        is_new = finding.sighting.shown not in listed and len(listed) < DIFFERENT_MAX
        if is_new:
            listed.add(finding.sighting.shown)
        return is_new or finding.sighting.kind in (Kind.KNOWN_CARD, Kind.KNOWN_CODE, Kind.KNOWN_TEXT)

    @property
    def count(self) -> int:
        """How many were found."""
        return len(self.findings) + sum(self.more.values())


@dataclass(frozen=True, slots=True)
class Found:
    """A file to be read."""

    path: Path
    size: int


def walk(paths: Iterable[Path], passed_over: Iterable[Path], report: Report) -> Iterator[Found]:
    """Every file of these paths once, whatever links lead to it; sockets and devices are none."""
    seen = {_identity(path.stat()) for path in passed_over if path.exists()}
    waiting = [*paths][::-1]
    while waiting:
        path = waiting.pop()
        try:
            about = path.stat()
            if _identity(about) in seen:
                continue
            seen.add(_identity(about))
            if stat.S_ISDIR(about.st_mode):
                waiting += sorted(path.iterdir(), reverse=True)
            elif stat.S_ISREG(about.st_mode):
                yield Found(path, about.st_size)
        except FileNotFoundError:
            # A link that leads nowhere, or a file that is gone meanwhile; a path that was asked for exists.
            continue
        except OSError as problem:
            report.cannot(mask_cards(str(path)), problem.strerror or type(problem).__name__)


def _identity(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def scan_file(found: Found, wanted: Wanted, report: Report, advance: Advance) -> None:
    """Looks through a file, and at its name."""
    place = mask_cards(str(found.path))
    for sighting in search(os.fsencode(found.path.name), wanted):
        report.add(Finding(place=f"the name of {place}", sighting=sighting))
    try:
        with found.path.open("rb", buffering=0) as stream:
            scan_stream(stream, place, wanted, report, advance)
    except OSError as problem:
        report.cannot(place, problem.strerror or type(problem).__name__)
    report.files += 1


def scan_stdin(wanted: Wanted, report: Report, advance: Advance) -> None:
    """Looks through what comes in."""
    scan_stream(sys.stdin.buffer, "standard input", wanted, report, advance)
    report.files += 1


def scan_stream(stream: BinaryIO | Any, place: str, wanted: Wanted, report: Report, advance: Advance) -> None:
    """Looks through a stream to its end."""
    seeker = Seeker(wanted)
    while piece := stream.read(READ_BYTES):
        report.size += len(piece)
        for sighting in seeker.feed(piece):
            report.add(Finding(place=place, sighting=sighting))
        advance(len(piece))
    for sighting in seeker.finish():
        report.add(Finding(place=place, sighting=sighting))
    for text in seeker.unseen:
        report.cannot(place, f"not looked into: {text}")


async def scan_database(dsn: str, name: str, wanted: Wanted, report: Report, advance: Advance) -> None:
    """Looks through every row of every table."""
    from tollhouse.store.dump import Table, dump, load_tables, reading

    def take(table: Table, block: bytes) -> None:
        report.size += len(block)
        for sighting in search(block, wanted):
            place, row = _in_row(table, block, sighting.offset)
            report.add(Finding(place=f"{name} {place}", sighting=sighting, row=row))
        advance(len(block))

    async with reading(dsn) as connection:
        for table in await load_tables(connection):
            why = await dump(connection, table, take)
            report.tables += 1
            if why is not None:
                report.cannot(f"{name} {table.name}", why)


def _in_row(table: Any, block: bytes, offset: int) -> tuple[str, dict[str, str]]:
    """Which column a place in the rows of a table lies in, and by what the row is told from others."""
    begin = block.rfind(b"\n", 0, offset) + 1
    end = block.find(b"\n", offset)
    column = table.columns[block.count(b"\t", begin, offset)]
    values = dict(zip(table.columns, block[begin : end if end >= 0 else None].split(b"\t"), strict=False))
    told = table.key or tuple(name for name in table.columns if name != column)[:1]
    row = {name: mask_cards(values[name].decode(errors="replace"))[:KEY_CHARACTERS_MAX] for name in told}
    return f"{table.name}.{column}", row
