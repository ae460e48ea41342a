"""The sign-ins that a browser has begun and not finished: state, nonce and PKCE's verifier, in a cookie of each.

A page may begin several at once. In one session, whichever answer came last would replace the others'.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from itsdangerous import BadData, URLSafeSerializer

PREFIX = "sign_in_"
SALT = "sign-in"
LASTS_S = 600
AHEAD_S = 60  # another webserver, whose clock is ahead, may have begun it
# Tabs of one browser that may sign in at once: an older one starts again.
MOST = 5
LONGEST_TARGET = 1000  # characters: a browser drops a cookie of more than 4096 bytes


@dataclass(frozen=True, kw_only=True)
class Flow:
    """`target` is the page that the browser asked for, `began` seconds since 1970."""

    state: str
    nonce: str
    verifier: str
    target: str
    began: float

    @property
    def cookie(self) -> str:
        """The name of its cookie."""
        return PREFIX + self.state


def begin(*, target: str, now: float) -> Flow:
    """Return a new flow."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Flow(state=state, nonce=nonce, verifier=verifier, target=target, began=now)


class Cookies:
    """Makes cookies' values of flows and reads them, in every webserver with the same `secret`."""

    def __init__(self, secret: str) -> None:
        self._signer = URLSafeSerializer(secret, salt=SALT)

    def value(self, flow: Flow) -> str:
        """Return the value of the flow's cookie, which no one can make or change without the secret."""
        return str(self._signer.dumps(asdict(flow)))

    def find(self, cookies: Mapping[str, str], *, state: str, now: float) -> Flow | None:
        """Return the flow with this state; None if this browser has not begun it, or too long ago."""
        flow = self._read(cookies.get(PREFIX + state, ""), now=now)
        return flow if flow is not None and hmac.compare_digest(flow.state.encode(), state.encode()) else None

    def surplus(self, cookies: Mapping[str, str], *, now: float) -> list[str]:
        """Return the names of the cookies that have ended, or for which one more leaves no place: the oldest."""
        flows = {name: self._read(value, now=now) for name, value in cookies.items() if name.startswith(PREFIX)}
        live = {name: flow.began for name, flow in flows.items() if flow is not None}
        kept = sorted(live, key=live.__getitem__)[-(MOST - 1) :]
        return sorted(flows.keys() - kept)

    def _read(self, value: str, *, now: float) -> Flow | None:
        try:
            flow = Flow(**self._signer.loads(value))
        except (BadData, TypeError):  # TypeError: of a release whose flows have other fields
            return None
        return flow if -AHEAD_S <= now - flow.began < LASTS_S else None
