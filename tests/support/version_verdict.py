"""A worker that differs from the webserver, as the version check finds it."""

from fleet.member import Code
from version_check.verdict import Difference

CODE = Code(image_version="2.0", dags_hash="0123456789abcdef", airflow_version="3.3.2")
ODD = Difference(
    member="t2/worker",
    role="worker",
    pool="worker",
    field="dags_hash",
    value="fedcba9876543210",
    expected=CODE.dags_hash,
    active=3,
    state="consuming",
    is_draining=False,
)
