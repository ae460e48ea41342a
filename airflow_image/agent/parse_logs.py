"""Bounds the logs of the DAG processor, which writes one for each DAG file and day, and removes none.

They lie on the ECS task's own disk alone. Import errors are in Airflow's database as well.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from agent import variables
from agent.broker import Outage

log = logging.getLogger(__name__)

FOLDER = "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY"
# Today's and yesterday's, in UTC: a parse that begins before midnight writes to yesterday's.
KEPT_DAYS = 2
MIB = 1024 * 1024
# A twentieth of Fargate's smallest disk, which image, bundles and temporary files share.
MAX_BYTES = 1024 * MIB


def log_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of these logs, by Airflow's setting and its default."""
    home = Path(environment.get(variables.AIRFLOW_HOME) or Path.home() / "airflow")
    return Path(environment.get(FOLDER) or home / "logs" / "dag_processor")


class ParseLogs:
    """The logs below `folder`, which are bounded in age by KEPT_DAYS and in size by `max_bytes`."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._failure: OSError | None = None
        self._outage = Outage("logs of the DAG processor cannot be removed", log)

    def bound(self, *, today: date | None = None) -> None:
        """Remove the folders of older days; empty the largest files until the rest is small enough.

        A file is emptied rather than removed, because the DAG processor may be appending to it. Never raises OSError.
        `today`: in UTC, the present one by default.
        """
        self._failure = None
        oldest = (today or datetime.now(UTC).date()) - timedelta(days=KEPT_DAYS - 1)
        kept = []
        for day, folder in _days(self._folder):
            if day >= oldest:
                kept.append(folder)
                continue
            try:
                shutil.rmtree(folder)
            except OSError as error:
                self._failure = error
        self._empty_largest({path: size for folder in kept for path, size in _files(folder)})
        if self._failure is None:
            self._outage.end()
        else:
            self._outage.begin(self._failure)

    def _empty_largest(self, sizes: Mapping[str, int]) -> None:
        total = sum(sizes.values())
        for path in sorted(sizes, key=sizes.__getitem__, reverse=True):
            if total <= self._max_bytes:
                return
            try:
                _empty(path)
            except OSError as error:
                self._failure = error
            else:
                total -= sizes[path]
                log.info("fleet: emptied %s (%d MiB): the DAG processor's logs are too large", path, sizes[path] // MIB)


def _days(folder: Path) -> Iterator[tuple[date, Path]]:
    """Yield each day with its folder. Airflow's link to the latest day is none."""
    try:
        with os.scandir(folder) as entries:
            found = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:  # not there yet
        return
    for path in found:
        with contextlib.suppress(ValueError):
            yield date.fromisoformat(path.name), path


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield path and size in bytes of each regular file below `folder`."""
    for here, _, names in os.walk(folder):
        for name in names:
            path = f"{here}/{name}"
            with contextlib.suppress(OSError):
                found = os.lstat(path)
                if stat.S_ISREG(found.st_mode):
                    yield path, found.st_size


def _empty(path: str) -> None:
    """Empty a file. A DAG file's code could put a link, or a pipe that blocks, in its place. Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK))
