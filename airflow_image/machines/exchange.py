"""Gives a machine a token of the REST API for its proof, and logs who got one, and why others did not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from machines.aws import AwsIdentities, signed_of
from machines.limits import Limits
from machines.machine import Machine
from machines.refusals import Malformed, Refusal
from machines.tokens import Tokens

log = logging.getLogger(__name__)

TOKEN, AWS = "token", "aws"
TOKEN_FIELD = "token"  # noqa: S105 - the name of a field


class Exchange:
    """The exchange: a body of a request in, a token out. `token_for` makes it."""

    def __init__(
        self, *, tokens: Tokens, aws: AwsIdentities, token_for: Callable[[Machine], str], limits: Limits | None = None
    ) -> None:
        self._tokens, self._aws, self._token_for = tokens, aws, token_for
        self._limits = limits or Limits()

    def by_token(self, body: dict[str, Any], address: str) -> str:
        """Return a token for the token of a provider in the field `token`. Raises Refusal."""

        def identify() -> Machine:
            token = body.get(TOKEN_FIELD)
            if not isinstance(token, str):
                raise Malformed(f"the body has no text in the field {TOKEN_FIELD}")
            return self._tokens.identify(token)

        return self._exchange(identify, kind=TOKEN, address=address)

    def by_aws(self, body: dict[str, Any], address: str) -> str:
        """Return a token for the signed headers of a request to STS. Raises Refusal."""
        return self._exchange(
            lambda: self._aws.identify(signed_of(body), now=datetime.now(UTC)), kind=AWS, address=address
        )

    def _exchange(self, identify: Callable[[], Machine], *, kind: str, address: str) -> str:
        try:
            with self._limits.admit(address):
                machine = identify()
                token = self._token_for(machine)
        except Refusal as refusal:
            log.warning("no token for a machine at %s (%s): %s", address, kind, refusal)
            raise
        log.info("a token for machine %s at %s, role %s, %s", machine.identity, address, machine.role, machine.detail)
        return token
