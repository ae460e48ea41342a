"""A part of the template that exists only under a condition: its resources and its outputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from troposphere import And, Condition, If, NoValue, Template

from stack.lib.parameters import add_condition


@contextmanager
def optional(t: Template, condition: str | None) -> Iterator[None]:
    """Put a condition on all resources and outputs that the block adds; one that has its own then needs both.

    `condition`: its name; None for a part that is always there.
    """
    before = {*t.resources, *t.outputs}
    yield
    if condition is None:
        return
    both: dict[str, str] = {}
    for each in (*t.resources.values(), *t.outputs.values()):
        if each.title in before:
            continue
        own = getattr(each, "Condition", None)
        if own is not None and own not in both:
            both[own] = add_condition(
                t, f"{condition}And{own.removeprefix('Has')}", And(Condition(condition), Condition(own))
            )
        each.Condition = condition if own is None else both[own]


def if_added(resource: Any, value: Any) -> Any:
    """Return the value, for a list or a property; where the resource is left out, so is the value."""
    condition = getattr(resource, "Condition", None)
    return value if condition is None else If(condition, value, NoValue)
