"""The real SAM CLI creates and updates dev, qa and prd, each from its own files, in the local AWS API."""

import functools
import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from project import environments
from tests.support import rendered
from tests.support.aws_api import ROOT, AwsApi

pytestmark = pytest.mark.slow

ENVIRONMENTS = ("dev", "qa", "prd")
NEXT_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/airflow-on-ecs:0.1.1"
PLACEHOLDER = re.compile(r"arn:aws:acm:us-east-1:123456789012:certificate/0[0-]+")
SCALED = 3
# The types of resources that a change of the image's version may change: the autoscaler is told the workers' revision.
# The schedule of the cleaning starts a version's own task definition, and its role may start no other.
OF_A_VERSION = {
    *("AWS::ECS::TaskDefinition", "AWS::ECS::Service", "AWS::Lambda::Function"),
    *("AWS::IAM::Role", "AWS::Scheduler::Schedule"),
}


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A stack after its creation and its update, which changed resources of the types `changed`.

    `counts`: each service's desired count after the update; before it, scaling had chosen SCALED.
    """

    status: tuple[str, str]
    changed: frozenset[str]
    counts: frozenset[int]


@pytest.fixture(scope="module")
def folder(api: AwsApi, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the project with a folder for the built functions, and with a certificate of this account."""
    made = tmp_path_factory.mktemp("project")
    (made / "samconfig.toml").write_text((ROOT / "samconfig.toml").read_text())
    # As JSON, which is YAML, too: SAM reads it seven times a deployment, and YAML takes a second each time.
    (made / "template.yaml").write_text(json.dumps(rendered.template()))
    (made / "parameters").mkdir()
    certificate = _certificate(replace(api, region="us-east-1"))
    for path in (ROOT / "parameters").iterdir():
        (made / "parameters" / path.name).write_text(PLACEHOLDER.sub(certificate, path.read_text()))
    (made / "functions").mkdir()
    (made / "functions" / "handler.py").write_text("")
    return made


def _deploy(api: AwsApi, folder: Path, environment: str, *more: str) -> None:
    command = ("deploy", "--template-file", str(folder / "template.yaml"), "--use-json", "--no-confirm-changeset")
    config = ("--config-file", str(folder / "samconfig.toml"), "--config-env", environment)
    done = api.sam(*command, *config, *more, cwd=folder)
    assert done.returncode == 0, _events(api, environment) or done.stderr[-2000:]


def _events(api: AwsApi, environment: str) -> list[str]:
    """Return the reasons why a deployment failed, oldest first."""
    events = api.client("cloudformation").describe_stack_events(StackName=f"airflow-{environment}")["StackEvents"]
    return [event["ResourceStatusReason"] for event in reversed(events) if event.get("ResourceStatusReason")]


def _certificate(api: AwsApi) -> str:
    """Import a certificate into the account; return its ARN."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airflow.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    answer = api.client("acm").import_certificate(
        Certificate=certificate.public_bytes(pem),
        PrivateKey=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    return str(answer["CertificateArn"])


@pytest.fixture(scope="module")
def deployed(api: AwsApi, folder: Path) -> "functools._lru_cache_wrapper[Deployed]":
    @functools.cache
    def deploy(environment: str) -> Deployed:
        config = environments.load(environment)
        there = replace(api, region=config.region)
        cloudformation, ecs = there.client("cloudformation"), there.client("ecs")

        def status() -> str:
            return str(cloudformation.describe_stacks(StackName=config.stack_name)["Stacks"][0]["StackStatus"])

        def resources() -> dict[str, tuple[str, str, str]]:
            listed = cloudformation.describe_stack_resources(StackName=config.stack_name)["StackResources"]
            return {
                r["LogicalResourceId"]: (r["ResourceType"], r["PhysicalResourceId"], str(r["Timestamp"]))
                for r in listed
            }

        _deploy(there, folder, environment)
        first, before = status(), resources()
        services = [physical for kind, physical, _ in before.values() if kind == "AWS::ECS::Service"]
        cluster = next(physical for kind, physical, _ in before.values() if kind == "AWS::ECS::Cluster")
        for service in services:  # as scaling does meanwhile
            ecs.update_service(cluster=cluster, service=service, desiredCount=SCALED)
        _deploy(there, folder, environment, "--parameter-overrides", f"ImageUri={NEXT_IMAGE}")
        after = resources()
        described = ecs.describe_services(cluster=cluster, services=services)["services"]
        return Deployed(
            status=(first, status()),
            changed=frozenset(kind for title, (kind, *_) in after.items() if before.get(title) != after[title]),
            counts=frozenset(service["desiredCount"] for service in described),
        )

    return deploy


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_is_created_and_updated(
    deployed: "functools._lru_cache_wrapper[Deployed]", environment: str
) -> None:
    assert deployed(environment).status == ("CREATE_COMPLETE", "UPDATE_COMPLETE")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_another_version_of_the_image_changes_only_what_runs_it_or_starts_it(
    deployed: "functools._lru_cache_wrapper[Deployed]", environment: str
) -> None:
    assert deployed(environment).changed == OF_A_VERSION


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_update_leaves_the_counts_that_scaling_chose(
    deployed: "functools._lru_cache_wrapper[Deployed]", environment: str
) -> None:
    assert deployed(environment).counts == {SCALED}
