"""The template's parameters as its interface: what an operator may set, and what the environments set."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from samcli.cli.types import CfnParameterOverridesType
from troposphere import Template

from cfn.parameters import violations
from stack.lib.parameters import YES_OR_NO, FormGroup, Matching, add_condition, add_mapping
from tests.support import rendered

ROOT = Path(__file__).parents[3]
CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
ENVIRONMENTS = ("local", "dev", "qa", "prd")
PROMISED = {
    "ImageUri", "VpcId", "PrivateSubnetIds", "PublicSubnetIds", "VpcCidr", "CertificateArn", "AllowedCidrs",
    "BalancerScheme", "Zones", "WayOut", "DeletionProtection", "PermissionsBoundaryArn", "ConnectionsPrefix",
    "AirflowMin", "AirflowMax", "AlarmEmail", "ExecAllowed", "OidcIssuer", "OidcClientId", "OidcSecretArn",
    "DatabaseInstanceClass", "DatabaseStorageGib", "DatabaseMultiAz", "BrokerNodeType", "BrokerReplicas",
    "WorkerMin", "WorkerMax", "WorkerConcurrency", "PollSeconds", "LogRetentionDays", "Architecture",
    "AirflowCpu", "AirflowMemory", "WorkerCpu", "WorkerMemory", "FlowerCpu", "FlowerMemory", "FlowerEnabled",
    "DomainName", "HostedZoneId",
}  # fmt: skip


POLICY = "arn:aws-us-gov:iam::123456789012:policy/teams/read-lake"
CERTIFIED = {"CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/0-a"}
BROUGHT = {"VpcId": "vpc-0123abcd", "PrivateSubnetIds": "subnet-0123abcd,subnet-4567abcd"}
SIGN_IN = {
    "OidcIssuer": "https://login.example.com",
    "OidcAuthorizationEndpoint": "https://login.example.com/authorize",
    "OidcTokenEndpoint": "https://login.example.com/token",
    "OidcUserInfoEndpoint": "https://login.example.com/userinfo",
    "OidcClientId": "airflow",
    "OidcSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:oidc-a1b2c3",
}


def parameters() -> dict[str, dict[str, Any]]:
    declared: dict[str, dict[str, Any]] = rendered.template()["Parameters"]
    return declared


def values(environment: str) -> dict[str, str]:
    """Read the values as SAM CLI itself does."""
    path = ROOT / CONFIG[environment]["deploy"]["parameters"]["parameter_overrides"].removeprefix("file://")
    read: dict[str, str] = CfnParameterOverridesType().convert(f"file://{path}", None, None)
    return read


def satisfies(declaration: dict[str, Any], value: str) -> bool:
    if "AllowedValues" in declaration:
        return value in declaration["AllowedValues"]
    if "AllowedPattern" in declaration:
        return re.fullmatch(declaration["AllowedPattern"], value) is not None
    return int(declaration["MinValue"]) <= int(value) <= int(declaration["MaxValue"])


def test_every_promised_parameter_exists() -> None:
    assert parameters().keys() >= PROMISED


def test_only_the_image_is_required() -> None:
    assert [title for title, declaration in parameters().items() if "Default" not in declaration] == ["ImageUri"]


@pytest.mark.parametrize("title", sorted(parameters()))
def test_a_parameter_is_described_and_constrained(title: str) -> None:
    declaration = parameters()[title]
    assert declaration["Description"].endswith(".")
    assert declaration["ConstraintDescription"].startswith("Must be ")
    assert declaration.keys() & {"AllowedValues", "AllowedPattern", "MinValue"}


@pytest.mark.parametrize("title", sorted(parameters().keys() - {"ImageUri"}))
def test_a_default_satisfies_its_own_constraint(title: str) -> None:
    declaration = parameters()[title]
    assert satisfies(declaration, str(declaration["Default"]))


def test_every_parameter_is_in_one_group_and_has_a_label() -> None:
    interface = rendered.template()["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [title for group in interface["ParameterGroups"] for title in group["Parameters"]]
    assert sorted(grouped) == sorted(parameters())
    assert interface["ParameterLabels"].keys() == parameters().keys()


def test_samconfig_and_the_parameters_files_name_the_same_environments() -> None:
    assert {name for name, section in CONFIG.items() if isinstance(section, dict)} == set(ENVIRONMENTS)
    files = {f"{name}{kind}" for name in ENVIRONMENTS for kind in (".yaml", ".airflow.yaml")}
    assert {path.name for path in (ROOT / "parameters").iterdir()} == files


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_includes_its_own_settings_of_airflow(environment: str) -> None:
    loaded = yaml.safe_load((ROOT / "parameters" / f"{environment}.yaml").read_text())
    assert loaded["$include"] == f"file://{environment}.airflow.yaml"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_deploys_its_own_stack_with_its_own_file(environment: str) -> None:
    deploy = CONFIG[environment]["deploy"]["parameters"]
    assert deploy["stack_name"] == f"airflow-{environment}"
    assert deploy["parameter_overrides"] == f"file://parameters/{environment}.yaml"
    assert set(deploy["capabilities"].split()) == {"CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"}
    assert deploy["resolve_s3"] is True
    assert deploy["fail_on_empty_changeset"] is False
    assert f"environment={environment}" in deploy["tags"].split()
    assert deploy["region"]


def test_only_production_asks_for_confirmation_before_a_change() -> None:
    asking = {name for name in ENVIRONMENTS if CONFIG[name]["deploy"]["parameters"]["confirm_changeset"]}
    assert asking == {"prd"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_satisfies_every_constraint_and_rule(environment: str) -> None:
    given = values(environment)
    assert given.keys() <= parameters().keys()
    refused = {title: value for title, value in given.items() if not satisfies(parameters()[title], value)}
    assert refused == {}
    assert violations(rendered.template(), given) == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_has_room_to_scale(environment: str) -> None:
    """Compare the numbers here, because CloudFormation's rules cannot."""
    given = values(environment)
    assert int(given["WorkerMin"]) < int(given["WorkerMax"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_parameters_file_has_only_plain_values(environment: str) -> None:
    """Allow text and whole numbers only: YAML changes other values, such as `true` to `True`."""
    loaded = yaml.safe_load((ROOT / "parameters" / f"{environment}.yaml").read_text())
    assert {type(value) for value in loaded.values()} <= {str, int}


def test_the_local_stack_is_small_and_quick() -> None:
    expected = {
        "ImageUri": "airflow-on-ecs:local",
        "WorkerMin": "1",
        "WorkerMax": "4",
        "WorkerConcurrency": "4",
        "PollSeconds": "5",
    }
    assert {title: values("local")[title] for title in expected} == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"WorkerCpu": "256", "WorkerMemory": "4096"}, "With WorkerCpu 256, WorkerMemory must be one of"),
        ({"AirflowCpu": "4096", "AirflowMemory": "4096"}, "With AirflowCpu 4096, AirflowMemory must be one of"),
        ({"VpcId": "vpc-0123abcd"}, "VpcId needs PrivateSubnetIds"),
        ({"PrivateSubnetIds": "subnet-0123abcd,subnet-4567abcd"}, "PrivateSubnetIds needs VpcId."),
        ({"PublicSubnetIds": "subnet-0123abcd,subnet-4567abcd"}, "PublicSubnetIds needs VpcId."),
        ({"BalancerScheme": "internet-facing"}, "BalancerScheme internet-facing needs CertificateArn or HostedZoneId."),
        ({**BROUGHT, **CERTIFIED, "BalancerScheme": "internet-facing"}, "needs PublicSubnetIds."),
        ({"AirflowMin": "3", "AirflowMax": "2"}, "AirflowMin 3 needs AirflowMax 3 or more."),
        ({**SIGN_IN, **CERTIFIED, "OidcSecretArn": ""}, "OidcIssuer needs OidcSecretArn."),
        (SIGN_IN, "OidcIssuer needs CertificateArn or HostedZoneId."),
        ({"MaintenanceWindow": "sun:04:00-sun:05:00"}, "are set together, or neither."),
        ({"DatabaseBackupWindow": "02:00-03:00"}, "are set together, or neither."),
        ({"WorkerMin": "2", "WorkerMax": "1"}, "WorkerMin 2 needs WorkerMax 2 or more."),
        ({"WorkerMin": "10", "WorkerMax": "9"}, "WorkerMin 10 needs WorkerMax 10 or more."),
        ({"WorkerMin": "11", "WorkerMax": "10"}, "WorkerMin above 10 needs WorkerMax above 10."),
        ({"DatabaseMultiAz": "true", "VpcId": "vpc-0123abcd"}, "two or more, in different zones."),
    ],
)
def test_parameters_that_do_not_fit_together_are_refused(given: dict[str, str], said: str) -> None:
    found = violations(rendered.template(), {"ImageUri": "image:tag", **given})
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(("minimum", "maximum"), [(0, 1), (1, 1), (3, 3), (10, 10), (10, 11), (11, 11), (1000, 1000)])
def test_the_minimum_of_workers_may_equal_the_maximum(minimum: int, maximum: int) -> None:
    given = {"ImageUri": "image:tag", "WorkerMin": str(minimum), "WorkerMax": str(maximum)}
    assert violations(rendered.template(), given) == []


def test_a_brought_network_is_accepted() -> None:
    subnets = "subnet-0123abcd,subnet-4567abcd"
    given = {"ImageUri": "image:tag", "VpcId": "vpc-0123abcd", "PrivateSubnetIds": subnets, "PublicSubnetIds": subnets}
    assert violations(rendered.template(), given) == []


@pytest.mark.parametrize(
    ("title", "good", "bad"),
    [
        ("ImageUri", "airflow-on-ecs:local", "airflow-on-ecs"),
        ("MaintenanceWindow", "sun:04:00-sun:05:00", "sun:04:00-05:00"),
        ("MaintenanceWindow", "sun:23:30-mon:00:30", "Sun:23:30-Mon:00:30"),
        ("DatabaseBackupWindow", "02:00-03:00", "02:00-24:00"),
        ("DatabaseCleanSchedule", "rate(1 day)", "every day"),
        ("DatabaseCleanSchedule", "cron(30 3 * * ? *)", "at(2026-11-30T03:30:00)"),
        (
            "BackupKeyArn",
            "arn:aws:kms:eu-west-1:123456789012:key/mrk-01ab",
            "arn:aws:kms:eu-west-1:123456789012:alias/a",
        ),
        ("ImageUri", f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/a/b@sha256:{'0' * 64}", "a@sha256:00"),
        ("ImageUri", "localhost:5000/airflow:1.0", "localhost:5000/airflow: 1.0"),
        ("PrivateSubnetIds", "subnet-0123abcd,subnet-4567abcd", "subnet-0123abcd"),
        ("VpcCidr", "10.1.0.0/16", "10.1.0.0/24"),
        ("VpcCidr", "172.16.0.0/17", "8.8.0.0/16"),
        ("AllowedCidrs", "0.0.0.0/0", "0.0.0.0/33"),
        ("AllowedCidrs", "10.0.0.0/8,192.168.0.0/16", "10.0.0.0/8, 192.168.0.0/16"),
        (
            "AllowedCidrs",
            "1.0.0.0/8,2.0.0.0/8,3.0.0.0/8,4.0.0.0/8",
            "1.0.0.0/8,2.0.0.0/8,3.0.0.0/8,4.0.0.0/8,5.0.0.0/8",
        ),
        ("AlarmEmail", "ops@example.com", "ops"),
        ("PermissionsBoundaryArn", "arn:aws:iam::123456789012:policy/boundary", "boundary"),
        ("WorkerPolicyArns", "", "arn:aws:iam::123456789012:role/no-policy"),
        ("WorkerPolicyArns", f"arn:aws:iam::aws:policy/A,{POLICY}", f"{POLICY}, {POLICY}"),
        ("WorkerPolicyArns", ",".join(10 * [POLICY]), ",".join(11 * [POLICY])),
        ("AirflowSettings", "AIRFLOW__CORE__A=1\n\nAIRFLOW__API__B=[{}, 'x=y']\n", "A=1\n"),
        ("TaskSettings", "AIRFLOW__CORE__A=", "AIRFLOW__CORE__A=1\n# why\n"),
        ("ConnectionsPrefix", "airflow/prd", "airflow/prd/"),
        ("OidcIssuer", "https://login.example.com/realm", "http://login.example.com"),
        ("CertificateArn", "arn:aws:acm:us-east-1:123456789012:certificate/0-a", "certificate"),
        ("DomainName", "airflow.example.com", "airflow.example.com."),
        ("DomainName", "a-1.b.c", "Airflow.example.com"),
        ("DomainName", "", "https://airflow.example.com"),
        ("HostedZoneId", "Z0123456789ABC", "/hostedzone/Z0123456789ABC"),
        ("PollSeconds", "5", "4"),
        ("PollSeconds", "60", "61"),
    ],
)
def test_a_constraint_accepts_good_values_and_refuses_bad_ones(title: str, good: str, bad: str) -> None:
    assert satisfies(parameters()[title], good)
    assert not satisfies(parameters()[title], bad)


@pytest.mark.parametrize(
    ("group", "label", "description"),
    [("", "Label", "Text."), ("Group", "", "Text."), ("Group", "Label", "No dot")],
)
def test_a_parameter_without_its_texts_is_refused(group: str, label: str, description: str) -> None:
    with pytest.raises(ValueError, match="parameter Thing needs"):
        FormGroup(Template(), group).add("Thing", label=label, description=description, constraint=YES_OR_NO)


def test_a_pattern_that_is_not_anchored_is_refused() -> None:
    with pytest.raises(ValueError, match="not anchored"):
        FormGroup(Template(), "Group").add(
            "Thing", label="Label", description="Text.", constraint=Matching(regex="a+", must_be="some a")
        )


@pytest.mark.parametrize("add", [add_condition, lambda t, title, value: add_mapping(t, title, value)])
def test_a_second_condition_or_mapping_of_one_name_is_refused(add: Any) -> None:
    t = Template()
    add(t, "Thing", {"Key": {"Value": 1}})
    with pytest.raises(ValueError, match="Thing is declared twice"):
        add(t, "Thing", {"Key": {"Value": 2}})


def test_airflow_waits_at_its_gate_for_less_time_than_cloudformation_waits_for_airflow() -> None:
    longest = sum(int(parameters()[name]["MaxValue"]) for name in ("GateMinutes", "RolloutPatienceMinutes"))
    assert longest < 3 * 60
