"""A secrets backend that Airflow asks first, and that reports each question of a DAG file.

Airflow imports this module while it is being imported itself. No other module of this package may import it.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.bases.secrets_backend import BaseSecretsBackend

from dag_check import questions


class NoSecrets(BaseSecretsBackend):  # type: ignore[misc]
    """Has no connection and no variable."""

    def get_conn_value(self, conn_id: str, **_: Any) -> None:
        """Report that the connection was asked for."""
        questions.report(f"the connection {conn_id!r}")

    def get_variable(self, key: str, **_: Any) -> None:
        """Report that the variable was asked for."""
        questions.report(f"the variable {key!r}")
