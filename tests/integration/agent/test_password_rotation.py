"""A rotated password of a real database, with real SQLAlchemy pools and the secret in the embedded AWS API."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.servers.postgres import Postgres
from local.servers.troubled_api import WRONG, TroubledApi
from project import paths
from tests.support.aws_api import AwsApi

pytestmark = pytest.mark.skipif(not paths.AIRFLOW_ENVIRONMENT.is_dir(), reason="needs make setup-local")
STEPS = Path(__file__).parents[2] / "support" / "rotating.py"
FIRST, SECOND, THIRD = "first-password-1", "second-password-2", "third-password-3"


class Rotated:
    """A database and the secret of its password; `process` gets both."""

    def __init__(self, postgres: Postgres, api: AwsApi) -> None:
        self.postgres = postgres
        self.secrets = api.client("secretsmanager")
        self.arn = self.secrets.create_secret(Name=os.urandom(4).hex(), SecretString=self._text(FIRST))["ARN"]
        self.environment = {
            **api.environment,
            "PYTHONPATH": paths.IMAGE_PYTHONPATH,
            "DATABASE_HOST": postgres.host,
            "DATABASE_PORT": str(postgres.port),
            "DATABASE_NAME": "airflow",
            "DATABASE_USER": "airflow",
            "DATABASE_PASSWORD": FIRST,
            "DATABASE_SSLMODE": "disable",
            "DATABASE_AUTHORITIES": "authorities/rds.pem",
            "DATABASE_SECRET_ARN": self.arn,
        }
        postgres.provision("airflow", FIRST, "airflow")

    @staticmethod
    def _text(password: str) -> str:
        return json.dumps({"username": "airflow", "password": password})

    def rotate(self, password: str) -> None:
        """Rotate the password, as RDS does each week."""
        self.postgres.provision("airflow", password, "airflow")
        self.secrets.put_secret_value(SecretId=self.arn, SecretString=self._text(password))

    @contextmanager
    def process(self, **environment: str) -> Iterator["subprocess.Popen[str]"]:
        process = subprocess.Popen(
            [paths.AIRFLOW_ENVIRONMENT / "bin/python", STEPS],
            env={**self.environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            yield process
            assert process.stdin is not None
            process.stdin.close()


def ask(process: "subprocess.Popen[str]", step: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{step}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.fixture
def rotated(api: AwsApi, tmp_path: Path) -> Iterator[Rotated]:
    postgres = Postgres(tmp_path / "postgres").start()
    try:
        yield Rotated(postgres, api)
    finally:
        postgres.remove()


def test_open_and_new_connections_outlast_two_rotations(rotated: Rotated) -> None:
    with rotated.process() as process:
        assert [ask(process, step) for step in ("pool", "new", "async")] == ["ok 1"] * 3
        for password in (SECOND, THIRD):
            rotated.rotate(password)
            assert [ask(process, step) for step in ("pool", "new", "async")] == ["ok 1"] * 3


def test_a_process_that_starts_with_the_old_password_connects(rotated: Rotated) -> None:
    rotated.rotate(SECOND)
    with rotated.process() as process:
        assert ask(process, "async") == "ok 1"


def test_a_rotation_without_the_secret_refuses_new_connections(rotated: Rotated) -> None:
    """Prove that the tests above depend on the secret."""
    rotated.rotate(SECOND)
    with rotated.process(DATABASE_SECRET_ARN="") as process:
        assert ask(process, "new") == "failed OperationalError"


def test_a_refusal_with_the_present_password_is_raised(rotated: Rotated) -> None:
    rotated.postgres.provision("airflow", SECOND, "airflow")
    with rotated.process() as process:
        assert ask(process, "new") == "failed OperationalError"


@pytest.mark.parametrize(
    "wrong",
    [
        "cut off",
        *(
            pytest.param(wrong, marks=pytest.mark.slow)
            for wrong in ("another encoding", "an empty object", "dropped", "expired credentials")
        ),
    ],
)
def test_while_the_secret_cannot_be_read_the_databases_refusal_stands(
    rotated: Rotated, api: AwsApi, wrong: str
) -> None:
    rotated.rotate(SECOND)
    proxy = TroubledApi(api.port)
    try:
        with rotated.process(AWS_ENDPOINT_URL=proxy.url, AWS_MAX_ATTEMPTS="1") as process:
            with proxy.spoiling("GetSecretValue", WRONG[wrong]):
                assert ask(process, "new") == "failed OperationalError"
                assert ask(process, "async") == "failed InvalidPasswordError"
            assert "GetSecretValue" in proxy.calls
            assert ask(process, "new") == "ok 1"
    finally:
        proxy.close()
