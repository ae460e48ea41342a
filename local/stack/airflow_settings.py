"""Checks an environment's settings of Airflow against the list of options of the locked Airflow and its providers."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from project import paths
from roles.environment_settings import parse_settings
from roles.errors import ConfigurationError
from roles.owned_settings import PREFIX, why_owned

OPTIONS = paths.ROOT / "project" / "airflow_options.txt"
AIRFLOW, TASKS = "AirflowSettings", "TaskSettings"
LONGEST = 4096  # bytes of a parameter that CloudFormation accepts
REFERENCE = "_SECRET"  # Airflow reads such a setting's value from the secret that it names
# What the processes that run tasks read, as far as it is known: sections, and options of other sections.
READ_BY_TASKS = frozenset(
    (
        *("aws", "common.io", "email", "operators", "sdk", "sensors", "smtp", "standard", "workers"),
        *("api.base_url", "dag_processor.dag_bundle_config_list"),
        *("scheduler.create_cron_data_intervals", "scheduler.create_delta_data_intervals"),
        "scheduler.task_instance_heartbeat_timeout",
    )
)
BOOLEANS = frozenset(("t", "true", "1", "f", "false", "0"))


@dataclass(frozen=True, kw_only=True)
class Option:
    """`replaced_by`: of a deprecated option, the one that replaced it, or empty; otherwise None."""

    name: str
    type: str = "string"
    is_sensitive: bool = False
    replaced_by: str | None = None

    @property
    def variable(self) -> str:
        section, _, option = self.name.rpartition(".")
        return f"{PREFIX}{section.replace('.', '_').upper()}__{option.upper()}"


@functools.cache
def options() -> Mapping[str, Option]:
    """Return the options by the names of their variables."""
    found = map(_option, OPTIONS.read_text(encoding="utf-8").splitlines())
    return {option.variable: option for option in found}


def _option(line: str) -> Option:
    match line.split():
        case [name, "deprecated", *new]:
            return Option(name=name, replaced_by="".join(new))
        case [name, kind, *more]:
            return Option(name=name, type=kind, is_sensitive=bool(more))
    raise ValueError(f"{OPTIONS.name} has the line {line!r}")


def setting_faults(parameters: Mapping[str, str]) -> list[str]:
    """Return a line for each setting that Airflow would not take, or that is not an environment's to decide.

    `parameters`: the environment's, with or without settings.
    """
    return list(_faults(parameters))


def _faults(parameters: Mapping[str, str]) -> Iterator[str]:
    read: dict[str, dict[str, str]] = {}
    for title in (AIRFLOW, TASKS):
        text = parameters.get(title, "")
        if len(text.encode()) > LONGEST:
            yield f"{title} has {len(text.encode()):,} bytes, and CloudFormation accepts {LONGEST:,}"
        try:
            read[title] = parse_settings(text)
        except ConfigurationError as error:
            yield f"{title}: {error}"
            continue
        for name, value in read[title].items():
            if fault := _fault(name, value, title=title, has_secrets=bool(parameters.get("ConnectionsPrefix"))):
                yield f"{title}: {name} {fault}"
    for name in read.get(AIRFLOW, {}).keys() & read.get(TASKS, {}).keys():
        yield f"{AIRFLOW}: {name} is also in {TASKS}, which the service airflow reads, too: keep one of them"


def _fault(name: str, value: str, *, title: str, has_secrets: bool) -> str | None:
    if reason := why_owned(name):
        return f"cannot be set: {reason}"
    known = options()
    plain = name.removesuffix(REFERENCE)
    option = known.get(name) or known.get(plain)
    if option is None:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        return f"is no option of the image's Airflow and providers; the nearest is {nearest[0]}"
    if option.replaced_by is not None:
        return _deprecated(option)
    if title == AIRFLOW and {option.name, option.name.rpartition(".")[0]} & READ_BY_TASKS:
        return f"is read by tasks, too: write it into {TASKS}"
    if option.variable != name:
        return _secret_fault(option, has_secrets=has_secrets)
    if option.is_sensitive:
        where = "the secret <ConnectionsPrefix>/config/NAME"
        return f"holds a secret: write {name}{REFERENCE}=NAME, and its value into {where}"
    return None if _is_of(option.type, value) else f"must be of the type {option.type}"


def _deprecated(option: Option) -> str:
    """Say what to write instead. The option that replaced another may be deprecated itself."""
    new = option
    by_name = {each.name: each for each in options().values()}
    while new.replaced_by:
        new = by_name[new.replaced_by]
    return "is deprecated" + (", and nothing replaces it" if new.replaced_by == "" else f": write {new.variable}")


def _secret_fault(option: Option, *, has_secrets: bool) -> str | None:
    if not option.is_sensitive:
        return f"names a secret, which Airflow reads for its sensitive options only: write {option.variable}"
    return None if has_secrets else "names a secret, and the parameter ConnectionsPrefix is empty"


def _is_of(kind: str, value: str) -> bool:
    """Return whether Airflow could read the value as its option's type."""
    text = value.strip()
    match kind:
        case "boolean":
            return text.lower() in BOOLEANS
        case "integer" | "float":
            try:
                (int if kind == "integer" else float)(text)
            except ValueError:
                return False
    return True
