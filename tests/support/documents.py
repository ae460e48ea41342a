"""Reads the Markdown pages of the checkout: their links, headings and code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md")))


@dataclass(frozen=True, kw_only=True)
class Page:
    """`links` as written; `anchors` as GitHub makes them of headings; `code`: spans and whole blocks."""

    path: Path
    links: tuple[str, ...]
    anchors: frozenset[str]
    code: tuple[str, ...]


def read(path: Path) -> Page:
    return parse(path.read_text(), path=path)


def parse(text: str, *, path: Path) -> Page:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    flat = list(_flat(tokens))
    headings = [tokens[at + 1] for at, token in enumerate(tokens) if token.type == "heading_open"]
    targets = (token.attrGet("href") or token.attrGet("src") for token in flat)
    return Page(
        path=path,
        links=tuple(str(target) for target in targets if target),
        anchors=frozenset(_anchor(heading) for heading in headings),
        code=tuple(token.content for token in flat if token.type in ("code_inline", "fence", "code_block")),
    )


def _flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _flat(token.children or [])


def _anchor(heading: Token) -> str:
    """Letters, digits, hyphens and underscores of the text that is shown, in lower case, a hyphen for each space."""
    shown = "".join(part.content for part in heading.children or [])
    return re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
