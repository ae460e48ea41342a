"""Connections that only read Airflow's database, and do not hang."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_MS = 10_000


def read_only(url: str, *, statement_timeout_ms: int, name: str = "") -> Engine:
    """Return an engine without a pool, whose connections are read-only. `name`: shown in pg_stat_activity."""
    options = f"-c default_transaction_read_only=on -c statement_timeout={statement_timeout_ms}"
    limits = {"connect_timeout": CONNECT_TIMEOUT_S, "tcp_user_timeout": ANSWER_TIMEOUT_MS, "options": options}
    if name:
        limits["application_name"] = name
    return create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=limits)
