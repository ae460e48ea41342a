"""Releases go from dev over qa to prd and back: the command line, the real SAM CLI, the local AWS API."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import boto3
import pytest

from fleet.member import Code
from local.lambdas.function import Function
from local.lambdas.invocations import Invocations
from local.stack.refusals import Refusals
from ops.delivery.__main__ import main
from ops.delivery.ledger import PROMOTION, Deployment
from ops.delivery.release import Release
from ops.delivery.store import Store
from tests.support.aws_api import ROOT, AwsApi, aws_api
from tests.support.pipeline_roles import CLOUDFORMATION_ROLE, PipelineRoles
from tests.support.releases import FIRST, SECOND, UPGRADE
from version_check.memory import Memory
from version_check.report import Outcome
from version_check.verdict import Difference, Reference, Verdict

REGION = "us-east-1"
BUCKET = "the-pipelines-bucket"
BROKEN = replace(SECOND, version="1.1.1", image=SECOND.image[:-4] + "dead")
RELEASES = (FIRST, SECOND, UPGRADE, BROKEN)
DONE, UNCHANGED, ENDED_BADLY = 0, 1, 2
# Granted actions that no test can use, with the reasons.
OWN_ADDRESS = {"lambda:InvokeFunction": "the version check answers at an address of its own here"}
UNUSED = {**OWN_ADDRESS, "rds:AddTagsToResource": "RDS copies the database's tags to its snapshot, and may ask for it"}
NOT_SEEN = "SAM CLI does not call it here; whether it does on AWS has not been tried"
UNUSED_BY_PLANS = {
    **OWN_ADDRESS,
    "cloudformation:DescribeStackEvents": NOT_SEEN,
    "cloudformation:GetTemplate": NOT_SEEN,
    "s3:AbortMultipartUpload": "only an upload in parts that fails is aborted",
    "s3:GetBucketLocation": NOT_SEEN,
}
CLOUDFORMATION = ("--cloudformation-role", CLOUDFORMATION_ROLE)
NOW = 1_700_000_000.0
# As much of the real template as a delivery touches; the image of BROKEN cannot be deployed.
TEMPLATE = f"""
Parameters:
  ImageUri: {{Type: String}}
  DeletionProtection: {{Type: String, Default: "true"}}
Conditions:
  IsBroken: !Equals [!Ref ImageUri, "{BROKEN.image}"]
Resources:
  Database:
    Type: AWS::RDS::DBInstance
    Properties:
      DBInstanceIdentifier: !Sub "${{AWS::StackName}}-database"
      Engine: postgres
      DBInstanceClass: db.t4g.micro
      AllocatedStorage: "20"
      MasterUsername: airflow
      ManageMasterUserPassword: true
      DeletionProtection: !Ref DeletionProtection
  Airflow:
    Type: AWS::ECS::TaskDefinition
    DependsOn: Database
    Properties:
      Family: !Ref AWS::StackName
      ContainerDefinitions: [{{Name: webserver, Image: !Ref ImageUri, Memory: 512}}]
  Service:
    Type: AWS::ECS::Service
    Condition: IsBroken
    Properties: {{Cluster: nowhere, TaskDefinition: !Ref Airflow}}
Outputs:
  VersionCheckFunctionName: {{Value: !Ref AWS::StackName}}
"""


@dataclass
class VersionCheck:
    """The deployed functions, by name: every process runs the image that the stack named last."""

    api: AwsApi
    stuck: set[str] = field(default_factory=set)  # versions that some worker never comes to run
    asleep: set[str] = field(default_factory=set)  # stacks

    def __call__(self, stack: str) -> "Answering":
        return Answering(lambda: self.answer(stack))

    def answer(self, stack: str) -> dict[str, Any]:
        runs = next(each.version for each in RELEASES if each.image == image_of(self.api, stack))
        code = Code(image_version=runs, dags_hash="0123abcd", airflow_version="3.3.2")
        late = Difference(
            member="t2/worker",
            role="worker",
            pool="worker",
            field="image_version",
            value="0.9.0",
            expected=runs,
            active=3,
            state="consuming",
            is_draining=False,
        )
        verdict = Verdict(
            at=NOW,
            reference=Reference(member="t1/webserver", code=code),
            compared=6,
            out_of_sync=(late,) if runs in self.stuck else (),
            unknown=(),
            is_asleep=stack in self.asleep,
        )
        memory = Memory(status=verdict.status, since=NOW, looked_at=NOW)
        return Outcome(verdict=verdict, memory=memory).to_record()


@dataclass(frozen=True)
class Answering:
    """One of them."""

    look: Callable[[], dict[str, Any]]

    def in_second_process(self) -> "Answering":
        return self

    def invoke(self, _: Any) -> dict[str, Any]:
        return self.look()

    def close(self) -> None:
        """Do nothing: nothing was started."""


def image_of(api: AwsApi, stack: str) -> str:
    """Return the image in the stack's current task definition."""
    (arn,) = api.client("ecs").list_task_definitions(familyPrefix=stack, sort="DESC", maxResults=1)[
        "taskDefinitionArns"
    ]
    described = api.client("ecs").describe_task_definition(taskDefinition=arn)["taskDefinition"]
    return str(described["containerDefinitions"][0]["image"])


@dataclass
class Pipeline:
    """The steps of a workflow, and what it reads of their results."""

    api: AwsApi
    check: VersionCheck
    store: Store
    capsys: pytest.CaptureFixture[str]
    roles: Mapping[str, PipelineRoles]
    monkeypatch: pytest.MonkeyPatch

    def run(self, command: str, environment: str, *more: str) -> tuple[int, str]:
        """Run the command as its job does, with the role that plans or deploys; return exit code and output."""
        roles = self.roles[environment]
        for name, value in (roles.planning if "--plan-only" in more else roles.deploying).items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the credentials of its first use
        code = main([command, "--env", environment, "--bucket", BUCKET, "--wait", "0", "--yes", *CLOUDFORMATION, *more])
        said = self.capsys.readouterr()
        return code, said.out + said.err

    def already(self, release: Release, environment: str) -> None:
        """Let the environment run the release well, as after a deployment."""
        made = self.api.carry_out(f"airflow-{environment}", TEMPLATE, ImageUri=release.image)
        assert made["StackStatus"] == "CREATE_COMPLETE"
        begun = Deployment(release=release, kind=PROMOTION, began_at=NOW)
        self.store.keep(self.store.ledger(environment).begin(begun).end(outcome="done"))

    def image(self, environment: str) -> str:
        return image_of(self.api, f"airflow-{environment}")

    def is_protected(self, environment: str) -> bool:
        database = {"DBInstanceIdentifier": f"airflow-{environment}-database"}
        (found,) = self.api.client("rds").describe_db_instances(**database)["DBInstances"]
        return bool(found["DeletionProtection"])

    def outcomes(self, environment: str) -> list[tuple[str, str, str]]:
        """Return the outcomes of the ledger, the latest last."""
        deployments = reversed(list(self.store.ledger(environment).deployments))
        return [(each.kind, each.release.version, each.outcome) for each in deployments]

    def snapshots(self) -> list[str]:
        """Return the snapshots that were requested."""
        found = self.api.client("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
        return [each["DBSnapshotIdentifier"] for each in found]


@pytest.fixture(scope="module")
def api() -> Iterator[AwsApi]:
    with aws_api() as running:
        api = replace(running, region=REGION)
        api.client("s3").create_bucket(Bucket=BUCKET)
        yield api


@pytest.fixture(scope="module")
def roles(api: AwsApi) -> Mapping[str, PipelineRoles]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in api.environment.items():
            patch.setenv(name, value)
        return {each: PipelineRoles.make(api, each, bucket=BUCKET) for each in ("dev", "qa", "prd")}


@pytest.fixture
def pipeline(
    api: AwsApi,
    roles: Mapping[str, PipelineRoles],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Pipeline]:
    """Return the pipeline of an account in which nothing is deployed yet, with four releases."""
    (tmp_path / ".aws-sam" / "build").mkdir(parents=True)
    (tmp_path / ".aws-sam" / "build" / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "samconfig.toml").write_text((ROOT / "samconfig.toml").read_text())
    (tmp_path / "parameters").mkdir()
    for environment in ("dev", "qa", "prd"):
        (tmp_path / "parameters" / f"{environment}.yaml").write_text('ImageUri: none\nDeletionProtection: "true"\n')
    monkeypatch.setattr("project.paths.ROOT", tmp_path)
    check = VersionCheck(api)
    invocations = Invocations(cast(Callable[[str], Function], check))
    for name, value in {**api.environment, "AWS_ENDPOINT_URL_LAMBDA": invocations.address}.items():
        monkeypatch.setenv(name, value)
    made = Pipeline(
        api=api, check=check, store=Store(api.client("s3"), BUCKET), capsys=capsys, roles=roles, monkeypatch=monkeypatch
    )
    for release in RELEASES:
        made.store.add(release)
    yield made
    invocations.close()
    _clear(api)


def _clear(api: AwsApi) -> None:
    """Remove everything that the next test could find."""
    cloudformation, rds, s3 = api.client("cloudformation"), api.client("rds"), api.client("s3")
    for database in rds.describe_db_instances()["DBInstances"]:
        name = {"DBInstanceIdentifier": database["DBInstanceIdentifier"]}
        rds.modify_db_instance(**name, DeletionProtection=False, ApplyImmediately=True)
    for stack in cloudformation.describe_stacks()["Stacks"]:
        cloudformation.delete_stack(StackName=stack["StackName"])
        api.settled(stack["StackId"])
    for snapshot in rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]:
        rds.delete_db_snapshot(DBSnapshotIdentifier=snapshot["DBSnapshotIdentifier"])
    for kept in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=kept["Key"])


@pytest.mark.slow
def test_the_same_digest_goes_from_dev_over_qa_to_prd(pipeline: Pipeline) -> None:
    assert pipeline.run("promote", "prd", "--version", FIRST.version)[0] == UNCHANGED
    for environment in ("dev", "qa", "prd"):
        code, said = pipeline.run("promote", environment, "--version", FIRST.version)
        assert code == DONE, said
    assert {pipeline.image(environment) for environment in ("dev", "qa", "prd")} == {FIRST.image}
    assert pipeline.outcomes("prd") == [("promotion", "1.0.0", "done")]
    assert pipeline.snapshots() == []  # the databases were new


@pytest.mark.slow
def test_a_first_deployment_goes_without_deletion_protection_and_the_next_brings_it(pipeline: Pipeline) -> None:
    code, said = pipeline.run("promote", "dev", "--version", FIRST.version)
    assert (code, pipeline.is_protected("dev")) == (DONE, False)
    assert "created without deletion protection: promote again if parameters/dev.yaml asks for it" in said
    code, said = pipeline.run("promote", "dev", "--version", FIRST.version)
    assert (code, pipeline.is_protected("dev")) == (DONE, True)
    assert "without deletion protection" not in said


@pytest.mark.slow
def test_a_gate_that_fails_stops_the_promotion(pipeline: Pipeline) -> None:
    pipeline.check.stuck.add(FIRST.version)
    code, said = pipeline.run("promote", "dev", "--version", FIRST.version)
    assert code == ENDED_BADLY
    assert "t2/worker: image_version 0.9.0 instead of 1.0.0 (consuming, 3 active tasks)" in said
    assert pipeline.outcomes("dev") == [("promotion", "1.0.0", "failed")]
    code, said = pipeline.run("promote", "qa", "--version", FIRST.version)
    assert (code, "has not passed the version check in dev" in said) == (UNCHANGED, True)
    stacks = pipeline.api.client("cloudformation").describe_stacks()["Stacks"]
    assert [each["StackName"] for each in stacks] == ["airflow-dev"]


@pytest.mark.slow
def test_a_rollback_over_a_migration_is_refused_and_the_snapshot_before_it_named(pipeline: Pipeline) -> None:
    pipeline.already(FIRST, "dev")
    assert pipeline.run("promote", "dev", "--version", UPGRADE.version)[0] == DONE
    (snapshot,) = pipeline.snapshots()
    assert re.fullmatch(r"airflow-dev-before-2-0-0-\d{8}-\d{6}", snapshot)
    code, said = pipeline.run("rollback", "dev")
    assert code == UNCHANGED
    assert f"restore the snapshot {snapshot}" in said
    assert pipeline.image("dev") == UPGRADE.image
    assert main(["settle", "--env", "dev", "--bucket", BUCKET, "--revision", FIRST.revision]) == DONE
    assert pipeline.store.ledger("dev").possible_revisions() == {FIRST.revision}


@pytest.mark.slow
def test_a_deployment_that_cloudformation_rolls_back_is_told_with_its_reason(pipeline: Pipeline) -> None:
    pipeline.already(FIRST, "dev")
    code, said = pipeline.run("promote", "dev", "--version", BROKEN.version)
    assert code == ENDED_BADLY
    assert "the stack airflow-dev is UPDATE_ROLLBACK_COMPLETE: Service: " in said
    assert pipeline.outcomes("dev") == [("promotion", "1.0.0", "done"), ("promotion", "1.1.1", "failed")]
    assert pipeline.image("dev") == FIRST.image


@pytest.mark.slow
def test_the_reviewed_change_set_is_executed_and_a_rollback_within_a_revision_is_allowed(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.already(FIRST, "dev")
    output = tmp_path / "output"
    version = ("--version", SECOND.version)
    code, said = pipeline.run("promote", "dev", *version, "--plan-only", "--output", str(output))
    assert (code, pipeline.image("dev")) == (DONE, FIRST.image)
    assert "modify   Airflow, AWS::ECS::TaskDefinition (replaced: true)" in said
    written = dict(line.split("=", 1) for line in output.read_text().splitlines())
    assert written["version"] == SECOND.version
    reviewed = ("--change-set", written["change_set"])
    code, said = pipeline.run("promote", "dev", "--version", UPGRADE.version, *reviewed)
    assert (code, "the change set deploys" in said) == (UNCHANGED, True)
    assert pipeline.run("promote", "dev", *version, *reviewed)[0] == DONE
    assert pipeline.image("dev") == SECOND.image
    code, said = pipeline.run("rollback", "dev")
    assert (code, pipeline.image("dev")) == (DONE, FIRST.image), said
    assert pipeline.outcomes("dev")[-1] == ("rollback", "1.0.0", "done")
    assert pipeline.snapshots() == []


@pytest.mark.slow
def granted(api: AwsApi, role: str) -> set[str]:
    """Return the actions that `make pipeline-role` allows to a role."""
    document = api.client("iam").get_role_policy(RoleName=role, PolicyName="delivery")["PolicyDocument"]
    return {action for each in document["Statement"] if each["Effect"] == "Allow" for action in each["Action"]}


def used(api: AwsApi, role: str) -> set[str]:
    return set(Refusals(f"http://localhost:{api.port}", print).used().get(role, ()))


@pytest.mark.slow
def test_the_roles_use_what_they_are_granted(pipeline: Pipeline) -> None:
    pipeline.already(FIRST, "dev")
    version = ("--version", UPGRADE.version)
    assert pipeline.run("promote", "dev", *version, "--plan-only")[0] == DONE
    assert pipeline.run("promote", "dev", *version)[0] == DONE
    deploying, planning = "pipeline-dev", "airflow-dev-plan"
    assert granted(pipeline.api, deploying) - used(pipeline.api, deploying) == set(UNUSED)
    assert granted(pipeline.api, planning) - used(pipeline.api, planning) == set(UNUSED_BY_PLANS)


@pytest.mark.parametrize(
    ("command", "to"), [("promote", UPGRADE), pytest.param("rollback", FIRST, marks=pytest.mark.slow)]
)
def test_an_environment_that_sleeps_is_left_alone_until_somebody_wakes_it(
    pipeline: Pipeline, command: str, to: Release
) -> None:
    pipeline.already(FIRST, "dev")
    pipeline.check.asleep.add("airflow-dev")
    code, said = pipeline.run(command, "dev", "--version", to.version)
    assert (code, said) == (UNCHANGED, "refused: dev is asleep: run make wake ENV=dev first\n")
    assert (pipeline.image("dev"), pipeline.outcomes("dev")) == (FIRST.image, [("promotion", "1.0.0", "done")])
    assert pipeline.snapshots() == []


@pytest.mark.slow
def test_a_release_that_changes_nothing_passes_the_gate_all_the_same(pipeline: Pipeline) -> None:
    pipeline.already(FIRST, "dev")
    code, said = pipeline.run("promote", "dev", "--version", FIRST.version)
    assert (code, "nothing changes in the stack" in said) == (DONE, True)


def test_a_version_names_one_release_for_ever(pipeline: Pipeline) -> None:
    pipeline.store.add(FIRST)
    with pytest.raises(Exception, match=r"version 1\.0\.0 is already another release"):
        pipeline.store.add(replace(FIRST, image=SECOND.image))
    code, said = pipeline.run("promote", "dev", "--version", "9.9.9")
    assert (code, "there is no release 9.9.9" in said) == (UNCHANGED, True)


def test_a_ledger_that_cannot_be_read_stops_everything(pipeline: Pipeline) -> None:
    key = "delivery/environments/dev.json"
    pipeline.api.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"{")
    code, said = pipeline.run("promote", "dev", "--version", FIRST.version)
    assert (code, f"{key} is not JSON" in said) == (UNCHANGED, True)


def test_the_status_shows_what_runs_in_each_environment(pipeline: Pipeline) -> None:
    pipeline.already(FIRST, "dev")
    assert main(["status", "--bucket", BUCKET]) == DONE
    dev, deployment, qa, prd = pipeline.capsys.readouterr().out.splitlines()
    assert (dev, qa) == ("dev: database revision bbbb2222bbbb", "qa: database revision unknown")
    assert (deployment.endswith("promotion to 1.0.0, done"), prd) == (True, "prd: database revision unknown")
