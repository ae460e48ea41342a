"""What the tasks' benchmark installs for its DAGs."""

import subprocess
import sys
from importlib.metadata import distributions

import pytest

from project.paths import BENCH_ENVIRONMENT
from tools import setup_env

PERMISSIVE = {
    *("0BSD", "Apache Software License", "BSD License", "BSD-3-Clause", "CC0-1.0", "MIT", "MIT License", "Zlib"),
}


def licences() -> dict[str, set[str]]:
    """Return the licences of the packages that the benchmark's DAGs import, by name."""
    (packages,) = BENCH_ENVIRONMENT.glob("lib/python3*/site-packages")
    found = {}
    for each in distributions(path=[str(packages)]):
        (expression,) = each.metadata.get_all("License-Expression") or (None,)
        classifiers = [text for text in each.metadata.get_all("Classifier") or () if text.startswith("License ::")]
        stated = expression.split(" AND ") if expression else [text.rpartition(" :: ")[2] for text in classifiers]
        found[each.metadata["Name"]] = set(stated)
    return found


@pytest.mark.slow
def test_what_the_dags_import_has_permissive_licences() -> None:
    subprocess.run([sys.executable, setup_env.__file__, "bench"], check=True)
    found = licences()
    assert {"numpy", "pandas"} <= set(found)
    assert all(found.values()), found
    assert set().union(*found.values()) <= PERMISSIVE
