"""Matches texts and ARNs with the wildcards and variables of IAM's policies."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

# The values of a request's context, by keys in lower case; a tuple is a multivalued key.
Context = Mapping[str, str | tuple[str, ...]]

ARN_PARTS = 6
VARIABLE = re.compile(r"\$\{([^}]*)\}")
LITERALS = ("*", "?", "$")  # ${*} is the character itself


class UnresolvedVariable(LookupError):
    """A pattern has a variable that the request's context has no value for. Such a pattern matches nothing."""


def matches(pattern: str, text: str, context: Context | None = None, *, ignore_case: bool = False) -> bool:
    """Return whether the text matches. `context`: where variables are looked up; None where IAM knows none."""
    try:
        return _regex(resolved(pattern, context), ignore_case).fullmatch(text) is not None
    except UnresolvedVariable:
        return False


def matches_arn(pattern: str, arn: str, context: Context | None = None) -> bool:
    """Return whether an ARN matches: part by part, so that no wildcard spans two parts."""
    try:
        wanted = resolved(pattern, context).split(":", ARN_PARTS - 1)
    except UnresolvedVariable:
        return False
    found = arn.split(":", ARN_PARTS - 1)
    if len(wanted) != ARN_PARTS or len(found) != ARN_PARTS:
        return False
    return all(_regex(one, False).fullmatch(other) for one, other in zip(wanted, found, strict=True))


def resolved(pattern: str, context: Context | None) -> str:
    r"""Return the pattern with its variables' values, in which wildcards are escaped by a backslash.

    Raises UnresolvedVariable.
    """
    pattern = pattern.replace("\\", r"\\")
    if context is None:
        return pattern
    return VARIABLE.sub(lambda match: re.sub(r"([*?\\])", r"\\\1", _value(match, context)), pattern)


def literal(text: str, context: Context) -> str:
    """Return a text with its variables' values, and no wildcards. Raises UnresolvedVariable."""
    return VARIABLE.sub(lambda match: _value(match, context), text)


def _value(match: re.Match[str], context: Context) -> str:
    key, _, default = (part.strip() for part in match.group(1).partition(","))
    if key in LITERALS:
        return key
    found = context.get(key.lower())
    if found is None and default:
        found = default.strip("'")
    if not isinstance(found, str):
        raise UnresolvedVariable(key)
    return found


@functools.lru_cache(maxsize=4096)
def _regex(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    def part(match: re.Match[str]) -> str:
        token = match.group(0)
        return {"*": ".*", "?": "."}.get(token) or re.escape(token[-1])

    return re.compile(re.sub(r"\\.|[\s\S]", part, pattern), re.DOTALL | (re.IGNORECASE if ignore_case else 0))
