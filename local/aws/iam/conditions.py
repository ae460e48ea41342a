"""Evaluates the conditions of IAM's policies."""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from local.aws.iam.patterns import ARN_PARTS, Context, UnresolvedVariable, literal, matches, matches_arn

Test = Callable[[str, str, Context], bool]  # (value of the policy, value of the request, context)

FOR_ALL, FOR_ANY, IF_EXISTS = "forallvalues", "foranyvalue", "ifexists"
NULL = "null"


class UnsupportedPolicy(ValueError):
    """A policy has something that this evaluator does not know, or that IAM would refuse."""


def _is_text(wanted: str, found: str, context: Context) -> bool:
    return literal(wanted, context) == found


def _number(compare: Callable[[float, float], bool]) -> Test:
    return lambda wanted, found, _context: compare(float(found), float(wanted))


def _date(compare: Callable[[datetime, datetime], bool]) -> Test:
    return lambda wanted, found, _context: compare(_moment(found), _moment(wanted))


def _moment(text: str) -> datetime:
    if text.isdigit():
        return datetime.fromtimestamp(int(text), UTC)
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _is_address(wanted: str, found: str, _context: Context) -> bool:
    return ipaddress.ip_address(found) in ipaddress.ip_network(wanted, strict=False)


def _is_arn(wanted: str, found: str, context: Context) -> bool:
    if wanted.count(":") < ARN_PARTS - 1:
        raise UnsupportedPolicy(f"a condition on an ARN has the value {wanted!r}, which is not one")
    return matches_arn(wanted, found, context)


# What matches one value of the policy; the negations match when no value does.
POSITIVE: dict[str, Test] = {
    "stringequals": _is_text,
    "stringequalsignorecase": lambda wanted, found, context: literal(wanted, context).lower() == found.lower(),
    "stringlike": matches,
    "arnequals": _is_arn,
    "arnlike": _is_arn,
    "bool": lambda wanted, found, _context: wanted.lower() == found.lower(),
    "numericequals": _number(operator.eq),
    "numericlessthan": _number(operator.lt),
    "numericlessthanequals": _number(operator.le),
    "numericgreaterthan": _number(operator.gt),
    "numericgreaterthanequals": _number(operator.ge),
    "dateequals": _date(operator.eq),
    "datelessthan": _date(operator.lt),
    "datelessthanequals": _date(operator.le),
    "dategreaterthan": _date(operator.gt),
    "dategreaterthanequals": _date(operator.ge),
    "ipaddress": _is_address,
}
NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
    "notipaddress": "ipaddress",
}


def are_met(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    """Return whether all conditions of a statement are met. Raises UnsupportedPolicy."""
    return all(
        _is_met(name, key, [text(value) for value in listed(values)], context)
        for name, keys in conditions.items()
        for key, values in keys.items()
    )


def _is_met(name: str, key: str, wanted: list[str], context: Context) -> bool:
    given, _, plain = name.lower().rpartition(":")
    if given not in ("", FOR_ALL, FOR_ANY):
        raise UnsupportedPolicy(f"the condition operator {name} is not known")
    found = context.get(key.lower())
    if plain == NULL:
        return any((found is None) is (each.lower() == "true") for each in wanted)
    is_optional = plain.endswith(IF_EXISTS)
    plain = plain.removesuffix(IF_EXISTS)
    is_negated = plain in NEGATED
    test = POSITIVE.get(NEGATED.get(plain, plain))
    if test is None:
        raise UnsupportedPolicy(f"the condition operator {name} is not known")
    if found is None:
        return is_optional or given == FOR_ALL or (is_negated and given != FOR_ANY)
    if isinstance(found, tuple) and not given:
        raise UnsupportedPolicy(f"{key} has several values: {name} needs ForAllValues or ForAnyValue")

    if is_negated:
        _check_variables(name, wanted, context)

    def is_met_by(value: str) -> bool:
        return is_negated is not any(_tests(test, each, value, context) for each in wanted)

    values = found if isinstance(found, tuple) else (found,)
    return any(map(is_met_by, values)) if given == FOR_ANY else all(map(is_met_by, values))


def _check_variables(name: str, wanted: list[str], context: Context) -> None:
    """Raise UnsupportedPolicy for a variable without a value: IAM's documents do not say what its negation means."""
    try:
        for each in wanted:
            literal(each, context)
    except UnresolvedVariable as error:
        raise UnsupportedPolicy(f"the variable {error} of {name} has no value") from error


def _tests(test: Test, wanted: str, found: str, context: Context) -> bool:
    """Return whether a value matches; one of another type (a name where a number is expected) does not.

    Nor does any value match a variable that has none.
    """
    try:
        return test(wanted, found, context)
    except UnsupportedPolicy:
        raise
    except (UnresolvedVariable, ValueError):
        return False


def listed(values: Any) -> list[Any]:
    """Return the values of an element that may hold one value or a list."""
    return list(values) if isinstance(values, list | tuple) else [values]


def text(value: Any) -> str:
    """Return a policy's value as text: JSON and YAML have booleans and numbers."""
    return str(value).lower() if isinstance(value, bool) else str(value)
