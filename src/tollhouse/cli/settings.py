"""Turns settings into flags: every command takes them from the environment, and a flag wins."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import click

from tollhouse.boot.config import load_config, settings, variable


class Whole(click.IntRange):
    """A number of an option, called what people call it when it is none."""

    name = "whole number"


def with_config(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command a flag for each of these settings (none named: all) and the `Config` as its first argument."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        chosen = [(name, setting) for name, setting in settings() if not names or name in names]

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            overrides = {name: kwargs.pop(name) for name, _ in chosen}
            return function(load_config(os.environ, **overrides), *args, **kwargs)

        for name, setting in reversed(chosen):
            default = f" Default: {setting.default}." if setting.default else ""
            text = f"{setting.meaning}{default} [{variable(name)}]"
            call = click.option(f"--{name.replace('_', '-')}", name, metavar="VALUE", help=text)(call)
        return call

    return wrap
