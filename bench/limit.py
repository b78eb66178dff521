"""The machine's own limit: one committed change as a single server-side function, by pgbench with 32 clients."""

from __future__ import annotations

import asyncio
import re
import subprocess
import tempfile
from pathlib import Path

import asyncpg

from tollhouse.store.binaries import installed

CLIENTS, SECONDS, SESSIONS = 32, 5, 20_000
SCHEMA = """
drop schema if exists bench cascade;
create schema bench;
create table bench.session (id integer primary key, version integer not null, body text not null);
create table bench.operation (id bigint generated always as identity primary key, session_id integer, body text);
create table bench.event (id bigint generated always as identity primary key, session_id integer, body text);
create function bench.step(which integer) returns void language sql as $$
    insert into bench.operation (session_id, body) values (which, repeat('o', 200));
    update bench.session set version = version + 1 where id = which;
    insert into bench.event (session_id, body) values (which, repeat('e', 600));
$$;
"""
SCRIPT = f"\\set which random(1, {SESSIONS})\nselect bench.step(:which);\n"


async def steps_per_second(dsn: str) -> float:
    """Committed steps a second in this database, which is left as it was."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(SCHEMA)
        await connection.execute(
            "insert into bench.session select n, 1, repeat('s', 400) from generate_series(1, $1::integer) n", SESSIONS
        )
        return await asyncio.to_thread(_pgbench, dsn)
    finally:
        await connection.execute("drop schema if exists bench cascade")
        await connection.close()


def _pgbench(dsn: str) -> float:
    program = installed() / "pgbench"
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "step.sql"
        script.write_text(SCRIPT)
        printed = subprocess.run(
            [program, "-n", "-f", script, "-c", str(CLIENTS), "-j", "2", "-T", str(SECONDS), "-M", "prepared", dsn],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = re.search(r"tps = ([0-9.]+)", printed)
    assert found is not None, printed
    return float(found[1])
