"""All tables as a page of the docs. `python -m tollhouse.threeds.reference` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping

from tollhouse.authentication import VERSIONS
from tollhouse.threeds.condition import ALWAYS, NEVER
from tollhouse.threeds.field import Field, Format, Table
from tollhouse.threeds.message import DESCRIPTIONS, MessageType
from tollhouse.threeds.nesting import Array, Object
from tollhouse.threeds.tables import TABLES

Situations = Mapping[str, Mapping[str, str]]

_CHANNELS: Situations = {
    f"{channel}/{category}": {"deviceChannel": channel, "messageCategory": category}
    for channel in ("02", "03")
    for category in ("01", "02")
}
_CATEGORIES: Situations = {category: {"messageCategory": category} for category in ("01", "02")}
_PLAIN: Situations = {"needed": {}}
_SITUATIONS = {MessageType.AREQ: _CHANNELS, MessageType.RREQ: _CATEGORIES}

_HEAD = """# Messages of 3-D Secure

The messages of EMV 3-D Secure that Tollhouse speaks, in versions 2.2.0 and 2.3.1. This page is printed from the tables
in `src/tollhouse/threeds/` which check what comes in and build what goes out; a test compares both.

**R** required, **C** required under the condition given, **O** optional, **–** no place there. Columns of AReq are
`deviceChannel`/`messageCategory`: 02 browser, 03 without the payer (3RI); 01 payment, 02 something else. Columns of
RReq are the category. An AReq of the app channel (`deviceChannel` 01) is refused with 203 naming `deviceChannel`;
fields of that channel are in no table.

Members that no table has a place for are accepted, ignored and dropped. Nested members are named with dots, without the
place in a list: `cardRangeData.startRange`.

## How a message is refused

The first that applies, with all names it applies to, separated by commas:

| code | meaning | detail |
|---|---|---|
| 101 | {101}: no JSON object, over 64 KiB, nested deeper than 16, another type | `message` or `messageType` |
| 204 | {204} | names; a name that no table has is not repeated |
| 102 | {102}; the version is well formed | the versions that are |
| 201 | {201}: also null, `""`, `[]` and empty objects where required | names |
| 202 | {202}: an extension with `criticalityIndicator` true | `messageExtension` |
| 203 | {203}: also null and empty where optional | names |
| 301 | {301}: an id differs from the one known | names |

A missing or malformed `messageVersion` is refused alone, since without it there is no table to look at.
No description or detail holds a value.
"""

_NOTES = """
## Choices

Where public sources disagree, or leave a thing to the directory servers:

- **`authenticationValue`** is 20 bytes in 28 characters in both versions. 2.3.1 allows more where a scheme wants it;
  the authorization message has no room for it. An ARes tells no category, so the value is due with Y and A in both.
- **`cardSecurityCode`** of 2.3.1 has no row: a CVV in a 3-D Secure message would be kept with it. If it comes, it is
  dropped like any unknown member.
- **Fields due by law or scheme rule** (`browserIP`, `cardholderName`, `email`, addresses, phones, `cardExpiryDate`) are
  optional here: a message without them is well formed.
- **`acquirerCountryCode`** and its source are required in 2.3.1, in both categories.
- **Prices of non-payments** are due for 3RI indicators 01, 02, 06–09 and 11 in 2.2.0 as well; some sources say so only
  for 2.3.1.
- **`threeDSRequestorDecMaxTime`** is due with a wish for decoupled authentication in both versions; one source calls it
  optional in 2.2.0.
- **`recurringExpiry`** is due in 2.2.0 and optional in 2.3.1, where a series may have no end.
- **`recurringAmount`** is optional: it is due only where it differs from `purchaseAmount`.
- **`browserColorDepth`** is one of eight values in 2.2.0 and any number from 1 to 99 in 2.3.1.
- **`threeDSRequestorAuthenticationInd`** goes to 10 and **`threeRIInd`** to 19 in 2.3.1; older lists end at 07 and 14.
- **`threeDSMethodURL`** has 256 characters in both versions.
- **`transStatus` of an RReq** never is D: we do not ask for decoupled authentication as a fallback.
- **`interactionCounter`** is due where the payer's authentication was not decoupled, as its type or method says.
- **Secure payment confirmation** is not spoken: no issuer may answer S to who does not offer it, so S is 203, and
  `spcTransData` and `webAuthnCredList` have no rows.
- **`payTokenInfo`, `broadInfo` and `dsUrlList`** are passed unread.
- **An unknown `messageType`** is 101; one open implementation answers 203.
- **202** names `messageExtension` and not the extension's id, since that is a value of the sender.
- **Web addresses** may be `http` as well: a sandbox on one machine has no certificate.
- **Operation messages** (OReq, ORes) of 2.3.1 are not spoken: 101.
"""


def reference() -> str:
    """The page in Markdown."""
    codes = {f"c{code}": text for code, text in DESCRIPTIONS.items()}
    head = _HEAD
    for code, text in codes.items():
        head = head.replace("{" + code[1:] + "}", text)
    return "\n".join([head, *(_version(version) for version in VERSIONS)]) + _NOTES


def _version(version: str) -> str:
    tables = {type: TABLES[type, version] for type in MessageType}
    parts = [f"## Version {version}\n"]
    for type, table in tables.items():
        situations = _SITUATIONS.get(type, _PLAIN)
        parts.append(f"### {type.value} {version}\n\n{_table(table, situations)}")
    objects: dict[str, Object] = {}
    for table in tables.values():
        objects.update((one.title, one) for one in _objects(table))
    parts.append(f"### Objects in {version}\n")
    parts.extend(f"#### {title} ({version})\n\n{_table(one.table, _PLAIN)}" for title, one in sorted(objects.items()))
    return "\n".join(parts)


def _table(table: Table, situations: Situations) -> str:
    columns = ["field", "form", *situations, "condition, note"]
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for row in table:
        marks = (_mark(row, known) for known in situations.values())
        lines.append(f"| {' | '.join((f'`{row.name}`', row.format.text, *marks, _remark(row)))} |")
    return "\n".join(lines) + "\n"


def _mark(row: Field, known: Mapping[str, str]) -> str:
    if row.only.settled(known) is False:
        return "–"
    return {True: "R", False: "O", None: "C"}[row.needed.settled(known)]


def _remark(row: Field) -> str:
    condition = "" if row.needed in (ALWAYS, NEVER) else row.needed.text
    return "; ".join(part for part in (condition, row.note) if part)


def _objects(table: Iterable[Field]) -> Iterator[Object]:
    for row in table:
        form: Format = row.format.item if isinstance(row.format, Array) else row.format
        if isinstance(form, Object):
            yield form
            yield from _objects(form.table)


if __name__ == "__main__":
    sys.stdout.write(reference())
