"""`python -m bench.vault`: what keys cost: wraps and unwraps a second by keeper, and rewrapping many cards.

Postgres, SoftHSM and OpenBao are real, on this machine, and share its cores. Cards are kept one by one, as payments do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import uvloop

from tests.servers import remove_database
from tests.vault.keepers import KINDS, Keeper, openbao, softhsm
from tollhouse.acquirers.message import CardUse, Slot
from tollhouse.boot.rewrapping import piles_of
from tollhouse.card import CardDetails, Expiry, parse_pan
from tollhouse.store.embedded import Embedded
from tollhouse.store.migrate import apply
from tollhouse.store.postgres import open_pool
from tollhouse.vault.audit_log import AuditLog
from tollhouse.vault.embedded import EmbeddedVault
from tollhouse.vault.keys import FINGERPRINT, KEK
from tollhouse.vault.keyset import KeySet
from tollhouse.vault.rewrap import rewrap
from tollhouse.vault.rotation import retire, rotate

RESULTS = Path(__file__).parent / "results" / "vault.json"
CARD = CardDetails(pan=parse_pan("4000056655665556"), expiry=Expiry(2031, 12))
AT_ONCE = 64
CARDS_OPENED = 1000
RESET = ("TRUNCATE vault.card", "DELETE FROM vault.key")


def say(line: str) -> None:
    """Progress, apart from the results."""
    print(line, file=sys.stderr, flush=True)


async def wraps_per_second(keys: KeySet, *, at_once: int, count: int) -> dict[str, float]:
    """Wraps and unwraps of data keys a second, so many asked for at a time."""
    rates = {}
    wrapped = await asyncio.gather(*(keys.ring.wrap(bytes(32), b"place") for _ in range(at_once)))
    for verb in ("wrap", "unwrap"):
        began = time.perf_counter()
        for _ in range(count // at_once):
            if verb == "wrap":
                await asyncio.gather(*(keys.ring.wrap(bytes(32), b"place") for _ in range(at_once)))
            else:
                await asyncio.gather(*(keys.ring.unwrap(one, b"place") for one in wrapped))
        rates[verb] = round(count / (time.perf_counter() - began))
    return rates


async def unwrap_ms(keys: KeySet, count: int) -> dict[str, float]:
    """Milliseconds of one unwrap, asked for alone."""
    wrapped = await keys.ring.wrap(bytes(32), b"place")
    took = []
    for _ in range(count):
        began = time.perf_counter()
        await keys.ring.unwrap(wrapped, b"place")
        took.append((time.perf_counter() - began) * 1000)
    hundredths = statistics.quantiles(took, n=100)
    return {"p50": round(hundredths[49], 3), "p99": round(hundredths[98], 3)}


@asynccontextmanager
async def opened(pool: asyncpg.Pool, keys: KeySet, home: Path) -> AsyncIterator[EmbeddedVault]:
    """The vault as nodes have it inside: what becomes of a card stands in the audit log first."""
    audit = AuditLog(pool, process="bench", who="bench", origin="bench", tell=say)
    vault = await EmbeddedVault.open(pool, home, "bench", keys=keys, audit=audit)
    try:
        yield vault
    finally:
        await vault.close()
        await audit.close()


async def decrypts_per_second(pool: asyncpg.Pool, keys: KeySet, home: Path, count: int) -> float:
    """Cards opened a second, as messages to the acquirer need them, so many at once as payments are."""
    async with opened(pool, keys, home) as vault:
        kept = await asyncio.gather(*(vault.keep("shop", CARD) for _ in range(CARDS_OPENED)))
        uses, left = [CardUse(project="shop", card_token=one.token) for one in kept], count

        async def opener() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await vault.fill_text(uses[left % CARDS_OPENED], {"pan": Slot.PAN, "expiry": Slot.EXPIRY})

        began = time.perf_counter()
        await asyncio.gather(*(opener() for _ in range(AT_ONCE)))
        return round(count / (time.perf_counter() - began))


async def keep_cards(pool: asyncpg.Pool, keys: KeySet, home: Path, count: int) -> float:
    """Cards kept a second, each as a payment does."""
    async with opened(pool, keys, home) as vault:
        left = count

        async def keeper() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await vault.keep(f"shop-{left % 50}", CARD)

        began = time.perf_counter()
        await asyncio.gather(*(keeper() for _ in range(400)))
        return round(count / (time.perf_counter() - began))


async def moving(keys: KeySet, purpose: str) -> dict[str, float]:
    """Seconds to rotate a key, move everything to it, and retire the one before; and our share of the CPU."""
    before = keys.ring.current if purpose == KEK else keys.fingerprints.current
    await rotate(keys, purpose)
    began, cpu = time.perf_counter(), _cpu()
    done = await rewrap(piles_of(keys, purpose), rate=0, told=lambda _: None)
    seconds, cpu = time.perf_counter() - began, _cpu() - cpu
    assert not done.broken
    began = time.perf_counter()
    await retire(keys, purpose, before, piles_of(keys, purpose))
    return {
        "rows": done.moved,
        "seconds": round(seconds, 1),
        "rows_per_second": round(done.moved / seconds),
        "own_cpu_seconds": round(cpu, 1),
        "retire_seconds": round(time.perf_counter() - began, 2),
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure_keeper(pool: asyncpg.Pool, keeper: Keeper, cards: int) -> dict[str, object]:
    """Everything about one keeper, on an empty vault."""
    for statement in RESET:
        await pool.execute(statement)
    async with keeper.open(pool) as keys:
        say(f"{keeper.kind}: wraps and unwraps …")
        found: dict[str, object] = {
            "alone_per_second": await wraps_per_second(keys, at_once=1, count=500),
            f"{AT_ONCE}_at_once_per_second": await wraps_per_second(keys, at_once=AT_ONCE, count=6400),
        }
        found["unwrap_ms"] = await unwrap_ms(keys, 1000)
        found["decrypts_per_second"] = await decrypts_per_second(pool, keys, keeper.home, 5000)
        say(f"{keeper.kind}: {cards} cards …")
        found["cards_kept_per_second"] = await keep_cards(pool, keys, keeper.home, cards)
        await pool.execute("VACUUM ANALYZE vault.card")
        say(f"{keeper.kind}: rewrapping …")
        found["rewrap"] = await moving(keys, KEK)
        say(f"{keeper.kind}: {found['rewrap']}; fingerprints …")
        found["fingerprints"] = await moving(keys, FINGERPRINT)
    return found


async def measure(folder: Path, kinds: list[str], cards: int) -> dict[str, object]:
    """All keepers, one after another, on one database."""
    (folder / "server").mkdir()
    server = Embedded(folder / "server")
    dsn = server.start()
    results: dict[str, object] = {}
    try:
        await apply(dsn)
        pool = await open_pool(dsn)
        with ExitStack() as stack:
            for kind in kinds:
                home = folder / kind
                home.mkdir(mode=0o700)
                settings = {"TOLLHOUSE_VAULT_KEYS": kind}
                if kind in ("pkcs11", "transit"):
                    settings = stack.enter_context((softhsm if kind == "pkcs11" else openbao)(home))
                results[kind] = await measure_keeper(pool, Keeper(settings, home), cards)
        await pool.close()
    finally:
        server.stop()
        remove_database(server.home)
    return results


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.vault", description=__doc__)
    parser.add_argument("--cards", type=int, default=100_000, help="how many to rewrap (default 100000)")
    parser.add_argument("--keepers", default=",".join(KINDS), help=f"which (default {','.join(KINDS)})")
    parser.add_argument("--keep", action="store_true", help="print only; leave the kept results as they are")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as name:
        results = uvloop.run(measure(Path(name), chosen.keepers.split(","), chosen.cards))
    machine = {
        "cards": chosen.cards,
        "at_once": AT_ONCE,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    text = json.dumps({**machine, "keepers": results}, indent=2)
    if not chosen.keep:
        RESULTS.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
