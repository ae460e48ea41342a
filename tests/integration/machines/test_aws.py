"""AWS identities, with the local STS, which checks signatures as AWS's does, and a Redis that remembers them."""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from botocore.credentials import Credentials

from local.servers.ports import HOST, free_port
from local.servers.threads import HttpServer
from machines.aws import LONGEST_AGE_S, LONGEST_AHEAD_S, AwsIdentities, Signed, signed_of
from machines.machine import Machine
from machines.refusals import BadProof, NotMapped, Refusal, Unavailable
from machines.rules import parse_rules
from machines.signatures import KEPT_S, Signatures
from tests.support.aws_api import AwsApi
from tests.support.broker_users import BrokerWithUsers, broker_with_users
from tests.support.signed_requests import BODY, CONTENT_TYPE, signed_request

AUDIENCE = "airflow:123456789012:eu-central-1:airflow-local"
ACCOUNT = "123456789012"
MAPPED = "deployer"


@pytest.fixture(scope="module")
def broker_users() -> Iterator[BrokerWithUsers]:
    with broker_with_users() as broker:
        yield broker


@pytest.fixture
def signatures(broker_users: BrokerWithUsers) -> Signatures:
    return Signatures(broker_users.client("webserver"))


@pytest.fixture
def identities(api: AwsApi, signatures: Signatures) -> AwsIdentities:
    return identities_at(endpoint(api), api.region, signatures)


def endpoint(api: AwsApi) -> str:
    return f"http://localhost:{api.port}/"


def identities_at(url: str, region: str, signatures: Signatures) -> AwsIdentities:
    rules = parse_rules(f"Op: aws=arn:aws:iam::{ACCOUNT}:role/{MAPPED}", audience=AUDIENCE)
    return AwsIdentities(rules.aws, endpoint=url, region=region, audience=AUDIENCE, memory=signatures)


def session_of(api: AwsApi, role: str) -> Credentials:
    """Return credentials of a new session of the role, which is made if there is none."""
    iam, sts = api.client("iam"), api.client("sts")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    if role not in {each["RoleName"] for each in iam.list_roles()["Roles"]}:
        iam.create_role(RoleName=role, Path="/team/", AssumeRolePolicyDocument=document)
    arn = iam.get_role(RoleName=role)["Role"]["Arn"]
    given = sts.assume_role(RoleArn=arn, RoleSessionName=f"job-{uuid.uuid4().hex[:8]}")["Credentials"]
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def sign(api: AwsApi, role: str = MAPPED, **changed: Any) -> Signed:
    how = {"endpoint": endpoint(api), "region": api.region, "audience": AUDIENCE, **changed}
    credentials = how.pop("credentials", None) or session_of(api, role)
    return signed_of(signed_request(credentials, **how))


def identify(identities: AwsIdentities, signed: Signed) -> Machine:
    return identities.identify(signed, now=datetime.now(UTC))


def test_a_session_of_a_mapped_role_has_its_role_in_airflow(api: AwsApi, identities: AwsIdentities) -> None:
    machine = identify(identities, sign(api))
    assert machine == replace(machine, identity=f"arn:aws:iam::{ACCOUNT}:role/{MAPPED}", role="Op")
    assert machine.detail.startswith("session job-")
    assert machine.username == f"machine:arn:aws:iam::{ACCOUNT}:role/{MAPPED}"


def test_a_role_that_is_not_mapped_is_named(api: AwsApi, identities: AwsIdentities) -> None:
    with pytest.raises(NotMapped) as caught:
        identify(identities, sign(api, "stranger"))
    assert str(caught.value) == f"no role is mapped to arn:aws:iam::{ACCOUNT}:role/stranger"
    assert caught.value.status == 403


def test_a_signed_request_is_used_once_whichever_webserver_it_is_sent_to(
    api: AwsApi, identities: AwsIdentities, broker_users: BrokerWithUsers
) -> None:
    another = identities_at(endpoint(api), api.region, Signatures(broker_users.client("webserver")))
    signed = sign(api)
    identify(identities, signed)
    for each in (identities, another):
        with pytest.raises(BadProof, match="it was used before") as caught:
            identify(each, signed)
        assert caught.value.status == 401


def test_of_uses_at_once_one_is_the_first(api: AwsApi, identities: AwsIdentities) -> None:
    signed = sign(api)

    def use(_: int) -> str:
        try:
            return identify(identities, signed).role
        except Refusal as refusal:
            return str(refusal)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(use, range(8))) == ["Op", *["it was used before"] * 7]


def test_a_signature_is_remembered_for_longer_than_it_is_accepted(
    api: AwsApi, identities: AwsIdentities, broker_users: BrokerWithUsers
) -> None:
    signed = sign(api)
    identify(identities, signed)
    signature = signed.authorization.rpartition("=")[2]
    kept_s: Any = broker_users.administrator.ttl(f"machines:signature:{signature}")
    assert LONGEST_AGE_S + LONGEST_AHEAD_S < KEPT_S - 60 < kept_s <= KEPT_S


def test_what_sts_does_not_confirm_takes_no_memory(
    api: AwsApi, identities: AwsIdentities, broker_users: BrokerWithUsers
) -> None:
    before = broker_users.administrator.dbsize()
    credentials = session_of(api, MAPPED)
    forged = Credentials(credentials.access_key, "of-nobody", credentials.token)
    with pytest.raises(BadProof, match="STS does not accept it: SignatureDoesNotMatch"):
        identify(identities, sign(api, credentials=forged))
    assert broker_users.administrator.dbsize() == before


OTHER_HEADERS = {"Content-Type": CONTENT_TYPE, "X-Airflow-Audience": AUDIENCE, "X-Amz-Target": "a"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another environment": ({"audience": "airflow:other"}, "STS does not accept it: SignatureDoesNotMatch"),
    "another action": ({"body": BODY.replace("GetCallerIdentity", "GetSessionToken")}, "SignatureDoesNotMatch"),
    "more in the body": ({"body": BODY + "&X=1"}, "SignatureDoesNotMatch"),
    "another host": ({"endpoint": "http://localhost:1/"}, "SignatureDoesNotMatch"),
    "another path": ({"endpoint": "http://localhost:{port}/other"}, "SignatureDoesNotMatch"),
    "a query": ({"endpoint": "http://localhost:{port}/?Action=AssumeRole"}, "SignatureDoesNotMatch"),
    "another region": ({"region": "us-east-1"}, "it is signed for the STS of us-east-1, not of eu-central-1"),
    "another service": ({"service": "iam"}, "is not a signature, version 4, of a request to STS"),
    "no audience": ({"headers": {"Content-Type": CONTENT_TYPE}}, "its signed headers are not "),
    "more headers": ({"headers": OTHER_HEADERS}, "its signed headers are not "),
    "a changed type": (
        {"headers": {"Content-Type": "text/plain", "X-Airflow-Audience": AUDIENCE}},
        "SignatureDoesNotMatch",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_that_was_signed_for_anything_else_is_refused(
    api: AwsApi, identities: AwsIdentities, case: str
) -> None:
    changed, why = REFUSED[case]
    if "endpoint" in changed:
        changed = {**changed, "endpoint": changed["endpoint"].format(port=api.port)}
    with pytest.raises(BadProof, match=why) as caught:
        identify(identities, sign(api, **changed))
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("age_s", "is_accepted"), [(-90, False), (-30, True), (240, True), (301, False), (86_400, False)]
)
def test_a_signature_is_accepted_for_some_minutes(
    api: AwsApi, identities: AwsIdentities, age_s: int, is_accepted: bool
) -> None:
    signed = sign(api, at=datetime.now(UTC) - timedelta(seconds=age_s))
    if is_accepted:
        assert identify(identities, signed).role == "Op"
    else:
        with pytest.raises(BadProof, match=r"it was signed -?[0-9]+ s ago, and 300 s is the most"):
            identify(identities, signed)


def test_keys_of_a_user_which_never_expire_are_refused(api: AwsApi) -> None:
    with pytest.raises(BadProof, match="it lacks one of authorization, x-amz-date, x-amz-security-token"):
        sign(api, credentials=Credentials("A" * 20, "of-a-user"))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("authorization", "Bearer x", "its Authorization is not a signature"),
        ("authorization", "{0}\r\nHost: elsewhere", "its Authorization is not a signature"),
        ("authorization", "{0}, Signature=" + "0" * 64, "its Authorization is not a signature"),
        ("session_token", "x y\r\nHost: elsewhere", "it has no session token"),
        ("session_token", "", "it has no session token"),
        ("date", "20261130T000000Z\r\n", "its X-Amz-Date is not the time of its signature"),
        ("date", "19990101T000000Z", "its X-Amz-Date is not the time of its signature"),
    ],
)
def test_a_field_that_is_anything_else_is_refused_before_sts_is_asked(
    api: AwsApi, signatures: Signatures, name: str, value: str, why: str
) -> None:
    away = identities_at(f"http://{HOST}:{free_port()}/", api.region, signatures)
    signed = sign(api)
    with pytest.raises(BadProof, match=why):
        identify(away, replace(signed, **{name: value.format(getattr(signed, name))}))


def test_without_sts_or_redis_no_one_can_tell(api: AwsApi, signatures: Signatures) -> None:
    away = identities_at(f"http://{HOST}:{free_port()}/", api.region, signatures)
    with pytest.raises(Unavailable, match=r"STS does not answer \(ConnectError\)"):
        identify(away, sign(api))
    import redis

    forgetful = Signatures(redis.Redis(host=HOST, port=free_port()))
    with pytest.raises(Unavailable, match=r"used signatures cannot be remembered \(ConnectionError\)") as caught:
        identify(identities_at(endpoint(api), api.region, forgetful), sign(api))
    assert caught.value.status == 503


SAID = b"<R><Arn>arn:aws:sts::123456789012:%s</Arn></R>"
ANSWERS = {
    "a redirect": (302, b"", Unavailable, "STS answers HTTP 302"),
    "throttled": (400, b"<Code>Throttling</Code>", Unavailable, "STS answers HTTP 400"),
    "broken": (500, b"", Unavailable, "STS answers HTTP 500"),
    "too much": (200, b" " * 20_000, Unavailable, "STS answers too much"),
    "no one": (200, b"<R/>", Unavailable, "STS does not answer with one identity"),
    "two": (200, SAID % b"assumed-role/deployer/a" * 2, Unavailable, "STS does not answer with one identity"),
    "a user": (200, SAID % b"federated-user/deployer", NotMapped, "federated-user/deployer, which is not a session"),
    "a longer name": (200, SAID % b"assumed-role/deployer2/a", NotMapped, "role/deployer2"),
    "mapped": (200, SAID % b"assumed-role/deployer/a", None, ""),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_only_a_whole_answer_of_sts_is_an_identity(api: AwsApi, signatures: Signatures, case: str) -> None:
    status, body, error, why = ANSWERS[case]
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, self.rfile.read(int(self.headers["Content-Length"])).decode(), self.headers))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", f"http://{HOST}:1/")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = HttpServer(Handler, name="sts")
    try:
        identities = identities_at(f"http://{HOST}:{server.server_port}/", api.region, signatures)
        signed = sign(api)
        if error is None:
            assert identify(identities, signed).role == "Op"
        else:
            with pytest.raises(error, match=why):
                identify(identities, signed)
    finally:
        server.close()
    ((path, sent, headers),) = asked
    assert (path, sent) == ("/", BODY)
    assert (headers["Host"], headers["X-Airflow-Audience"]) == (f"{HOST}:{server.server_port}", AUDIENCE)
