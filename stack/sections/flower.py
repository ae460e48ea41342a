"""The service `flower`: Celery's monitor, behind the load balancer and a sign-in. An environment may leave it out."""

from dataclasses import dataclass

from troposphere import Equals, Ref, Template
from troposphere.ecs import Service

from fleet import access
from stack.lib.listeners import Balancer, add_url_output, add_web_target
from stack.lib.optional import optional
from stack.lib.parameters import YES_OR_NO, FormGroup, add_condition
from stack.lib.security_groups import add_aws_client_group, allow_traffic
from stack.lib.services import Workload, add_service
from stack.lib.task_definition import Container, Task, add_size, add_task
from stack.sections.balancer import FLOWER_LISTENER_PORT
from stack.sections.foundation import Foundation

GROUP = "Flower"
ROLE = "flower"
PORT = 5555
HEALTH_PATH = "/healthcheck"
# Flower's pages, which begin with a sign-in. The image adds one to /metrics.
PATHS = ("/", "/worker*", "/task*", "/broker", "/api/*", "/static/*", "/login*", "/logout", "/metrics")


@dataclass(frozen=True, kw_only=True)
class Flower:
    service: Service


def add_flower_choice(t: Template) -> str:
    """Add the parameter that leaves Flower out; return the condition under which it is there."""
    is_enabled = FormGroup(t, GROUP).add(
        "FlowerEnabled",
        label="Run Flower",
        description="Whether the service flower runs; without it nothing of it is created or paid for.",
        constraint=YES_OR_NO,
        default="true",
    )
    return add_condition(t, "HasFlower", Equals(Ref(is_enabled), "true"))


def add_flower(t: Template, *, base: Foundation, balancer: Balancer, condition: str) -> Flower:
    with optional(t, condition):
        return _add_flower(t, base=base, balancer=balancer)


def _add_flower(t: Template, *, base: Foundation, balancer: Balancer) -> Flower:
    form = FormGroup(t, GROUP)
    size = add_size(form, "Flower", described_as="an ECS task of the service flower", cpu="256", memory_mib="1024")
    group = add_aws_client_group(t, "FlowerGroup", vpc=base.network.vpc, description="Flower")
    allow_traffic(t, source=group, target=base.broker.group, port=base.broker.port)
    allow_traffic(t, source=balancer.group, target=group, port=PORT)
    login = base.broker.login(access.FLOWER)
    container = Container(
        role=ROLE,
        memory_mib=size.memory_mib,
        environment=login.environment,
        secrets={**login.secrets, "ADMIN_PASSWORD": base.secrets.admin},
        listens_on=PORT,
        public_port=PORT,
        is_restarted=True,
    )
    defined = add_task(
        t,
        "Flower",
        settings=base.settings,
        task=Task(containers=(container,), size=size),
    )
    target = add_web_target(
        t,
        "Flower",
        balancer=balancer,
        container=ROLE,
        port=PORT,
        listener_port=FLOWER_LISTENER_PORT,
        health_path=HEALTH_PATH,
        paths=PATHS,
    )
    add_url_output(
        t, "FlowerUrl", balancer=balancer, description="URL of Flower, Celery's monitor.", port=FLOWER_LISTENER_PORT
    )
    service = add_service(
        t,
        "FlowerService",
        cluster=base.cluster.ecs,
        subnets=base.network.private_subnets,
        settings=base.settings,
        workload=Workload(definition=defined.definition, group=group, target=target),
    )
    return Flower(service=service)
