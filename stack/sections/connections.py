"""The addresses, secrets and AWS permissions that every container with Airflow's code gets, except its broker user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Equals, Not, Ref, Sub, Template
from troposphere.iam import Role

from fleet.pools import POOLS
from stack.lib.iam import Statement, add_policy, read_secrets_below, use_log_bucket
from stack.lib.parameters import Between, FormGroup, Matching, add_condition
from stack.lib.secrets import SecretValue
from stack.sections.cluster import Cluster
from stack.sections.foundation import Foundation
from stack.sections.notifications import Notifications
from stack.sections.pools import SizedPool, pools_json

GROUP = "Airflow"
WEBSERVER = "webserver"
# Of the webserver: the Execution API, for the stack's own containers and functions only, and the UI with the REST API,
# for the load balancer. The first is the one that workers of the releases with a single port know: their tasks go on
# during the deployment that adds the second.
EXECUTION_PORT, PUBLIC_PORT = 8080, 8081
EXECUTION_PATH = "/execution"
MAX_PATIENCE_MINUTES = 60
# CloudFormation waits at most three hours for a deployment, and `airflow` at its gate for the sum of both.
MAX_GATE_MINUTES, MAX_ROLLOUT_PATIENCE_MINUTES = 120, 45


@dataclass(frozen=True, kw_only=True)
class Connections:
    """`statements` are what the code of Airflow may do in AWS, `task_statements` what tasks may do.

    `patience`: the variables with the limits of waits; `for_tasks`: those of the containers that run tasks.
    `rollout_patience`: the variable that says how long the autoscaler waits for new workers.

    `site_url`: the URL at which people open Airflow.

    `prefix` names the secrets that serve as Airflow's connections and variables; it is empty unless the condition
    `has_prefix` holds.
    """

    environment: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]
    statements: Sequence[Statement]
    task_statements: Sequence[Statement]
    patience: Mapping[str, Any]
    rollout_patience: Mapping[str, Any]
    for_tasks: Mapping[str, Any]
    site_url: Sub
    prefix: Ref
    has_prefix: str


def add_connections(
    t: Template, *, base: Foundation, pools: Sequence[SizedPool], base_url: Sub, notifications: Notifications
) -> Connections:
    """Add the parameters. `base_url`: the URL at which people open Airflow; its links begin with it."""
    form = FormGroup(t, GROUP)
    gate_minutes = form.add(
        "GateMinutes",
        label="Minutes to wait for workers",
        description="Minutes that a new scheduler waits, during a deployment, for workers that run other code to stop; "
        "for other code of the same Airflow, after RolloutPatienceMinutes.",
        constraint=Between(low=0, high=MAX_GATE_MINUTES),
        default=15,
    )
    rollout_patience = form.add(
        "RolloutPatienceMinutes",
        label="Minutes to wait for new workers",
        description="Minutes within which a worker of a new version must take tasks, while some are needed; then the "
        "pool goes back to the version before.",
        constraint=Between(low=1, high=MAX_ROLLOUT_PATIENCE_MINUTES),
        default=30,
    )
    patience_minutes = form.add(
        "BrokerPatienceMinutes",
        label="Minutes to wait for the broker",
        description="Minutes that tasks to be queued wait while the broker is away, full or read-only; then they fail.",
        constraint=Between(low=2, high=MAX_PATIENCE_MINUTES),
        default=10,
    )
    prefix = form.add(
        "ConnectionsPrefix",
        label="Prefix of connections and variables",
        description="Airflow reads secrets <prefix>/connections/<id> and <prefix>/variables/<key>; empty for none.",
        constraint=Matching(
            regex=r"^([A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)*)?$",
            must_be="a secret's name without a trailing slash, or empty",
        ),
        default="",
    )
    settings = _add_settings(form)
    for_tasks = {
        "TASK_SETTINGS": settings["TaskSettings"],
        "BASE_URL": base_url,
        "CONNECTIONS_PREFIX": Ref(prefix),
        "EXECUTION_API_URL": webserver_url(base.cluster, f"{EXECUTION_PATH}/"),
        "LOG_BUCKET": Ref(base.logs.bucket),
        "MAIL_FROM": notifications.sender,
        **base.dags.environment,
    }
    patience = {
        "GATE_MINUTES": Ref(gate_minutes),
        "BROKER_PATIENCE_MINUTES": Ref(patience_minutes),
    }
    task_statements = [
        *use_log_bucket(
            bucket_arn=base.logs.bucket.get_att("Arn"), prefix=base.logs.prefix, key_arn=base.settings.key_arn
        ),
        *base.dags.statements,
    ]
    return Connections(
        # A pool's share of the executor follows from its limit, so a change of it replaces `airflow`.
        environment={
            **base.database.environment,
            **for_tasks,
            **base.xcoms.environment,
            "AIRFLOW_SETTINGS": settings["AirflowSettings"],
            POOLS: pools_json(pools),
            **patience,
        },
        secrets={**base.database.secrets, "FERNET_SECRET": base.secrets.fernet},
        statements=[*task_statements, base.xcoms.read(), *base.database.statements],
        task_statements=task_statements,
        patience=patience,
        rollout_patience={"ROLLOUT_PATIENCE_MINUTES": Ref(rollout_patience)},
        for_tasks=for_tasks,
        site_url=base_url,
        prefix=Ref(prefix),
        has_prefix=add_condition(t, "HasConnectionsPrefix", Not(Equals(Ref(prefix), ""))),
    )


def _add_settings(form: FormGroup) -> dict[str, Ref]:
    """Add the parameters with Airflow's settings. Each goes to the containers that read it, so it replaces no other."""
    constraint = Matching(
        regex=r"^(AIRFLOW__[A-Z0-9_]+=[^\r\n]*(\n+|$))*$", must_be="lines AIRFLOW__SECTION__OPTION=value, or empty"
    )
    whose = {
        "AirflowSettings": "Settings of Airflow that tasks do not read",
        "TaskSettings": "Settings of Airflow that tasks read, and the service airflow, too",
    }
    return {
        title: Ref(
            form.add(
                title,
                label=f"Lines of {title}",
                description=f"{meaning}: lines AIRFLOW__SECTION__OPTION=value; they override the image's.",
                constraint=constraint,
                default="",
            )
        )
        for title, meaning in whose.items()
    }


def webserver_url(cluster: Cluster, path: str) -> Sub:
    """Return the URL of a path that the webserver serves to the stack's own members, by its name in Cloud Map."""
    return Sub(f"http://{WEBSERVER}.{cluster.namespace_name}:{EXECUTION_PORT}{path}")


def let_read_connections(t: Template, title: str, *, role: Role, connections: Connections) -> None:
    """Let code with this role read the secrets below the prefix, but not change them."""
    add_policy(
        t, title, role=role, statements=[read_secrets_below(connections.prefix)], condition=connections.has_prefix
    )
