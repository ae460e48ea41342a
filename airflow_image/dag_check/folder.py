"""Reads all DAG files of a folder, several at once, each in a fork of this process, which has loaded Airflow."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dag_check import one_file
from dag_check.calls import DATABASES
from dag_check.faults import Checked, Fault

GRACE_S = 2.0  # a process that does not end at its budget is killed after this


@dataclass(frozen=True, kw_only=True)
class _Reading:
    file: Path
    pid: int
    answer: int
    trace: IO[str]
    began: float


def load() -> None:
    """Import what nearly every DAG file needs, once for all of them."""
    import airflow.providers.standard.operators.bash
    import airflow.providers.standard.operators.empty
    import airflow.providers.standard.operators.python
    from airflow.dag_processing.dagbag import BundleDagBag  # noqa: F401
    from airflow.sdk import DAG, task  # noqa: F401
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("dag_check", schedule=None) as dag:
        airflow.providers.standard.operators.empty.EmptyOperator(task_id="first")
    DagSerialization.to_dict(dag)  # the first one loads the providers, which takes a second
    for name in DATABASES:
        with contextlib.suppress(ImportError):  # not in every image
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


def dag_files(root: Path) -> list[Path]:
    """Return the files below the folder that the DAG processor would read, sorted."""
    from airflow.dag_processing.importers import get_importer_registry

    return sorted(Path(path) for path in get_importer_registry().list_dag_files(str(root), safe_mode=True))


def check(files: Iterable[Path], *, root: Path, budget_s: float, jobs: int) -> list[Checked]:
    """Return what came of each file, in the order of their names. `budget_s`: the seconds that one may take."""
    found: list[Checked] = []
    waiting = list(files)[::-1]
    running: dict[int, _Reading] = {}
    with tempfile.TemporaryDirectory(prefix="dag-check-") as folder, selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    reading = _begin(waiting.pop(), root=root, budget_s=budget_s, folder=folder)
                    running[reading.answer] = reading
                    selector.register(reading.answer, selectors.EVENT_READ)
                ready = {key.fd for key, _ in selector.select(0.1)}
                now = time.monotonic()
                late = {fd for fd, each in running.items() if now - each.began > budget_s + GRACE_S}
                for fd in ready | late:
                    selector.unregister(fd)
                    found.append(_end(running.pop(fd), root=root, budget_s=budget_s))
        finally:
            for reading in running.values():
                _kill(reading.pid)
    return [*sorted(_with_doubles(found), key=lambda each: each.file)]


def _begin(file: Path, *, root: Path, budget_s: float, folder: str) -> _Reading:
    ours, theirs = os.pipe()
    trace = tempfile.TemporaryFile("w+", dir=folder)  # noqa: SIM115 - _end closes it
    sys.stdout.flush()
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        os.close(ours)
        one_file.read(file, root=root, budget_s=budget_s, answer=theirs, trace=trace)
    os.close(theirs)
    return _Reading(file=file, pid=pid, answer=ours, trace=trace, began=began)


def _end(reading: _Reading, *, root: Path, budget_s: float) -> Checked:
    """Read the answer to its end, and end the process with all that the file has started."""
    said = b""
    os.set_blocking(reading.answer, False)
    deadline = reading.began + budget_s + GRACE_S
    while True:
        try:
            piece = os.read(reading.answer, 1 << 16)
        except BlockingIOError:
            if time.monotonic() > deadline:
                break
            if os.waitid(os.P_PID, reading.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                _kill_group(reading.pid)  # what the file has started may hold the pipe open
            time.sleep(0.01)
            continue
        if not piece:
            break
        said += piece
    os.close(reading.answer)
    _kill(reading.pid)
    with reading.trace as trace:
        trace.seek(0)
        told = trace.read()
    seconds = time.monotonic() - reading.began
    return one_file.understand(said, told, file=reading.file, root=root, budget_s=budget_s, seconds=seconds)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _kill(pid: int) -> None:
    _kill_group(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _with_doubles(found: Iterable[Checked]) -> Iterator[Checked]:
    """Yield the files; one with a DAG whose id an earlier file has gets a fault, unless it has one already."""
    first: dict[str, tuple[str, int]] = {}
    for each in sorted(found, key=lambda each: each.file):
        faults = list(each.faults)
        for dag_id, line in each.dags.items():
            if dag_id in first and not faults:
                reason = f"the DAG id {dag_id!r} is already that of {first[dag_id][0]}:{first[dag_id][1]}"
                advice = "rename one of the two"
                faults.append(Fault(file=each.file, line=line, kind="duplicate", reason=reason, advice=advice))
            first.setdefault(dag_id, (each.file, line))
        yield Checked(file=each.file, dags=each.dags, faults=tuple(faults), seconds=each.seconds)
