"""What a deployment would accept, or AWS alone would refuse, and an operator should still know before it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import boto3

EXAMPLE_ACCOUNT = "123456789012"
_NO_ID = re.compile(r"0{8}-0{4}-0{4}-0{4}-0{12}")
_EXAMPLE_DOMAIN = re.compile(r"(^|\.)example\.(com|net|org)$")
_CLASS = re.compile(r"(db|cache)\.[a-z]+\d[a-z-]*\.(nano|micro|small|medium|large|xlarge|[1-9]\d?xlarge)")


def advice(parameters: Mapping[str, str], *, region: str) -> list[str]:
    """Return a line for each parameter that is still an example's, is impossible, or leaves alarms unheard."""
    lines = []
    for name, value in parameters.items():
        if EXAMPLE_ACCOUNT in value:
            lines.append(f"{name} names the account {EXAMPLE_ACCOUNT}, which is an example's: use yours")
        elif _NO_ID.search(value):
            lines.append(f"{name} has an id of zeroes, which is an example's: use yours")
        elif _EXAMPLE_DOMAIN.search(value):
            lines.append(f"{name} is {value}, which is an example's: use yours")
        elif name in ("DatabaseInstanceClass", "BrokerNodeType") and not _CLASS.fullmatch(value):
            lines.append(f"{name} is {value}, which has no size that AWS has, such as small or 2xlarge")
    if region not in _regions():
        lines.append(f"the region {region} is none that boto3 knows: check samconfig.toml")
    if not parameters.get("AlarmEmail"):
        lines.append("AlarmEmail is empty: no one hears an alarm before something subscribes to AlarmTopicArn")
    return lines


def _regions() -> set[str]:
    session = boto3.session.Session()
    return {
        region for part in session.get_available_partitions() for region in session.get_available_regions("ec2", part)
    }
