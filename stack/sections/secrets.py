"""Secrets that the stack generates, so that none is ever typed or stands in the template."""

from dataclasses import dataclass
from typing import Any

from troposphere import Output, Ref, Sub, Template
from troposphere.secretsmanager import GenerateSecretString, Secret

from stack.lib.parameters import hole
from stack.sections.settings import Settings

FERNET_LENGTH = 32  # a Fernet key is 32 bytes, base64-encoded; the image encodes these characters
KEY_LENGTH = 64
PASSWORD_LENGTH = 24


@dataclass(frozen=True, kw_only=True)
class SecretValue:
    """Where a container's secret comes from: all of a secret, or one key of its JSON."""

    arn: Any
    value_from: Any


@dataclass(frozen=True, kw_only=True)
class Secrets:
    fernet: SecretValue
    api: SecretValue
    jwt: SecretValue
    admin: SecretValue


def add_secrets(t: Template, *, settings: Settings) -> Secrets:
    fernet = add_generated_secret(
        t,
        "FernetSecret",
        settings=settings,
        length=FERNET_LENGTH,
        description="Encrypts connections and variables in Airflow's database",
    )
    # A database restored from its last snapshot is unreadable without this key, so it outlives the stack too.
    fernet.DeletionPolicy = "Retain"
    fernet.UpdateReplacePolicy = "Retain"
    api = add_generated_secret(
        t, "ApiSecret", settings=settings, length=KEY_LENGTH, description="Signs the web sessions of Airflow"
    )
    jwt = add_generated_secret(
        t, "JwtSecret", settings=settings, length=KEY_LENGTH, description="Signs the tokens of users and tasks"
    )
    admin = add_generated_secret(
        t,
        "AdminSecret",
        settings=settings,
        length=PASSWORD_LENGTH,
        description="Password of the user admin in Airflow and Flower",
    )
    t.add_output(Output("AdminSecretArn", Description="Secret with the password of the user admin.", Value=Ref(admin)))
    return Secrets(fernet=whole(fernet), api=whole(api), jwt=whole(jwt), admin=whole(admin))


def add_generated_secret(t: Template, title: str, *, settings: Settings, length: int, description: str) -> Secret:
    """Letters and digits only: they fit into a URL, a Redis AUTH token and a Fernet key alike."""
    return t.add_resource(
        Secret(
            title,
            Description=description,
            GenerateSecretString=GenerateSecretString(PasswordLength=length, ExcludePunctuation=True),
            KmsKeyId=settings.key_arn,
        )
    )


def whole(secret: Secret) -> SecretValue:
    return SecretValue(arn=Ref(secret), value_from=Ref(secret))


def key_of(*, owner: Any, attribute: str, key: str) -> SecretValue:
    """One key of the JSON secret whose ARN is `attribute` of `owner`; the empty parts mean its current version."""
    return SecretValue(arn=owner.get_att(attribute), value_from=Sub(f"{hole(owner, attribute)}:{key}::"))
