"""Reads HTTP requests to the API: which operation of which service is called, with which parameters."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
SIGNATURE = re.compile(
    r"Credential=[^/]+/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, ?"
    r"SignedHeaders=(?P<signed>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
SIGNED_URL = "X-Amz-Credential"
# In URLs of S3 that are signed by version 2, as botocore makes them for the oldest region, which they do not name.
OLD_SIGNED_URL, OLDEST_REGION = "AWSAccessKeyId", "us-east-1"
FORM = "application/x-www-form-urlencoded"
S3 = "s3"
LAMBDA = "lambda"
BATCH = "batch"
# Signing names that differ from the prefix of IAM's actions.
PREFIXES = {"monitoring": "cloudwatch", "email": "ses"}
# Operations of Batch by the last part of their path.
BATCH_OPERATIONS = {"describejobs": "DescribeJobs", "submitjob": "SubmitJob", "terminatejob": "TerminateJob"}
# Operations that OTLP's endpoints stand for, by signing name and path.
OTLP = {
    ("cloudwatch", "/v1/metrics"): "PutMetricData",
    ("xray", "/v1/traces"): "PutTraceSegments",
    ("logs", "/v1/logs"): "PutLogEvents",
}
INVOKE = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")
# What the query of a request to S3 asks for, when it is not about the bucket or object itself.
S3_PARTS = {
    "acl": "Acl",
    "cors": "CORS",
    "encryption": "EncryptionConfiguration",
    "lifecycle": "LifecycleConfiguration",
    "location": "Location",
    "logging": "Logging",
    "notification": "Notification",
    "ownershipControls": "OwnershipControls",
    "policy": "Policy",
    "publicAccessBlock": "PublicAccessBlock",
    "tagging": "Tagging",
    "versioning": "Versioning",
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call. `service` and `operation` as IAM's actions name them; `key_id`: of the caller's access key.

    `parameters`: of S3 the bucket, key and query, of Lambda the function, else as the API has them; those of a form
    are flat (`AlarmNames.member.1`). `is_telemetry`: whether it came to an endpoint of OTLP.
    """

    key_id: str
    service: str
    operation: str
    region: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_json: bool = False
    is_telemetry: bool = False

    @property
    def action(self) -> str:
        """The name of IAM's action."""
        return f"{self.service}:{self.operation}"

    def text(self, name: str) -> str:
        """Return a parameter as text, empty if it is missing."""
        return str(self.parameters.get(name) or "")

    def list(self, name: str) -> list[Any]:
        """Return a list of parameters, as JSON or a form has it."""
        found = self.parameters.get(name)
        if isinstance(found, list):
            return found
        pattern = re.compile(rf"{re.escape(name)}\.(?:member\.|[A-Za-z]+\.)?\d+")
        return [value for key, value in self.parameters.items() if pattern.fullmatch(key)]


def key_id_of(environ: Mapping[str, Any]) -> str | None:
    """Return the id of the access key that signed a request; None without a signature."""
    scope = _scope(environ)
    return scope[0] if scope else None


def read_call(environ: dict[str, Any]) -> Call | None:
    """Read a signed request, and leave its body to be read again. Return None for one that is not signed."""
    scope = _scope(environ)
    if scope is None:
        return None
    key_id, region, service = scope
    service = PREFIXES.get(service, service)
    if service == S3:
        return Call(key_id=key_id, service=S3, region=region, **_s3(environ))
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    body = body_of(environ)
    if target:
        given = json.loads(body or b"{}")
        return Call(
            key_id=key_id,
            service=service,
            operation=target.rpartition(".")[2],
            region=region,
            parameters=given if isinstance(given, dict) else {},
            is_json=True,
        )
    path = unquote(environ.get("PATH_INFO", ""))
    if (service, path) in OTLP:
        names = {"logGroupName": "HTTP_X_AWS_LOG_GROUP", "logStreamName": "HTTP_X_AWS_LOG_STREAM"}
        return Call(
            key_id=key_id,
            service=service,
            operation=OTLP[service, path],
            region=region,
            parameters={name: environ.get(header) for name, header in names.items()},
            is_telemetry=True,
        )
    if service == LAMBDA:
        invoked = INVOKE.fullmatch(path)
        operation = "InvokeFunction" if invoked else f"{environ['REQUEST_METHOD']} {path}"
        given = {"FunctionName": invoked.group(1)} if invoked else {}
        return Call(key_id=key_id, service=LAMBDA, operation=operation, region=region, parameters=given, is_json=True)
    if service == BATCH:
        asked = BATCH_OPERATIONS.get(path.rpartition("/")[2], f"{environ['REQUEST_METHOD']} {path}")
        parameters = json.loads(body or b"{}")
        return Call(key_id=key_id, service=BATCH, operation=asked, region=region, parameters=parameters, is_json=True)
    form = body.decode(errors="replace") if FORM in environ.get("CONTENT_TYPE", "") else ""
    fields = {name: values[0] for name, values in parse_qs(form or environ.get("QUERY_STRING", "")).items()}
    operation = fields.pop("Action", f"{environ['REQUEST_METHOD']} {path}")
    return Call(key_id=key_id, service=service, operation=operation, region=region, parameters=fields)


def _scope(environ: Mapping[str, Any]) -> tuple[str, str, str] | None:
    match = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    if match is None:
        query = parse_qs(environ.get("QUERY_STRING", ""))
        if OLD_SIGNED_URL in query:
            return query[OLD_SIGNED_URL][0], OLDEST_REGION, S3
        match = SCOPE.search("Credential=" + query.get(SIGNED_URL, [""])[0])
    return None if match is None else (match.group(1), match.group(2), match.group(3))


def body_of(environ: dict[str, Any]) -> bytes:
    """Return a request's body, and leave it to be read again."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _s3(environ: Mapping[str, Any]) -> dict[str, Any]:
    """Return the operation of S3 as IAM names it, and its parameters: bucket and key are in the path."""
    bucket, _, key = unquote(environ.get("PATH_INFO", "")).lstrip("/").partition("/")
    query = {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", ""), True).items()}
    parameters = {**query, "Bucket": bucket, "Key": key, "CopySource": environ.get("HTTP_X_AMZ_COPY_SOURCE", "")}
    return {"operation": _s3_operation(environ["REQUEST_METHOD"], bucket, key, query), "parameters": parameters}


def _s3_operation(method: str, bucket: str, key: str, query: Mapping[str, str]) -> str:
    verb = {"GET": "Get", "HEAD": "Get", "PUT": "Put", "POST": "Put", "DELETE": "Delete"}.get(method, method)
    part = next((name for name in S3_PARTS if name in query), None)
    if part is not None:
        return f"{verb}{'Object' if key else 'Bucket'}{S3_PARTS[part]}"
    if key:
        if "uploadId" in query and method in ("GET", "DELETE"):
            return "ListMultipartUploadParts" if method == "GET" else "AbortMultipartUpload"
        return f"{verb}Object{'Version' if query.get('versionId') else ''}"
    if not bucket:
        return "ListAllMyBuckets"
    if method == "POST" and "delete" in query:
        return "DeleteObject"
    if method in ("GET", "HEAD"):
        return "ListBucketVersions" if "versions" in query else "ListBucket"
    return "CreateBucket" if method == "PUT" else f"{verb}Bucket"
