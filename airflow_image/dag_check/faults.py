"""What is wrong with a DAG file, as one line, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MOST = 400  # characters of a reason: it is one line on a terminal


@dataclass(frozen=True, kw_only=True, order=True)
class Fault:
    """`file`: relative to the folder. `line`: from 1 on. `kind`: a stable word for programs. `advice`: what to do."""

    file: str
    line: int
    kind: str
    reason: str
    advice: str

    def __str__(self) -> str:
        reason = " ".join(self.reason.split())
        if len(reason) > MOST:
            reason = f"{reason[:MOST]}..."
        return f"{self.file}:{self.line}: {reason}: {self.advice}"

    def record(self) -> dict[str, Any]:
        """Return the fault for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A file that was read. `dags`: the line of each DAG by its id. `seconds`: that reading the file took."""

    file: str
    dags: Mapping[str, int]
    faults: tuple[Fault, ...]
    seconds: float
