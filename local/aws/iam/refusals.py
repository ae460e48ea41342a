"""Answers a call that is not allowed as AWS does, in the format of the service's protocol."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from xml.sax.saxutils import escape

from local.aws.iam.calls import S3, Call

DENIED = "AccessDenied"
BAD_KEY = "InvalidClientTokenId"
EXPIRED = "ExpiredToken"
WRONGLY_SIGNED = "SignatureDoesNotMatch"
UNSIGNED = "MissingAuthenticationToken"
UNKNOWN = "NotImplemented"  # of this API alone: a policy that it cannot evaluate
# The JSON protocols' names of the same errors.
JSON_CODES = {DENIED: "AccessDeniedException", BAD_KEY: "UnrecognizedClientException", EXPIRED: "ExpiredTokenException"}
S3_CODES = {BAD_KEY: "InvalidAccessKeyId"}
EC2 = "ec2"
EC2_CODES = {DENIED: "UnauthorizedOperation", BAD_KEY: "AuthFailure", EXPIRED: "RequestExpired"}
REQUEST_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A WSGI application that answers with the error."""

    call: Call
    code: str
    message: str

    def __call__(self, _environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        status, kind, body = self._answer()
        data = body.encode()
        headers = [("Content-Type", kind), ("Content-Length", str(len(data))), ("x-amzn-RequestId", REQUEST_ID)]
        if self.call.is_json:
            headers.append(("x-amzn-ErrorType", JSON_CODES.get(self.code, self.code)))
        start_response(f"{status.value} {status.phrase}", headers)
        return [data]

    def _answer(self) -> tuple[HTTPStatus, str, str]:
        status = HTTPStatus.NOT_IMPLEMENTED if self.code == UNKNOWN else HTTPStatus.FORBIDDEN
        message = escape(self.message)
        if self.call.is_json:
            code = JSON_CODES.get(self.code, self.code)
            is_rest = self.call.service == "lambda"
            body = json.dumps({"__type": code, "message": self.message, "Message": self.message})
            return status if is_rest or self.code == UNKNOWN else HTTPStatus.BAD_REQUEST, "application/json", body
        if self.call.service == S3:
            code = S3_CODES.get(self.code, self.code)
            body = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{REQUEST_ID}</RequestId></Error>"
            return status, "application/xml", f'<?xml version="1.0" encoding="UTF-8"?>{body}'
        if self.call.service == EC2:
            code = EC2_CODES.get(self.code, self.code)
            body = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
            return status, "text/xml", f"<Response>{body}<RequestID>{REQUEST_ID}</RequestID></Response>"
        error = f"<Error><Type>Sender</Type><Code>{self.code}</Code><Message>{message}</Message></Error>"
        return status, "text/xml", f"<ErrorResponse>{error}<RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
