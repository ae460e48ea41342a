"""Checks the signature of a call, version 4, as AWS does.

Only calls that another program passes on need it, and those that no SDK of AWS signs: for all others this API trusts
the access key, since it serves one machine.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlunsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.aws.iam.calls import SIGNATURE, body_of

# A client's clock may be wrong by so much.
VALID = timedelta(minutes=15)
FORMAT = "%Y%m%dT%H%M%SZ"


def is_signed_by(environ: dict[str, Any], credentials: Credentials, *, now: datetime) -> bool:
    """Return whether these credentials signed the call, not long ago. The body can be read again afterwards."""
    match = SIGNATURE.search(environ.get("HTTP_AUTHORIZATION", ""))
    date = environ.get("HTTP_X_AMZ_DATE", "")
    if match is None or not _is_present(date, now) or environ.get("HTTP_X_AMZ_SECURITY_TOKEN") != credentials.token:
        return False
    names = match["signed"].split(";")
    headers = {name: environ.get(_variable(name), "") for name in names}
    if "host" not in names or "x-amz-date" not in names or "x-amz-security-token" not in names:
        return False
    url = urlunsplit(("http", environ["HTTP_HOST"], environ.get("PATH_INFO", "/"), environ.get("QUERY_STRING", ""), ""))
    request = AWSRequest(method=environ["REQUEST_METHOD"], url=url, data=body_of(environ), headers=headers)
    request.context["timestamp"] = date
    auth = SigV4Auth(credentials, match["service"], match["region"])
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return hmac.compare_digest(auth.signature(text, request), match["signature"])


def _is_present(date: str, now: datetime) -> bool:
    try:
        made = datetime.strptime(date, FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs(now - made) <= VALID


def _variable(header: str) -> str:
    """Return the name under which WSGI passes a header on."""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
