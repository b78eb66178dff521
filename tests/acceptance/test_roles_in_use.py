"""Under `tollhouse up` gateway and workers log in as the gateway's role, their vaults as the vault's."""

from __future__ import annotations

from tests.acceptance.system import System
from tests.servers import fetch, run_apart
from tollhouse.store.cluster import ROLE, SUPERUSER
from tollhouse.store.embedded import running_dsn

CONNECTED = """
select usename, count(*) from pg_stat_activity
where backend_type = 'client backend' and pid <> pg_backend_pid() group by 1
"""


def test_nobody_who_takes_calls_is_the_owner(system: System) -> None:
    """Two processes hold connections as each of the two roles; the superuser has none."""
    dsn = running_dsn(system.home, SUPERUSER)
    assert dsn is not None
    connected = dict(run_apart(fetch(dsn, CONNECTED)))
    assert {"tollhouse_gateway", "tollhouse_vault"} <= set(connected) <= {"tollhouse_gateway", "tollhouse_vault", ROLE}
    assert min(connected["tollhouse_gateway"], connected["tollhouse_vault"]) >= 2
