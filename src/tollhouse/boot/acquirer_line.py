"""What seals the line to the acquirer, as it is configured."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial

from tollhouse.boot.config import Config, ConfigError, variable
from tollhouse.net.tls import CertificateUnusable, client_context

FILES = ("acquirer_ca_file", "acquirer_certificate_file", "acquirer_key_file")


def line_tls(config: Config) -> Callable[[], ssl.SSLContext] | None:
    """Makes what seals a connection from the files as they then are; None where nothing of ours does.

    Raises `ConfigError` naming the setting when they cannot be used today.
    """
    if config.acquirer_line != "tls":
        return None
    ca, certificate, key = (getattr(config, name) or None for name in FILES)

    seal = partial(client_context, ca, certificate, key)
    try:
        seal()
    except CertificateUnusable as problem:
        raise ConfigError(f"{_set_by(config, str(problem))}{problem}") from None
    return seal


def _set_by(config: Config, problem: str) -> str:
    """The setting whose file the problem begins with."""
    return next((f"{variable(name)}=" for name in FILES if problem.startswith(f"{getattr(config, name)}:")), "")
