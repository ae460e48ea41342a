"""Makes what a delivery needs from an environment's name, with the caller's credentials."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import boto3

from ops.ask import Record
from ops.delivery.change_set import Stack
from ops.delivery.delivery import Delivery
from ops.delivery.store import Store
from ops.reach import reach
from ops.versions.ask import ask
from project import environments, paths


def client(service: str, environment: str) -> Any:
    """boto3's client in the environment's region; CommandError when there is no such environment."""
    api: Any = boto3  # boto3 is not typed
    return api.client(service, region_name=environments.load(environment).region)


def make_store(bucket: str, environment: str) -> Store:
    """The pipeline's bucket, which is where the environment is."""
    return Store(client("s3", environment), bucket)


def make_stack(environment: str, *, bucket: str, role: str) -> Stack:
    """The environment's stack, whether it exists or not."""
    given = environments.load(environment)
    return Stack(
        environment=environment,
        name=given.stack_name,
        region=given.region,
        cloudformation=client("cloudformation", environment),
        bucket=bucket,
        role=role,
        root=paths.ROOT,
    )


def make_look(environment: str) -> Callable[[], Record]:
    """One look of the environment's version check."""
    return lambda: ask(reach(environment))


def make_delivery(stack: Stack, store: Store, *, gate_s: float, say: Callable[[str], None]) -> Delivery:
    """A delivery to this stack."""
    return Delivery(
        store=store,
        stack=stack,
        rds=client("rds", stack.environment),
        look=make_look(stack.environment),
        clock=time.time,
        say=say,
        gate_s=gate_s,
    )
