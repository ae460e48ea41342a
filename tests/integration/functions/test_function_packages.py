"""The packages that `sam build` makes: complete, small, and run by their handlers' names alone."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from moto.server import ThreadedMotoServer

from fleet.member import ROLES
from fleet.work import DEFAULT_LIMITS
from local.servers.redis import Redis
from shared import aws
from stack.lib.lambda_function import RUNTIME
from tests.support import rendered

ROOT = Path(__file__).parents[3]
TARGETS = {
    "autoscaler": "build-AutoscalerFunction",
    "retirement": "build-RetirementFunction",
    "sleeper": "build-SleeperFunction",
    "version_check": "build-VersionCheckFunction",
}
PACKAGE_LIMIT_BYTES = 20_000_000
# The runtime's own is not on every machine; one that surely is builds and loads in the same way.
PYTHON = "{}.{}".format(*sys.version_info[:2])
NOT_THERE = "3.99"
UNCHECKED_HASH = 0b01  # a .pyc file's flags, PEP 552: made from a hash, loaded without checking the source
ONE_TICK = {"ticks": 1}
PASSWORD = "a-password-that-no-log-may-show"

# Only the package, then what the Lambda runtime brings: nothing of the checkout, no path of the environment.
INVOKE = """
import json, sys
package, runtime, handler = sys.argv[1:4]
sys.path[:] = [package, *(path for path in sys.path if path), runtime]
import importlib
class Context:
    def get_remaining_time_in_millis(self):
        return 60_000
function = importlib.import_module(handler).handler
answers = [function(json.loads(event), Context()) for event in sys.argv[4:]]
foreign = sorted(name for name in ("autoscaler", "retirement", "sleeper", "version_check", "shared", "fleet",
                                     "redis", "packaging", "aws_lambda_powertools")
                 if name in sys.modules and not sys.modules[name].__file__.startswith(package))
print(json.dumps({"answers": answers, "foreign": foreign}))
"""


def make(target: str, artifacts: Path | str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Below another make this one would say where it works.
    command = [
        "make",
        "--no-print-directory",
        "-f",
        "functions/Makefile",
        target,
        f"ARTIFACTS_DIR={artifacts}",
        *arguments,
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(
    scope="module",
    params=["autoscaler", *(pytest.param(name, marks=pytest.mark.slow) for name in TARGETS if name != "autoscaler")],
)
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    artifacts = tmp_path_factory.mktemp("artifacts") / str(request.param)
    made = make(TARGETS[request.param], artifacts, f"RUNTIME={PYTHON}")
    assert made.returncode == 0, made.stderr
    return artifacts


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the functions' environment from the template, with AWS by moto and a Redis with a password."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    broker = Redis(tmp_path / "redis", password=PASSWORD).start()
    host, port = server.get_host_and_port()
    httpx.post(f"http://{host}:{port}/moto-api/reset")  # moto keeps its state in this process
    own = {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        secret = aws.client("secretsmanager").create_secret(Name="broker", SecretString=PASSWORD)
        ecs = aws.client("ecs")
        ecs.create_cluster(clusterName="cluster")
        container = {"name": "any", "image": "i", "memory": 1, "cpu": 1}
        ecs.register_task_definition(family="any", containerDefinitions=[container])
        for service in ("airflow", "worker", "flower"):
            ecs.create_service(cluster="cluster", serviceName=service, taskDefinition="any", desiredCount=0)
        aws.client("application-autoscaling").register_scalable_target(
            ServiceNamespace="ecs", ResourceId="service/cluster/airflow", ScalableDimension="ecs:service:DesiredCount"
        )
        aws.client("rds").create_db_instance(
            DBInstanceIdentifier="database", DBInstanceClass="db.t4g.small", Engine="postgres", AllocatedStorage=20
        )
    pool = {"name": "worker", "service": "worker", "queues": ["default"], "min": 2, "max": 9, "concurrency": 4}
    yield {
        **own,
        "BROKER_HOST": broker.host,
        "BROKER_PORT": str(broker.port),
        "BROKER_SCHEME": "redis",
        "BROKER_USER": "default",
        "BROKER_SECRET_ARN": secret["ARN"],
        "CLUSTER": "cluster",
        "POLL_SECONDS": "15",
        "POOLS": json.dumps([pool]),
        "SERVICES": json.dumps({name: name for name in ("airflow", "worker", "flower")}),
        "AIRFLOW_SERVICE": "airflow",
        "FLOWER_SERVICE": "flower",
        "DATABASE": "database",
        "ALARM_PREFIX": "stack-Alarm",
        "PATIENCE_MINUTES": "60",
        "WEBSERVER_URL": f"http://{host}:{port}/fleet/version",
        "SITE_URL": "https://airflow.example.com",
        "WORK_LIMITS": DEFAULT_LIMITS,
        "POWERTOOLS_SERVICE_NAME": "test",
        "POWERTOOLS_METRICS_NAMESPACE": "AirflowOnEcs",
        "POWERTOOLS_LOG_LEVEL": "DEBUG",
    }
    broker.stop()
    server.stop()


def invoke(package: Path, environment: dict[str, str], *events: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Run the handler in a process of its own; return its answer and everything it printed."""
    runtime = next(path for path in sys.path if path.endswith("site-packages"))
    command = [sys.executable, "-I", "-S", "-B", "-c", INVOKE, str(package), runtime, f"{package.name}.handler"]
    done = subprocess.run(
        [*command, *map(json.dumps, events)],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer, done.stdout + done.stderr


def test_the_package_runs_alone_and_shows_no_password(package: Path, environment: dict[str, str]) -> None:
    answer, printed = invoke(package, environment, ONE_TICK, ONE_TICK)
    assert answer["foreign"] == []
    first, second = answer["answers"]
    if package.name == "autoscaler":
        assert (first["pools"]["worker"]["was"], first["pools"]["worker"]["desired"]) == (0, 2)
        assert (second["pools"]["worker"]["was"], second["pools"]["worker"]["desired"]) == (2, 2)
    elif package.name == "sleeper":
        assert (first["phase"], first["steps"]) == ("awake", [])
    elif package.name == "retirement":
        assert first == {"recorded": [], "deployed": []}
    else:
        assert first["status"] == "unknown"  # no one has reported
    assert PASSWORD not in printed


def test_the_package_is_small_and_brings_nothing_that_lambda_has_or_cannot_use(package: Path) -> None:
    files = [path for path in package.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= PACKAGE_LIMIT_BYTES
    unwanted = re.compile(r"(^|/)(boto3|botocore|tests|bin)(/|$)|\.so$")
    assert [str(path) for path in files if unwanted.search(str(path.relative_to(package)))] == []
    assert [name for name in TARGETS if (package / name).exists()] == [package.name]
    assert sorted(path.name for path in (package / "fleet").glob("*.py")) == sorted(
        path.name for path in (ROOT / "fleet").glob("*.py")
    )


def test_every_module_is_compiled_for_the_runtimes_python_and_needs_no_look_at_its_source(package: Path) -> None:
    sources = list(package.rglob("*.py"))
    assert len(sources) > 100  # with its libraries
    for source in sources:
        compiled = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        assert compiled[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(compiled[4:8], "little") == UNCHECKED_HASH
    assert len(list(package.rglob("*.pyc"))) == len(sources)


def test_two_builds_are_equal_to_the_byte(package: Path, tmp_path: Path) -> None:
    again = tmp_path / "another" / "directory"
    assert make(TARGETS[package.name], again, f"RUNTIME={PYTHON}").returncode == 0
    contents = [
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (package, again)
    ]
    assert sorted(contents[0]) == sorted(contents[1])
    assert [name for name, content in contents[0].items() if content != contents[1][name]] == []


def test_without_the_runtimes_python_the_package_is_complete_and_one_line_says_what_it_lacks(tmp_path: Path) -> None:
    assert make("runtime-python", "", f"RUNTIME={NOT_THERE}").returncode != 0
    made = make(TARGETS["autoscaler"], tmp_path, f"RUNTIME={PYTHON}", "FIND_PYTHON=false")
    assert made.returncode == 0, made.stderr
    (line,) = made.stdout.splitlines()
    assert f"no Python {PYTHON}" in line
    assert (tmp_path / "autoscaler" / "handler.py").is_file()
    assert list(tmp_path.rglob("*.pyc")) == []


def test_packages_are_made_for_the_runtime_of_the_template() -> None:
    assert make("runtime", "").stdout.strip() == RUNTIME.removeprefix("python")


def test_without_a_directory_or_without_uv_one_line_says_so(tmp_path: Path) -> None:
    for complaint, made in (
        ("ARTIFACTS_DIR is not set", make(TARGETS["autoscaler"], "")),
        ("uv is missing", make(TARGETS["autoscaler"], tmp_path / "artifacts", "UV=")),
    ):
        assert made.returncode != 0
        (line,) = [line for line in made.stderr.splitlines() if not line.startswith("make")]
        assert complaint in line
    assert not (tmp_path / "artifacts").exists()


def test_the_containers_that_must_report_are_those_of_the_template_that_go_on() -> None:
    checked = {name for name, container in rendered.containers().items() if "HealthCheck" in container}
    assert checked == ROLES
