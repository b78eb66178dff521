"""`tollhouse widget`: what to paste into a page, which scripts payers get, and whether browsers really get those."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from tollhouse.boot.config import Config
from tollhouse.cli.failure import Failure
from tollhouse.cli.settings import with_config

if TYPE_CHECKING:
    from tollhouse.cli.inspection import Difference, Findings
    from tollhouse.cli.inventory import Build
    from tollhouse.cli.recording import Received

ARCHIVE = "widget"  # the folder of former builds in the home
TOKEN_BYTES = 32
_CHECK_EPILOG = """\b
Examples:
  tollhouse widget check
  tollhouse widget check --url https://pay.example.com --har checkout.har --origin https://shop.example

\b
Exit code 0: all is as it must be; 1: each difference is named; 2: the command line is wrong, or a file is no HAR.
"""


@click.group(help="What a shop pastes into its page, which scripts payers get, and whether browsers get those.")
def command() -> None:
    """The group of commands about the payment form."""


_built = click.option(
    "--built",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The build that is meant, with its inventory.json; default: the one in this program.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@command.command("info", epilog="\b\nExamples:\n  tollhouse widget info\n  tollhouse widget info --json")
@_built
@_json
@with_config("port", "public_url")
def info(config: Config, *, built: Path | None, as_json: bool) -> None:
    """Print the lines for a shop's page, with their hashes, and what its content security policy must allow."""
    from tollhouse.cli.inventory import read_build

    build = read_build(built)
    shown = _info(build, config.public_url)
    if as_json:
        click.echo(json.dumps(shown, indent=2))
        return
    click.echo(f"Payment form {click.style(build.version, bold=True)} at {config.public_url}\n")
    for title, lines in (
        ("This version, for ever the same, checked by the browser:", shown["pinned"].values()),
        ("The newest version, whatever it will be:", shown["newest"].values()),
        ("Content security policy of the shop's page, besides what it has:", shown["policy"]),
    ):
        click.echo(click.style(title, bold=True))
        click.echo("\n".join(f"  {line}" for line in lines) + "\n")
    click.echo(click.style(f"{'file':<18} {'bytes':>8} {'gzip':>8}  where", bold=True))
    for one in build.files:
        click.echo(f"{one.name:<18} {one.size:>8,} {one.packed_size:>8,}  {one.page}")


def _info(build: Build, public_url: str) -> dict[str, Any]:
    script, style, module = "payment-form.js", "payment-form.css", "tollhouse.mjs"
    host = "{0.scheme}://{0.netloc}".format(urlsplit(public_url))

    def pinned(name: str) -> str:
        return f'{host}{build.address(name)}" integrity="{build.entry(name).integrity}" crossorigin="anonymous"'

    return {
        "version": build.version,
        "url": public_url,
        "pinned": {
            "style": f'<link rel="stylesheet" href="{pinned(style)}>',
            "script": f'<script src="{pinned(script)}></script>',
            "module": f'<script type="module" src="{pinned(module)}></script>',
        },
        "newest": {
            "style": f'<link rel="stylesheet" href="{host}/{style}">',
            "script": f'<script src="{host}/{script}"></script>',
            "module": f'<script type="module" src="{host}/{module}"></script>',
        },
        "policy": [f"{name} {host};" for name in ("script-src", "style-src", "frame-src")],
        "connects_to": [],
        "files": [
            {"name": one.name, "page": one.page, "bytes": one.size, "gzip": one.packed_size, "integrity": one.integrity}
            for one in build.files
        ],
    }


@command.command("scripts", epilog="\b\nExamples:\n  tollhouse widget scripts\n  tollhouse widget scripts --markdown")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a table for a document.")
@_built
@_json
def scripts(*, as_markdown: bool, built: Path | None, as_json: bool) -> None:
    """Print the inventory of every script and style that a payer's browser gets, with reason and hashes."""
    from tollhouse.cli.inventory import read_build, shown_scripts

    if as_markdown and as_json:
        raise click.UsageError("--markdown or --json, not both")
    build = read_build(built)
    found = shown_scripts(build)
    if as_json:
        click.echo(json.dumps({"version": build.version, "scripts": found}, indent=2))
    elif as_markdown:
        click.echo(f"Payment form {build.version}\n\n| file | page | why | hash |\n|---|---|---|---|")
        for one in found:
            click.echo(f"| `{one['name']}`{_where(one)} | {one['page']} | {one['reason']} | `{one['integrity']}` |")
    else:
        click.echo(f"Payment form {build.version}: what the payer's browser gets\n")
        for one in found:
            click.echo(f"{click.style(one['name'], bold=True)}{_where(one)}  {one['page']}, {one['bytes']:,} bytes")
            click.echo(f"  {one['reason']}\n  {one['integrity']}\n  {one['sha256']}")


def _where(one: dict[str, Any]) -> str:
    return "" if one["address"] else " (in the page)"


def _read_url(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    if text is None:
        return None
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.BadParameter("an address such as https://pay.example.com expected")
    return text.rstrip("/")


def _read_origins(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    origins = tuple(text.lower().rstrip("/") for text in texts)
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
            raise click.BadParameter(f"{origin[:100]!a}: an origin such as https://shop.example expected")
    return origins


@command.command("check", epilog=_CHECK_EPILOG)
@click.option("--url", metavar="URL", callback=_read_url, help="The widget's host; default: the public address.")
@click.option(
    "--har",
    "recordings",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="What a browser received, exported with contents from its network view; may be repeated.",
)
@click.option(
    "--origin",
    "origins",
    metavar="ORIGIN",
    multiple=True,
    callback=_read_origins,
    help="With --har: only these origins may show the form; may be repeated.",
)
@_built
@_json
@with_config("home", "port", "public_url")
def check(
    config: Config,
    *,
    url: str | None,
    recordings: tuple[Path, ...],
    origins: tuple[str, ...],
    built: Path | None,
    as_json: bool,
) -> None:
    """Compare what a browser received with the inventory: scripts, styles and security headers."""
    from tollhouse.cli.inspection import Inspection
    from tollhouse.cli.inventory import Authorised
    from tollhouse.cli.recording import read_recording

    if origins and not recordings:
        raise click.UsageError("--origin needs --har: only a real form's page says who may show it")
    host = url or config.public_url
    authorised = Authorised(built, config.home / ARCHIVE)
    inspection = Inspection(authorised, (host, config.public_url) if _is_local(host) else (host,), origins)
    if recordings:
        received = [read_recording(path) for path in recordings]
    else:
        received = [asyncio.run(_fetch(host, authorised.build))]
    for one in received:
        inspection.look(one)
    inspection.require_seen(host)
    _print(inspection.found, host, authorised.build.version, as_json=as_json)
    sys.exit(1 if inspection.found.differences else 0)


def _is_local(host: str) -> bool:
    """Whether the gateway is called on this machine, whose public address is then in its policies as well."""
    return urlsplit(host).hostname in ("127.0.0.1", "localhost")


async def _fetch(host: str, build: Build) -> list[Received]:
    """What a browser would get: every file, the form's page and the hosted page of a token that nobody has."""
    from tollhouse.api.widget.assets import NAMES
    from tollhouse.api.widget.door import FRAME_PREFIX, HOSTED_PREFIX, NEWEST
    from tollhouse.cli.recording import Received
    from tollhouse.net.merchant import Unreachable
    from tollhouse.net.pages import fetching

    base = "{0.scheme}://{0.netloc}".format(urlsplit(host))
    files = [*sorted(NEWEST), *(build.address(name) for name in sorted(NAMES))]
    uses = {path: "style" if path.endswith(".css") else "script" for path in files}
    uses |= {f"{FRAME_PREFIX}{secrets.token_hex(TOKEN_BYTES)}": "iframe"}
    uses |= {f"{HOSTED_PREFIX}{secrets.token_hex(TOKEN_BYTES)}": "document"}
    found = []
    async with fetching() as fetch:
        for path, use in uses.items():
            try:
                page = await fetch(base + path, {"Sec-Fetch-Dest": use})
            except Unreachable as problem:
                raise Failure(f"{base}: {problem}; start the gateway, or name its address by --url") from None
            found.append(
                Received(where="fetched", url=page.url, status=page.status, headers=page.headers, body=page.body)
            )
    return found


def _print(found: Findings, host: str, version: str, *, as_json: bool) -> None:
    if as_json:
        shown = {
            "url": host,
            "version": version,
            "compared": found.compared,
            "differences": [asdict(one) for one in found.differences],
            "is_clean": not found.differences,
        }
        click.echo(json.dumps(shown, indent=2))
        return
    for one in found.differences:
        _print_difference(one)
    count = len(found.differences)
    verdict = (
        click.style("all as it must be", fg="green")
        if not count
        else click.style(f"{count} difference{'s' if count > 1 else ''}", fg="red")
    )
    click.echo(f"{host}, payment form {version}: {len(found.compared)} answers and headers compared, {verdict}")


def _print_difference(one: Difference) -> None:
    lines: Sequence[tuple[str, str]] = (("expected", one.expected), ("found", one.found))
    click.echo(f"{click.style('✗', fg='red')} {_plain(one.what)}: {_plain(one.url)} ({_plain(one.where)})")
    for name, text in lines:
        click.echo(f"    {name:<8} {_plain(text)}")


def _plain(text: str) -> str:
    """Others wrote it: on a terminal nothing of it may be more than text."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
