"""What the payer's page says: one JSON file per language, each with every text of `Texts`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tollhouse.api.texts import direction_of, known_language, load_texts
from tollhouse.money import CURRENCIES, Money

# An amount in a line that runs to the left stays one piece that runs to the right.
ISOLATE, ISOLATE_END = "\u2066", "\u2069"


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """All texts of one language, and how it writes amounts."""

    language: str
    decimal_point: str
    thousands_mark: str
    title: str
    banner: str
    to: str
    amount: str
    time_left: str
    promise: str
    begin: str
    wait: str
    challenge: str
    returned: str
    blocked: str
    decoupled: str
    over: str
    offline: str
    late: str
    minutes_left: str
    retry_hint: str
    retry: str
    frame_title: str
    method_title: str
    go_on: str
    begin_plain: str
    challenge_plain: str
    wait_plain: str
    signal: str
    end_title: str
    end: str
    missing_title: str
    missing: str
    busy_title: str
    busy: str
    failed_title: str
    failed: str
    refused_title: str
    refused: str

    @property
    def runs_left(self) -> bool:
        """Whether its lines run from right to left."""
        return direction_of(self.language) == "rtl"

    def money(self, money: Money) -> str:
        """The amount as people of this language read it, with the currency's letters."""
        exponent = CURRENCIES[money.currency].exponent
        digits = str(money.minor).rjust(exponent + 1, "0")
        major, fraction = (digits[:-exponent], self.decimal_point + digits[-exponent:]) if exponent else (digits, "")
        amount = f"{int(major):,}".replace(",", self.thousands_mark) + f"{fraction} {money.currency.upper()}"
        return f"{ISOLATE}{amount}{ISOLATE_END}" if self.runs_left else amount

    def for_script(self) -> dict[str, str]:
        """Those that the page's script says."""
        return {name: text for name, text in asdict(self).items() if name in SCRIPT_TEXTS}


SCRIPT_TEXTS = frozenset(
    (
        "begin",
        "wait",
        "challenge",
        "returned",
        "blocked",
        "decoupled",
        "over",
        "offline",
        "late",
        "minutes_left",
        "frame_title",
        "method_title",
    )
)

BY_LANGUAGE = {language: Texts(language=language, **texts) for language, texts in load_texts(__name__).items()}
ENGLISH, RUSSIAN = BY_LANGUAGE["en"], BY_LANGUAGE["ru"]


def texts_for(accept_language: str) -> Texts:
    """The language that a browser would rather have (RFC 9110, 12.5.4); English where it asks for none of ours."""
    best, best_weight = ENGLISH, 0.0
    for part in accept_language.split(","):
        tag, _, parameter = part.partition(";")
        language, weight = known_language(tag), _weight(parameter)
        if language is not None and weight > best_weight:
            best, best_weight = BY_LANGUAGE[language], weight
    return best


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
