"""`make bench`: complete payments against everything running on this machine, with durable commits.

A payment is init/payment, the webhook ready_to_confirm, confirm, the sale over ISO 8583, the webhook payment_finished.
First as many as go through with so many at once; then at a gentle fixed rate, for the latency the gateway adds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import socket
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import uvloop

from bench.authentications import Payers, Server, authenticate_gently
from bench.limit import steps_per_second
from bench.machine import command_of, cpu_seconds, family, resident_mb
from bench.merchant import Merchant
from bench.widget import loaded_kb, open_forms, sizes
from tollhouse.store.embedded import running_dsn

FORMS = 15  # visits, each cold and warm
VAULTS = {"inside": "", "process": "unix:"}
RESULTS = Path(__file__).parent / "results" / "latest.json"
TOLLHOUSE = [sys.executable, "-m", "tollhouse.cli"]


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def say(line: str) -> None:
    """Progress, apart from the results."""
    print(line, file=sys.stderr, flush=True)


class Everything:
    """`tollhouse up` with a home and ports of its own. Settings are named as in the configuration."""

    def __init__(self, folder: Path, directory_url: str = "", **settings: str) -> None:
        self.port = free_port()
        self.home = folder / "home"
        self.log = folder / "up.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TOLLHOUSE_")},
            "TOLLHOUSE_HOME": str(self.home),
            "TOLLHOUSE_PORT": str(self.port),
            "TOLLHOUSE_SHOP_PORT": str(free_port()),
            "TOLLHOUSE_SANDBOX_PORT": str(free_port()),
            "TOLLHOUSE_ACQUIRER_PORT": str(free_port()),
            "TOLLHOUSE_DIRECTORY_URL": directory_url,
            "TOLLHOUSE_LOG_LEVEL": "warning",
            **{f"TOLLHOUSE_{name.upper()}": value for name, value in settings.items()},
        }

    async def __aenter__(self) -> Everything:
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *TOLLHOUSE, "up", env=self.environment, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        assert self.process.stdout is not None
        async with asyncio.timeout(120):
            while line := await self.process.stdout.readline():
                if b"tollhouse pay" in line:
                    return self
        raise SystemExit(f"tollhouse up did not start:\n{self.log.read_text()[-3000:]}")

    async def __aexit__(self, *_: object) -> None:
        self.process.terminate()
        await self.process.wait()
        data = self.home / "postgres"  # elsewhere when started as root
        if data.exists():
            shutil.rmtree(data.resolve())

    async def run(self, *arguments: str) -> str:
        """What a command prints."""
        process = await asyncio.create_subprocess_exec(
            *TOLLHOUSE, *arguments, env=self.environment, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        if process.returncode:
            raise SystemExit(f"tollhouse {' '.join(arguments)} failed")
        return printed.decode()

    def parts(self) -> dict[str, list[int]]:
        """The processes by part: gateway (serving and working), vault if it has one of its own, postgres, sandbox."""
        parts: dict[str, list[int]] = {"gateway": [], "vault": [], "postgres": [], "sandbox": [], "supervisor": []}
        for pid in family(self.process.pid):
            command = command_of(pid)
            if "postgres" in command.split(" ")[0]:
                parts["postgres"].append(pid)
            elif " sandbox" in command:
                parts["sandbox"].append(pid)
            elif " vault serve" in command:
                parts["vault"].append(pid)
            elif " serve" in command or " work" in command:
                parts["gateway"].append(pid)
            else:
                parts["supervisor"].append(pid)
        return parts


async def pay_all(merchant: Merchant, count: int, at_once: int) -> tuple[float, int]:
    """Seconds for so many payments, so many at a time, and how many did not succeed."""
    body, signature = merchant.init_body()
    left, failed = count, 0
    began = time.perf_counter()

    async def payer() -> None:
        nonlocal left, failed
        while left > 0:
            left -= 1
            status, _, _ = await merchant.pay(body, signature)
            failed += status != "accepted"

    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(payer())
    return time.perf_counter() - began, failed


async def pay_gently(merchant: Merchant, rate: int, seconds: int) -> list[float]:
    """Milliseconds per payment between call and webhook, both halves added, at a fixed rate."""
    body, signature = merchant.init_body()
    latencies: list[float] = []

    async def one() -> None:
        _, prepared, finished = await merchant.pay(body, signature)
        latencies.append((prepared + finished) * 1000)

    async with asyncio.timeout(300), asyncio.TaskGroup() as group:
        begin = time.perf_counter()
        for number in range(rate * seconds):
            await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
            group.create_task(one())
    return latencies


async def open_shop(merchant: Merchant, everything: Everything, folder: Path) -> None:
    """Make the merchant's project, without a limit to how fast it may pay."""
    key_file = folder / f"{merchant.project}.pub.pem"
    key_file.write_text(merchant.public_pem())
    await everything.run(
        "project", "create", merchant.project, "--public-key", str(key_file),
        "--webhook-url", await merchant.listen(), "--set", "rate_limit=0", "--json",
    )  # fmt: skip


async def measure(count: int, at_once: int, rate: int, vault_url: str) -> dict[str, object]:
    """The whole run. Raises SystemExit when a payment fails: a fast wrong answer is none."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as name:
        folder = Path(name)
        say("starting everything …")
        server = Server()
        async with Everything(folder, await server.listen(), vault_url=vault_url) as everything:
            merchant = Merchant("127.0.0.1", everything.port, "bench")
            await open_shop(merchant, everything, folder)
            await pay_all(merchant, 300, at_once)
            say(f"{count} payments, {at_once} at once …")
            parts = everything.parts()
            before = {part: cpu_seconds(pids) for part, pids in parts.items()}
            seconds, failed = await pay_all(merchant, count, at_once)
            after = {part: cpu_seconds(pids) for part, pids in parts.items()}
            if failed:
                raise SystemExit(f"{failed} of {count} payments did not succeed")
            memory = sum(resident_mb(pids) for pids in everything.parts().values())
            say(f"{count / seconds:.0f} payments/s; {rate} a second for the latency …")
            latencies = await pay_gently(merchant, rate, 10)
            dsn = running_dsn(everything.home)
            assert dsn is not None
            changes = await changes_per_payment(dsn)
            say(f"{rate} authentications a second …")
            payers = Payers.of(merchant, server, everything.home)
            if failed := await authenticate_gently(payers, rate, 10):
                raise SystemExit(f"{failed} authenticated payments did not succeed")
            say("payment forms in a browser …")
            forms = await open_forms(merchant, f"http://127.0.0.1:{everything.port}", FORMS)
            say("the database's own limit …")
            limit = await steps_per_second(dsn)
    files = sizes(say)
    cpu = {part: round((after[part] - before[part]) / count * 1000, 3) for part in after}
    return {
        "payments_per_second": round(count / seconds, 1),
        "cpu_ms_per_payment": {key: cpu[key] for key in ("gateway", "postgres", "sandbox")},
        "added_latency_ms": p50_and_p99(latencies),
        "authentication_ms": {what: p50_and_p99(took) for what, took in payers.took_ms.items()},
        "form_usable_ms": forms,
        "widget_files": files,
        "widget_kb": loaded_kb(files),
        "rss_mb": round(memory),
        "pgbench_steps_per_second": round(limit),
        "changes_per_payment": changes,
        "limit_ratio": round(count / seconds * changes / limit, 3),
        "payments": count,
        "at_once": at_once,
        "latency_rate_per_second": rate,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def p50_and_p99(milliseconds: list[float]) -> dict[str, float]:
    """Median, and what 99 of 100 stay below."""
    percentiles = statistics.quantiles(milliseconds, n=100)
    return {"p50": round(percentiles[49], 2), "p99": round(percentiles[98], 2)}


async def changes_per_payment(dsn: str) -> float:
    """Committed changes of sessions per payment, counted in the books."""
    connection = await asyncpg.connect(dsn)
    try:
        changes = await connection.fetchval("select count(*) from history")
        return round(changes / await connection.fetchval("select count(*) from payment"), 2)
    finally:
        await connection.close()


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--payments", type=int, default=5000, help="how many to measure (default 5000)")
    parser.add_argument("--at-once", type=int, default=48, help="how many under way at a time (default 48)")
    parser.add_argument("--rate", type=int, default=50, help="payments a second while latency is measured (default 50)")
    parser.add_argument("--vault", choices=VAULTS, default="inside", help="where the vault runs (default inside)")
    chosen = parser.parse_args()
    results = uvloop.run(measure(chosen.payments, chosen.at_once, chosen.rate, VAULTS[chosen.vault]))
    text = json.dumps(results, indent=2)
    if chosen.vault != "inside":
        print(text)  # the results that are kept are those of the usual form; `bench.vault_process` compares the two
        return
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
