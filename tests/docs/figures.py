"""The README's figures, rendered from the results of `make bench`, so that nobody types them.

`python -m tests.docs.figures` writes them into the README; a test compares.
"""

from __future__ import annotations

import json
from typing import Any

from tests.docs.documents import ROOT

README = ROOT / "README.md"
RESULTS = ROOT / "bench" / "results" / "latest.json"
BEGIN = "<!-- figures: written by `python -m tests.docs.figures` from bench/results/latest.json -->\n"
END = "<!-- end of figures -->\n"


def load_results() -> dict[str, Any]:
    """What `make bench` measured last."""
    results: dict[str, Any] = json.loads(RESULTS.read_text())
    return results


def render(results: dict[str, Any]) -> str:
    """The figures as Markdown."""
    cpu, latency = results["cpu_ms_per_payment"], results["added_latency_ms"]
    threeds, form = results["authentication_ms"], results["form_usable_ms"]
    lines = [
        ("complete payments a second", "payments_per_second", results["payments_per_second"]),
        ("CPU of the gateway for one payment, ms", "cpu_ms_per_payment.gateway", cpu["gateway"]),
        ("CPU of Postgres for one payment, ms", "cpu_ms_per_payment.postgres", cpu["postgres"]),
        ("time added to a payment, median, ms", "added_latency_ms.p50", latency["p50"]),
        ("time added to a payment, 99 of 100 are faster, ms", "added_latency_ms.p99", latency["p99"]),
        ("3-D Secure, the payer's page, 99 of 100, ms", "authentication_ms.page.p99", threeds["page"]["p99"]),
        ("3-D Secure, request and answer, ours, 99 of 100, ms", "authentication_ms.request.p99",
         threeds["request"]["p99"]),
        ("3-D Secure, result message, 99 of 100, ms", "authentication_ms.result.p99", threeds["result"]["p99"]),
        ("payment form, script tag to usable form, first visit, ms", "form_usable_ms.cold", form["cold"]),
        ("payment form, the same on a later visit, ms", "form_usable_ms.warm", form["warm"]),
        ("payment form, all that a browser loads, gzip, KB", "widget_kb", results["widget_kb"]),
        ("memory of everything together, MB", "rss_mb", results["rss_mb"]),
    ]  # fmt: skip
    table = "".join(f"| {text} | `{name}` | {value} |\n" for text, name, value in lines)
    return (
        f"\n| what | name in the results | value |\n|---|---|---|\n{table}\n"
        f"{results['payments']} payments, {results['at_once']} at once, on {results['cpus']} cores with "
        f"Python {results['python']}; latency at {results['latency_rate_per_second']} payments, or authentications, "
        "a second.\n\n"
    )


def shown() -> str:
    """The figures as they stand in the README."""
    _, begin, rest = README.read_text().partition(BEGIN)
    assert begin, f"the README has lost the line {BEGIN.strip()}"
    figures, end, _ = rest.partition(END)
    assert end, f"the README has lost the line {END.strip()}"
    return figures


def write() -> None:
    """Put the figures of the results into the README."""
    old = BEGIN + shown() + END
    README.write_text(README.read_text().replace(old, BEGIN + render(load_results()) + END))


if __name__ == "__main__":
    write()
