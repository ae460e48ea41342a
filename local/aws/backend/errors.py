"""The base of the errors that this package's own APIs answer with."""

from __future__ import annotations

from moto.core.exceptions import ServiceException


class ApiError(ServiceException):  # type: ignore[misc]  # mypy is told not to look into moto
    """Its class attribute `code` is the error's name in the service's API model."""
