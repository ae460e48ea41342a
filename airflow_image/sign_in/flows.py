"""The sign-ins that a browser has begun and not finished, in its session: state, nonce and PKCE's verifier of each."""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from typing import Any

KEY = "provider_flows"
LASTS_S = 600
# Tabs of one browser that may sign in at once: an older one starts again.
MOST = 5


@dataclass(frozen=True, kw_only=True)
class Flow:
    """`target` is the page that the browser asked for."""

    state: str
    nonce: str
    verifier: str
    target: str
    began: float


def begin(session: MutableMapping[str, Any], *, target: str, now: float) -> Flow:
    """Return a new flow and keep it in the session."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    flow = Flow(state=state, nonce=nonce, verifier=verifier, target=target, began=now)
    session[KEY] = [*_kept(session, now=now)[-(MOST - 1) :], asdict(flow)]
    return flow


def finish(session: MutableMapping[str, Any], *, state: str, now: float) -> Flow | None:
    """Return the flow with this state and forget it; None if this browser has not begun it, or too long ago."""
    kept = _kept(session, now=now)
    session[KEY] = [flow for flow in kept if flow["state"] != state]
    return next((Flow(**flow) for flow in kept if flow["state"] == state), None)


def _kept(session: MutableMapping[str, Any], *, now: float) -> list[dict[str, Any]]:
    return [flow for flow in session.get(KEY, []) if 0 <= now - flow["began"] < LASTS_S]
