"""The widget's pages as HTML. Every value that somebody else chose is escaped; what a script reads cannot run."""

from __future__ import annotations

from html import escape

from tollhouse.api.embedding import inert_json
from tollhouse.api.payer.texts import BY_LANGUAGE
from tollhouse.api.widget.assets import FRAME_SCRIPT, FRAME_STYLE, HOSTED_SCRIPT, LOADER, LOADER_STYLE, Asset, Assets
from tollhouse.api.widget.policy import STYLE
from tollhouse.api.widget.texts import direction_of, texts_of

CONTAINER = "smgl-payment-form"


def frame_page(assets: Assets, *, language: str, origins: tuple[str, ...], is_known: bool) -> str:
    """The form's frame, empty: the script draws the form when it was handed its token."""
    texts = texts_of(language)
    data = {
        "language": language,
        "direction": direction_of(language),
        "texts": dict(texts),
        "origins": list(origins),
        "isKnown": is_known,
    }
    head = (
        f'<script type="application/json" id="tollhouse-frame">{inert_json(data)}</script>'
        f"{_style(assets.newest(FRAME_STYLE))}{_script(assets.newest(FRAME_SCRIPT))}"
    )
    return _document(texts["title"], language, head, '<main id="form"></main>')


def hosted_page(assets: Assets, *, language: str) -> str:
    """The page with the form for merchants without a page; who is paid and how much, the form says.

    Its script reads the token from the address.
    """
    texts = texts_of(language)
    problem = f"<h2>{escape(texts['unexpected'])}</h2><p>{escape(texts['failedAgain'])}</p>"
    head = (
        f"<style>{STYLE}</style>{_style(assets.newest(LOADER_STYLE))}"
        f"{_script(assets.newest(LOADER))}{_script(assets.newest(HOSTED_SCRIPT))}"
    )
    main = (
        f'<main data-testid="hosted-page"><h1>{escape(texts["title"])}</h1><div id="{CONTAINER}"></div>'
        f'<div id="hosted-problem" role="alert" data-testid="hosted-problem" hidden>{problem}</div>'
        f"<noscript>{problem}</noscript></main>"
    )
    return _document(texts["title"], language, head, main)


def notice_page(language: str, status: int) -> str:
    """A few words where there is no form to show, by the status that the page comes with."""
    title, text = _words(language, status)
    main = f'<main data-testid="widget-notice"><h1>{escape(title)}</h1><p>{escape(text)}</p></main>'
    return _document(title, language, f"<style>{STYLE}</style>", main)


def _words(language: str, status: int) -> tuple[str, str]:
    texts, payers = texts_of(language), BY_LANGUAGE[language]
    match status:
        case 404:
            return texts["expired"], texts["expiredText"]
        case 403:  # of a project that is disabled
            return texts["closed"], texts["failedAgain"]
        case 429:
            return payers.busy_title, payers.busy
        case _ if status >= 500:
            return payers.failed_title, payers.failed
        case _:
            return payers.refused_title, payers.refused


def _document(title: str, language: str, head: str, main: str) -> str:
    return (
        f'<!doctype html>\n<html lang="{language}" dir="{direction_of(language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title>{head}</head><body>{main}</body></html>\n'
    )


def _style(asset: Asset) -> str:
    return f'<link rel="stylesheet" href="{asset.path}" integrity="{asset.integrity}">'


def _script(asset: Asset) -> str:
    return f'<script src="{asset.path}" integrity="{asset.integrity}" defer></script>'
