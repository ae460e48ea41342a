"""The rule that a parameter is not above another one, as far as CloudFormation can be told that."""

from collections.abc import Sequence
from typing import Any

from troposphere import Equals, Not, Or, Parameter, Ref, Template

from stack.lib.parameters import add_rule


def add_order(t: Template, prefix: str, *, low: Parameter, high: Parameter, exact_to: int) -> None:
    """Refuse a whole number `low` above `high`: each up to `exact_to`; beyond it, one whose `high` is not beyond it.

    Rules cannot compare numbers: for each `low`, what `high` must not be is written out. `make check` compares all.
    """
    assertions = [
        (
            Or(Not(Equals(Ref(low), str(number))), _is_none_of(high, _numbers(1, number - 1))),
            f"{low.title} {number} needs {high.title} {number} or more.",
        )
        for number in range(2, exact_to + 1)
    ]
    beyond = (
        Or(_is_one_of(low, _numbers(0, exact_to)), _is_none_of(high, _numbers(1, exact_to))),
        f"{low.title} above {exact_to} needs {high.title} above {exact_to}.",
    )
    add_rule(t, f"{prefix}MinIsNotAboveMax", assertions=[*assertions, beyond])


def _numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


def _is_one_of(parameter: Parameter, numbers: Sequence[str]) -> dict[str, Any]:
    return {"Fn::Contains": [list(numbers), Ref(parameter)]}


def _is_none_of(parameter: Parameter, numbers: Sequence[str]) -> dict[str, Any]:
    return {"Fn::Not": [_is_one_of(parameter, numbers)]}
