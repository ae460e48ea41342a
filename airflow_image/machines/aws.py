"""Checks an AWS identity: a machine signs a request that asks STS who it is, and this asks STS in its place.

The machine gives what it signed, and not the request itself. The request is made here: its host, action, body and
headers are always the same, so nothing in a proof can lead it elsewhere. STS checks the signature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from machines.machine import Machine
from machines.refusals import BadProof, NotMapped, Unavailable
from machines.rules import AwsRule

BODY = "Action=GetCallerIdentity&Version=2011-06-15"
CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
# Names the environment that the request was signed for. No other one, and nothing else that asks STS so, accepts it.
AUDIENCE_HEADER = "x-airflow-audience"
SIGNED = ("content-type", "host", AUDIENCE_HEADER, "x-amz-date", "x-amz-security-token")
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[A-Z0-9]{16,128})/(?P<day>[0-9]{8})/(?P<region>[a-z0-9-]+)/sts/aws4_request,"
    r" ?SignedHeaders=(?P<signed>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
DATE, DATE_FORMAT = re.compile(r"[0-9]{8}T[0-9]{6}Z"), "%Y%m%dT%H%M%SZ"
# Base64. A session of a role has one; keys of IAM's users, which never expire, have none.
SESSION_TOKEN = re.compile(r"[A-Za-z0-9+/=_-]{16,8192}")
LONGEST_AGE_S, LONGEST_AHEAD_S = 300.0, 60.0
LIMIT_S = 5.0
LARGEST = 10_000  # bytes of an answer; STS needs some 400
ARN = re.compile(rb"<Arn>([^<>]{20,2048})</Arn>")
CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
ASSUMED_ROLE = re.compile(
    r"arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([\w+=,.@-]{1,64})/([\w+=,.@-]{1,64})", re.ASCII
)


class Memory(Protocol):
    """What remembers signatures, for every process and copy of the webserver."""

    def is_first_use(self, signature: str) -> bool:
        """Remember the signature. Raises Unavailable."""
        ...


@dataclass(frozen=True, kw_only=True)
class Signed:
    """The headers that the machine's signature is in. Not everything may be printed: use no `repr`."""

    authorization: str
    date: str
    session_token: str

    def __repr__(self) -> str:
        return "Signed(...)"


class AwsIdentities:
    """Tells machines by their AWS identity, with the STS at `endpoint`, which is in `region`."""

    def __init__(self, rules: Sequence[AwsRule], *, endpoint: str, region: str, audience: str, memory: Memory) -> None:
        self._rules = {(rule.partition, rule.account, rule.name): rule.role for rule in reversed(rules)}
        self._endpoint, self._region, self._audience, self._memory = endpoint, region, audience, memory
        self._host = urlsplit(endpoint).netloc

    def identify(self, signed: Signed, *, now: datetime) -> Machine:
        """Return the machine that signed. Raises BadProof, NotMapped or Unavailable."""
        signature = check(signed, region=self._region, now=now)
        arn = self._ask(signed)
        # Only now: what STS does not confirm takes no memory. Of two uses at once, one is the first.
        if not self._memory.is_first_use(signature):
            raise BadProof("it was used before")
        match = ASSUMED_ROLE.fullmatch(arn)
        if match is None:
            raise NotMapped(f"no role is mapped to {arn}, which is not a session of an IAM role")
        partition, account, name, session = match.groups()
        identity = f"arn:{partition}:iam::{account}:role/{name}"
        role = self._rules.get((partition, account, name))
        if role is None:
            raise NotMapped(f"no role is mapped to {identity}")
        return Machine(identity=identity, role=role, detail=f"session {session}")

    def _ask(self, signed: Signed) -> str:
        """Return the ARN that STS gives the signature's owner."""
        headers = {
            "Authorization": signed.authorization,
            "Content-Type": CONTENT_TYPE,
            "Host": self._host,
            AUDIENCE_HEADER: self._audience,
            "X-Amz-Date": signed.date,
            "X-Amz-Security-Token": signed.session_token,
        }
        try:
            with httpx.stream(
                "POST", self._endpoint, content=BODY, headers=headers, timeout=LIMIT_S, follow_redirects=False
            ) as answer:
                content = bytearray()
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > LARGEST:
                        raise Unavailable("STS answers too much")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"STS does not answer ({type(error).__name__})") from None
        return _arn(answer.status_code, bytes(content))


def check(signed: Signed, *, region: str, now: datetime) -> str:
    """Return the signature, after all that can be told without STS. Raises BadProof."""
    match = AUTHORIZATION.fullmatch(signed.authorization)
    if match is None:
        raise BadProof("its Authorization is not a signature, version 4, of a request to STS")
    if match["region"] != region:
        raise BadProof(f"it is signed for the STS of {match['region']}, not of {region}")
    if tuple(match["signed"].split(";")) != SIGNED:
        raise BadProof(f"its signed headers are not {';'.join(SIGNED)}")
    if SESSION_TOKEN.fullmatch(signed.session_token) is None:
        raise BadProof("it has no session token: only sessions of a role are accepted")
    if DATE.fullmatch(signed.date) is None or not signed.date.startswith(match["day"]):
        raise BadProof("its X-Amz-Date is not the time of its signature")
    try:
        made = datetime.strptime(signed.date, DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise BadProof("its X-Amz-Date is not a time") from None
    age_s = (now - made).total_seconds()
    if not -LONGEST_AHEAD_S <= age_s <= LONGEST_AGE_S:
        raise BadProof(f"it was signed {age_s:.0f} s ago, and {LONGEST_AGE_S:.0f} s is the most")
    return match["signature"]


def _arn(status: int, content: bytes) -> str:
    if status == httpx.codes.OK:
        found = ARN.findall(content)
        if len(found) != 1:
            raise Unavailable("STS does not answer with one identity")
        return str(found[0].decode(errors="replace"))
    # STS answers 429 or 5xx when it cannot tell; another host would answer with a redirect.
    if status in (httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN):
        code = CODE.search(content)
        if code is not None and code[1] != b"Throttling":
            raise BadProof(f"STS does not accept it: {code[1].decode()}")
    raise Unavailable(f"STS answers HTTP {status}")


def signed_of(fields: Mapping[str, object]) -> Signed:
    """Return the headers of a request's body, whose names are those of HTTP in any case. Raises BadProof."""
    given = {str(name).lower(): value for name, value in fields.items()}
    wanted = ("authorization", "x-amz-date", "x-amz-security-token")
    values = [given.get(name) for name in wanted]
    if len(given) != len(fields) or not all(isinstance(value, str) for value in values):
        raise BadProof(f"it lacks one of {', '.join(wanted)}")
    return Signed(authorization=str(values[0]), date=str(values[1]), session_token=str(values[2]))
