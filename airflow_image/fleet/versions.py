"""What code a container runs: a hash of its DAG files and plugins, and Airflow's release."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from fleet import names

# Not code: made by running it, or by the tools that brought it.
IGNORED_FOLDERS = frozenset({"__pycache__", ".git"})
IGNORED_SUFFIXES = (".pyc", ".pyo")


def airflow_version() -> str:
    """Airflow's release; empty where Airflow is not installed."""
    try:
        return importlib.metadata.version("apache-airflow")
    except importlib.metadata.PackageNotFoundError:
        return ""


def code_folders(environment: Mapping[str, str]) -> dict[str, Path]:
    """Where Airflow looks for DAG files and plugins, by its settings and their defaults."""
    home = Path(environment.get(names.AIRFLOW_HOME) or Path.home() / "airflow")
    return {
        "dags": Path(environment.get(names.DAGS_FOLDER) or home / "dags"),
        "plugins": Path(environment.get(names.PLUGINS_FOLDER) or home / "plugins"),
    }


def content_hash(folders: Mapping[str, Path]) -> str:
    """A hash of names and contents of all files below the folders, each known by its label; a missing one is empty.

    The same files give the same hash on every host, whatever their order on disk, times and modes. Raises OSError.
    """
    total = hashlib.sha256()
    for label in sorted(folders):
        for name, path in sorted(_files(folders[label])):
            entry = f"{label}/{name}".encode()
            # Each part has a known length, so that no two trees can look alike.
            total.update(len(entry).to_bytes(4, "big") + entry + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below `folder` with its relative name; links to folders are followed, as Airflow does, but once."""
    entered = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(set(folders) - IGNORED_FOLDERS)
        for file in files:
            path = Path(here, file)
            if not file.endswith(IGNORED_SUFFIXES) and path.is_file():
                yield path.relative_to(folder).as_posix(), path
