"""The only way to declare parameters, conditions and rules, which CloudFormation checks before it creates anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Equals, Not, Or, Parameter, Ref, Template


@dataclass(frozen=True, kw_only=True)
class OneOf:
    """The value is one of these."""

    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Between:
    """The value is a number in this closed range."""

    low: int
    high: int


@dataclass(frozen=True, kw_only=True)
class Matching:
    """The value matches `regex`, anchored at both ends; `must_be` completes the sentence "Must be ..."."""

    regex: str
    must_be: str


YES_OR_NO = OneOf(values=("true", "false"))


@dataclass(frozen=True)
class FormGroup:
    """A group of parameters in the console's form."""

    template: Template
    name: str

    def add(
        self,
        title: str,
        *,
        label: str,
        description: str,
        constraint: OneOf | Between | Matching,
        default: str | int | None = None,
    ) -> Parameter:
        """Add a parameter. Raise ValueError if a text is missing, or if the description does not end in a dot."""
        if not (self.name and label and description.endswith(".")):
            raise ValueError(f"parameter {title} needs a group, a label and a description that ends in a dot")
        parameter = Parameter(title, Description=description, **_constraint_properties(title, constraint))
        if default is not None:
            parameter.Default = default
        self.template.add_parameter(parameter)
        self.template.add_parameter_to_group(parameter, self.name)
        self.template.set_parameter_label(parameter, label)
        return parameter


def _constraint_properties(title: str, constraint: OneOf | Between | Matching) -> dict[str, Any]:
    match constraint:
        case OneOf(values=values):
            text = f"Must be one of {', '.join(values)}."
            if constraint == YES_OR_NO:  # SAM passes YAML's own false as False
                text = "Must be true or false, in quotes where the file is YAML."
            return {"Type": "String", "AllowedValues": list(values), "ConstraintDescription": text}
        case Between(low=low, high=high):
            text = f"Must be a number from {low} to {high}."
            return {"Type": "Number", "MinValue": low, "MaxValue": high, "ConstraintDescription": text}
        case Matching(regex=regex, must_be=must_be):
            if not (regex.startswith("^") and regex.endswith("$")):
                raise ValueError(f"parameter {title}: the pattern {regex} is not anchored")
            return {"Type": "String", "AllowedPattern": regex, "ConstraintDescription": f"Must be {must_be}."}


def add_condition(t: Template, title: str, expression: Any) -> str:
    """Add a condition. Raise ValueError for a second one of the same name: troposphere would replace the first."""
    if title in t.conditions:
        raise ValueError(f"condition {title} is declared twice")
    t.add_condition(title, expression)
    return title


def add_mapping(t: Template, title: str, mapping: dict[str, dict[str, Any]]) -> str:
    """Add a mapping. Raise ValueError for a second one of the same name: troposphere would merge the two."""
    if title in t.mappings:
        raise ValueError(f"mapping {title} is declared twice")
    t.add_mapping(title, mapping)
    return title


def add_rule(t: Template, title: str, *, assertions: Sequence[tuple[Any, str]], when: Any = None) -> None:
    """Add a rule over several parameters; an assertion is an expression and the message for when it is false."""
    rule: dict[str, Any] = {} if when is None else {"RuleCondition": when}
    rule["Assertions"] = [{"Assert": expression, "AssertDescription": text} for expression, text in assertions]
    t.add_rule(title, rule)


def add_min_max_rule(t: Template, prefix: str, *, low: Parameter, high: Parameter, exact_to: int) -> None:
    """Refuse a `low` above `high`: exactly for a `low` up to `exact_to`; a larger one needs a `high` above `exact_to`.

    Rules cannot compare numbers: for each `low`, the rule lists the values that `high` must not have. `make check`
    compares the numbers of every environment.
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


def placeholder(resource: Any, attribute: str | None = None) -> str:
    """Return the placeholder for a resource or parameter in an Fn::Sub text: `${Title}` or `${Title.Attribute}`."""
    return f"${{{resource.title}{'.' + attribute if attribute else ''}}}"


def suppress(
    resource: Any, *, checkov: Mapping[str, str] | None = None, guard: Mapping[str, str] | None = None
) -> None:
    """Exempt a resource from rules of checkov or cfn-guard, with a reason for each, in the metadata of both tools."""
    reasons = {**(checkov or {}), **(guard or {})}
    metadata: dict[str, Any] = {"Suppressions": reasons}
    if checkov:
        metadata["checkov"] = {"skip": [{"id": rule, "comment": reason} for rule, reason in checkov.items()]}
    if guard:
        metadata["guard"] = {"SuppressedRules": list(guard)}
    resource.Metadata = {**getattr(resource, "Metadata", {}), **metadata}
