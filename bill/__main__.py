"""`python -m bill FILE`: writes the software bill of materials; SOURCE_DATE_EPOCH, if set, becomes its date."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bill.bom import BUILT, write_bill


def main() -> None:
    """Write the bill of the tree as it lies here."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m bill FILE")
    if not (BUILT / "packages.json").is_file():
        sys.exit(f"error: {BUILT / 'packages.json'} is missing; run: make widget")
    instant = os.environ.get("SOURCE_DATE_EPOCH")
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(write_bill(int(instant) if instant else None), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
