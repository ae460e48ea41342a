"""The rules of a load balancer's listener, applied to a request's path as AWS documents them.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PATH_PATTERN = "path-pattern"
DEFAULT = "default"  # the priority of a listener's default rule
ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`patterns`: one of them must match the path; None where the rule has no condition.

    `response`: the whole answer of a fixed-response action; None where the rule forwards.
    """

    priority: float
    patterns: tuple[str, ...] | None
    response: bytes | None


def read_rules(described: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Return a listener's rules, given as the API describes them, in the order in which they are tried.

    Raises ValueError for a condition or an action that the local stack does not play.
    """
    return tuple(sorted((_read(rule) for rule in described), key=lambda rule: rule.priority))


def answer(rules: Sequence[Rule], target: str) -> bytes | None:
    """Return the fixed response to a request with this target; None when it is forwarded."""
    path = path_of(target)
    rule = next((r for r in rules if r.patterns is None or any(matches(p, path) for p in r.patterns)), None)
    return None if rule is None else rule.response


def path_of(target: str) -> str:
    """Return the path of a request's target, or of HTTP/2's `:path`: undecoded, without query or control characters."""
    return CONTROL.sub("", re.split("[?#]", ABSOLUTE.sub("", target, count=1), maxsplit=1)[0])


def matches(pattern: str, path: str) -> bool:
    """Return whether a path pattern matches: case-sensitive, `*` for any characters, `?` for exactly one."""
    wildcards = {"*": ".*", "?": "."}
    expression = "".join(wildcards.get(character) or re.escape(character) for character in pattern)
    return re.fullmatch(expression, path, re.DOTALL) is not None


def _read(rule: Mapping[str, Any]) -> Rule:
    patterns: tuple[str, ...] | None = None
    for condition in rule.get("Conditions") or ():
        if condition["Field"] != PATH_PATTERN:
            raise ValueError(f"the local load balancer does not know conditions of the kind {condition['Field']}")
        values = (condition.get("PathPatternConfig") or condition)["Values"]
        patterns = (*(patterns or ()), *values)
    priority = float("inf") if rule["Priority"] == DEFAULT else float(rule["Priority"])
    return Rule(priority=priority, patterns=patterns, response=_response(rule["Actions"][-1]))


def _response(action: Mapping[str, Any]) -> bytes | None:
    match action["Type"]:
        case "forward":
            return None
        case "fixed-response":
            config = action["FixedResponseConfig"]
            body = str(config.get("MessageBody") or "").encode()
            kind = config.get("ContentType") or "text/plain"
            head = f"HTTP/1.1 {config['StatusCode']} Fixed\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            return head.encode() + b"Connection: close\r\n\r\n" + body
        case other:
            raise ValueError(f"the local load balancer does not know actions of the kind {other}")
