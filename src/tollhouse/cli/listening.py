"""The ports a run will listen on: checked before anything starts, so that a taken one is one clear line."""

from __future__ import annotations

import errno
import socket
import time

from tollhouse.boot.config import Config, variable
from tollhouse.cli.failure import Failure

# A run that was killed a moment ago may still be letting go of its ports.
_GRACE_SECONDS = 1.0
_POLL_SECONDS = 0.05


def refuse_taken_ports(config: Config) -> None:
    """Raises a `Failure` that names the port, the setting and the cure."""
    deadline = time.monotonic() + _GRACE_SECONDS
    for name in ("port", "shop_port", "sandbox_port", "acquirer_port"):
        port = getattr(config, name)
        while (problem := _listening_problem(config.host, port)) is not None:
            if problem.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise Failure(_explain(config.host, port, name, problem))
            time.sleep(_POLL_SECONDS)


def _listening_problem(host: str, port: int) -> OSError | None:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen(1)
    except OSError as problem:
        return problem
    return None


def _explain(host: str, port: int, name: str, problem: OSError) -> str:
    flag = f"--{name.replace('_', '-')}"
    if problem.errno == errno.EADDRINUSE:
        return (
            f"port {port} ({variable(name)}) is taken by another program; stop that one,"
            f" or choose another port, for example {flag} {_free_port(host)}"
        )
    if problem.errno == errno.EACCES:
        higher = f"{flag} {port + 8000}"
        return f"port {port} ({variable(name)}) may be used by root only; choose one above 1023, for example {higher}"
    return f"cannot listen on {host} ({variable('host')}): {problem.strerror}; choose an address of this machine"


def _free_port(host: str) -> int:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        port: int = probe.getsockname()[1]
        return port


def local_address(host: str) -> str:
    """Where a program on this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def local_url(host: str, port: int) -> str:
    """The same as the beginning of a URL."""
    place = local_address(host)
    return f"http://[{place}]:{port}" if ":" in place else f"http://{place}:{port}"
