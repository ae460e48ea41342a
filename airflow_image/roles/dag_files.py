"""Tells Airflow which files may have DAGs: by its own rule, but none whose name is too long for the log of its parsing.

Airflow's DAG processor ends at such a file, again after each restart: no DAG of the environment would be parsed.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from zipfile import ZipFile

from roles.log_paths import MAX_DAG_FILE_BYTES

log = logging.getLogger(__name__)


def might_contain_dag(file_path: str, zip_file: ZipFile | None = None) -> bool:
    """Return whether the file may have DAGs. Airflow calls this for each file that it finds, before it reads it.

    `zip_file`: the archive that has the file. Its name counts, and was checked before.
    """
    size = len(os.fsencode(Path(file_path).name))
    if zip_file is None and size > MAX_DAG_FILE_BYTES:
        log.error("fleet: %s is not read: its name has %d bytes; at most %d", file_path, size, MAX_DAG_FILE_BYTES)
        return False
    from airflow.utils.file import might_contain_dag_via_default_heuristic

    return bool(might_contain_dag_via_default_heuristic(file_path=file_path, zip_file=zip_file))
