"""Says why a DAG file does not import, with its line, from the stack trace that Airflow keeps."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


@dataclass(frozen=True, kw_only=True)
class ImportFailure:
    """A DAG file that the DAG processor could not import. `line`: 0 if the stack trace names none."""

    file: str
    line: int
    reason: str
    trace: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


def import_failure(file: str, trace: str) -> ImportFailure:
    """Return file, line and reason of a stack trace. Of the frames in the file itself, the last one counts."""
    lines = [each["line"] for each in _FRAME.finditer(trace) if each["file"].endswith(f"/{file}")]
    said = [line.strip() for line in trace.splitlines() if line.strip()]
    return ImportFailure(
        file=file, line=int(lines[-1]) if lines else 0, reason=said[-1] if said else "no reason", trace=trace
    )
