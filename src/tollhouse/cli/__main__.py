"""The command `tollhouse`: finds its subcommands by name and shows errors as one line."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from collections.abc import Mapping

import click

from tollhouse.cli.failure import Failure

# Name: where it is, and what it does. Imported when it is called, so that help is fast and one that is broken harms
# no other.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("tollhouse.cli.up:command", "Start everything on this machine: database, sandbox, gateway, workers, shop."),
    "pay": ("tollhouse.cli.pay:command", "Play a merchant: make a payment and print the whole conversation."),
    "card": ("tollhouse.cli.card:command", "Build a test card that behaves as wanted."),
    "session": ("tollhouse.cli.session:command", "List payment sessions, show the life of one."),
    "event": ("tollhouse.cli.event:command", "List and show events, send one again."),
    "project": ("tollhouse.cli.project:command", "Create projects, see and change their settings."),
    "key": ("tollhouse.cli.key:command", "Add and retire a project's public keys."),
    "ranges": ("tollhouse.cli.ranges:command", "List the card ranges that take part in 3-D Secure, refresh them."),
    "widget": ("tollhouse.cli.widget:command", "Show how a shop embeds the payment form, check what browsers get."),
    "vault": ("tollhouse.cli.vault:command", "Run the vault alone, change its keys, see how they stand."),
    "audit": ("tollhouse.cli.audit:command", "Prove that the audit log is whole, take it out for review."),
    "scan": ("tollhouse.cli.scan:command", "Find card numbers where none belong: files, archives, databases."),
    "verify": ("tollhouse.cli.verify:command", "Prove from the rows that no money was lost or made up."),
    "doctor": ("tollhouse.cli.doctor:command", "Check what production would refuse to start with."),
    "purge": ("tollhouse.cli.purge:command", "Erase what nothing can need any more, or what is known of one payer."),
    "sbom": ("tollhouse.cli.sbom:command", "Print what this program is made of, for scanners of weaknesses."),
    "config": ("tollhouse.cli.config:command", "Print every setting with its meaning and default."),
    "db": ("tollhouse.cli.db:command", "Bring the database's schema up to date, or see where it is."),
    "serve": ("tollhouse.cli.serving:serve", "Run the gateway alone."),
    "work": ("tollhouse.cli.serving:work", "Run the workers alone."),
    "sandbox": ("tollhouse.cli.serving:sandbox", "Run the sandbox alone."),
    "shop": ("tollhouse.cli.shop:command", "Run the demo shop alone, against a running gateway."),
}

_EXAMPLES = """\b
Examples:
  tollhouse up
  tollhouse up --port 9400 --sandbox-port 9402 --acquirer-port 9583 --home /tmp/second
  tollhouse pay --amount 25.90 --currency eur
"""


class _ByName(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module_name, _, attribute = COMMANDS[cmd_name][0].partition(":")
        try:
            command = getattr(importlib.import_module(module_name), attribute)
        except ModuleNotFoundError as error:
            if error.name != module_name:
                raise
            raise Failure(f"`tollhouse {cmd_name}` is not part of this version") from None
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=_ByName,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EXAMPLES,
    help="Tollhouse, a self-hosted payment gateway. Each command explains itself with --help.",
)
@click.version_option(package_name="tollhouse", prog_name="tollhouse", message="%(prog)s %(version)s")
def group() -> None:
    """All commands."""


def main() -> None:
    """Runs the command line: what people did wrong is one line on stderr and a non-zero exit code."""
    _keep_driver_quiet()
    try:
        group(prog_name="tollhouse")
    except Exception as error:
        exit_code = getattr(error, "exit_code", None)
        if not isinstance(exit_code, int):
            raise
        click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True)
        sys.exit(exit_code)


def _keep_driver_quiet() -> None:
    """What the database's driver says by itself is for a log; a command says the same in one line.

    Whoever sets logs up, such as `serve`, has it all.
    """
    logging.getLogger("asyncpg").addHandler(logging.NullHandler())
    warnings.filterwarnings("ignore", message="password file .* has group or world access")


if __name__ == "__main__":
    main()
