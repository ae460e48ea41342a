"""Airflow's connections and variables, kept as secrets below a prefix that an environment names."""

from dataclasses import dataclass

from troposphere import Equals, Not, Ref, Template
from troposphere.iam import Role

from stack.lib.iam import add_policy, read_below
from stack.lib.parameters import Matching, add_condition, add_parameter

GROUP = "Airflow"


@dataclass(frozen=True, kw_only=True)
class SecretConnections:
    """`prefix` is empty where the condition `has_prefix` does not hold."""

    prefix: Ref
    has_prefix: str


def add_secret_connections(t: Template) -> SecretConnections:
    prefix = add_parameter(
        t,
        "ConnectionsPrefix",
        group=GROUP,
        label="Prefix of connections",
        description="Secrets <prefix>/connections/<id> and <prefix>/variables/<key> serve Airflow; empty for none.",
        constraint=Matching(
            regex=r"^([A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)*)?$",
            says="a secret's name without a last slash, or empty",
        ),
        default="",
    )
    return SecretConnections(
        prefix=Ref(prefix), has_prefix=add_condition(t, "HasConnectionsPrefix", Not(Equals(Ref(prefix), "")))
    )


def let_read_connections(t: Template, title: str, *, role: Role, connections: SecretConnections) -> None:
    """Code with this role may read what is below the prefix, and change nothing there."""
    add_policy(t, title, role=role, statements=[read_below(connections.prefix)], condition=connections.has_prefix)
