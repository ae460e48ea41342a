"""Connections that only read Airflow's database, and do not hang."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool, QueuePool

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_MS = 10_000


def read_only(url: str, *, statement_timeout_ms: int, name: str = "", is_kept: bool = False) -> Engine:
    """Return an engine whose connections are read-only. `name`: shown in pg_stat_activity.

    `is_kept`: one connection stays open, for a process that asks often: a server spends more on a new one, whose
    caches are empty, than on small questions. It is tried before it is used, and made again if it does not answer.
    """
    options = f"-c default_transaction_read_only=on -c statement_timeout={statement_timeout_ms}"
    limits = {"connect_timeout": CONNECT_TIMEOUT_S, "tcp_user_timeout": ANSWER_TIMEOUT_MS, "options": options}
    if name:
        limits["application_name"] = name
    pool: dict[str, Any] = {"poolclass": NullPool}
    if is_kept:
        pool = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "pool_pre_ping": True}
    return create_engine(url, hide_parameters=True, connect_args=limits, **pool)
