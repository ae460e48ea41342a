"""Who of the deployed template may send mail and publish to topics, with IAM enforced."""

from __future__ import annotations

import email
from collections.abc import Iterator
from dataclasses import dataclass
from email.mime.text import MIMEText
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.iam.sessions import FUNCTIONS, TASKS, RoleSession, Service
from stack.sections.pools import DeclaredPool
from tests.support.aws_api import AwsApi, aws_api, outputs
from tests.support.deployed_pools import deploy_pools

SENDER, TO = "airflow@example.com", "team@example.org"
DECLARED = (
    DeclaredPool(name="worker", queues=("default",)),
    DeclaredPool(name="loud", queues=("loud",), publishes=("alerts", "of-${AWS::StackName}")),
)
SERVICES = {"AirflowTaskRole": TASKS, "WorkerTaskRole": TASKS, "LoudTaskRole": TASKS}
OTHERS = {"FlowerTaskRole": TASKS, "CleanTaskRole": TASKS, "VersionCheckRole": FUNCTIONS}
NO_POLICY = "no identity-based policy allows"


@dataclass(frozen=True, kw_only=True)
class Deployed:
    api: AwsApi
    inbox: Path
    outputs: dict[str, str]

    def client(self, role: str, service: str) -> Any:
        """Return a client with the credentials of a role's own code."""
        at = Service({**SERVICES, **OTHERS}[role], endpoint=f"http://localhost:{self.api.port}", region=self.api.region)
        resource = self.api.client("cloudformation").describe_stack_resource(StackName="pools", LogicalResourceId=role)
        name = resource["StackResourceDetail"]["PhysicalResourceId"]
        arn = self.api.client("iam").get_role(RoleName=name)["Role"]["Arn"]
        return RoleSession(at, arn, session="code").client(service)

    def mails(self) -> list[Any]:
        return [email.message_from_bytes(path.read_bytes()) for path in self.inbox.glob("*.eml")]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    inbox = tmp_path_factory.mktemp("mail")
    with aws_api("--mail", str(inbox)) as api:
        sns = api.client("sns")
        arns = {name: sns.create_topic(Name=name)["TopicArn"] for name in ("alerts", "of-pools", "dags", "other")}
        stack = deploy_pools(api, DECLARED, MailFrom=SENDER, AirflowTopicArns=f"{arns['dags']},{arns['of-pools']}")
        yield Deployed(api=api, inbox=inbox, outputs=outputs(stack))


@pytest.fixture(params=["example.com", SENDER], ids=["domain", "address"])
def identity(request: pytest.FixtureRequest, deployed: Deployed) -> Iterator[str]:
    """Verify the domain, or the address alone."""
    ses = deployed.api.client("ses")
    if request.param == SENDER:
        ses.verify_email_identity(EmailAddress=SENDER)
    else:
        ses.verify_domain_identity(Domain=request.param)
    yield request.param
    ses.delete_identity(Identity=request.param)


def send(ses: Any, *, source: str = SENDER, seen: str = SENDER, subject: str = "fish") -> Any:
    """Send as Airflow's SesHook does: `source` is told to SES, `seen` is in the message."""
    message = MIMEText("<b>a</b>", "html")
    message["Subject"], message["From"], message["To"] = subject, seen, TO
    return partial(ses.send_raw_email, Source=source, Destinations=[TO], RawMessage={"Data": message.as_string()})


def refusal(call: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Message"])


@pytest.mark.parametrize("role", SERVICES)
def test_airflow_and_the_tasks_of_each_pool_send_from_the_address(deployed: Deployed, identity: str, role: str) -> None:
    subject = f"{role} by {identity}"
    send(deployed.client(role, "ses"), subject=subject)()
    (mail,) = (each for each in deployed.mails() if each["Subject"] == subject)
    assert (mail["From"], mail["To"], mail.get_payload()) == (SENDER, TO, "<b>a</b>")


@pytest.mark.parametrize("role", OTHERS)
def test_no_other_role_sends(deployed: Deployed, identity: str, role: str) -> None:
    assert NO_POLICY in refusal(send(deployed.client(role, "ses")))
    assert f"identity/{identity}" in refusal(send(deployed.client(role, "ses")))


def test_no_other_address_of_the_domain_can_be_the_sender(deployed: Deployed, identity: str) -> None:
    ses, before = deployed.client("WorkerTaskRole", "ses"), len(deployed.mails())
    deployed.api.client("ses").verify_email_identity(EmailAddress="boss@example.com")
    for other in ("boss@example.com", "Airflow <boss@example.com>", "airflow@example.net"):
        assert NO_POLICY in refusal(send(ses, source=other, seen=other)), identity
        assert NO_POLICY in refusal(send(ses, seen=other))
    assert NO_POLICY in refusal(send(ses, source="boss@example.com"))
    plain = {"Subject": {"Data": "a"}, "Body": {"Text": {"Data": "a"}}}
    call = partial(ses.send_email, Source=SENDER, Destination={"ToAddresses": [TO]}, Message=plain)
    assert "ses:SendEmail" in refusal(call)
    assert len(deployed.mails()) == before


def test_an_address_that_is_not_verified_is_refused_by_ses_itself(deployed: Deployed) -> None:
    assert "authority to send" in refusal(send(deployed.client("WorkerTaskRole", "ses")))


def test_a_task_publishes_to_the_topics_that_its_pool_declares(deployed: Deployed) -> None:
    region, account = deployed.api.region, deployed.api.client("sts").get_caller_identity()["Account"]
    arns = {name: f"arn:aws:sns:{region}:{account}:{name}" for name in ("alerts", "of-pools", "dags", "other")}
    may = {"LoudTaskRole": {"alerts", "of-pools"}, "WorkerTaskRole": set(), "AirflowTaskRole": {"dags", "of-pools"}}
    for role, topics in may.items():
        sns = deployed.client(role, "sns")
        for name, arn in arns.items():
            for parameter in ("TopicArn", "TargetArn"):  # the second is what Airflow's SnsHook sets
                publish = partial(sns.publish, **{parameter: arn}, Message="fish")
                if name in topics:
                    assert publish()["MessageId"]
                else:
                    assert NO_POLICY in refusal(publish), (role, name)
        assert NO_POLICY in refusal(partial(sns.publish, PhoneNumber="+4915100000000", Message="fish"))
