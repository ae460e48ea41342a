"""How people sign in to Airflow: with the provider, or as local users with passwords from a secret, for a while."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import Equals, If, Not, Ref, Template

from stack.lib.listeners import Balancer
from stack.lib.parameters import Between, FormGroup, Matching, add_condition
from stack.lib.secrets import SecretValue

GROUP = "Sign-in"
# Long enough for a form; a week, so that a forgotten browser does not stay signed in.
LEAST_SESSION_MINUTES, MOST_SESSION_MINUTES = 5, 7 * 24 * 60
SECRET_ARN = r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+"  # noqa: S105


@dataclass(frozen=True, kw_only=True)
class People:
    """What the webserver gets, and the container that makes the users."""

    environment: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]
    makers_environment: Mapping[str, Any]
    makers_secrets: Mapping[str, SecretValue]


def add_people(t: Template, *, admin: SecretValue, balancer: Balancer) -> People:
    form = FormGroup(t, GROUP)
    minutes = form.add(
        "SessionMinutes",
        label="Minutes of a session",
        description="Minutes after which people must sign in to Airflow again, however much they use it.",
        constraint=Between(low=LEAST_SESSION_MINUTES, high=MOST_SESSION_MINUTES),
        default=8 * 60,
    )
    arn = form.add(
        "PasswordsSecretArn",
        label="Passwords of users",
        description="ARN of a secret whose JSON has the password of each user of airflow_image/access.yaml by name; "
        "empty for none.",
        constraint=Matching(regex=f"^({SECRET_ARN})?$", must_be="the ARN of a secret, or empty"),
        default="",
    )
    has_passwords = add_condition(t, "HasPasswordsSecret", Not(Equals(Ref(arn), "")))
    return People(
        environment={
            **balancer.sign_in.environment,
            "SESSION_MINUTES": Ref(minutes),
            "HAS_TLS": If(balancer.has_certificate, "true", "false"),
        },
        secrets=balancer.sign_in.secrets,
        makers_environment={"ROLE_MAPPING": balancer.sign_in.environment["ROLE_MAPPING"]},
        makers_secrets={
            "ADMIN_PASSWORD": admin,
            "USER_PASSWORDS": SecretValue(arn=Ref(arn), value_from=Ref(arn), condition=has_passwords),
        },
    )
