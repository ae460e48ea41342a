"""Where the image's code comes from, according to git."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from project.errors import CommandError


@dataclass(frozen=True, kw_only=True)
class Revision:
    """`version`: the operator's, or the tag or short commit, with -dirty for uncommitted changes.

    `commit` is empty outside a checkout; `source` is empty when the checkout's remote has no https address.
    """

    version: str
    commit: str
    source: str


def read_revision(root: Path, *, version: str | None) -> Revision:
    """Return the revision of the checkout at `root`. Raises CommandError outside a checkout without a `version`."""
    commit = _git(root, "rev-parse", "HEAD")
    found = version or _git(root, "describe", "--tags", "--always", "--dirty")
    if found is None:
        raise CommandError("this is not a git checkout: set the version with VERSION=...")
    return Revision(
        version=found, commit=commit or "", source=web_address(_git(root, "config", "--get", "remote.origin.url") or "")
    )


def web_address(remote: str) -> str:
    """Return a remote's public address, without a user's name or token; empty unless it is https."""
    parts = urlsplit(remote)
    if parts.scheme != "https" or not parts.hostname:
        return ""
    return f"https://{parts.netloc.rpartition('@')[2]}{parts.path.removesuffix('.git')}"


def _git(root: Path, *arguments: str) -> str | None:
    """Return git's output; None when git is missing or fails."""
    try:
        ended = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
