"""The service `flower`: Celery's monitor, behind the load balancer and a sign-in."""

from dataclasses import dataclass

from troposphere import Template
from troposphere.ecs import Service

from stack.airflow import Foundation
from stack.balancer import FLOWER_LISTENER_PORT, Balancer
from stack.paths import add_api_client_group, add_path
from stack.services import Workload, add_service
from stack.sites import add_site, add_url
from stack.sizes import add_size
from stack.tasks import Container, Health, Task, add_task

GROUP = "Flower"
ROLE = "flower"
PORT = 5555
HEALTH = Health(path="/healthcheck", start_period_s=60)


@dataclass(frozen=True, kw_only=True)
class Flower:
    service: Service


def add_flower(t: Template, *, base: Foundation, balancer: Balancer) -> Flower:
    size = add_size(t, "Flower", group=GROUP, whose="the service flower", cpu="256", memory_mib="1024")
    group = add_api_client_group(t, "FlowerGroup", network=base.network, description="Flower")
    add_path(t, source=group, target=base.database.group, port=base.database.port)
    add_path(t, source=group, target=base.broker.group, port=base.broker.port)
    add_path(t, source=balancer.group, target=group, port=PORT)
    container = Container(
        role=ROLE,
        environment={**base.database.environment, **base.broker.environment},
        secrets={**base.database.secrets, **base.broker.secrets, "ADMIN_PASSWORD": base.secrets.admin},
        listens_on=PORT,
        is_reachable=True,
        health=HEALTH,
        lives_on=True,
    )
    definition = add_task(t, "Flower", settings=base.settings, task=Task(containers=(container,), size=size))
    site = add_site(
        t,
        "Flower",
        balancer=balancer,
        container=ROLE,
        port=PORT,
        listener_port=FLOWER_LISTENER_PORT,
        health_path=HEALTH.path,
    )
    add_url(t, "FlowerUrl", balancer=balancer, description="Address of Celery's monitor.", port=FLOWER_LISTENER_PORT)
    service = add_service(
        t,
        "FlowerService",
        network=base.network,
        cluster=base.cluster,
        workload=Workload(definition=definition, group=group, count=1, site=site),
    )
    return Flower(service=service)
