"""`python -m bench.vault_process`: complete payments with the vault as a process of its own against the vault inside.

Both run side by side on fresh databases, and short runs of payments go to one and the other in turn, so that whatever
else the machine does hits both alike. The one that does not pay is idle meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from bench.__main__ import VAULTS, Everything, open_shop, pay_all, say
from bench.machine import cpu_seconds
from bench.merchant import Merchant

RESULTS = Path(__file__).parent / "results" / "vault_process.json"
WARM_UP = 300


@dataclass
class Side:
    """One of the two, with what was measured."""

    everything: Everything
    merchant: Merchant
    rates: list[float] = field(default_factory=list)
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)

    async def pay(self, count: int, at_once: int) -> None:
        """One run."""
        parts = self.everything.parts()
        before = {part: cpu_seconds(pids) for part, pids in parts.items()}
        seconds, failed = await pay_all(self.merchant, count, at_once)
        if failed:
            raise SystemExit(f"{failed} of {count} payments did not succeed")
        self.rates.append(count / seconds)
        for part, pids in parts.items():
            self.cpu_ms.setdefault(part, []).append((cpu_seconds(pids) - before[part]) / count * 1000)

    def shown(self) -> dict[str, object]:
        """Medians, and every run."""
        parts = ("gateway", "vault", "postgres")
        return {
            "payments_per_second": round(statistics.median(self.rates), 1),
            "runs": [round(rate, 1) for rate in self.rates],
            "cpu_ms_per_payment": {part: round(statistics.median(self.cpu_ms[part]), 3) for part in parts},
        }


async def measure(count: int, at_once: int, rounds: int) -> dict[str, object]:
    """The whole comparison. Raises SystemExit when a payment fails: a fast wrong answer is none."""
    async with AsyncExitStack() as stack:
        sides: dict[str, Side] = {}
        for name, url in VAULTS.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollhouse-bench-")))
            say(f"starting everything with the vault {name} …")
            everything = await stack.enter_async_context(Everything(folder, vault_url=url))
            merchant = Merchant("127.0.0.1", everything.port, "bench")
            await open_shop(merchant, everything, folder)
            await pay_all(merchant, WARM_UP, at_once)
            sides[name] = Side(everything, merchant)
        for number in range(rounds):
            for name in list(VAULTS) if number % 2 == 0 else list(VAULTS)[::-1]:
                await sides[name].pay(count, at_once)
                say(f"{sides[name].rates[-1]:.0f} payments/s with the vault {name}")
    inside, process = (statistics.median(sides[name].rates) for name in VAULTS)
    return {
        **{name: side.shown() for name, side in sides.items()},
        "slower_percent": round((1 - process / inside) * 100, 1),
        "payments": count,
        "rounds": rounds,
        "at_once": at_once,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.vault_process", description=__doc__)
    parser.add_argument("--payments", type=int, default=1500, help="how many in each run (default 1500)")
    parser.add_argument("--at-once", type=int, default=48, help="how many under way at a time (default 48)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default 5)")
    chosen = parser.parse_args()
    text = json.dumps(uvloop.run(measure(chosen.payments, chosen.at_once, chosen.rounds)), indent=2)
    RESULTS.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
