"""Reads which code a container runs: a hash of its DAG files and plugins, and Airflow's version."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent import variables

log = logging.getLogger(__name__)

# Not code: Python and version control make these.
IGNORED_FOLDERS = frozenset({"__pycache__", ".git"})
IGNORED_SUFFIXES = (".pyc", ".pyo")
# The check for changes may take this share of a processor: 2,000 files take about 20 ms a check, so one each 5 s or so.
CHECKING_SHARE = 0.005

# A file is unchanged while these are: inode, size, times of content and of inode.
Stamp = tuple[int, int, int, int]


def airflow_version() -> str:
    """Return Airflow's version; empty where Airflow is not installed."""
    try:
        return importlib.metadata.version("apache-airflow")
    except importlib.metadata.PackageNotFoundError:
        return ""


def code_folders(environment: Mapping[str, str]) -> dict[str, Path]:
    """Return the folders of DAG files and plugins, by Airflow's settings and their defaults."""
    home = Path(environment.get(variables.AIRFLOW_HOME) or Path.home() / "airflow")
    return {
        "dags": Path(environment.get(variables.DAGS_FOLDER) or home / "dags"),
        "plugins": Path(environment.get(variables.PLUGINS_FOLDER) or home / "plugins"),
    }


class CodeHash:
    """A hash of names and contents of all files below folders, each known by its label; a missing folder is empty.

    The same files give the same hash on every host, whatever their order on disk, times and modes. A file that is
    unchanged since the last reading is not read again.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders
        self._known: dict[str, tuple[Stamp, bytes]] = {}

    def read(self) -> str:
        """Return the hash of the present files. Raises OSError."""
        found: dict[str, tuple[Stamp, bytes]] = {}
        total = hashlib.sha256()
        for label in sorted(self._folders):
            for name, path, stamp in sorted(_files(self._folders[label])):
                entry = f"{label}/{name}"
                known = self._known.get(entry)
                digest = known[1] if known is not None and known[0] == stamp else _digest(path)
                found[entry] = (stamp, digest)
                raw = entry.encode(errors="surrogateescape")
                # Each part has a known length, so that no two different trees give the same bytes.
                total.update(len(raw).to_bytes(4, "big") + raw + digest)
        self._known = found
        return total.hexdigest()


class CodeWatch:
    """The hash of the present code, which follows edits while the container runs."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._hash = CodeHash(code_folders(environment))
        self._last = ""
        self._check_at = 0.0
        self._was_readable = True

    def dags_hash(self) -> str:
        """Return the hash, at most as old as CHECKING_SHARE allows; empty when a file cannot be read.

        An empty hash is equal to nothing.
        """
        if time.monotonic() < self._check_at:
            return self._last
        began = time.thread_time()
        try:
            self._last, readable = self._hash.read(), True
        except OSError as error:
            self._last, readable = "", False
            if self._was_readable:
                log.warning("fleet: the DAG files cannot be hashed: %s", error)
        self._was_readable = readable
        self._check_at = time.monotonic() + (time.thread_time() - began) / CHECKING_SHARE
        return self._last


def _raise_unless_missing(error: OSError) -> None:
    """Raise the error, because os.walk takes an unreadable folder for an empty one by default."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _digest(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - Path.open is slower, and there may be thousands
        return hashlib.file_digest(file, hashlib.sha256).digest()


def _files(folder: Path) -> Iterator[tuple[str, str, Stamp]]:
    """Yield relative name, path and stamp of each file below `folder`; follow links to folders once, as Airflow does.

    Paths are strings, because Path objects would take several times as long.
    """
    entered = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=_raise_unless_missing):
        real = os.path.realpath(here)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(set(folders) - IGNORED_FOLDERS)
        prefix = os.path.relpath(here, folder)
        for file in files:
            if file.endswith(IGNORED_SUFFIXES):
                continue
            path = f"{here}/{file}"
            try:
                found = os.stat(path)  # noqa: PTH116
            except FileNotFoundError:  # a link that leads nowhere
                continue
            if stat.S_ISREG(found.st_mode):
                name = file if prefix == os.curdir else f"{prefix}/{file}"
                yield name, path, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
