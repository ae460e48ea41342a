"""Shorten CloudFormation's physical names to logical ids, for texts that people read."""

from __future__ import annotations

import re

# <stack>-<logical id>-<12 digits>, as CloudFormation names what the template does not name
PHYSICAL_NAME = re.compile(r"\b[\w-]+-(\w+)-[0-9A-F]{12}\b")


def shorten_names(text: str) -> str:
    """Return `text` with the logical id in place of every physical name in it."""
    return PHYSICAL_NAME.sub(r"\1", text)
