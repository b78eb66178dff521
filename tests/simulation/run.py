"""Many worlds, one seed each: `python -m tests.simulation.run` with SEED= to repeat one and N= to choose how many.

Prints the seed, the broken promise and the trace of the session, and exits with 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation import invariants
from tests.simulation.scheduler import Scheduler
from tests.simulation.truth import Violation
from tests.simulation.weather import Weather, draw_weather
from tests.simulation.workload import open_merchants
from tests.simulation.world import Simulation

WORLDS = 1000
PROCESSES = 2
CHUNK = 25
SECONDS_MAX = 45 * 86400
STORM_SECONDS_MAX = 8 * 86400
TRACE_LINES_MAX = 150
SHOWN = ("authentications", "challenges", "challenges passed", "step-ups", "payers too late", "payments by form")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of one world. `problem` is None when every promise was kept."""

    seed: int
    problem: str | None
    trace: tuple[str, ...]
    commits: int
    crashes: int
    steps: int
    days: float
    tally: Counter[str] = field(default_factory=Counter)


def open_world(seed: int, weather: Weather | None = None) -> Simulation:
    """The world of a seed before anything has happened, in its own weather or in another."""
    scheduler = Scheduler(seed)
    drawn = draw_weather(scheduler.random)
    return Simulation(seed, weather or drawn, scheduler)


def simulate(seed: int, weather: Weather | None = None) -> Report:
    """Run one world to its end and check everything."""
    simulation = open_world(seed, weather)
    scheduler = simulation.scheduler
    problem, session_id = None, None
    try:
        live(simulation)
    except Violation as violation:
        problem, session_id = str(violation), violation.session_id
    except AssertionError as bug:
        problem = f"a bug is an assertion: {type(bug).__name__}: {bug} ({_place(bug)})"
    except Exception as failure:  # noqa: BLE001 - a task must not fail, whatever the reason
        problem = f"a task failed: {type(failure).__name__}: {failure} ({_place(failure)})"
    finally:
        scheduler.end()
    return Report(
        seed=seed,
        problem=problem,
        trace=_trace(simulation, session_id),
        commits=simulation.commits,
        crashes=simulation.crashes,
        steps=scheduler.steps,
        days=scheduler.now / 86400,
        tally=simulation.tally,
    )


def live(simulation: Simulation) -> None:
    """The storm, the calm, the judgement. Raises `Violation`."""
    simulation.open_nodes(simulation.random.choice((1, 2, 2, 3)))
    open_merchants(simulation)
    simulation.scheduler.run(until=STORM_SECONDS_MAX, is_over=lambda: simulation.merchants == 0)
    if simulation.merchants:
        raise Violation("P13", f"{simulation.merchants} merchants still wait for an answer")
    simulation.calm()
    simulation.scheduler.run(until=SECONDS_MAX, is_over=lambda: _is_quiet(simulation))
    if not _is_quiet(simulation):
        raise Violation("P13", "there is still something to do", next((id for _, id in simulation.books.due_at), None))
    invariants.at_end(simulation)


def _is_quiet(simulation: Simulation) -> bool:
    is_idle = all(node.is_idle for node in simulation.nodes)
    is_silent = is_idle and not (simulation.network.pending or simulation.issuer.pending or simulation.payers.pending)
    return is_silent and not simulation.books.due_at and not simulation.waiting_deliveries()


def _place(bug: Exception) -> str:
    trace = bug.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""


def _trace(simulation: Simulation, session_id: str | None) -> tuple[str, ...]:
    """The lines of one session, with what befell the processes and its messages; all lines without a session."""
    rrns: set[str] = set()
    for session in simulation.books.sessions.values():
        if session.id == session_id:
            rrns = {operation.references.rrn for operation in session.operations if operation.references}
    lines = []
    for at, owner, text in simulation.trace:
        is_message = any(rrn in text for rrn in rrns)
        is_about = session_id is not None and f"{session_id} " in text
        if session_id is None or owner == session_id or text.startswith("--") or is_message or is_about:
            lines.append(f"{at:12.3f}  {text}")
    return tuple(lines)


def _chunk(seeds: range) -> list[Report]:
    return [simulate(seed) for seed in seeds]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.run", description=__doc__.splitlines()[0])
    seed = os.environ.get("SEED")
    parser.add_argument("--seed", type=int, default=int(seed) if seed else None, help="repeat this one world")
    parser.add_argument("--n", type=int, default=int(os.environ.get("N") or WORLDS), help="how many worlds")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _show(simulate(arguments.seed), is_alone=True)
    began = time.monotonic()
    last = arguments.first + arguments.n
    chunks = [range(at, min(at + CHUNK, last)) for at in range(arguments.first, last, CHUNK)]
    done = commits = crashes = 0
    tally: Counter[str] = Counter()
    with ProcessPoolExecutor(PROCESSES) as pool:
        for reports in pool.map(_chunk, chunks):
            for report in reports:
                if report.problem is not None:
                    pool.shutdown(cancel_futures=True)
                    return _show(report, is_alone=False)
            done += len(reports)
            commits += sum(report.commits for report in reports)
            crashes += sum(report.crashes for report in reports)
            for report in reports:
                tally += report.tally
            _progress(f"{done} of {arguments.n} worlds, {commits} commits, {crashes} crashes")
    seconds = time.monotonic() - began
    print("\n" + _shown(tally))
    print(f"{done} worlds kept every promise in {seconds:.1f} s: {done / seconds:.0f} worlds/s")
    return 0


def _shown(tally: Counter[str]) -> str:
    return ", ".join(f"{tally[name]} {name}" for name in SHOWN)


def _progress(text: str) -> None:
    print(f"\r{text}", end="" if sys.stdout.isatty() else "\n", flush=True)


def _show(report: Report, *, is_alone: bool) -> int:
    if report.problem is None:
        print("\n".join(report.trace[-TRACE_LINES_MAX:]))
        print(f"seed {report.seed}: every promise kept; {report.commits} commits, {report.crashes} crashes, ", end="")
        print(_shown(report.tally))
        return 0
    print()
    print("\n".join(report.trace[-TRACE_LINES_MAX:]))
    print(f"seed {report.seed}: {report.problem}")
    if not is_alone:
        print(f"repeat it with SEED={report.seed} make sim")
    return 1


if __name__ == "__main__":
    sys.exit(main())
