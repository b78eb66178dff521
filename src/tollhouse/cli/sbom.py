"""`tollhouse sbom`: the software bill of materials that this program's wheel carries."""

from __future__ import annotations

from importlib import metadata

import click

from tollhouse.cli.failure import Failure

FOLDER = "sboms"  # where a wheel has it, below its .dist-info
_EPILOG = """\b
Example:
  tollhouse sbom > tollhouse.cdx.json
"""


@click.command(epilog=_EPILOG)
def command() -> None:
    """Print every component of this program, as CycloneDX JSON."""
    for file in metadata.files("tollhouse") or []:
        if file.parent.name == FOLDER:
            click.echo(file.read_text(), nl=False)
            return
    raise Failure("this program was not installed from a wheel of `make dist`; `make sbom` writes the bill of a tree")
