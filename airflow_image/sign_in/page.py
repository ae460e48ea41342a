"""A page with one message, for people who cannot get in or have gone out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import make_response
from markupsafe import escape

STYLE = (
    ":root{color-scheme:light dark;background:Canvas}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:20vh auto;padding:0 1rem}"
    "h1{font-size:1.4rem}a{margin-right:1.5rem}"
)


def page(title: str, text: str = "", *, links: Sequence[tuple[str, str]] = (), status: int = 200) -> Any:
    """Return the page; it holds no script and is not kept by browsers."""
    anchors = "".join(f'<a href="{escape(href)}">{escape(name)}</a>' for name, href in links)
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1><p>{escape(text)}</p><p>{anchors}</p></html>"
    )
    response = make_response(body, status)
    response.headers["Cache-Control"] = "no-store"
    allowed = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    response.headers["Content-Security-Policy"] = allowed
    return response
