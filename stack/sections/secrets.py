"""Secrets that the stack generates, so that none is typed by hand or stands in the template."""

from dataclasses import dataclass
from functools import partial

from troposphere import Output, Ref, RetainExceptOnCreate, Template

from stack.lib.secrets import KEY_LENGTH, SecretValue, add_generated_secret, whole_secret
from stack.lib.settings import Settings
from stack.sections.backups import Backups

FERNET_LENGTH = 32  # a Fernet key is 32 bytes, base64-encoded; the image encodes these characters
PASSWORD_LENGTH = 24


@dataclass(frozen=True, kw_only=True)
class Secrets:
    fernet: SecretValue
    api: SecretValue
    jwt: SecretValue
    admin: SecretValue


def add_secrets(t: Template, *, settings: Settings, backups: Backups) -> Secrets:
    add = partial(add_generated_secret, t, settings=settings)
    fernet = add(
        "FernetSecret", length=FERNET_LENGTH, description="Encrypts connections and variables in Airflow's database"
    )
    # A database restored from its last snapshot is unreadable without this key, so it outlives the stack too.
    fernet.DeletionPolicy = RetainExceptOnCreate
    fernet.UpdateReplacePolicy = "Retain"
    fernet.ReplicaRegions = backups.replica_regions
    api = add("ApiSecret", length=KEY_LENGTH, description="Signs the web sessions of Airflow")
    jwt = add("JwtSecret", length=KEY_LENGTH, description="Signs the tokens of users and tasks")
    admin = add("AdminSecret", length=PASSWORD_LENGTH, description="Password of the user admin in Airflow and Flower")
    t.add_output(Output("AdminSecretArn", Description="Secret with the password of the user admin.", Value=Ref(admin)))
    return Secrets(fernet=whole_secret(fernet), api=whole_secret(api), jwt=whole_secret(jwt), admin=whole_secret(admin))
