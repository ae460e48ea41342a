#!/usr/bin/env python3
"""Print the list of Airflow's options, one a line, as project/airflow_options.txt holds it.

`make options` runs it in the image's environment, whose packages decide which options there are. A line is the option,
then its type and `sensitive`, or `deprecated` and the option that replaced it, if any.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow.configuration import conf


def lines() -> list[str]:
    """Return the sorted lines. Options without a type are those of providers that are not installed."""
    return sorted({*_present(conf.configuration_description), *_renamed(conf)})


def _present(described: dict[str, Any]) -> Iterator[str]:
    for section, content in described.items():
        for name, option in content["options"].items():
            if "type" not in option:
                continue
            if option.get("version_deprecated"):
                yield f"{section}.{name} deprecated"
            else:
                yield f"{section}.{name} {option['type']}{' sensitive' if option.get('sensitive') else ''}"


def _renamed(configuration: Any) -> Iterator[str]:
    present = {
        (section, name)
        for section, content in configuration.configuration_description.items()
        for name in content["options"]
    }
    for (section, name), (old_section, old_name, _) in configuration.deprecated_options.items():
        if (old_section, old_name) not in present:
            yield f"{old_section}.{old_name} deprecated {section}.{name}"


if __name__ == "__main__":
    print("\n".join(lines()))
