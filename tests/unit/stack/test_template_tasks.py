"""The settings of containers and functions, and how ECS runs them."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent import variables
from cfn.intrinsics import Scope, no_resources, resolve
from fleet.pools import read_pools
from fleet.worker_price import read_sizes
from ops.cost.fargate import worker_prices
from roles import health
from roles.compose import ROLES
from roles.parts import FERNET_SECRET_LENGTH
from tests.support import rendered
from version_check import report

ROOT = Path(__file__).parents[3]
OPTIONAL = ["forecaster", "events"]
CONTAINERS = {
    "AirflowTaskDefinition": ["gate", "migrate", "webserver", "scheduler", "dag-processor", "triggerer", *OPTIONAL],
    "WorkerTaskDefinition": ["worker", "runner"],
    "FlowerTaskDefinition": ["flower"],
    "CleanTaskDefinition": ["clean"],
}
AIRFLOW = CONTAINERS["AirflowTaskDefinition"]
CORE = AIRFLOW[: -len(OPTIONAL)]  # the containers that always exist
EVERY = [name for group in CONTAINERS.values() for name in group]
WITH_BROKER = [name for name in EVERY if name not in ("migrate", "runner", "clean")]
SENDING = ["webserver", "scheduler", "dag-processor", "triggerer"]  # metrics and traces
LONGEST_STOP_TIMEOUT_S = 120  # Fargate grants no more
RESTART_ATTEMPT_PERIODS_S = range(60, 1801)  # accepted by ECS; cfn-lint does not check
FARGATE_INJECTS = {variables.AGENT_URI, variables.METADATA_URI}

# The contract between template and image: variables -> containers that get them.
PLAIN = {
    ("DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME"): [*AIRFLOW, "clean"],
    ("DATABASE_SECRET_ARN",): AIRFLOW,
    ("DATABASE_SSLMODE", "DATABASE_AUTHORITIES"): [*AIRFLOW, "clean"],
    ("EVENT_BUS",): ["migrate", "events"],
    ("STACK_NAME",): ["events"],
    ("CLEAN_KEEP_DAYS",): ["forecaster", "clean"],
    ("AWS_DEFAULT_REGION",): EVERY,
    ("BROKER_HOST", "BROKER_PORT", "BROKER_SCHEME", "BROKER_USER"): WITH_BROKER,
    ("BROKER_READER_USER",): ["webserver", "scheduler", "dag-processor", "forecaster", "worker"],
    ("CONNECTIONS_PREFIX", "EXECUTION_API_URL", "LOG_BUCKET", "MAIL_FROM"): [*CORE, "runner"],
    ("DAG_BUCKET", "DAG_BUNDLES"): [*CORE, "runner"],
    ("TASK_SETTINGS",): [*CORE, "forecaster", "runner"],
    ("BASE_URL",): [*CORE, "events", "runner"],
    ("XCOM_BUCKET",): [*CORE, "runner"],
    ("LINEAGE_NAMESPACE",): ["worker", "runner"],
    ("XCOM_PREFIX", "XCOM_THRESHOLD_KIB", "TASK_LOG_COPY"): ["runner"],
    ("AIRFLOW_SETTINGS",): [*CORE, "forecaster"],
    ("GATE_MINUTES", "BROKER_PATIENCE_MINUTES"): [*CORE, "worker"],
    ("MAX_TASK_WAIT_MINUTES",): ["scheduler"],
    ("SHARED_FOLDER",): ["worker", "runner"],
    ("POOLS",): [*CORE, "forecaster", "worker"],
    ("FORECAST_MINUTES", "WORK_LIMITS", "WORKER_SIZES", "WORKER_PROCESSOR"): ["forecaster"],
    ("IMAGE_URI", "ROLLOUT_PATIENCE_MINUTES"): ["gate"],
    ("POOL",): ["worker"],
    ("PORT",): ["webserver", "flower"],
    ("PUBLIC_PORT", "CPU_UNITS", "SESSION_MINUTES", "HAS_TLS"): ["webserver"],
    ("MACHINE_ROLES", "MACHINE_AUDIENCE", "STS_URL"): ["webserver"],
    ("OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_SCOPES", "OIDC_GROUPS_CLAIM"): ["webserver"],
    ("ROLE_MAPPING",): ["webserver", "migrate"],
    ("MEMORY_MIB",): ["webserver", "runner"],
    ("AIRFLOW_METRICS", "TRACED_RUNS_PERCENT", "STACK_NAME", "CLOUDWATCH_METRICS_URL", "XRAY_TRACES_URL"): SENDING,
}
SECRET = {
    ("BROKER_PASSWORD",): WITH_BROKER,
    ("BROKER_READER_PASSWORD",): ["webserver", "scheduler", "dag-processor", "forecaster", "worker"],
    ("DATABASE_USER", "DATABASE_PASSWORD"): [*AIRFLOW[1:], "clean"],
    ("FERNET_SECRET",): CORE[1:],
    ("API_SECRET",): ["webserver", "scheduler", "dag-processor", "triggerer", "worker"],
    ("JWT_SECRET",): ["webserver", "scheduler"],
    ("ADMIN_PASSWORD",): ["migrate", "flower"],
    ("USER_PASSWORDS",): ["migrate"],
    ("OIDC_CLIENT_SECRET",): ["webserver"],
    ("OTLP_RECEIVER",): SENDING,
    ("LINEAGE_RECEIVER",): ["worker"],
}


def expected(table: dict[tuple[str, ...], list[str]], container: str) -> set[str]:
    return {variable for variables, holders in table.items() if container in holders for variable in variables}


def function_environment(title: str) -> dict[str, Any]:
    variables: dict[str, Any] = rendered.resources("AWS::Lambda::Function")[title]["Environment"]["Variables"]
    return variables


@pytest.mark.parametrize(("definition", "roles"), CONTAINERS.items())
def test_a_task_definition_has_its_containers(definition: str, roles: list[str]) -> None:
    found = rendered.containers_of(rendered.resources("AWS::ECS::TaskDefinition")[definition])
    assert [container["Name"] for container in found] == roles


@pytest.mark.parametrize("name", EVERY)
def test_a_container_gets_the_variables_of_the_contract_and_no_other(name: str) -> None:
    container = rendered.containers()[name]
    assert rendered.environment(container).keys() == expected(PLAIN, name)
    assert rendered.secrets(container).keys() == expected(SECRET, name)


@pytest.mark.parametrize("name", EVERY)
def test_a_container_gets_all_that_its_role_in_the_image_needs(name: str) -> None:
    container = rendered.containers()[name]
    given = rendered.environment(container).keys() | rendered.secrets(container).keys() | FARGATE_INJECTS
    needed = {variable for part in ROLES[name].parts for variable in part.needs}
    assert needed <= given


def test_the_image_knows_every_role() -> None:
    assert ROLES.keys() == {*EVERY, "drill"}  # which a call of RunTask puts in place of `clean`


def test_the_forecaster_gets_the_size_of_each_pools_workers_and_the_price_is_that_of_make_cost() -> None:
    text = rendered.environment(rendered.containers()["forecaster"])["WORKER_SIZES"]["Fn::Sub"]
    template = rendered.in_environment("prd")
    containers = rendered.containers_of(template["Resources"]["AirflowTaskDefinition"]["Properties"])
    (own,) = (rendered.environment(each) for each in containers if each["Name"] == "forecaster")
    sizes, prices = read_sizes(own["WORKER_SIZES"]), worker_prices(template)
    assert "${WorkerCpu}" in text
    assert sizes.keys() == prices.keys() == {pool.name for pool in read_pools(own["POOLS"])}
    for pool, size in sizes.items():
        for workers in (0.0, 1.0, 30.0):
            found = size.usd_an_hour(own["WORKER_PROCESSOR"], workers=workers)
            assert found == pytest.approx(prices[pool].mean_usd(workers), rel=2e-3)  # ECS's weights are whole numbers


@pytest.mark.parametrize("name", EVERY)
def test_a_container_runs_its_role_of_the_one_image(name: str) -> None:
    container = rendered.containers()[name]
    assert container["Command"] == [name]
    assert container["Image"] == {"Ref": "ImageUri"}
    assert "EntryPoint" not in container


def test_the_migration_waits_until_it_is_the_tasks_turn() -> None:
    containers = rendered.containers()
    assert containers["gate"]["Essential"] is False
    assert "DependsOn" not in containers["gate"]
    assert containers["migrate"]["DependsOn"] == [{"ContainerName": "gate", "Condition": "SUCCESS"}]


def test_no_container_limits_the_wait_for_another() -> None:
    assert not [name for name, container in rendered.containers().items() if "StartTimeout" in container]


def test_the_others_wait_until_the_migration_succeeded() -> None:
    containers = rendered.containers()
    assert containers["migrate"]["Essential"] is False
    for name in AIRFLOW[2:]:
        assert containers[name]["Essential"] is (name not in OPTIONAL)
        assert containers[name]["DependsOn"] == [{"ContainerName": "migrate", "Condition": "SUCCESS"}]


@pytest.mark.parametrize("name", EVERY)
def test_ecs_restarts_all_containers_but_workers_and_those_that_run_once(name: str) -> None:
    policy = rendered.containers()[name].get("RestartPolicy")
    if name in ("worker", "runner", "gate", "migrate", "clean"):
        assert policy is None
    else:
        assert policy is not None
        assert policy["Enabled"] is True
        assert policy["RestartAttemptPeriod"] in RESTART_ATTEMPT_PERIODS_S


def test_the_forecaster_exists_without_a_forecast_too_because_it_reports_on_the_work() -> None:
    definition = rendered.resources("AWS::ECS::TaskDefinition")["AirflowTaskDefinition"]
    conditional = [entry["Fn::If"][1]["Name"] for entry in definition["ContainerDefinitions"] if "Fn::If" in entry]
    assert conditional == ["events"]


def test_events_are_sent_only_where_there_is_a_bus() -> None:
    definition = rendered.resources("AWS::ECS::TaskDefinition")["AirflowTaskDefinition"]
    ((condition, container, otherwise),) = (
        entry["Fn::If"] for entry in definition["ContainerDefinitions"] if "Fn::If" in entry
    )
    assert rendered.template()["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "EventBus"}, ""]}]}
    assert (container["Name"], otherwise) == ("events", {"Ref": "AWS::NoValue"})


@pytest.mark.parametrize("name", EVERY)
def test_no_stop_timeout_exceeds_fargates_limit(name: str) -> None:
    assert rendered.containers()[name].get("StopTimeout", 30) <= LONGEST_STOP_TIMEOUT_S


@pytest.mark.parametrize("name", ["worker", "runner"])
def test_a_worker_has_fargates_longest_stop_timeout(name: str) -> None:
    assert rendered.containers()[name]["StopTimeout"] == LONGEST_STOP_TIMEOUT_S


def test_the_container_that_runs_tasks_gets_no_secret_and_is_stopped_last() -> None:
    containers = rendered.containers()
    assert containers["runner"]["Secrets"] == []
    assert containers["worker"]["DependsOn"] == [{"ContainerName": "runner", "Condition": "START"}]
    assert "DependsOn" not in containers["runner"]


def test_worker_and_runner_divide_the_memory() -> None:
    sizes = rendered.template()["Mappings"]["WorkerMemoryMib"]
    assert set(sizes) == set(rendered.template()["Parameters"]["WorkerMemory"]["AllowedValues"])
    for mib, parts in sizes.items():
        assert parts["Worker"] + parts["Runner"] == int(mib)
        assert parts["Worker"] >= 320
    for name in ("worker", "runner"):
        memory = rendered.containers()[name]["Memory"]
        assert memory == {"Fn::FindInMap": ["WorkerMemoryMib", {"Ref": "WorkerMemory"}, name.capitalize()]}


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("gate", "migrate", "runner", "clean")])
def test_a_container_is_checked_by_the_image_itself(name: str) -> None:
    check = rendered.containers()[name]["HealthCheck"]
    assert check["Command"] == ["CMD", "/opt/airflow-on-ecs/entrypoint", "health", name]
    assert name in health.CHECKS
    # Longer than a database failover, so that it replaces no container.
    assert check["Interval"] * check["Retries"] > 120


@pytest.mark.parametrize("title", ["WebserverTargetGroup", "FlowerTargetGroup"])
def test_a_load_balancer_finds_no_target_unhealthy_during_a_database_failover(title: str) -> None:
    """ECS would replace the whole ECS task."""
    group = rendered.resources("AWS::ElasticLoadBalancingV2::TargetGroup")[title]
    assert group["HealthCheckIntervalSeconds"] * group["UnhealthyThresholdCount"] > 120


def test_ecs_checks_a_worker_as_patiently_as_it_can_and_its_runner_not_at_all() -> None:
    """ECS stops an unhealthy worker, whatever protection it holds and whatever tasks it runs."""
    worker, runner = (rendered.containers()[name] for name in ("worker", "runner"))
    assert (worker["HealthCheck"]["Retries"], worker["HealthCheck"]["Timeout"]) == (10, 60)
    assert "HealthCheck" not in runner


@pytest.mark.parametrize("name", EVERY)
def test_a_container_writes_only_to_its_own_volumes_and_is_not_root(name: str) -> None:
    container = rendered.containers()[name]
    assert container["ReadonlyRootFilesystem"] == {"Fn::If": ["HasExec", False, True]}
    dockerfile = (ROOT / "airflow_image" / "Dockerfile").read_text()
    assert f"useradd --uid {container['User']} " in dockerfile
    mounts = {mount["ContainerPath"]: mount["SourceVolume"] for mount in container["MountPoints"]}
    assert 'VOLUME ["/opt/airflow", "/opt/shared", "/tmp"]' in dockerfile
    shared = {"/opt/shared": "shared"} if name in ("worker", "runner") else {}
    assert mounts == {"/opt/airflow": f"{name}-home", "/tmp": f"{name}-tmp", **shared}


def test_every_container_of_airflow_has_a_share_of_the_memory() -> None:
    sizes = rendered.template()["Mappings"]["AirflowMemoryMib"]
    assert set(sizes) == set(rendered.template()["Parameters"]["AirflowMemory"]["AllowedValues"])
    for mib, shares in sizes.items():
        beside = [share for key, share in shares.items() if key.endswith("BesideEvents")]
        for total in (sum(beside), sum(shares.values()) - sum(beside)):
            assert 0.98 * int(mib) < total <= int(mib)
    for name in AIRFLOW:
        key = "".join(part.capitalize() for part in name.split("-"))
        without, beside_events = (
            {"Fn::FindInMap": ["AirflowMemoryMib", {"Ref": "AirflowMemory"}, each]}
            for each in (key, f"{key}BesideEvents")
        )
        memory = rendered.containers()[name]["Memory"]
        assert memory == (beside_events if name == "events" else {"Fn::If": ["HasEventBus", beside_events, without]})


def test_fernets_secret_has_the_length_that_the_image_requires() -> None:
    generated = rendered.resources("AWS::SecretsManager::Secret")["FernetSecret"]["GenerateSecretString"]
    assert generated["PasswordLength"] == FERNET_SECRET_LENGTH


@pytest.mark.parametrize("title", sorted(rendered.resources("AWS::SecretsManager::Secret")))
def test_a_generated_secret_has_only_letters_and_digits(title: str) -> None:
    generated = rendered.resources("AWS::SecretsManager::Secret")[title]["GenerateSecretString"]
    assert generated.keys() == {"PasswordLength", "ExcludePunctuation"}
    assert generated["ExcludePunctuation"] is True


def test_the_webservers_address_for_tasks_is_the_name_in_cloud_map() -> None:
    namespace = rendered.resources("AWS::ServiceDiscovery::PrivateDnsNamespace")["ClusterNamespace"]["Name"]["Fn::Sub"]
    name = rendered.resources("AWS::ServiceDiscovery::Service")["WebserverName"]["Name"]
    port = rendered.environment(rendered.containers()["webserver"])["PORT"]
    url = rendered.environment(rendered.containers()["runner"])["EXECUTION_API_URL"]
    assert url == {"Fn::Sub": f"http://{name}.{namespace}:{port}/execution/"}


@pytest.mark.parametrize("name", [*CORE, "forecaster"])
def test_the_pools_are_what_the_image_reads(name: str) -> None:
    sub = rendered.environment(rendered.containers()[name])["POOLS"]
    text = rendered.filled(sub, WorkerMin="1", WorkerMax="10", WorkerConcurrency="16")
    assert json.loads(text) == [{"name": "worker", "queues": ["default"], "min": 1, "max": 10, "concurrency": 16}]
    assert [pool.name for pool in read_pools(text)] == ["worker"]


def test_a_worker_is_told_its_own_pool_without_the_limits_whose_change_must_not_replace_it() -> None:
    text = rendered.filled(rendered.environment(rendered.containers()["worker"])["POOLS"], WorkerConcurrency="16")
    assert json.loads(text) == [{"name": "worker", "queues": ["default"], "concurrency": 16}]
    assert [pool.name for pool in read_pools(text, with_limits=False)] == ["worker"]


def test_the_pools_are_what_the_autoscaler_reads() -> None:
    arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/airflow-prd-Worker:7"
    text = resolve(
        function_environment("AutoscalerFunction")["POOLS"],
        Scope(
            parameters={
                "AWS::StackName": "airflow-prd",
                "AWS::Partition": "aws",
                "AWS::Region": "eu-west-1",
                "AWS::AccountId": "123456789012",
                "WorkerMin": "1",
                "WorkerMax": "10",
                "WorkerConcurrency": "16",
            },
            mappings={},
            ref={"WorkerTaskDefinition": arn}.__getitem__,
            attribute=no_resources,
        ),
    )
    (pool,) = read_pools(text, with_services=True)
    assert (pool.name, pool.service, pool.queues) == ("worker", "airflow-prd-WorkerService", ("default",))
    assert (pool.minimum, pool.maximum, pool.concurrency, pool.task_definition) == (1, 10, 16, arn)
    family = rendered.resources("AWS::ECS::TaskDefinition")["WorkerTaskDefinition"]["Family"]
    assert family == {"Fn::Sub": "${AWS::StackName}-Worker"}


@pytest.mark.parametrize(
    ("title", "own"),
    [
        (
            "AutoscalerFunction",
            {"POOLS", "POLL_SECONDS", "SCALE_IN_AFTER_S", "MAX_STEP_OUT", "RACED_BOOTS_PERCENT", "MAX_AGE_HOURS"}
            | {"IMAGE_URI", "RACING_BUDGET_PERCENT", "ROLLOUT_PATIENCE_MINUTES"},
        ),
        ("VersionCheckFunction", {"SERVICES", "TOPIC_ARN", "WEBSERVER_URL", "SITE_URL", "WORK_LIMITS"}),
    ],
)
def test_a_function_gets_the_variables_of_the_contract(title: str, own: set[str]) -> None:
    assert function_environment(title).keys() == own | {
        "BROKER_HOST", "BROKER_PORT", "BROKER_SCHEME", "BROKER_USER", "BROKER_SECRET_ARN", "CLUSTER",
        "POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_LOG_LEVEL",
    }  # fmt: skip


def test_the_version_check_gets_every_service() -> None:
    stack = {"AWS::StackName": "prd"}
    condition, every, _ = function_environment("VersionCheckFunction")["SERVICES"]["Fn::If"]
    services = json.loads(rendered.filled(every, **stack))
    assert condition == "HasFlower"
    assert services == {role.lower(): f"prd-{role}Service" for role in ("Airflow", "Worker", "Flower")}


@pytest.mark.parametrize("service", ["AirflowService", "FlowerService", "WorkerService"])
def test_a_service_rolls_back_by_itself_and_propagates_its_tags(service: str) -> None:
    properties = rendered.resources("AWS::ECS::Service")[service]
    breaker = properties["DeploymentConfiguration"]["DeploymentCircuitBreaker"]
    assert breaker == {"Enable": True, "Rollback": True}
    assert properties["PropagateTags"] == "SERVICE"
    assert properties["EnableExecuteCommand"] == {"Fn::If": ["HasExec", True, False]}


def test_ecs_never_rebalances_workers() -> None:
    worker = rendered.resources("AWS::ECS::Service")["WorkerService"]
    assert worker["AvailabilityZoneRebalancing"] == "DISABLED"


@pytest.mark.parametrize("service", ["AirflowService", "FlowerService", "WorkerService"])
def test_a_stack_update_sets_no_desired_count(service: str) -> None:
    assert "DesiredCount" not in rendered.resources("AWS::ECS::Service")[service]


def test_the_copies_of_airflow_follow_the_cpu_load_between_their_limits() -> None:
    (target,) = rendered.resources("AWS::ApplicationAutoScaling::ScalableTarget").values()
    assert (target["MinCapacity"], target["MaxCapacity"]) == ({"Ref": "AirflowMin"}, {"Ref": "AirflowMax"})
    assert target["ResourceId"] == {"Fn::Sub": "service/${Cluster}/${AirflowService.Name}"}


def test_a_deployment_that_makes_the_webserver_fail_is_rolled_back() -> None:
    configuration = rendered.resources("AWS::ECS::Service")["AirflowService"]["DeploymentConfiguration"]
    assert configuration["Alarms"] == {
        "AlarmNames": [{"Ref": "AlarmWebserverErrors"}],
        "Enable": True,
        "Rollback": True,
    }


@pytest.mark.parametrize(("service", "container"), [("AirflowService", "webserver"), ("FlowerService", "flower")])
def test_the_load_balancer_sends_to_a_container_and_port_that_exist(service: str, container: str) -> None:
    properties = rendered.resources("AWS::ECS::Service")[service]
    (target,) = properties["LoadBalancers"]
    definition = rendered.resources("AWS::ECS::TaskDefinition")[properties["TaskDefinition"]["Ref"]]
    ports = {
        c["Name"]: [mapping["ContainerPort"] for mapping in c.get("PortMappings", [])]
        for c in rendered.containers_of(definition)
    }
    assert target["ContainerName"] == container
    assert target["ContainerPort"] in ports[container]
    group = rendered.resources("AWS::ElasticLoadBalancingV2::TargetGroup")[target["TargetGroupArn"]["Ref"]]
    # Each target has the container's port. Another port of the group would replace it, and all targets with it.
    assert group["Port"] == {"webserver": 8080, "flower": target["ContainerPort"]}[container]
    variables = rendered.environment(rendered.containers()[container])
    assert str(target["ContainerPort"]) == variables.get("PUBLIC_PORT", variables["PORT"])
    assert group["HealthCheckPath"] == {"webserver": "/api/v2/monitor/health", "flower": "/healthcheck"}[container]


def test_every_function_is_built_by_make_at_the_root() -> None:
    handlers = {
        "AutoscalerFunction": "autoscaler.handler.handler",
        "VersionCheckFunction": "version_check.handler.handler",
        "SleeperFunction": "sleeper.handler.handler",
        "RetirementFunction": "retirement.handler.handler",
    }
    functions = {
        title: resource
        for title, resource in rendered.template()["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    assert functions.keys() == handlers.keys()
    for title, resource in functions.items():
        assert resource["Metadata"].items() >= {"BuildMethod": "makefile", "WorkingDirectory": "."}.items()
        assert resource["Properties"]["CodeUri"] == "functions/"
        assert resource["Properties"]["Handler"] == handlers[title]


def test_the_version_check_reaches_the_webserver_by_the_name_that_workers_use() -> None:
    url = function_environment("VersionCheckFunction")["WEBSERVER_URL"]["Fn::Sub"]
    execution_api = rendered.environment(rendered.containers()["runner"])["EXECUTION_API_URL"]["Fn::Sub"]
    assert url.removesuffix("/fleet/version") == execution_api.removesuffix("/execution/")
    application = (ROOT / "airflow_image" / "agent" / "web" / "application.py").read_text()
    assert 'FLEET = "fleet"' in application
    assert 'VERSION_PATH = f"/{FLEET}/version"' in application


def test_a_version_skew_raises_an_alarm_after_the_parameters_minutes() -> None:
    alarm = rendered.resources("AWS::CloudWatch::Alarm")["AlarmVersionsSkewed"]
    assert alarm["MetricName"] == report.VERSIONS_IN_SYNC
    assert alarm["Dimensions"] == [{"Name": report.CLUSTER_DIMENSION, "Value": {"Ref": "Cluster"}}]
    assert (alarm["EvaluationPeriods"], alarm["Period"]) == ({"Ref": "MaxSkewMinutes"}, 60)
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)


def test_every_rate_is_one_that_eventbridge_accepts() -> None:
    """Compare whole texts: neither cfn-lint nor SAM notices `rate(1 minutes)`."""
    rules = rendered.resources("AWS::Events::Rule")
    schedules = {title: rule["ScheduleExpression"] for title, rule in rules.items() if "ScheduleExpression" in rule}
    assert {title: rate for title, rate in schedules.items() if isinstance(rate, str)} == {
        "AutoscalerFunctionEveryMinute": "rate(1 minute)",
        "RetirementFunctionEveryHour": "rate(1 hour)",
        "SleeperFunctionEveryMinute": "rate(1 minute)",
        "VersionCheckFunctionEveryMinute": "rate(1 minute)",
    }


def test_a_deployment_of_any_service_starts_the_version_check() -> None:
    pattern = rendered.resources("AWS::Events::Rule")["VersionCheckFunctionDeployment"]["EventPattern"]
    assert pattern == {
        "source": ["aws.ecs"],
        "detail-type": ["ECS Deployment State Change"],
        "resources": [
            {"prefix": {"Fn::Sub": "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:service/${Cluster}/"}}
        ],
    }


def test_only_the_webserver_learns_which_machines_have_roles() -> None:
    told = {name: rendered.environment(container) for name, container in rendered.containers().items()}
    assert {name for name, variables in told.items() if "MACHINE_ROLES" in variables} == {"webserver"}
    audience = {"Fn::Sub": "airflow:${AWS::AccountId}:${AWS::Region}:${AWS::StackName}"}
    assert told["webserver"]["MACHINE_AUDIENCE"] == audience
    assert rendered.template()["Outputs"]["MachineAudience"]["Value"] == audience
    # The regional one, of the partition: the global one is in another region.
    assert told["webserver"]["STS_URL"] == {"Fn::Sub": "https://sts.${AWS::Region}.${AWS::URLSuffix}/"}
