"""The real SAM CLI creates and updates stacks in the local AWS API: a small one, then this project's."""

import io
import json
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import rendered
from tests.support.aws_api import BROKER, DATABASE, ROOT, AwsApi, aws_api, outputs

pytestmark = pytest.mark.slow

TEMPLATE = """
AWSTemplateFormatVersion: 2010-09-09
Transform: AWS::Serverless-2016-10-31
Parameters:
  Image: {Type: String}
Globals:
  Function: {Timeout: 30}
Resources:
  Function:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: makefile}
    Properties:
      CodeUri: functions/
      Handler: app.handler
      Runtime: python3.12
      Environment: {Variables: {IMAGE: !Ref Image, TOKEN_ARN: !Ref Token}}
      Policies:
        - Version: 2012-10-17
          Statement:
            - {Effect: Allow, Action: 'ecs:DescribeServices', Resource: '*'}
      Events:
        EveryMinute: {Type: Schedule, Properties: {Schedule: rate(1 minute)}}
        Deployment:
          Type: EventBridgeRule
          Properties: {Pattern: {source: [aws.ecs], detail-type: [ECS Deployment State Change]}}
  Token:
    Type: AWS::SecretsManager::Secret
    Properties: {GenerateSecretString: {PasswordLength: 64, ExcludePunctuation: true}}
  Database:
    Type: AWS::RDS::DBInstance
    Properties:
      Engine: postgres
      DBInstanceClass: db.t4g.micro
      AllocatedStorage: '20'
      DBName: airflow
      MasterUsername: airflow
      ManageMasterUserPassword: true
  Broker:
    Type: AWS::ElastiCache::ReplicationGroup
    Properties:
      ReplicationGroupDescription: broker
      CacheNodeType: cache.t4g.micro
      NumCacheClusters: 1
      TransitEncryptionEnabled: true
      AuthToken: !Sub '{{resolve:secretsmanager:${Token}}}'
  Bucket: {Type: AWS::S3::Bucket}
  BucketPolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Bucket
      PolicyDocument:
        Version: 2012-10-17
        Statement:
          - Effect: Deny
            Principal: '*'
            Action: 's3:*'
            Resource: [!GetAtt Bucket.Arn, !Sub '${Bucket.Arn}/*']
            Condition: {Bool: {'aws:SecureTransport': 'false'}}
Outputs:
  Function: {Value: !Ref Function}
  Bucket: {Value: !Ref Bucket}
  Database: {Value: !Sub '${Database.Endpoint.Address}:${Database.Endpoint.Port}'}
  DatabaseSecret: {Value: !GetAtt Database.MasterUserSecret.SecretArn}
  Broker: {Value: !Sub '${Broker.PrimaryEndPoint.Address}:${Broker.PrimaryEndPoint.Port}'}
  Token: {Value: !Ref Token}
"""
UPDATED_IMAGE = "local/airflow:updated"
DEPLOY = (
    *("deploy", "--s3-bucket", "packages", "--no-confirm-changeset"),
    *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--no-fail-on-empty-changeset"),
)


@dataclass(frozen=True, kw_only=True)
class Deployed:
    api: AwsApi
    outputs: dict[str, str]


@pytest.fixture(scope="module")
def api() -> Iterator[AwsApi]:
    with aws_api() as running:
        place = {"LocationConstraint": "eu-central-1"}
        running.client("s3").create_bucket(Bucket="packages", CreateBucketConfiguration=place)
        yield running


@pytest.fixture(scope="module")
def deployed(api: AwsApi, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """Build the small project, deploy it with image i:1, and deploy it again with i:2."""
    project = tmp_path_factory.mktemp("project")
    (project / "template.yaml").write_text(TEMPLATE)
    (project / "functions").mkdir()
    (project / "functions" / "app.py").write_text("def handler(event, context):\n    return 'hello'\n")
    (project / "functions" / "Makefile").write_text("build-Function:\n\tcp app.py $(ARTIFACTS_DIR)\n")
    built = api.sam("build", cwd=project)
    assert built.returncode == 0, built.stderr
    for image in ("i:1", "i:2"):
        done = api.sam(*DEPLOY, "--stack-name", "small", "--parameter-overrides", f"Image={image}", cwd=project)
        assert done.returncode == 0, api.failures("small")
    (stack,) = api.client("cloudformation").describe_stacks(StackName="small")["Stacks"]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    again = api.sam(*DEPLOY, "--stack-name", "small", "--parameter-overrides", "Image=i:2", cwd=project)
    assert (again.returncode, "No changes to deploy" in again.stdout) == (0, True)
    return Deployed(api=api, outputs=outputs(stack))


def _secret(deployed: Deployed, output: str) -> str:
    secrets = deployed.api.client("secretsmanager")
    return str(secrets.get_secret_value(SecretId=deployed.outputs[output])["SecretString"])


def test_the_function_is_what_was_built_and_can_be_fetched(deployed: Deployed) -> None:
    function = deployed.api.client("lambda").get_function(FunctionName=deployed.outputs["Function"])
    with urllib.request.urlopen(function["Code"]["Location"]) as answer:  # noqa: S310 - from our own API
        archive = zipfile.ZipFile(io.BytesIO(answer.read()))
    assert archive.namelist() == ["app.py"]
    assert b"return 'hello'" in archive.read("app.py")


def test_an_update_reaches_the_functions_environment(deployed: Deployed) -> None:
    found = deployed.api.client("lambda").get_function_configuration(FunctionName=deployed.outputs["Function"])
    assert found["Environment"]["Variables"] == {"IMAGE": "i:2", "TOKEN_ARN": deployed.outputs["Token"]}
    assert (found["Timeout"], found["Handler"]) == (30, "app.handler")


def test_schedules_and_patterns_are_rules_with_the_function_as_target(deployed: Deployed) -> None:
    events = deployed.api.client("events")
    found = {}
    for rule in events.list_rules()["Rules"]:
        (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        found[rule.get("ScheduleExpression") or rule["EventPattern"]] = target["Arn"].split(":function:")[1]
    pattern = json.dumps({"source": ["aws.ecs"], "detail-type": ["ECS Deployment State Change"]})
    assert found == {"rate(1 minute)": deployed.outputs["Function"], pattern: deployed.outputs["Function"]}


def test_database_and_broker_have_the_addresses_of_the_command_line(deployed: Deployed) -> None:
    assert (deployed.outputs["Database"], deployed.outputs["Broker"]) == (DATABASE, BROKER)


def test_generated_secrets_have_the_declared_form(deployed: Deployed) -> None:
    master = json.loads(_secret(deployed, "DatabaseSecret"))
    assert (master["username"], len(master["password"])) == ("airflow", 28)
    token = _secret(deployed, "Token")
    assert len(token) == 64
    assert token.isalnum()


def test_a_bucket_that_requires_tls_accepts_logs(deployed: Deployed) -> None:
    s3, bucket = deployed.api.client("s3"), deployed.outputs["Bucket"]
    s3.put_object(Bucket=bucket, Key="logs/dag_id=d/attempt=1.log", Body=b"line")
    assert s3.get_object(Bucket=bucket, Key="logs/dag_id=d/attempt=1.log")["Body"].read() == b"line"
    assert s3.list_objects_v2(Bucket=bucket, Prefix="logs/")["KeyCount"] == 1


def test_a_parameter_that_breaks_a_constraint_ends_sam_with_its_name(api: AwsApi, tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(
        "Parameters: {Size: {Type: Number, MaxValue: 3}}\nResources: {Logs: {Type: AWS::Logs::LogGroup}}\n"
    )
    done = api.sam(*DEPLOY, "--stack-name", "refused", "--parameter-overrides", "Size=4", cwd=tmp_path)
    assert done.returncode != 0
    assert "Parameter 'Size' must be a number not greater than 3" in done.stderr


@pytest.fixture(scope="module")
def project(api: AwsApi, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """Deploy this project's template by its own configuration; a folder stands in for the built functions."""
    folder = tmp_path_factory.mktemp("real")
    # As JSON, which is YAML, too: SAM reads it seven times a deployment, and YAML takes a second each time.
    (folder / "template.yaml").write_text(json.dumps(rendered.template()))
    (folder / "functions").mkdir()
    (folder / "functions" / "handler.py").write_text("")
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())["local"]["deploy"]["parameters"]
    name, region = config["stack_name"], config["region"]
    there = replace(api, region=region)
    config_file = ("--config-file", str(ROOT / "samconfig.toml"), "--config-env", "local")
    deploy = ("deploy", "--template-file", str(folder / "template.yaml"), "--use-json", *config_file)
    for overrides in ((), ("--parameter-overrides", f"ImageUri={UPDATED_IMAGE}")):
        done = there.sam(*deploy, *overrides, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-2000:]
    (stack,) = there.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    return Deployed(api=there, outputs=outputs(stack))


def _services(project: Deployed) -> list[dict[str, Any]]:
    ecs, cluster = project.api.client("ecs"), project.outputs["ClusterName"]
    arns = ecs.list_services(cluster=cluster)["serviceArns"]
    return list(ecs.describe_services(cluster=cluster, services=arns)["services"])


def test_the_projects_services_run_the_updated_image_but_workers_which_the_autoscaler_moves(project: Deployed) -> None:
    ecs = project.api.client("ecs")
    for service in _services(project):
        is_worker = "WorkerService" in service["serviceName"]
        revision = service["taskDefinition"]
        images = _images(ecs, revision)
        assert (UPDATED_IMAGE in images, len(images)) == (not is_worker, 1)
        if is_worker:  # the family, which the stack names, stands for the updated one
            assert _images(ecs, revision.rpartition("/")[2].partition(":")[0]) == {UPDATED_IMAGE}


def _images(ecs: Any, definition: str) -> set[str]:
    described = ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
    return {container["image"] for container in described["containerDefinitions"]}


def test_every_secret_of_the_projects_containers_exists(project: Deployed) -> None:
    ecs, secrets = project.api.client("ecs"), project.api.client("secretsmanager")
    wanted = set()
    for service in _services(project):
        definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
        for container in definition["containerDefinitions"]:
            wanted |= {secret["valueFrom"] for secret in container.get("secrets", [])}
    assert wanted
    for reference in wanted:
        arn, key = ":".join(reference.split(":")[:7]), [*reference.split(":"), ""][7]
        value = secrets.get_secret_value(SecretId=arn)["SecretString"]
        assert json.loads(value)[key] if key else value
