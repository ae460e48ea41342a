"""Generated secrets, and the references by which containers receive a secret."""

from dataclasses import dataclass
from typing import Any

from troposphere import If, NoValue, Ref, Sub, Template
from troposphere.secretsmanager import GenerateSecretString, Secret

from stack.lib.parameters import placeholder
from stack.lib.settings import Settings

KEY_LENGTH = 64


@dataclass(frozen=True, kw_only=True)
class SecretValue:
    """The source of a container's secret: a whole secret, or one key of its JSON.

    `condition`: the name of the condition under which there is one; None for always.
    """

    arn: Any
    value_from: Any
    condition: str | None = None

    def if_there(self, value: Any) -> Any:
        """Return the value under the condition."""
        return value if self.condition is None else If(self.condition, value, NoValue)


def add_generated_secret(t: Template, title: str, *, settings: Settings, length: int, description: str) -> Secret:
    """Add a secret of letters and digits only: they fit into a URL, a Redis AUTH token and a Fernet key alike."""
    return t.add_resource(
        Secret(
            title,
            Description=description,
            GenerateSecretString=GenerateSecretString(PasswordLength=length, ExcludePunctuation=True),
            KmsKeyId=settings.key_arn,
        )
    )


def whole_secret(secret: Secret) -> SecretValue:
    return SecretValue(arn=Ref(secret), value_from=Ref(secret))


def secret_field(*, owner: Any, attribute: str, key: str) -> SecretValue:
    """Refer to one key of the JSON secret whose ARN is `attribute` of `owner`.

    The empty parts of the reference mean the secret's current version.
    """
    return SecretValue(arn=owner.get_att(attribute), value_from=Sub(f"{placeholder(owner, attribute)}:{key}::"))
