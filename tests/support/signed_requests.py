"""Requests to STS that a session of a role has signed, as docs/machines.md has them made."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

BODY = "Action=GetCallerIdentity&Version=2011-06-15"
CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"


def signed_request(
    credentials: Any,
    *,
    endpoint: str,
    region: str,
    audience: str,
    body: str = BODY,
    at: datetime | None = None,
    headers: dict[str, str] | None = None,
    service: str = "sts",
) -> dict[str, str]:
    """Return the headers with the signature, made now or `at` another time, of a request with these `headers`."""
    given = {"Content-Type": CONTENT_TYPE, "X-Airflow-Audience": audience} if headers is None else headers
    request = AWSRequest(method="POST", url=endpoint, data=body, headers=given)
    if at is None:
        SigV4Auth(credentials, service, region).add_auth(request)
    else:
        _sign_at(request, SigV4Auth(credentials, service, region), at.strftime("%Y%m%dT%H%M%SZ"))
    return {name: request.headers[name] for name in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")}


def _sign_at(request: AWSRequest, auth: SigV4Auth, date: str) -> None:
    """Sign as `add_auth` does, at another time than now."""
    request.context["timestamp"] = date
    request.headers["X-Amz-Date"] = date
    request.headers["X-Amz-Security-Token"] = str(auth.credentials.token)
    names = auth.signed_headers(auth.headers_to_sign(request))
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    request.headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names}, Signature={signature}"
    )
