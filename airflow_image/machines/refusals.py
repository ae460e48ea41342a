"""Why a machine gets no token. A message holds nothing of the proof, so it may be answered and logged."""

from __future__ import annotations


class Refusal(Exception):
    """A machine gets no token; the message says why. `status` is the answer's HTTP status."""

    status = 401


class Malformed(Refusal):
    """The request is not what this endpoint reads."""

    status = 400


class BadProof(Refusal):
    """The proof does not hold."""


class NotMapped(Refusal):
    """The machine proved who it is, and may not have a role."""

    status = 403


class TooMany(Refusal):
    """Too many requests come from one address, or at once. The machine may try again."""

    status = 429


class Unavailable(Refusal):
    """What the check needs does not answer. The machine may try again."""

    status = 503
