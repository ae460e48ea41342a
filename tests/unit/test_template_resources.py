"""The resources below Airflow: private, encrypted, kept when it matters, reached only by those who must."""

import re
from typing import Any

import pytest

from tests import rendered

OUTPUTS = {
    "AlarmTopicArn", "WebserverUrl", "FlowerUrl", "ClusterName",
    "AirflowServiceName", "WorkerServiceName", "FlowerServiceName",
    "LogBucketName", "AdminSecretArn", "BrokerSecretArn", "DatabaseSecretArn", "DatabaseName",
    "AutoscalerFunctionName", "VersionCheckFunctionName",
}  # fmt: skip
SECRET_NAME = re.compile(r"password|secret|token|_key$", re.IGNORECASE)
SECRET_VALUE = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN|://[^/\s:@$]+:[^@\s/]+@"
    r"|(?=[A-Za-z0-9+_]*[0-9])(?=[A-Za-z0-9+_]*[a-z])(?=[A-Za-z0-9+_]*[A-Z])[A-Za-z0-9+_]{32,}"
)
# What has a secret's name but says only where one is kept, or how one is made.
NO_SECRETS = re.compile(
    r"^(Parameters|Metadata)\.|\.(Title|Description|PasswordLength|ManageMasterUserPassword|Action)\b"
)


def secret_looking(node: Any) -> list[str]:
    """Paths to literals that have a secret's name or look like one."""
    found = []
    for path, value in rendered.scalars(node):
        dotted = ".".join(path)
        if not isinstance(value, str) or NO_SECRETS.search(dotted):
            continue
        named = SECRET_NAME.search(path[-1]) and not value.startswith("{{resolve:")
        if named or SECRET_VALUE.search(value):
            found.append(dotted)
    return found


def one(kind: str) -> dict[str, Any]:
    (properties,) = rendered.resources(kind).values()
    return properties


def resource(title: str) -> dict[str, Any]:
    found: dict[str, Any] = rendered.deployed()["Resources"][title]
    return found


def test_every_promised_output_exists() -> None:
    assert rendered.template()["Outputs"].keys() == OUTPUTS


def test_no_secret_stands_in_the_template() -> None:
    named_environment = {
        f"{name}.{entry['Name']}": {entry["Name"]: entry["Value"]}
        for name, container in rendered.containers().items()
        for entry in container["Environment"]
    }
    assert secret_looking(rendered.deployed()) == []
    assert secret_looking(named_environment) == []


@pytest.mark.parametrize(
    "planted",
    [
        {"AuthToken": "hello"},
        {"MasterUserPassword": "hello"},
        {"DATABASE_PASSWORD": "hello"},
        {"Value": "postgresql://airflow:hello@host/airflow"},
        {"Value": "AKIAABCDEFGHIJKLMNOP"},
        {"Value": "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3"},
    ],
)
def test_the_search_for_secrets_finds_one(planted: dict[str, str]) -> None:
    assert secret_looking(planted) != []


def test_the_database_is_private_encrypted_and_manages_its_own_password() -> None:
    database = one("AWS::RDS::DBInstance")
    assert database["PubliclyAccessible"] is False
    assert database["StorageEncrypted"] is True
    assert database["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in database


def test_the_database_leaves_a_snapshot_and_the_key_to_its_contents() -> None:
    assert resource("Database")["DeletionPolicy"] == "Snapshot"
    assert resource("Database")["UpdateReplacePolicy"] == "Snapshot"
    assert resource("FernetSecret")["DeletionPolicy"] == "Retain"
    assert resource("FernetSecret")["UpdateReplacePolicy"] == "Retain"


def test_the_broker_is_one_encrypted_primary_that_loses_nothing_for_lack_of_memory() -> None:
    broker = one("AWS::ElastiCache::ReplicationGroup")
    assert broker["TransitEncryptionEnabled"] is True
    assert broker["AtRestEncryptionEnabled"] is True
    assert broker["AuthToken"] == {"Fn::Sub": "{{resolve:secretsmanager:${BrokerSecret}}}"}
    assert broker["SnapshotRetentionLimit"] == 0
    assert "NumNodeGroups" not in broker
    assert one("AWS::ElastiCache::ParameterGroup")["Properties"] == {"maxmemory-policy": "noeviction"}


def test_the_broker_fails_over_only_to_a_replica_that_exists() -> None:
    """ElastiCache refuses automatic failover with one node, and cfn-lint does not notice."""
    broker = one("AWS::ElastiCache::ReplicationGroup")
    when_replicas = {"Fn::If": ["HasBrokerReplicas", True, False]}
    assert broker["AutomaticFailoverEnabled"] == broker["MultiAZEnabled"] == when_replicas
    assert broker["NumCacheClusters"] == {"Fn::FindInMap": ["BrokerNodes", {"Ref": "BrokerReplicas"}, "Count"]}
    nodes = {replicas: entry["Count"] for replicas, entry in rendered.template()["Mappings"]["BrokerNodes"].items()}
    assert nodes == {"0": 1, "1": 2, "2": 3}
    assert list(nodes) == rendered.template()["Parameters"]["BrokerReplicas"]["AllowedValues"]


def test_the_log_bucket_is_closed_encrypted_tls_only_and_empties_itself() -> None:
    bucket = one("AWS::S3::Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == {"Ref": "TaskLogDays"}
    (statement,) = one("AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("title", sorted(rendered.resources("AWS::Logs::LogGroup")))
def test_a_log_group_forgets(title: str) -> None:
    assert rendered.resources("AWS::Logs::LogGroup")[title]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_network_paths_are_those_that_something_uses() -> None:
    paths = {
        (ingress["SourceSecurityGroupId"]["Fn::GetAtt"][0], ingress["GroupId"]["Fn::GetAtt"][0], ingress["ToPort"])
        for ingress in rendered.resources("AWS::EC2::SecurityGroupIngress").values()
    }
    assert paths == {
        *((f"{who}Group", "DatabaseGroup", 5432) for who in ("Airflow", "Worker", "Flower")),
        *((f"{who}Group", "BrokerGroup", 6379) for who in ("Airflow", "Worker", "Flower", "Functions")),
        *((f"{who}Group", "AirflowGroup", 8080) for who in ("Balancer", "Airflow", "Worker", "Functions")),
        ("AirflowGroup", "WorkerGroup", 8793),
        ("BalancerGroup", "FlowerGroup", 5555),
    }


def test_a_group_that_may_not_call_anything_may_call_along_its_paths() -> None:
    open_groups = {"AirflowGroup", "WorkerGroup"}
    wanted = {
        (path["SourceSecurityGroupId"]["Fn::GetAtt"][0], path["GroupId"]["Fn::GetAtt"][0], path["ToPort"])
        for path in rendered.resources("AWS::EC2::SecurityGroupIngress").values()
    }
    given = {
        (path["GroupId"]["Fn::GetAtt"][0], path["DestinationSecurityGroupId"]["Fn::GetAtt"][0], path["ToPort"])
        for path in rendered.resources("AWS::EC2::SecurityGroupEgress").values()
    }
    assert given == {path for path in wanted if path[0] not in open_groups}


def test_only_the_load_balancer_is_open_to_addresses_and_only_to_allowed_ones() -> None:
    groups = rendered.resources("AWS::EC2::SecurityGroup")
    assert {title for title, group in groups.items() if "SecurityGroupIngress" in group} == {"BalancerGroup"}
    text = str(groups["BalancerGroup"]["SecurityGroupIngress"])
    assert text.count("'CidrIp': {'Ref': 'AllowedCidr'}") == text.count("CidrIp") == 3


def test_only_groups_that_run_dag_code_may_call_anything() -> None:
    anything = {
        title
        for title, group in rendered.resources("AWS::EC2::SecurityGroup").items()
        for rule in group["SecurityGroupEgress"]
        if rule["CidrIp"] == "0.0.0.0/0" and rule["IpProtocol"] == "-1"
    }
    assert anything == {"AirflowGroup", "WorkerGroup"}


def test_without_a_certificate_the_load_balancer_is_internal() -> None:
    balancer = one("AWS::ElasticLoadBalancingV2::LoadBalancer")
    assert balancer["Scheme"] == {
        "Fn::If": [
            "IsNetworkCreated",
            {"Fn::If": ["HasCertificate", "internet-facing", "internal"]},
            {"Fn::If": ["IsBroughtNetworkInternal", "internal", "internet-facing"]},
        ]
    }
    no_certificate = {"Fn::Equals": [{"Ref": "CertificateArn"}, ""]}
    conditions = rendered.template()["Conditions"]
    assert conditions["HasCertificate"] == {"Fn::Not": [no_certificate]}
    assert no_certificate in conditions["IsBroughtNetworkInternal"]["Fn::Or"]


@pytest.mark.parametrize("title", ["WebserverListener", "FlowerListener"])
def test_a_site_speaks_https_where_there_is_a_certificate(title: str) -> None:
    listener = rendered.resources("AWS::ElasticLoadBalancingV2::Listener")[title]
    assert listener["Protocol"] == {"Fn::If": ["HasCertificate", "HTTPS", "HTTP"]}
    assert listener["Certificates"]["Fn::If"][1] == [{"CertificateArn": {"Ref": "CertificateArn"}}]


def test_the_execution_api_is_hidden_from_the_load_balancer() -> None:
    rule = one("AWS::ElasticLoadBalancingV2::ListenerRule")
    assert rule["ListenerArn"] == {"Ref": "WebserverListener"}
    (condition,) = rule["Conditions"]
    assert condition["PathPatternConfig"]["Values"] == ["/execution", "/execution/*"]
    (action,) = rule["Actions"]
    assert action["FixedResponseConfig"]["StatusCode"] == "404"


def test_a_brought_network_creates_none_of_the_network() -> None:
    network = {title for title in rendered.deployed()["Resources"] if title.startswith("Network")}
    assert network
    unconditional = {title for title in network if resource(title).get("Condition") != "IsNetworkCreated"}
    assert unconditional == set()


@pytest.mark.parametrize("zone", ["A", "B"])
def test_nothing_is_placed_into_a_private_subnet_before_it_leads_out(zone: str) -> None:
    assert resource(f"NetworkPrivateSubnet{zone}")["DependsOn"] == "NetworkPrivateRoute"


def test_the_kinds_of_resources_stay_few() -> None:
    """The local AWS API has to know each of them: a new one is a decision, not an accident."""
    kinds = {entry["Type"].removeprefix("AWS::") for entry in rendered.deployed()["Resources"].values()}
    assert len(kinds) <= 39
