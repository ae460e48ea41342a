"""Runs a test's script on a local stack of its own: in a process of its own, which leaves nothing behind.

A script calls `perform`; its test starts it by `stage`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from local.cli import reaper
from project import paths

END_TIMEOUT_S = 60
LOG_TAIL = 4000  # characters


def stage(module: str, folder: Path, *, timeout_s: float, arguments: Sequence[str] = ()) -> Any:
    """Run a module with a state folder in `folder`; return the JSON that it wrote. Fails with its last output.

    `arguments`: what the module gets besides the path of that JSON.
    """
    path, log_path = folder / "results.json", folder / "stage.log"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "COV"))}
    env |= {paths.STATE_VARIABLE: str(folder / "state"), "PYTHONPATH": ".:functions:airflow_image"}
    argv = [sys.executable, "-m", module, str(path), *arguments]
    with log_path.open("wb") as log, subprocess.Popen(argv, cwd=paths.ROOT, env=env, stdout=log, stderr=log) as child:
        try:
            code = child.wait(timeout_s)
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                child.wait(END_TIMEOUT_S)
    assert code == 0, log_path.read_text(errors="replace")[-LOG_TAIL:]
    return json.loads(path.read_text())


def perform(main: Callable[[Path], None]) -> None:
    """Call `main` with the path of the results, and end all processes that are left."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    signal.signal(signal.SIGTERM, _interrupt)
    paths.LOGS.mkdir(parents=True, exist_ok=True)
    reaper.adopt_orphans()
    try:
        main(Path(sys.argv[1]))
    finally:
        reaper.end_descendants()


def image_with(dags: Path, name: str) -> Path:
    """Return a copy of the image's source, in the state folder, that has more DAGs."""
    source = paths.STATE / name
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(paths.IMAGE_SOURCE, source)
    shutil.copytree(dags, source / "dags", dirs_exist_ok=True)
    return source


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
