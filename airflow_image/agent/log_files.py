"""Runs Airflow's log server beside a worker: `python -m agent.log_files`.

It opens only files below the log folder, whatever a task puts there.

Starlette resolves a path, checks that the result is below the folder, and opens it later. A task can write to the
folder: it could replace the file by a link in between, and the worker's environment has secrets.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from airflow.utils.serve_logs import serve_logs
from airflow.utils.serve_logs.log_server import JWTAuthStaticFiles
from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from agent.opening import open_below

NOT_FOUND = 404
METHOD_NOT_ALLOWED = 405


class OpenedFile(FileResponse):  # type: ignore[misc]  # Starlette is not typed here
    """Sends a file that is open already, and closes it."""

    def __init__(self, descriptor: int, status: os.stat_result) -> None:
        super().__init__(f"/proc/self/fd/{descriptor}", stat_result=status, media_type="text/plain")
        self._descriptor = descriptor

    async def __call__(self, *arguments: Any) -> None:
        try:
            await super().__call__(*arguments)
        finally:
            os.close(self._descriptor)


def install() -> None:
    """Make Airflow's log server open files this way."""
    JWTAuthStaticFiles.get_response = _respond


async def _respond(files: Any, path: str, scope: Any) -> OpenedFile:
    if scope["method"] not in ("GET", "HEAD"):
        raise HTTPException(status_code=METHOD_NOT_ALLOWED)
    try:
        descriptor = await to_thread.run_sync(open_below, str(files.directory), path)
    except (OSError, ValueError):
        raise HTTPException(status_code=NOT_FOUND) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise HTTPException(status_code=NOT_FOUND)
    return OpenedFile(descriptor, status)


if __name__ == "__main__":
    install()
    serve_logs()
