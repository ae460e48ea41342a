"""The resources that Airflow depends on: private, encrypted, retained where needed, and with limited access."""

import json
import re
from typing import Any

import botocore.session
import pytest

from cfn.intrinsics import references
from ops.cost.resolved import resolve_template
from tests.support import rendered

OUTPUTS = {
    "WebserverUrl", "FlowerUrl", "ClusterName", "AirflowServiceName", "WorkerServiceName", "FlowerServiceName",
    "LogBucketName", "DagBucketName", "AdminSecretArn",
    "BrokerSecretArn", "BrokerPageSecretArn", "DatabaseSecretArn", "DatabaseName",
    "AutoscalerFunctionName", "RetirementFunctionName", "SleeperFunctionName", "VersionCheckFunctionName",
    "AlarmTopicArn", "DashboardUrl", "WorkerTaskRoleArn", "CleanScheduleName", "MachineAudience",
}  # fmt: skip
ACCESS_LOGS_ARN = {"Fn::GetAtt": ["AccessLogBucket", "Arn"]}
FLOW_LOGS = "delivery.logs.amazonaws.com"
BALANCER_LOGS = "logdelivery.elasticloadbalancing.amazonaws.com"
SECRET_NAME = re.compile(r"password|secret|token|_key$", re.IGNORECASE)
SECRET_VALUE = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN|://[^/\s:@$]+:[^@\s/]+@"
    r"|(?=[A-Za-z0-9+_]*[0-9])(?=[A-Za-z0-9+_]*[a-z])(?=[A-Za-z0-9+_]*[A-Z])[A-Za-z0-9+_]{32,}"
)
# Values that have a secret's name, but say only where a secret is kept or how it is generated.
NO_SECRETS = re.compile(
    r"^(Parameters|Metadata)\.|\.(Title|Description|PasswordLength|ManageMasterUserPassword|Action)\b"
)


def secret_looking(node: Any) -> list[str]:
    """List the paths to literals that have a secret's name or could be a secret."""
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


def test_the_database_leaves_a_snapshot_and_its_fernet_key() -> None:
    assert resource("Database")["DeletionPolicy"] == "Snapshot"
    assert resource("Database")["UpdateReplacePolicy"] == "Snapshot"
    assert resource("FernetSecret")["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource("FernetSecret")["UpdateReplacePolicy"] == "Retain"


def test_the_broker_is_one_encrypted_primary_that_evicts_no_message() -> None:
    broker = one("AWS::ElastiCache::ReplicationGroup")
    assert broker["TransitEncryptionEnabled"] is True
    assert broker["AtRestEncryptionEnabled"] is True
    assert broker["UserGroupIds"] == [{"Ref": "BrokerUsers"}]
    assert broker["SnapshotRetentionLimit"] == 0
    assert "NumNodeGroups" not in broker
    assert one("AWS::ElastiCache::ParameterGroup")["Properties"] == {"maxmemory-policy": "noeviction"}


def test_the_broker_fails_over_only_to_a_replica_that_exists() -> None:
    """Check both together: ElastiCache refuses failover with one node, and cfn-lint does not notice."""
    broker = one("AWS::ElastiCache::ReplicationGroup")
    when_replicas = {"Fn::If": ["HasBrokerReplicas", True, False]}
    assert broker["AutomaticFailoverEnabled"] == broker["MultiAZEnabled"] == when_replicas
    assert broker["NumCacheClusters"] == {"Fn::FindInMap": ["BrokerNodes", {"Ref": "BrokerReplicas"}, "Count"]}
    nodes = {replicas: entry["Count"] for replicas, entry in rendered.template()["Mappings"]["BrokerNodes"].items()}
    assert nodes == {"0": 1, "1": 2, "2": 3}
    assert list(nodes) == rendered.template()["Parameters"]["BrokerReplicas"]["AllowedValues"]


@pytest.mark.parametrize(
    ("title", "days"),
    [("LogBucket", "TaskLogDays"), ("XComBucket", "TaskLogDays"), ("AccessLogBucket", "AccessLogDays")],
)
def test_a_bucket_is_private_encrypted_versioned_and_expires_objects(title: str, days: str) -> None:
    bucket = rendered.resources("AWS::S3::Bucket")[title]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == {"Ref": days}
    assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 7


@pytest.mark.parametrize("title", ["LogBucketPolicy", "XComBucketPolicy", "AccessLogBucketPolicy"])
def test_a_bucket_refuses_requests_without_tls(title: str) -> None:
    refused, *_ = rendered.resources("AWS::S3::BucketPolicy")[title]["PolicyDocument"]["Statement"]
    assert refused["Effect"] == "Deny"
    assert refused["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_access_logs_are_delivered_only_from_this_account() -> None:
    _, *deliveries = rendered.resources("AWS::S3::BucketPolicy")["AccessLogBucketPolicy"]["PolicyDocument"]["Statement"]
    assert {d["Principal"]["Service"] for d in deliveries} == {
        BALANCER_LOGS,
        "logging.s3.amazonaws.com",
        FLOW_LOGS,
    }
    for delivery in deliveries:
        if delivery["Principal"]["Service"] == BALANCER_LOGS:
            # By the path alone: not in every region does this service name the account in its requests.
            assert "Condition" not in delivery
            assert delivery["Resource"]["Fn::Sub"][0] == "${Bucket}/balancer/AWSLogs/${AWS::AccountId}/*"
        else:
            assert delivery["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Fn::Sub": "${AWS::AccountId}"}}}


@pytest.mark.parametrize("title", ["Key", "LogBucket", "XComBucket", "FernetSecret"])
def test_a_first_deployment_that_fails_leaves_nothing_that_is_still_empty(title: str) -> None:
    assert resource(title)["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource(title)["UpdateReplacePolicy"] == "Retain"


def test_the_bucket_that_a_load_balancer_tests_at_once_is_not_deleted_by_a_rollback() -> None:
    assert resource("AccessLogBucket")["DeletionPolicy"] == "Retain"


# How AWS signs a request that creates a grant, by the keys of its context.
BY_A_SERVICE = {
    "as itself": {"aws:PrincipalIsAWSService": "true"},
    "for its resource": {"kms:GrantIsForAWSResource": "true", "aws:ViaAWSService": "false"},
    "with the caller's credentials": {"kms:GrantIsForAWSResource": "false", "aws:ViaAWSService": "true"},
}


@pytest.mark.parametrize("context", [*BY_A_SERVICE.values(), {}, {"aws:ViaAWSService": "false"}])
def test_the_key_is_passed_on_by_services_only(context: dict[str, str]) -> None:
    (denied,) = (s for s in one("AWS::KMS::Key")["KeyPolicy"]["Statement"] if s["Effect"] == "Deny")
    assert denied["Action"] == "kms:CreateGrant"
    (wanted,) = denied["Condition"].values()
    assert set(denied["Condition"]) == {"BoolIfExists"}
    is_denied = all(context.get(key, value) == value for key, value in wanted.items())
    assert is_denied is (context not in BY_A_SERVICE.values())


def test_the_functions_roles_outlive_their_group_which_outlives_them() -> None:
    """Lambda deletes a function's network interfaces after the function, with its role; until then the group stays."""
    roles = {f["Role"]["Fn::GetAtt"][0] for f in rendered.resources("AWS::Lambda::Function").values()}
    assert set(resource("FunctionsGroup")["DependsOn"]) == roles
    for function in rendered.resources("AWS::Lambda::Function").values():
        assert function["VpcConfig"]["SecurityGroupIds"] == [{"Fn::GetAtt": ["FunctionsGroup", "GroupId"]}]


def test_the_functions_come_before_the_services_and_refer_to_none() -> None:
    """A release of the autoscaler leads its own deployment; a circle would let CloudFormation refuse the template."""
    functions = set(rendered.resources("AWS::Lambda::Function"))
    services = set(rendered.resources("AWS::ECS::Service"))
    for service in services:
        assert functions <= set(resource(service)["DependsOn"])
    found, left = set[str](), list(functions)
    while left:
        title = left.pop()
        found.add(title)
        needs = {*resource(title).get("DependsOn", ()), *references(resource(title).get("Properties", {}))}
        left += (needs & set(rendered.deployed()["Resources"])) - found
    assert not found & services


def test_a_log_group_that_rds_makes_gets_the_retention_and_the_key() -> None:
    exported = resource("Database")["Properties"]["EnableCloudwatchLogsExports"]
    schedules = rendered.resources("AWS::Scheduler::Schedule")
    calls = [schedule["Target"] for title, schedule in schedules.items() if title.startswith("DatabaseLog")]
    asked = {(call["Arn"]["Fn::Sub"].rpartition(":")[2], *_request(call["Input"])) for call in calls}
    key = str({"Fn::GetAtt": ["Key", "Arn"]})
    assert asked == {
        (call, f"/aws/rds/instance/${{Database}}/{log}", name, value)
        for log in exported
        for call, name, value in (
            ("putRetentionPolicy", "RetentionInDays", str({"Ref": "LogRetentionDays"})),
            ("associateKmsKey", "KmsKeyId", key),
        )
    }
    operations = botocore.session.get_session().get_service_model("logs").operation_names
    assert {f"{call[0][0].upper()}{call[0][1:]}" for call in asked} <= set(operations)


def _request(text: dict[str, Any]) -> tuple[str, str, str]:
    """Return group, member and value of a schedule's request."""
    template, values = text["Fn::Sub"]
    ((name, value),) = values.items()
    request = json.loads(template.replace(f'"${{{name}}}"', '"X"').replace(f"${{{name}}}", '"X"'))
    group = request.pop("LogGroupName")
    ((member, _),) = request.items()
    return group, member, str(value)


@pytest.mark.parametrize("kind", ["AWS::SecretsManager::Secret", "AWS::Logs::LogGroup"])
def test_secrets_and_logs_are_encrypted_with_the_stacks_key(kind: str) -> None:
    keys = {str(properties["KmsKeyId"]) for properties in rendered.resources(kind).values()}
    assert keys == {str({"Fn::GetAtt": ["Key", "Arn"]})}


@pytest.mark.parametrize("title", sorted(rendered.resources("AWS::Logs::LogGroup")))
def test_a_log_group_has_a_retention(title: str) -> None:
    assert rendered.resources("AWS::Logs::LogGroup")[title]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


KEY_ABROAD = "arn:aws:kms:eu-west-1:123456789012:key/01ab"


def test_backups_and_the_key_of_their_contents_are_copied_to_the_region_of_a_given_key() -> None:
    given = {"ImageUri": "image:tag", "BackupKeyArn": KEY_ABROAD, "DatabaseBackupDays": "9"}
    found = resolve_template(rendered.template(), given=given, region=rendered.REGION)["Resources"]
    database = found["Database"]["Properties"]
    index, parts = database["AutomaticBackupReplicationRegion"]["Fn::Select"]
    assert parts[index] == "eu-west-1"
    assert database["AutomaticBackupReplicationKmsKeyId"] == KEY_ABROAD
    assert str(database["AutomaticBackupReplicationRetentionPeriod"]) == "9"
    (replica,) = found["FernetSecret"]["Properties"]["ReplicaRegions"]
    assert replica == {"Region": database["AutomaticBackupReplicationRegion"], "KmsKeyId": KEY_ABROAD}
    without = resolve_template(rendered.template(), given={"ImageUri": "image:tag"}, region=rendered.REGION)[
        "Resources"
    ]
    assert not [name for name in without["Database"]["Properties"] if name.startswith("AutomaticBackup")]
    assert "ReplicaRegions" not in without["FernetSecret"]["Properties"]


def test_database_and_broker_are_maintained_in_one_window() -> None:
    given = {"MaintenanceWindow": "sun:04:00-sun:05:00", "DatabaseBackupWindow": "02:00-03:00"}
    template = resolve_template(rendered.template(), given={"ImageUri": "image:tag", **given}, region=rendered.REGION)
    database, broker = (template["Resources"][title]["Properties"] for title in ("Database", "Broker"))
    assert database["PreferredMaintenanceWindow"] == broker["PreferredMaintenanceWindow"] == "sun:04:00-sun:05:00"
    assert database["PreferredBackupWindow"] == "02:00-03:00"


def test_security_groups_allow_only_traffic_that_is_used() -> None:
    paths = {
        (ingress["SourceSecurityGroupId"]["Fn::GetAtt"][0], ingress["GroupId"]["Fn::GetAtt"][0], ingress["ToPort"])
        for ingress in rendered.resources("AWS::EC2::SecurityGroupIngress").values()
    }
    assert paths == {
        ("AirflowGroup", "DatabaseGroup", 5433),
        ("CleanGroup", "DatabaseGroup", 5433),
        *((f"{who}Group", "BrokerGroup", 6379) for who in ("Airflow", "Worker", "Flower", "Functions")),
        *((f"{who}Group", "AirflowGroup", 8080) for who in ("Airflow", "Worker", "Functions")),
        ("AirflowGroup", "AirflowGroup", 8794),
        ("BalancerGroup", "AirflowGroup", 8081),
        ("AirflowGroup", "WorkerGroup", 8793),
        ("BalancerGroup", "FlowerGroup", 5555),
    }


def test_a_group_with_limited_egress_may_call_its_targets() -> None:
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


def test_only_the_load_balancer_is_open_to_addresses_and_only_to_allowed_ranges() -> None:
    groups = rendered.resources("AWS::EC2::SecurityGroup")
    open_to = {
        title: group["SecurityGroupIngress"] for title, group in groups.items() if "SecurityGroupIngress" in group
    }
    assert open_to.keys() == {"BalancerGroup", "NetworkEndpointsGroup"}
    (own,) = open_to["NetworkEndpointsGroup"]
    assert (own["CidrIp"], own["FromPort"], own["ToPort"]) == ({"Ref": "VpcCidr"}, 443, 443)
    text = str(open_to["BalancerGroup"])
    # Three ports for each of the four ranges that AllowedCidrs may hold.
    assert text.count("'CidrIp': {'Fn::Select': ") == text.count("'Ref': 'AllowedCidrs'") == text.count("CidrIp") == 12


def test_only_groups_that_run_dag_code_may_call_anything() -> None:
    anything = {
        title
        for title, group in rendered.resources("AWS::EC2::SecurityGroup").items()
        for rule in group["SecurityGroupEgress"]
        if rule.get("CidrIp") == "0.0.0.0/0" and rule["IpProtocol"] == "-1"
    }
    assert anything == {"AirflowGroup", "WorkerGroup"}


def test_the_load_balancer_is_internal_by_default() -> None:
    balancer = one("AWS::ElasticLoadBalancingV2::LoadBalancer")
    assert balancer["Scheme"] == {"Ref": "BalancerScheme"}
    assert rendered.template()["Parameters"]["BalancerScheme"]["Default"] == "internal"


def rules_of(listener: str) -> dict[str, dict[str, Any]]:
    rules = rendered.resources("AWS::ElasticLoadBalancingV2::ListenerRule")
    return {title: rule for title, rule in rules.items() if rule["ListenerArn"] == {"Ref": listener}}


def allowing() -> dict[str, dict[str, Any]]:
    rules = rendered.resources("AWS::ElasticLoadBalancingV2::ListenerRule")
    return {title: rule for title, rule in rules.items() if title != "WebserverHidesExecution"}


@pytest.mark.parametrize("title", ["WebserverListener", "FlowerListener"])
def test_a_listener_answers_404_to_what_no_rule_allows(title: str) -> None:
    (action,) = rendered.resources("AWS::ElasticLoadBalancingV2::Listener")[title]["DefaultActions"]
    assert (action["Type"], action["FixedResponseConfig"]["StatusCode"]) == ("fixed-response", "404")
    priorities = [rule["Priority"] for rule in rules_of(title).values()]
    assert len(priorities) == len(set(priorities))


def test_a_rule_has_no_more_values_than_aws_takes() -> None:
    for rule in allowing().values():
        (condition,) = rule["Conditions"]
        values = condition["PathPatternConfig"]["Values"]
        assert values == {"Fn::Split": [",", {"Ref": "PluginPaths"}]} or 1 <= len(values) <= 5


@pytest.mark.parametrize(
    ("paths", "is_valid"),
    [
        ("", True),
        ("/reports*", True),
        ("/reports,/reports/*,/a/b", True),
        ("/a,/b,/c,/d,/e", True),
        ("/a,/b,/c,/d,/e,/f", False),
        ("/*", False),
        ("*", False),
        ("/", False),
        ("reports", False),
    ],
)
def test_a_plugin_s_paths_are_named_and_at_most_five(paths: str, is_valid: bool) -> None:
    pattern = rendered.template()["Parameters"]["PluginPaths"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, paths)) is is_valid


@pytest.mark.parametrize("service", ["AirflowService", "FlowerService"])
def test_a_service_waits_for_the_rules_that_forward_to_it(service: str) -> None:
    listener = service.replace("AirflowService", "WebserverListener").replace("FlowerService", "FlowerListener")
    unconditional = {title for title in allowing() if title in rules_of(listener) and title != "WebserverAllowsMore"}
    assert unconditional <= set(resource(service)["DependsOn"])


def test_airflow_signs_people_in_itself_so_that_they_are_asked_once() -> None:
    for title, rule in allowing().items():
        if title in rules_of("WebserverListener"):
            assert [action["Type"] for action in rule["Actions"]] == ["forward"], title


@pytest.mark.parametrize("title", sorted(set(allowing()) & set(rules_of("FlowerListener"))))
def test_a_sign_in_comes_before_every_page_of_flower(title: str) -> None:
    first, second = allowing()[title]["Actions"]
    condition, authenticate, nothing = first["Fn::If"]
    assert (condition, nothing) == ("HasOidc", {"Ref": "AWS::NoValue"})
    assert (authenticate["Type"], authenticate["Order"]) == ("authenticate-oidc", 1)
    assert (second["Type"], second["Order"]) == ("forward", 2)
    secret = authenticate["AuthenticateOidcConfig"]["ClientSecret"]
    assert secret == {"Fn::Sub": "{{resolve:secretsmanager:${OidcSecretArn}:SecretString:clientSecret}}"}


@pytest.mark.parametrize("title", ["WebserverListener", "FlowerListener"])
def test_a_site_uses_https_with_a_certificate(title: str) -> None:
    listener = rendered.resources("AWS::ElasticLoadBalancingV2::Listener")[title]
    assert listener["Protocol"] == {"Fn::If": ["HasCertificate", "HTTPS", "HTTP"]}
    certificate = {"Fn::If": ["HasMadeCertificate", {"Ref": "Certificate"}, {"Ref": "CertificateArn"}]}
    assert listener["Certificates"]["Fn::If"][1] == [{"CertificateArn": certificate}]


def test_what_machines_call_is_forwarded_without_a_sign_in_and_before_the_rules_with_one() -> None:
    rule = allowing()["WebserverAllowsMachines"]
    (condition,) = rule["Conditions"]
    # Airflow itself asks each of them for a token, a password or a machine's proof.
    assert condition["PathPatternConfig"]["Values"] == ["/api/*", "/auth/*", "/machines/*"]
    assert [action["Type"] for action in rule["Actions"]] == ["forward"]
    others = {title: each["Priority"] for title, each in rules_of("WebserverListener").items() if each is not rule}
    assert {title for title, priority in others.items() if priority < rule["Priority"]} == {"WebserverHidesExecution"}


def test_a_network_without_nat_reaches_sts_where_machines_have_roles() -> None:
    endpoint = resource("NetworkEndpointSts")
    assert endpoint["Properties"]["ServiceName"] == {"Fn::Sub": "com.amazonaws.${AWS::Region}.sts"}
    conditions = rendered.template()["Conditions"]
    assert conditions[endpoint["Condition"]] == {
        "Fn::And": [{"Condition": "IsNetworkWithoutNat"}, {"Condition": "HasMachineRoles"}]
    }


def test_the_execution_api_is_hidden_from_the_load_balancer() -> None:
    rule = rules_of("WebserverListener")["WebserverHidesExecution"]
    assert rule["Priority"] < min(rule["Priority"] for rule in allowing().values())
    (condition,) = rule["Conditions"]
    assert condition["PathPatternConfig"]["Values"] == [
        *("/execution", "/execution/*", "/fleet/version", "/fleet/version/*"),
    ]
    (action,) = rule["Actions"]
    assert action["FixedResponseConfig"]["StatusCode"] == "404"


def test_a_brought_network_creates_none_of_the_network() -> None:
    network = {title for title in rendered.deployed()["Resources"] if title.startswith("Network")}
    assert network
    conditions = rendered.template()["Conditions"]

    def implies_created(condition: str | None) -> bool:
        if condition is None:
            return False
        parts = conditions[condition].get("Fn::And", [])
        return condition == "IsNetworkCreated" or any(implies_created(part.get("Condition")) for part in parts)

    assert {title for title in network if not implies_created(resource(title).get("Condition"))} == set()


def test_flow_logs_go_to_the_access_log_bucket_which_accepts_them() -> None:
    log = resource("NetworkFlowLog")
    assert log["Condition"] == "IsTrafficLogged"
    assert log["Properties"]["TrafficType"] == {"Ref": "FlowLogTraffic"}
    assert log["Properties"]["LogDestination"] == {
        "Fn::Join": ["", [ACCESS_LOGS_ARN, "/network/", {"Ref": "FlowLogTraffic"}]]
    }
    assert log["DependsOn"] == "AccessLogBucketPolicy"
    policy = resource("AccessLogBucketPolicy")["Properties"]["PolicyDocument"]["Statement"]
    granted = {s["Action"]: s["Resource"] for s in policy if s["Principal"] == {"Service": FLOW_LOGS}}
    assert granted == {
        "s3:PutObject": {"Fn::Join": ["", [ACCESS_LOGS_ARN, "/network/*"]]},
        "s3:GetBucketAcl": ACCESS_LOGS_ARN,
    }


@pytest.mark.parametrize("zone", ["A", "B", "C"])
def test_a_private_subnet_is_created_after_its_route_out(zone: str) -> None:
    tags = {tag["Key"]: tag["Value"] for tag in resource(f"NetworkPrivateSubnet{zone}")["Properties"]["Tags"]}
    assert tags["leads-out-by"]["Fn::If"][1] == {"Ref": f"NetworkPrivateRoute{zone}"}


def test_the_number_of_resource_types_has_a_limit() -> None:
    """Fail for a new type: the local AWS API has to support each one, so that a new one is a decision."""
    kinds = {entry["Type"].removeprefix("AWS::") for entry in rendered.deployed()["Resources"].values()}
    assert len(kinds) <= 57
