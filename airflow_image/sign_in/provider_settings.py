"""The provider of this environment, as the variables of the webserver name it."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

from sign_in import names
from sign_in.people import Roles, parse_mapping
from sign_in.provider import Client, Provider

CALLBACK, SIGNED_OUT = "/auth/oidc/callback", "/auth/oidc/signed-out"


@dataclass(frozen=True, kw_only=True)
class SignInProvider:
    """The provider, and what its groups mean here."""

    provider: Provider
    mapping: Roles
    groups_claim: str


@functools.cache
def sign_in_provider() -> SignInProvider | None:
    """Return this environment's provider; None without one."""
    issuer = os.environ.get(names.OIDC_ISSUER)
    if not issuer:
        return None
    base = os.environ["AIRFLOW__API__BASE_URL"].rstrip("/")  # never the address that a request names
    client = Client(
        issuer=issuer,
        client_id=os.environ[names.OIDC_CLIENT_ID],
        client_secret=os.environ[names.OIDC_CLIENT_SECRET],
        scope=os.environ.get(names.OIDC_SCOPES) or names.DEFAULT_SCOPES,
        redirect_uri=base + CALLBACK,
        signed_out_uri=base + SIGNED_OUT,
    )
    return SignInProvider(
        provider=Provider(client),
        mapping=parse_mapping(os.environ.get(names.ROLE_MAPPING, "")),
        groups_claim=os.environ.get(names.OIDC_GROUPS_CLAIM) or names.DEFAULT_GROUPS_CLAIM,
    )
