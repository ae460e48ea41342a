"""Lets the triggerer import what DAG files define: callbacks of deadlines (`AsyncCallback`) and triggers.

Airflow stores them by their module: that of a DAG file is unusual_prefix_HASH_NAME, made of the file's path, and a
module beside it has its own name. The DAG processor and tasks can import both; Airflow's triggerer can import neither.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType

from agent import variables
from fleet.member import TRIGGERER

PREFIX = "unusual_prefix_"


class DagFileFinder(MetaPathFinder):
    """Finds the modules that Airflow makes of the files in its DAG folder; each is read once, as any module."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - Python's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return the spec of the file whose path is hashed in the module's name. Raises ModuleNotFoundError."""
        if not fullname.startswith(PREFIX) or "." in fullname:
            return None
        from airflow import settings
        from airflow.utils.file import get_unique_dag_module_name, list_py_file_paths

        for file in list_py_file_paths(settings.DAGS_FOLDER, safe_mode=False):
            if get_unique_dag_module_name(file) == fullname:
                return spec_from_file_location(fullname, file)
        raise ModuleNotFoundError(
            f"no file in the DAG folder {settings.DAGS_FOLDER} is {fullname}. The triggerer has no other DAG bundles: "
            "put the callback or trigger into a plugin or a package of the image",
            name=fullname,
        )


def install() -> None:
    """Do so in a triggerer. The DAG folder comes last on Python's path, where the DAG processor has it, too."""
    if os.environ.get(variables.ROLE) != TRIGGERER:
        return
    from airflow import settings

    sys.meta_path.append(DagFileFinder())
    if settings.DAGS_FOLDER not in sys.path:
        sys.path.append(settings.DAGS_FOLDER)
