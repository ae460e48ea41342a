"""Who may open the web pages: up to four ranges of addresses."""

from collections.abc import Sequence
from typing import Any

from troposphere import Equals, If, Join, Not, NoValue, Parameter, Ref, Select, Split, Template
from troposphere.ec2 import SecurityGroupRule

from stack.lib.parameters import Matching, add_condition, add_parameter

MOST_RANGES = 4
RANGE = r"[0-9]{1,3}(\.[0-9]{1,3}){3}/([0-9]|[12][0-9]|3[0-2])"


def add_allowed_ranges(t: Template, *, group: str) -> Parameter:
    return add_parameter(
        t,
        "AllowedCidrs",
        group=group,
        label="Allowed addresses",
        description=f"IPv4 ranges that may open the web pages, up to {MOST_RANGES} with commas between them.",
        constraint=Matching(
            regex=f"^{RANGE}(,{RANGE}){{0,{MOST_RANGES - 1}}}$",
            says="IPv4 ranges with commas between them, such as 10.0.0.0/8,192.168.0.0/16",
        ),
        default="10.0.0.0/8",
    )


def admit(t: Template, *, ranges: Parameter, ports: Sequence[tuple[Any, str, str | None]]) -> list[Any]:
    """A rule for each range and each (port, what it is, condition or None); the conditions must not exclude all."""
    # CloudFormation cannot count what Split gives: with commas added there are always as many parts as are asked for.
    parts = Split(",", Join("", [Ref(ranges), "," * (MOST_RANGES - 1)]))
    rules: list[Any] = []
    for index in range(MOST_RANGES):
        part = Select(index, parts)
        has_range = add_condition(t, f"HasAllowedRange{index + 1}", Not(Equals(part, ""))) if index else None
        for port, what, condition in ports:
            rule: Any = SecurityGroupRule(IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp=part, Description=what)
            for needed in (condition, has_range):
                rule = rule if needed is None else If(needed, rule, NoValue)
            rules.append(rule)
    return rules
