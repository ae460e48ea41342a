"""The longest names for which there can be a log. A task without one fails before it starts, and says nothing.

A task's log lies in folders named dag_id=..., run_id=... and task_id=..., and a file system allows 255 bytes for each.
The folder of a map index and the file of a try are short. With the longest ids the log's key in the bucket has some 850
bytes; S3 allows 1,024.
"""

from __future__ import annotations

MAX_NAME_BYTES = 255
MAX_DAG_ID_BYTES = MAX_NAME_BYTES - len("dag_id=")
MAX_TASK_ID_BYTES = MAX_NAME_BYTES - len("task_id=")
MAX_RUN_ID_BYTES = MAX_NAME_BYTES - len("run_id=")
MAX_DAG_FILE_BYTES = MAX_NAME_BYTES - len(".log")  # the log of its parsing is named after it
# Airflow's default, with a limit: each of these characters is one byte. A dollar sign would match before a line break.
RUN_ID_PATTERN = rf"^[A-Za-z0-9_.~:+-]{{1,{MAX_RUN_ID_BYTES}}}\Z"
