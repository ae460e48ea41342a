"""Reads one DAG file as the DAG processor does, in a process of its own that ends with the answer."""

from __future__ import annotations

import faulthandler
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NoReturn

from dag_check import calls
from dag_check.errors import BEGINS, IN_TASK, fault_of
from dag_check.faults import Checked, Fault
from dag_check.places import Places

BUNDLE = "dag-check"
FASTER = "do less when the file is imported: move slow work into tasks"
_FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)
_end = os._exit  # a file may replace it


def read(file: Path, *, root: Path, budget_s: float, answer: int, trace: IO[str]) -> NoReturn:
    """Read the file, write the answer as JSON to the descriptor `answer`, end the process.

    If the file takes longer than `budget_s` or crashes, the process ends without an answer: `trace` says where.
    """
    try:
        _read(file, root=root, budget_s=budget_s, answer=answer, trace=trace)
    finally:
        traceback.print_exc(file=trace)
        trace.flush()
        _end(1)


def _read(file: Path, *, root: Path, budget_s: float, answer: int, trace: IO[str]) -> NoReturn:
    began, process = time.monotonic(), os.getpid()
    places = Places(file, root=root)
    name = str(file.relative_to(root))

    def say(faults: Iterable[Fault], dags: dict[str, int]) -> NoReturn:
        if os.getpid() == process:  # the file may have forked
            faulthandler.cancel_dump_traceback_later()
            said = {
                "dags": dags,
                "faults": [fault.record() for fault in faults],
                "seconds": time.monotonic() - began,
            }
            with os.fdopen(answer, "w") as pipe:
                json.dump(said, pipe)
        _end(0)

    def stop(kind: str, reason: str, advice: str) -> NoReturn:
        say([Fault(file=name, line=places.here() or 1, kind=kind, reason=reason, advice=advice)], {})

    _silence()
    sys.dont_write_bytecode = True  # no file is written into the folder
    places.watch()
    calls.watch(places, stop)
    faulthandler.enable(trace)
    faulthandler.dump_traceback_later(budget_s, exit=True, file=trace)
    try:
        bag = _bag(file, root)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the DAG processor would get it as well
        reason = f"the DAG processor fails at the file: {type(error).__name__}: {error}"
        stop("import", reason, "correct what the file defines")
    faults = [fault_of(text, file=file, root=root, places=places) for text in bag.import_errors.values()]
    faults += _unstorable(bag.dags, name, places)
    for dag_id, line, earlier in places.doubles():
        reason = f"the DAG id {dag_id!r} is already that of line {earlier}"
        faults.append(Fault(file=name, line=line, kind="duplicate", reason=reason, advice="rename one of the two"))
    say(faults[:1], {dag_id: places.of_dag(dag_id) for dag_id in bag.dags})


def understand(said: bytes, trace: str, *, file: Path, root: Path, budget_s: float, seconds: float) -> Checked:
    """Return what came of a file: the answer of its process, or without one what `trace` tells."""
    name = str(file.relative_to(root))
    try:
        found = json.loads(said)
        return Checked(
            file=name,
            dags=found["dags"],
            faults=tuple(Fault(**each) for each in found["faults"]),
            seconds=found["seconds"],
        )
    except (ValueError, KeyError, TypeError):
        lines = [int(each["line"]) for each in _FRAME.finditer(trace) if each["file"] == str(file)]
        if BEGINS in trace:
            last = trace.strip().splitlines()[-1]
            fault = Fault(file=name, line=lines[-1] if lines else 1, kind="import", reason=last, advice=IN_TASK)
            return Checked(file=name, dags={}, faults=(fault,), seconds=seconds)
        is_slow = trace.startswith("Timeout") or seconds >= budget_s
        kind, reason, advice = (
            ("slow", f"importing the file takes longer than {budget_s:g} s", FASTER)
            if is_slow
            else ("exit", "importing the file ends the process", calls.NO_END)
        )
        fault = Fault(file=name, line=lines[0] if lines else 1, kind=kind, reason=reason, advice=advice)
        return Checked(file=name, dags={}, faults=(fault,), seconds=seconds)


def _bag(file: Path, root: Path) -> Any:
    from airflow.dag_processing.dagbag import BundleDagBag

    return BundleDagBag(
        dag_folder=str(file), bundle_path=root, bundle_name=BUNDLE, safe_mode=False, load_op_links=False
    )


def _unstorable(dags: dict[str, Any], file: str, places: Places) -> Iterable[Fault]:
    """Yield a fault for each DAG that cannot be stored in the database."""
    from airflow.serialization.serialized_objects import DagSerialization

    for dag_id, dag in dags.items():
        try:
            DagSerialization.to_dict(dag)
        except Exception as error:  # noqa: BLE001 - a DAG's own classes may raise anything
            reason = f"the DAG {dag_id} cannot be stored: {type(error).__name__}: {error}"
            line = places.of_message(str(error)) if places.of_dag(dag_id) == 1 else places.of_dag(dag_id)
            yield Fault(file=file, line=line, kind="import", reason=reason, advice="give its tasks plain values")


def _silence() -> None:
    """Give the file no terminal: what it prints is not the check's output."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
