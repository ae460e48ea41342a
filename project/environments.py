"""Read samconfig.toml's environments and their parameters, with SAM's own reader."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project import paths
from project.errors import CommandError


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One environment of samconfig.toml."""

    name: str
    stack_name: str
    region: str
    parameters: dict[str, str]


def load(name: str, *, root: Path | None = None) -> Environment:
    """Return an environment of the project in `root`, by default this one. CommandError names the known ones."""
    root = root or paths.ROOT
    config = tomllib.loads((root / "samconfig.toml").read_text())
    names = [key for key, value in config.items() if isinstance(value, dict) and "deploy" in value]
    if name not in names:
        raise CommandError(f"unknown environment {name!r}: use one of samconfig.toml: {', '.join(names)}")
    section = config[name]["deploy"]["parameters"]
    return Environment(
        name=name,
        stack_name=section["stack_name"],
        region=section["region"],
        parameters=_parameters(section["parameter_overrides"], root=root),
    )


def _parameters(overrides: Any, *, root: Path) -> dict[str, str]:
    # Imported here: SAM's modules take a while to load, and only this needs them.
    import click
    from samcli.cli.types import CfnParameterOverridesType
    from samcli.lib.config.exceptions import FileParseException

    try:
        found = CfnParameterOverridesType().convert(overrides, None, None, current_file=root / "samconfig.toml")
    except click.ClickException as error:
        raise CommandError(f"samconfig.toml: {error.format_message()}") from None
    except FileParseException as error:  # of several lines
        raise CommandError(f"{str(overrides).removeprefix('file://')}: {' '.join(str(error).split())}") from None
    return {str(key): str(value) for key, value in found.items()}
