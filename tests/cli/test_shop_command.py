"""`tollhouse shop` as a process: its project, its address, and that it stands back where a name is somebody else's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.commands import Console
from tests.cli.programs import environment, free_settings
from tollhouse.boot.config import load_config
from tollhouse.cli.shop import places_of


@contextmanager
def selling(console: Console) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A shop that says it is ready, and its port."""
    settings = free_settings()
    process = subprocess.Popen(
        [sys.executable, "-m", "tollhouse.cli", "shop"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(home=console.home, database_url=console.dsn, **settings),
    )
    assert process.stdout is not None
    try:
        assert "shop ready" in process.stdout.readline()
        yield process, settings["shop_port"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_shop_makes_its_project_and_ends_in_order(console: Console) -> None:
    """The project `shop` gets its webhooks at the shop's port; SIGTERM ends the shop, and the project stays."""
    with selling(console) as (process, port):
        project = console.json("project", "show", "shop")
        assert project["webhook_url"] == f"http://127.0.0.1:{port}/webhooks"
        process.terminate()
        assert process.wait(30) == 0
    assert console.json("project", "show", "shop") == project


def test_shop_comes_back_to_another_port(console: Console) -> None:
    """At its second start it has the same project, and its webhooks and origins are those of the new port."""
    with selling(console):
        keys = console.json("project", "show", "shop")["public_keys"]
    with selling(console) as (_, port):
        project = console.json("project", "show", "shop")
    assert project["public_keys"] == keys
    assert project["webhook_url"] == f"http://127.0.0.1:{port}/webhooks"
    assert project["settings"]["display_name"] == "Corner shop"
    assert f"http://127.0.0.1:{port}" in str(project["settings"]["widget_origins"])


def test_shop_leaves_a_project_of_its_name_alone(console: Console) -> None:
    """Where somebody made a project `shop`, the demo takes `shop-2`."""
    made = console.create("shop")
    with selling(console) as (_, port):
        assert console.json("project", "show", "shop")["public_keys"] == made["public_keys"]
        assert console.json("project", "show", "shop")["webhook_url"] is None
        assert console.json("project", "show", "shop-2")["webhook_url"] == f"http://127.0.0.1:{port}/webhooks"


@pytest.mark.parametrize(
    ("variables", "origins", "framing"),
    [
        ({}, ("http://127.0.0.1:8401", "http://localhost:8401"), "http://127.0.0.1:8401,http://localhost:8401"),
        (
            {"TOLLHOUSE_HOST": "0.0.0.0", "TOLLHOUSE_PUBLIC_URL": "https://pay.example.com"},
            ("http://127.0.0.1:8401", "http://localhost:8401", "http://pay.example.com:8401"),
            "*",
        ),
    ],
)
def test_addresses(variables: dict[str, str], origins: tuple[str, ...], framing: str) -> None:
    """Payers reach the shop on this machine, or under the name of the gateway's public address."""
    places = places_of(load_config(variables))
    assert (places.webhook_url, places.origins, places.widget_origins) == (
        "http://127.0.0.1:8401/webhooks",
        origins,
        framing,
    )
