"""Why a DAG file does not import, with its line, from the stack trace that Airflow keeps."""

import pytest

from local.stack.import_failures import import_failure

RAISED = """Traceback (most recent call last):
  File "/dags/sub/load.py", line 7, in <module>
    import helper
  File "/dags/helper.py", line 1, in <module>
    import nosuch
ModuleNotFoundError: No module named 'nosuch'
"""
SYNTAX = """Traceback (most recent call last):
  File "/dags/sub/load.py", line 3
    def made(:
             ^
SyntaxError: invalid syntax
"""


@pytest.mark.parametrize(
    ("trace", "line"),
    [
        (RAISED, "sub/load.py:7: ModuleNotFoundError: No module named 'nosuch'"),
        (SYNTAX, "sub/load.py:3: SyntaxError: invalid syntax"),
        (
            "AirflowDagCycleException: Cycle detected in Dag: a",
            "sub/load.py: AirflowDagCycleException: Cycle detected in Dag: a",
        ),
        ("", "sub/load.py: no reason"),
    ],
)
def test_a_failure_is_one_line(trace: str, line: str) -> None:
    assert str(import_failure("sub/load.py", trace)) == line
