"""Why a delivery does not go on."""

from __future__ import annotations


class DeliveryError(Exception):
    """The message is one line for the person who asked."""


class Refused(DeliveryError):
    """Nothing was changed: what was asked for is not safe, or cannot be known to be."""


class Failed(DeliveryError):
    """What was begun did not end well."""
