"""A local HTTP server that answers the autoscaler's calls to ECS and Secrets Manager."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench.micro.function.scenes import SERVICE

SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:broker"  # noqa: S105 - its name
CONTENT_TYPE = "application/x-amz-json-1.1"
# ECS keeps this many events of a service, and DescribeServices returns them all.
EVENTS = 100
PRESENT, FORMER = "ecs-svc/0000000000000000002", "ecs-svc/0000000000000000001"


class AwsApi:
    """Serves one ECS service with its tasks, and one secret, an empty password, until it is closed."""

    def __init__(self) -> None:
        self._desired = 0
        self._tasks: Mapping[str, str] = {}  # ARN -> deployment
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # as AWS: a connection serves many calls
            disable_nagle_algorithm = True  # or an answer's second packet waits for the first one's acknowledgement

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(answer(self.headers["X-Amz-Target"].rpartition(".")[2], request)).encode()
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def reset(self, *, desired: int, tasks: Sequence[str], former: Sequence[str] = ()) -> None:
        """Set the desired count and the ARNs of the running tasks; `former` are those of the previous deployment."""
        self._desired = desired
        self._tasks = dict.fromkeys(tasks, PRESENT) | dict.fromkeys(former, FORMER)

    def close(self) -> None:
        """Stop the server and close its port."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        match operation:
            case "DescribeServices":
                return {"services": [self._service()], "failures": []}
            case "ListServices":
                return {"serviceArns": [self._service()["serviceArn"]]}
            case "DescribeTasks":
                arns = {arn.rpartition("/")[2]: arn for arn in self._tasks}
                known = [arns[name] for name in request["tasks"] if name in arns]
                unknown = [{"arn": name, "reason": "MISSING"} for name in request["tasks"] if name not in arns]
                return {"tasks": [_task(arn, self._tasks[arn]) for arn in known], "failures": unknown}
            case "UpdateService":
                self._desired = request["desiredCount"]
                return {"service": self._service()}
            case "GetSecretValue":
                return {"ARN": SECRET_ARN, "Name": "broker", "SecretString": ""}
            case _:
                raise ValueError(f"unexpected call of {operation}")

    def _service(self) -> dict[str, Any]:
        running = list(self._tasks.values())
        deployments = [_deployment(PRESENT, "PRIMARY", running.count(PRESENT))]
        if FORMER in running:
            deployments.append(_deployment(FORMER, "ACTIVE", running.count(FORMER)))
        message = f"(service {SERVICE}) has started 10 tasks: " + " ".join(f"(task {n:032x})." for n in range(10))
        return {
            "serviceArn": f"arn:aws:ecs:eu-central-1:123456789012:service/benchmark/{SERVICE}",
            "serviceName": SERVICE,
            "status": "ACTIVE",
            "desiredCount": self._desired,
            "runningCount": len(running),
            "pendingCount": 0,
            "deployments": deployments,
            "events": [{"id": f"{n:036x}", "createdAt": 1.7e9 + n, "message": message} for n in range(EVENTS)],
            "tags": [],
        }


def _deployment(name: str, status: str, running: int) -> dict[str, Any]:
    return {
        "id": name,
        "status": status,
        "taskDefinition": "arn:aws:ecs:eu-central-1:123456789012:task-definition/worker:7",
        "desiredCount": running,
        "runningCount": running,
        "pendingCount": 0,
        "rolloutState": "IN_PROGRESS",
    }


def _task(arn: str, deployment: str) -> dict[str, Any]:
    """Return a task as ECS describes it, with unused fields: reading them takes the function's time."""
    details = ("subnetId", "networkInterfaceId", "macAddress", "privateDnsName", "privateIPv4Address")
    return {
        "taskArn": arn,
        "startedBy": deployment,
        "group": f"service:{SERVICE}",
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "healthStatus": "HEALTHY",
        "launchType": "FARGATE",
        "cpu": "4096",
        "memory": "16384",
        "createdAt": 1.7e9,
        "startedAt": 1.7e9,
        "attachments": [
            {
                "id": f"{0:036x}",
                "type": "ElasticNetworkInterface",
                "status": "ATTACHED",
                "details": [{"name": name, "value": f"{0:024x}"} for name in details],
            }
        ],
        "containers": [
            {
                "containerArn": f"{arn}/worker",
                "taskArn": arn,
                "name": "worker",
                "image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/airflow:tag",
                "imageDigest": f"sha256:{0:064x}",
                "runtimeId": f"{0:042x}",
                "lastStatus": "RUNNING",
                "healthStatus": "HEALTHY",
                "networkInterfaces": [{"attachmentId": f"{0:036x}", "privateIpv4Address": "10.0.0.1"}],
            }
        ],
    }
