"""CloudFormation stacks are created, updated, rolled back and deleted through the API, without SAM CLI."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.aws_api import AwsApi, aws_api, outputs

TEMPLATE = """
Parameters:
  Days: {Type: Number, Default: 7, AllowedValues: [7, 14]}
  Image: {Type: String, Default: 'i:1'}
Resources:
  Service:
    Type: AWS::ECS::Service
    Properties:
      Cluster: !Ref Cluster
      TaskDefinition: !Ref Task
      LaunchType: FARGATE
      NetworkConfiguration: {AwsvpcConfiguration: {Subnets: [subnet-1], SecurityGroups: [sg-1]}}
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: worker
      Cpu: 256
      Memory: 512
      NetworkMode: awsvpc
      RequiresCompatibilities: [FARGATE]
      ContainerDefinitions:
        - Name: worker
          Image: !Ref Image
          LogConfiguration: {LogDriver: awslogs, Options: {awslogs-group: !Ref Logs}}
  Cluster: {Type: AWS::ECS::Cluster}
  Logs: {Type: AWS::Logs::LogGroup, Properties: {RetentionInDays: !Ref Days}}
Outputs:
  Cluster: {Value: !Ref Cluster, Description: The cluster.}
  Task: {Value: !Ref Task}
"""
BROKEN = """
  Broken:
    Type: AWS::ECS::Service
    DependsOn: [Service]
    Properties: {Cluster: !Ref Cluster, TaskDefinition: nothing:1}
Outputs:
"""


def _exists(api: AwsApi, name: str) -> bool:
    return name in [stack["StackName"] for stack in api.client("cloudformation").describe_stacks()["Stacks"]]


def _service(api: AwsApi, stack: dict[str, Any]) -> dict[str, Any]:
    ecs, cluster = api.client("ecs"), outputs(stack)["Cluster"]
    arns = ecs.list_services(cluster=cluster)["serviceArns"]
    (service,) = ecs.describe_services(cluster=cluster, services=arns)["services"]
    return dict(service)


NEEDS = {"Task": {"Logs"}, "Service": {"Cluster", "Task"}, "made": {"Cluster", "Logs", "Task", "Service"}}


def test_a_stack_is_created_in_the_order_of_its_references() -> None:
    with aws_api() as api:
        stack = api.carry_out("made", TEMPLATE)
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        events = api.client("cloudformation").describe_stack_events(StackName="made")["StackEvents"]
        made = [e["LogicalResourceId"] for e in reversed(events) if e["ResourceStatus"] == "CREATE_COMPLETE"]
        assert sorted(made) == ["Cluster", "Logs", "Service", "Task", "made"]
        assert all(needed <= set(made[: made.index(name)]) for name, needed in NEEDS.items())
        times = [event["Timestamp"] for event in events]
        assert times == sorted(times, reverse=True)
        assert len(set(times)) == len(times)


def test_an_update_rolls_the_service_and_keeps_a_count_set_meanwhile(api: AwsApi) -> None:
    before = _service(api, api.carry_out("updated", TEMPLATE))
    api.client("ecs").update_service(cluster=before["clusterArn"], service=before["serviceArn"], desiredCount=4)
    stack = api.carry_out("updated", TEMPLATE, "UPDATE", Image="i:2", Days="14")
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    after = _service(api, stack)
    assert (after["serviceArn"], after["desiredCount"]) == (before["serviceArn"], 4)
    assert after["taskDefinition"] == outputs(stack)["Task"] != before["taskDefinition"]
    definition = api.client("ecs").describe_task_definition(taskDefinition=after["taskDefinition"])["taskDefinition"]
    assert definition["containerDefinitions"][0]["image"] == "i:2"


def test_the_former_task_definition_can_still_be_read(api: AwsApi) -> None:
    before = _service(api, api.carry_out("former", TEMPLATE))
    api.carry_out("former", TEMPLATE, "UPDATE", Image="i:2")
    former = api.client("ecs").describe_task_definition(taskDefinition=before["taskDefinition"])["taskDefinition"]
    assert (former["status"], former["containerDefinitions"][0]["image"]) == ("INACTIVE", "i:1")


def test_a_change_set_lists_its_changes_and_fails_without_any(api: AwsApi) -> None:
    api.carry_out("listed", TEMPLATE)
    cloudformation = api.client("cloudformation")
    request = {"StackName": "listed", "ChangeSetType": "UPDATE", "TemplateBody": TEMPLATE}
    days = [{"ParameterKey": "Days", "ParameterValue": "14"}]
    cloudformation.create_change_set(**request, ChangeSetName="longer", Parameters=days)
    (change,) = cloudformation.describe_change_set(StackName="listed", ChangeSetName="longer")["Changes"]
    assert change["ResourceChange"]["Action"] == "Modify"
    assert (change["ResourceChange"]["LogicalResourceId"], change["ResourceChange"]["Replacement"]) == ("Logs", "False")
    cloudformation.create_change_set(**request, ChangeSetName="same")
    same = cloudformation.describe_change_set(StackName="listed", ChangeSetName="same")
    assert same["Status"] == "FAILED"
    assert same["StatusReason"].startswith("The submitted information didn't contain changes.")


@pytest.mark.slow
def test_a_failed_creation_is_rolled_back() -> None:
    with aws_api() as api:
        stack = api.carry_out("broken", TEMPLATE.replace("Outputs:\n", BROKEN.lstrip("\n")))
        assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
        (reason,) = api.failures("broken")
        assert "nothing:1" in reason or "task definition" in reason.lower()
        assert api.client("ecs").list_clusters()["clusterArns"] == []
        assert api.client("logs").describe_log_groups()["logGroups"] == []
        assert api.client("cloudformation").describe_stack_resources(StackName="broken")["StackResources"] == []


def test_a_failed_update_is_rolled_back(api: AwsApi) -> None:
    before = _service(api, api.carry_out("restored", TEMPLATE))
    broken = TEMPLATE.replace("Outputs:\n", BROKEN.lstrip("\n"))
    stack = api.carry_out("restored", broken, "UPDATE", Image="i:2", Days="14")
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert _service(api, stack)["taskDefinition"] == before["taskDefinition"]
    groups = api.client("logs").describe_log_groups(logGroupNamePrefix="restored-")["logGroups"]
    assert [group["retentionInDays"] for group in groups] == [7]
    assert api.carry_out("restored", TEMPLATE, "UPDATE", Image="i:3")["StackStatus"] == "UPDATE_COMPLETE"


def test_a_deleted_stack_leaves_nothing() -> None:
    with aws_api() as api:
        stack = api.carry_out("gone", TEMPLATE)
        api.client("cloudformation").delete_stack(StackName="gone")
        assert api.settled(stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"
        with pytest.raises(ClientError, match="Stack with id gone does not exist"):
            api.client("cloudformation").describe_stacks(StackName="gone")
        assert api.client("ecs").list_clusters()["clusterArns"] == []
        assert api.client("logs").describe_log_groups()["logGroups"] == []


@pytest.mark.parametrize(
    ("template", "parameters", "why"),
    [
        (
            "Resources: {A: {Type: AWS::Logs::LogGroup}, B: {Type: AWS::EFS::FileSystem}}",
            {},
            "The local AWS API does not support the resource type AWS::EFS::FileSystem (B)",
        ),
        (TEMPLATE, {"Days": "8"}, "Parameter 'Days' must be one of AllowedValues [7, 14]"),
        (TEMPLATE, {"Dais": "7"}, "Parameters: [Dais] do not exist in the template"),
        ("Resources: {A: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: !Ref B}}}", {}, "['B'] in A"),
    ],
)
def test_a_request_that_cannot_work_is_refused_in_one_line_and_creates_no_stack(
    api: AwsApi, template: str, parameters: dict[str, str], why: str
) -> None:
    with pytest.raises(ClientError) as refusal:
        api.carry_out("refused", template, **parameters)
    error = refusal.value.response["Error"]
    assert error["Code"] == "ValidationError"
    assert why in error["Message"]
    assert "\n" not in error["Message"]
    assert not _exists(api, "refused")


def test_a_property_that_the_type_lacks_fails_the_stack_by_its_name(api: AwsApi) -> None:
    stack = api.carry_out("typo", "Resources: {A: {Type: AWS::ECS::Cluster, Properties: {Colour: red}}}")
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    (said,) = api.failures("typo")
    assert said.endswith("#: extraneous key [Colour] is not permitted")


def test_an_attribute_that_the_resource_lacks_fails_the_stack(api: AwsApi) -> None:
    template = "Resources: {A: {Type: AWS::ECS::Cluster}}\nOutputs: {O: {Value: !GetAtt A.Colour}}"
    stack = api.carry_out("attribute", template)
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    events = api.client("cloudformation").describe_stack_events(StackName="attribute")["StackEvents"]
    reasons = " ".join(event.get("ResourceStatusReason", "") for event in events)
    assert "resource A does not support attribute type Colour" in reasons


SECRETS = """
Resources:
  Secret:
    Type: AWS::SecretsManager::Secret
    Properties:
      GenerateSecretString:
        {SecretStringTemplate: '{"user": "u"}', GenerateStringKey: token, PasswordLength: 40, ExcludePunctuation: true}
  Role:
    Type: AWS::IAM::Role
    Properties:
      Description: !Sub 'token {{resolve:secretsmanager:${Secret}:SecretString:token}}'
      AssumeRolePolicyDocument: {Version: 2012-10-17, Statement: []}
Outputs: {Secret: {Value: !Ref Secret}, Role: {Value: !Ref Role}}
"""


def test_a_dynamic_reference_becomes_the_secrets_value_when_the_resource_is_created(api: AwsApi) -> None:
    made = outputs(api.carry_out("secret", SECRETS))
    value = json.loads(api.client("secretsmanager").get_secret_value(SecretId=made["Secret"])["SecretString"])
    assert (value["user"], len(value["token"])) == ("u", 40)
    role = api.client("iam").get_role(RoleName=made["Role"])["Role"]
    assert role["Description"] == f"token {value['token']}"


def test_a_generated_secret_survives_an_update(api: AwsApi) -> None:
    made = outputs(api.carry_out("kept", SECRETS))["Secret"]
    secrets = api.client("secretsmanager")
    before = secrets.get_secret_value(SecretId=made)["SecretString"]
    changed = SECRETS.replace(
        "      GenerateSecretString:", "      Description: now described\n      GenerateSecretString:"
    )
    assert api.carry_out("kept", changed, "UPDATE")["StackStatus"] == "UPDATE_COMPLETE"
    assert secrets.describe_secret(SecretId=made)["Description"] == "now described"
    assert secrets.get_secret_value(SecretId=made)["SecretString"] == before


def test_another_dynamic_reference_is_refused(api: AwsApi) -> None:
    stack = api.carry_out("ssm", SECRETS.replace("{{resolve:secretsmanager:${Secret}", "{{resolve:ssm:${Secret}"))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert api.failures("ssm")[0].startswith("The local AWS API does not support the dynamic reference {{resolve:ssm:")
