"""Replaces `DagFileProcessorManager._create_process`, so that a parse reads files of one version only.

Airflow gives a parse the bundle's path as it is. Ours is a link, so that parses that wait read what is current when
they begin. A switch in the middle of a parse would mix the DAG file of one version with a module of the next: so the
link is resolved when the parse begins.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any


def resolve_links() -> None:
    """Replace the method in this process, once."""
    from airflow.dag_processing.manager import DagFileProcessorManager

    original = DagFileProcessorManager._create_process
    if getattr(original, "original", None) is not None:
        return

    def _create_process(self: Any, dag_file: Any) -> Any:
        path = dag_file.bundle_path
        if path is not None and path.is_symlink():
            dag_file = replace(dag_file, bundle_path=path.resolve())
        return original(self, dag_file)

    _create_process.original = original  # type: ignore[attr-defined]
    DagFileProcessorManager._create_process = _create_process
