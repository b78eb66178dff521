"""`tollhouse card`: builds sandbox card numbers, lists the familiar ones, explains what a number does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

import click

from tollhouse.card import PANInvalid, brand_of, mask, parse_pan
from tollhouse.sandbox.cards import (
    ALIASES,
    BINS,
    RESPONSE_CODES,
    Authentication,
    Behaviour,
    Challenge,
    Digit,
    Fault,
    Later,
    Method,
    NotComposable,
    behaviour_of,
    compose,
    composed_behaviour,
)

NEVER_CHALLENGED = frozenset(Authentication) - {
    Authentication.CHALLENGE,
    Authentication.DECOUPLED,
    Authentication.FRICTIONLESS,  # after a soft decline, as the next
    Authentication.ATTEMPTED,
}


def _name(digit: Digit) -> str:
    return digit.name.lower().replace("_", "-")


def _table(meanings: type[Digit]) -> str:
    return "\n".join(f"    {int(digit)}  {digit.text} [{_name(digit)}]" for digit in meanings)


class Meaning(click.ParamType[int]):
    """A digit, given as such or by the name of what it means."""

    name = "digit"

    def __init__(self, meanings: type[Digit]) -> None:
        self._meanings = meanings

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The digit. Whether it can be is for `compose` to say."""
        if isinstance(value, int) or (value.isascii() and value.isdigit()):
            return int(value)
        known = {_name(digit): int(digit) for digit in self._meanings}
        wanted = value.lower().replace("_", "-")
        if wanted not in known:
            self.fail(f"{value[:40]!a}: 0 to {len(known) - 1} expected, or one of {', '.join(known)}", param, ctx)
        return known[wanted]


EPILOG = f"""\b
Examples:
  tollhouse card                             approved
  tollhouse card --answer 51                 insufficient funds
  tollhouse card --fault 1                   approved, the answer is lost
  tollhouse card --fault 1 --later 5         ... and its reversal is refused twice
  tollhouse card --brand jcb --free 07       another card that behaves the same
  tollhouse card --authentication challenge  3-D Secure: a page that asks for a code (1234 passes)
  tollhouse card --authentication 7 --challenge out-of-band --method none
  tollhouse card --authentication frictionless --answer 51
  tollhouse card {compose(answer="51", fault=1)}            what a number does
  tollhouse card --list                      familiar numbers

\b
Each of the following takes the digit or the name in brackets.

\b
--fault: at the authorization
{_table(Fault)}

\b
--later: afterwards
{_table(Later)}

\b
--authentication (a): what 3-D Secure answers first; every card but 0 needs a payer who opens the page
{_table(Authentication)}

\b
--method (m): the issuer's hidden page that is asked before (3DS method)
{_table(Method)}

\b
--challenge (c): what becomes of a challenge, where there is one (a = 7, after a soft decline; 2, 4: also a = 9)
{_table(Challenge)}

\b
A number is BIN (6), a, m, c, answer (2), fault, later, free (2), check digit.
Any number that is neither composed so nor familiar is approved and takes no part in 3DS.
"""


def _digit(flag: str, meanings: type[Digit], text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(flag, type=Meaning(meanings), default=0, show_default=True, metavar="DIGIT", help=text)


@click.command("card", epilog=EPILOG)
@click.argument("number", nargs=-1)
@click.option("--brand", type=click.Choice(list(BINS)), default="visa", show_default=True, help="The scheme.")
@click.option("--answer", default="00", show_default=True, metavar="CODE", help="Response code (DE39), two digits.")
@_digit("--fault", Fault, "What goes wrong at the authorization.")
@_digit("--later", Later, "What goes wrong later on.")
@_digit("--authentication", Authentication, "First answer of 3-D Secure.")
@_digit("--method", Method, "The 3DS method page.")
@_digit("--challenge", Challenge, "What becomes of a challenge; alone it means --authentication challenge too.")
@click.option(
    "--free", metavar="DIGITS", help="Another card that behaves the same: 00 to 99 (American Express 0 to 9)."
)
@click.option("--list", "wants_list", is_flag=True, help="Print the familiar numbers instead.")
@click.option("--json", "wants_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    context: click.Context, /, number: tuple[str, ...], wants_list: bool, wants_json: bool, **digits: Any
) -> None:
    """Build a card number that makes the sandbox behave as wanted, or explain what NUMBER does."""
    chosen = [name for name in digits if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT]
    if (number or wants_list) and (chosen or (number and wants_list)):
        _refuse("NUMBER, --list and the options that build a number exclude each other; give one of them")
    if wants_list:
        _print_list(wants_json=wants_json)
    elif number:
        _print_explanation("".join(number).replace(" ", "").replace("-", ""), wants_json=wants_json)
    else:
        _print_composed(_with_challenge(digits, chosen), wants_json=wants_json)


def _with_challenge(digits: dict[str, Any], chosen: list[str]) -> dict[str, Any]:
    """Who names a challenge and no authentication means a card that is challenged; one that never is, is refused."""
    if "challenge" not in chosen:
        return digits
    if "authentication" not in chosen:
        return {**digits, "authentication": int(Authentication.CHALLENGE)}
    if digits["challenge"] and digits["authentication"] in NEVER_CHALLENGED:
        word = _name(list(Authentication)[digits["authentication"]])
        _refuse(f"--challenge: with --authentication {word} there never is one; leave one of the two out")
    return digits


def _print_composed(digits: dict[str, Any], *, wants_json: bool) -> None:
    try:
        pan = compose(**digits)
    except NotComposable as problem:
        _refuse(str(problem))
    click.echo(json.dumps({"number": pan, **_described(pan)}, indent=2) if wants_json else pan)


def _print_explanation(pan: str, *, wants_json: bool) -> None:
    try:
        parse_pan(pan)
    except PANInvalid:
        _refuse("NUMBER: 12 to 19 digits with a right check digit (Luhn) expected")
    described = {"number": mask(pan), **_described(pan)}
    if wants_json:
        click.echo(json.dumps(described, indent=2))
        return
    for name, value in described.items():
        text = "  ".join(str(part) for part in value.values()) if isinstance(value, dict) else str(value)
        click.echo(f"{name:<15} {text}")


def _print_list(*, wants_json: bool) -> None:
    if wants_json:
        click.echo(json.dumps([{"number": pan, **_described(pan)} for pan in ALIASES], indent=2))
        return
    for pan, behaviour in ALIASES.items():
        click.echo(f"{pan:<16}  {_brand(pan):<16}  {_summary(behaviour)}")


def _described(pan: str) -> dict[str, Any]:
    behaviour = behaviour_of(pan)
    code = behaviour.response_code
    return {
        "brand": _brand(pan),
        "source": _source(pan),
        "answer": {"code": code, "meaning": RESPONSE_CODES.get(code, "declined")},
        **{
            name: {"digit": int(digit), "meaning": digit.text}
            for name, digit in (
                ("fault", behaviour.fault),
                ("later", behaviour.later),
                ("authentication", behaviour.authentication),
                ("method", behaviour.method),
                ("challenge", behaviour.challenge),
            )
        },
    }


def _brand(pan: str) -> str:
    return brand_of(parse_pan(pan)) or "unknown"


def _source(pan: str) -> str:
    if pan in ALIASES:
        return "familiar"
    return "composed" if composed_behaviour(pan) else "any other: approved"


def _summary(behaviour: Behaviour) -> str:
    code = behaviour.response_code
    answer = f"{code} {RESPONSE_CODES.get(code, 'declined')}"
    if behaviour.authentication is Authentication.NONE:
        return answer
    threeds = f"3DS: {behaviour.authentication.text}"
    if behaviour.authentication is Authentication.CHALLENGE:
        threeds += f" ({behaviour.challenge.text})"
    return f"{threeds}; {answer}"


def _refuse(text: str) -> NoReturn:
    raise click.UsageError(text)
