"""The servers of the measured function: a Redis for each length of the queues, and an AWS API."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

from autoscaler.settings import MAX_AGE_HOURS, MAX_STEP_OUT, POLL_SECONDS, SCALE_IN_AFTER_S
from bench.micro.function import broker
from bench.micro.function.aws_api import SECRET_ARN, AwsApi
from bench.micro.function.package import FOLDER
from bench.micro.function.scenes import CLUSTER, Scene
from fleet.pools import POOLS, pool_entry
from local.servers.redis import Redis
from shared import settings


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The running servers; `brokers` by the number of their queued messages."""

    api: AwsApi
    brokers: Mapping[int, Redis]

    def environment(self, scene: Scene) -> dict[str, str]:
        """Return the environment variables that the template and Lambda set."""
        pool, server = scene.pool, self.brokers[scene.queued]
        return {
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_ENDPOINT_URL": self.api.url,
            settings.BROKER_HOST: server.host,
            settings.BROKER_PORT: str(server.port),
            settings.BROKER_SCHEME: settings.SCHEME_PLAIN,
            settings.BROKER_USER: "default",
            settings.BROKER_SECRET_ARN: SECRET_ARN,
            settings.CLUSTER: CLUSTER,
            POLL_SECONDS: "15",
            MAX_AGE_HOURS: "0",  # no worker retires in these scenes
            SCALE_IN_AFTER_S: "0",  # a surplus drains in the first tick
            MAX_STEP_OUT: "",
            POOLS: json.dumps([pool_entry(**asdict(pool))]),
            "POWERTOOLS_LOG_LEVEL": "INFO",
            "POWERTOOLS_METRICS_NAMESPACE": "AirflowOnEcs",
            "POWERTOOLS_SERVICE_NAME": "autoscaler",
        }


@contextmanager
def running_servers(*, lengths: Collection[int]) -> Iterator[Servers]:
    """Run the servers until the block ends. Raises StartError when Redis does not start."""
    with ExitStack() as stack:
        api = AwsApi()
        stack.callback(api.close)
        brokers = {}
        for queued in lengths:
            brokers[queued] = server = Redis(FOLDER / f"redis-{queued}").start()
            stack.callback(server.stop)
            with server.client() as client:
                broker.fill_queues(client, queued)
        yield Servers(api=api, brokers=brokers)
