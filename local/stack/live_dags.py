"""Lets the local stack read a folder of DAG files live, and follows what its author changes."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path

from local.stack.import_failures import ImportFailure
from local.stack.rest_api import Airflow, NoAnswer
from local.stack.seed import read_seed
from project.errors import CommandError
from roles.bundle_settings import LOCAL_BUNDLE, SECTION

log = logging.getLogger(__name__)

BUNDLE = "live"
REFRESH_S = 1  # how often the DAG processor looks for new and changed files
FOLLOW_EVERY_S = 1.0
IGNORED = frozenset({"__pycache__", ".git", ".venv"})

Stamps = dict[str, tuple[int, int]]  # size and time, by path


def settings(folder: Path) -> dict[str, str]:
    """Return the variables of all containers that let Airflow read the folder, in place of the image's DAG files.

    It is a bundle of its own, without a version: the hash of the image's DAG files, by which the version check compares
    containers, does not change with it.
    """
    kwargs = {"path": str(folder), "refresh_interval": REFRESH_S}
    bundle = {"name": BUNDLE, "classpath": LOCAL_BUNDLE, "kwargs": kwargs}
    return {
        f"{SECTION}DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        f"{SECTION}BUNDLE_REFRESH_CHECK_INTERVAL": str(REFRESH_S),
        # Python takes bytecode for current if the source has the same size and second: an edit could be missed.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def check_folder(folder: Path) -> Path:
    """Return the folder's real path. Raises CommandError if it is none."""
    found = folder.resolve()
    if not found.is_dir():
        raise CommandError(f"DAGS={folder} is not a folder")
    return found


class Follower:
    """Asks Airflow each second why DAG files do not import, and stores the seed again when its file has changed.

    The DAG processor reads a DAG file again when it has changed. When a module beside it has, it would wait for half a
    minute: this asks it to read all of them.
    """

    def __init__(self, airflow: Airflow, *, folder: Path | None, seed: Path) -> None:
        self._airflow, self._folder, self._seed = airflow, folder, seed
        self._failures: tuple[ImportFailure, ...] = ()
        self._troubles: dict[str, str] = {}
        self._modules = self._stamps()
        self._seeded = _stamp(seed)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-dags", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and close the client."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._airflow.close()

    def lines(self) -> list[str]:
        """Return a line for each DAG file that does not import, and for each trouble with Airflow or the seed."""
        return [*map(str, self._failures), *self._troubles.values()]

    def _run(self) -> None:
        while not self._closing.wait(FOLLOW_EVERY_S):
            try:
                self.follow()
            except CommandError as error:
                log.info("import errors: %s", error)
                self._troubles["airflow"] = f"unknown whether DAG files import: {error}"
            else:
                self._troubles.pop("airflow", None)

    def follow(self) -> None:
        """Do it once. Raises CommandError."""
        self._failures = tuple(sorted(self._airflow.import_failures(), key=str))
        modules = self._stamps()
        changed = {path for path, _ in modules.items() ^ self._modules.items()}
        if not all(map(_is_dag_file, changed)):
            self._airflow.parse_again()
        self._modules = modules
        if (now := _stamp(self._seed)) != self._seeded:
            self._troubles.pop("seed", None)
            try:
                read_seed(self._seed).store(self._airflow)
            except NoAnswer:
                raise  # it is stored at the next second
            except CommandError as error:
                self._troubles["seed"] = str(error)
            self._seeded = now

    def _stamps(self) -> Stamps:
        """Return the modules of the folder."""
        found: Stamps = {}
        for here, folders, files in os.walk(self._folder) if self._folder is not None else ():
            folders[:] = [name for name in folders if name not in IGNORED]
            for path in (f"{here}/{name}" for name in files if name.endswith(".py")):
                if (stamp := _stamp(Path(path))) is not None:
                    found[path] = stamp
        return found


def _is_dag_file(path: str) -> bool:
    """Return whether the DAG processor reads the file by itself, by Airflow's own rule; False if it was removed."""
    try:
        text = Path(path).read_bytes().lower()
    except OSError:
        return False
    return b"dag" in text and b"airflow" in text


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def first_seed(airflow: Airflow, seed: Path, *, attempts: int = 5) -> str:
    """Store the seed and return how much it is. Raises CommandError."""
    found = read_seed(seed)
    for attempt in range(attempts):
        try:
            found.store(airflow)
        except NoAnswer as error:
            if attempt + 1 == attempts:
                raise CommandError(f"{seed} could not be stored: {error}") from None
            time.sleep(1)
        else:
            break
    return found.summary()
