"""A machine that proved who it is."""

from __future__ import annotations

from dataclasses import dataclass

from sign_in.names import SEPARATOR

PREFIX = f"machine{SEPARATOR}"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """`identity` is what it proved, `detail` what else the log should say of it, `role` its role in Airflow."""

    identity: str
    role: str
    detail: str = ""

    @property
    def username(self) -> str:
        """The name of its user in Airflow."""
        return PREFIX + self.identity
