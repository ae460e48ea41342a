"""Tells Airflow which files may have DAGs: by its own rule, but no tests, and none whose name is too long for its log.

Airflow's DAG processor ends at a file with too long a name, again after each restart: no DAG of the environment would
be parsed. A test beside the DAGs would be an import error, because the image has no pytest.
"""

from __future__ import annotations

import logging
import os
import re
from fnmatch import fnmatchcase
from pathlib import Path
from zipfile import ZipFile

from roles.log_paths import MAX_DAG_FILE_BYTES

# A file is a test if pytest would collect or load a file of that name, and it imports pytest.
TEST_NAMES = ("test_*.py", "*_test.py", "conftest.py")
IMPORTS_PYTEST = re.compile(rb"^[ \t]*(?:import|from)[ \t]+_?pytest\b", re.MULTILINE)

log = logging.getLogger(__name__)


def might_contain_dag(file_path: str, zip_file: ZipFile | None = None) -> bool:
    """Return whether the file may have DAGs. Airflow calls this for each file that it finds, before it reads it.

    `zip_file`: the archive that has the file. Its name counts, and was checked before.
    """
    size = len(os.fsencode(Path(file_path).name))
    if zip_file is None and size > MAX_DAG_FILE_BYTES:
        log.error("fleet: %s is not read: its name has %d bytes; at most %d", file_path, size, MAX_DAG_FILE_BYTES)
        return False
    if zip_file is None and _is_test(Path(file_path)):
        return False
    from airflow.utils.file import might_contain_dag_via_default_heuristic

    return bool(might_contain_dag_via_default_heuristic(file_path=file_path, zip_file=zip_file))


def _is_test(path: Path) -> bool:
    return any(fnmatchcase(path.name, name) for name in TEST_NAMES) and bool(IMPORTS_PYTEST.search(path.read_bytes()))
