"""What `tollhouse up` says when it is ready: what to open, and the next command as it finds this run."""

from __future__ import annotations

from tollhouse.boot.config import load_config
from tollhouse.cli.up import announcement

HSM = {
    "TOLLHOUSE_VAULT_KEYS": "pkcs11",
    "TOLLHOUSE_VAULT_PKCS11_MODULE": "/usr/lib/hsm.so",
    "TOLLHOUSE_VAULT_PKCS11_TOKEN": "cards",
    "TOLLHOUSE_VAULT_PKCS11_PIN_FILE": "/etc/tollhouse/pin",
}


def test_the_next_command_has_what_differs() -> None:
    """Settings at their default are left out; `pay` opens the keys, so who keeps them is named with all that needs."""
    usual = announcement(load_config({}))
    assert "TOLLHOUSE_" not in usual
    assert "key part" not in usual
    told = announcement(load_config(HSM | {"TOLLHOUSE_PORT": "9400"}))
    (line,) = [line for line in told.splitlines() if line.endswith("/tollhouse pay")]
    assert all(f"{name}={value} " in line for name, value in HSM.items())
    assert "TOLLHOUSE_PORT=9400 " in line


def test_custodians_are_told_before_they_are_asked() -> None:
    """With components the first `pay` asks for their parts."""
    told = announcement(load_config({"TOLLHOUSE_VAULT_KEYS": "components"}))
    assert "TOLLHOUSE_VAULT_KEYS=components " in told
    assert "It asks for every key part when it plays a project for the first time" in told
