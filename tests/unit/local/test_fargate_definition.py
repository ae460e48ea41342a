"""What is read from ECS's descriptions, and how secrets are resolved."""

import json

import pytest

from local.fargate.definition import (
    DEFAULT_STOP_TIMEOUT_S,
    ContainerDefinition,
    LogGroup,
    TaskDefinition,
    resolve_secrets,
)


def test_a_container_definition_is_read_with_ecs_defaults() -> None:
    read = ContainerDefinition.of({"name": "worker", "image": "x"})
    assert (read.essential, read.stop_timeout_s, read.command) == (True, DEFAULT_STOP_TIMEOUT_S, ())


def test_a_container_definition_is_read_whole() -> None:
    raw = {
        "name": "webserver",
        "command": ["webserver"],
        "environment": [{"name": "PORT", "value": "8080"}],
        "secrets": [{"name": "P", "valueFrom": "arn"}],
        "portMappings": [{"containerPort": 8080}],
        "essential": False,
        "dependsOn": [{"containerName": "migrate", "condition": "SUCCESS"}],
        "stopTimeout": 120,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": "g", "awslogs-region": "r", "awslogs-stream-prefix": "p"},
        },
    }
    read = ContainerDefinition.of(raw)
    assert read.environment == {"PORT": "8080"}
    assert read.secrets == {"P": "arn"}
    assert (read.ports, read.essential, read.stop_timeout_s) == ((8080,), False, 120)
    assert read.depends_on == {"migrate": "SUCCESS"}
    assert read.log == LogGroup(group="g", prefix="p")


def test_a_task_of_two_images_is_refused() -> None:
    raw = {
        "taskDefinitionArn": "arn",
        "containerDefinitions": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}],
    }
    with pytest.raises(ValueError, match="a task must have one image"):
        TaskDefinition.of(raw)


class SecretsManager:
    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def get_secret_value(self, SecretId: str) -> dict[str, str]:
        return {"SecretString": self.values[SecretId]}


ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:database-AbC"


@pytest.mark.parametrize(
    ("stored", "value_from", "expected"),
    [
        ("plain:with:colons", ARN, "plain:with:colons"),
        (json.dumps({"username": "u", "password": "p"}), f"{ARN}:password::", "p"),
        (json.dumps({"port": 5432}), f"{ARN}:port::", "5432"),
    ],
)
def test_secrets_are_resolved_as_ecs_does(stored: str, value_from: str, expected: str) -> None:
    assert resolve_secrets({"V": value_from}, SecretsManager({ARN: stored})) == {"V": expected}
