"""Starts the process that is measured, and asks it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.micro.function.package import Package
from local.servers import process

SUBJECT = Path(__file__).with_name("subject.py")


class Subject:
    """One fresh process with the package imported, until it is closed."""

    def __init__(self, package: Package, *, environment: Mapping[str, str], log_path: Path) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        try:
            self._child = process.spawn(
                [
                    package.python,
                    *("-I", "-S", "-B", SUBJECT, package.folder, package.libraries, str(theirs_in), str(theirs_out)),
                ],
                env=environment,
                cwd=package.folder,
                log_path=log_path,
                pass_fds=(theirs_in, theirs_out),
            )
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._commands = os.fdopen(ours_out, "w", buffering=1)
        self._answers = os.fdopen(ours_in)
        self._log_path = log_path

    def ask(self, command: str) -> dict[str, Any]:
        """The answer to begin, look, calibrate or peak_memory. Raises StartError when the process has ended."""
        try:
            self._commands.write(command + "\n")
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._child.wait(process.STOP_TIMEOUT_S)
            raise process.StartError(f"the measured process ended with {code}; its log: {self._log_path}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        process.stop(self._child)
        self._commands.close()
        self._answers.close()
