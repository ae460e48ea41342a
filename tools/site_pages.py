"""Hooks of mkdocs: the repository's own pages are part of the site, and links to its other files become plain text.

The pages are written for readers of the repository, where a link to a folder or a module leads somewhere.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # mkdocs is in an environment of its own
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs"
# Pages outside of docs/, by their path in the repository, with their path in the site.
ADDED = {"README.md": "index.md", **{name: name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")}}
FOLDERS = ("runbook", "decisions")
LINK = re.compile(r"(!?\[(?:[^][]|\[[^][]*\])*\])\(([^()\s]+)\)")
SOURCE = re.compile(r'((?:src|srcset)=")docs/')


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the pages of whole folders in the navigation: a folder's own page first, the others by name."""
    for section in config.nav or ():
        for title, content in section.items():
            if content in FOLDERS:
                pages = sorted(path.name for path in (ROOT / DOCS / content).glob("*.md"))
                section[title] = [f"{content}/{name}" for name in sorted(pages, key=lambda name: name != "README.md")]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    from mkdocs.structure.files import File

    for path, place in ADDED.items():
        files.append(File.generated(config, place, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let a page's links lead to where the files are in the site."""
    place = page.file.src_uri
    return in_site(markdown, place=place, path=in_repository(place))


def in_repository(place: str) -> str:
    """Return the path in the repository of the page at `place` in the site."""
    return next((path for path, added in ADDED.items() if added == place), f"{DOCS}/{place}")


def in_site(markdown: str, *, place: str, path: str) -> str:
    """Return the page with links as they must be at `place` in the site; `path` is its path in the repository."""

    def replaced(match: re.Match[str]) -> str:
        text, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        file, _, heading = target.partition("#")
        meant = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
        found = ADDED.get(meant) or (posixpath.relpath(meant, DOCS) if PurePosixPath(meant).parts[0] == DOCS else None)
        if found is None or (ROOT / meant).is_dir():
            return text[1:-1] if (ROOT / meant).exists() else match[0]  # mkdocs refuses what leads nowhere
        return f"{text}({posixpath.relpath(found, posixpath.dirname(place) or '.')}{'#' * bool(heading)}{heading})"

    return SOURCE.sub(r"\1", LINK.sub(replaced, markdown)) if path in ADDED else LINK.sub(replaced, markdown)
