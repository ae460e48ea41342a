"""What the embedded API holds that decides about access: sessions, roles, policies of resources, tags, keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.ecs.models import ecs_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.ses.models import ses_backends
from moto.sns.models import sns_backends
from moto.sts.models import sts_backends

from local.aws.ecs.api import EcsApi, definition_of

OWN_KEY = "alias/aws/"  # of AWS's own keys, whose policies allow every use through their service


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session of a role, by its access key."""

    role_arn: str
    arn: str
    user_id: str
    expires: datetime
    secret: str
    token: str


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What a resource adds: its full ARN, its policy, its tags, and the key that encrypts it."""

    arn: str
    policy: str | None = None
    tags: Mapping[str, str] | None = None
    key: str | None = None
    is_missing: bool = False


class State:
    """The state of one account."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._sessions: dict[str, Session] = {}

    def session(self, key_id: str, partition: str) -> Session | None:
        """Return the session of an access key; None for one that was never given out."""
        if key_id not in self._sessions:
            for made in sts_backends[self._account][partition].assumed_roles:
                expires = made.expiration.replace(tzinfo=UTC)  # moto's is naive, and UTC
                self._sessions.setdefault(
                    made.access_key_id,
                    Session(
                        role_arn=made.role_arn,
                        arn=made.arn,
                        user_id=made.user_id,
                        expires=expires,
                        secret=made.secret_access_key,
                        token=made.session_token,
                    ),
                )
        return self._sessions.get(key_id)

    def role_policies(self, role_arn: str, partition: str) -> tuple[list[str], str | None]:
        """Return the policies of a role, and its permissions boundary. Raises KeyError when there is no such role."""
        role, iam = self._role(role_arn, partition), iam_backends[self._account][partition]
        attached = [_current(policy) for policy in role.managed_policies.values()]
        boundary = role.permissions_boundary_arn
        limit = _current(iam.managed_policies[boundary]) if boundary else None
        return [*map(_text, role.policies.values()), *attached], limit

    def trust_policy(self, role_arn: str, partition: str) -> str | None:
        """Return who may take a role; None when there is no such role."""
        try:
            return _text(self._role(role_arn, partition).assume_role_policy_document)
        except KeyError:
            return None

    def task_roles(self, definition: str, region: str) -> tuple[str, ...]:
        """Return the roles of a task definition: its containers', and ECS's own for them. None if it does not exist."""
        try:
            found = definition_of(ecs_backends[self._account][region], definition)
        except (JsonRESTError, ValueError):
            return ()
        # Of a definition that was registered without one, moto has no such attribute.
        roles = (getattr(found, name, None) for name in ("task_role_arn", "execution_role_arn"))
        return tuple(str(role) for role in roles if role)

    def resource(self, arn: str, region: str) -> Resource:
        """Return what is known of the resource with this ARN; of an unknown one, just the ARN."""
        partition, service = arn.split(":")[1:3] if arn.startswith("arn:") else ("aws", "")
        find = {"secretsmanager": self._secret, "sns": self._topic, "kms": self._key, "ecs": self._ecs}.get(service)
        if service == "s3":
            return self._s3(arn, partition)
        return Resource(arn=arn) if find is None else find(arn, region)

    def identity_of(self, address: str, region: str) -> str:
        """Return the identity of SES with which an address sends: itself if it is one, else its domain."""
        identities = ses_backends[self._account][region].email_identities
        return address if address in identities else address.rpartition("@")[2]

    def key_of(self, name: str, region: str) -> str | None:
        """Return the ARN of a customer's key by its id, ARN or alias; None for a key of AWS."""
        if not name or OWN_KEY in name:
            return None
        keys = kms_backends[self._account][region]
        found = keys.keys.get(name.rpartition("/")[2])
        return str(found.arn) if found is not None else None

    def _role(self, role_arn: str, partition: str) -> Any:
        for role in iam_backends[self._account][partition].get_roles():
            if role.arn == role_arn:
                return role
        raise KeyError(role_arn)

    def _secret(self, arn: str, region: str) -> Resource:
        wanted = arn.split(":secret:", 1)[-1]
        for secret in secretsmanager_backends[self._account][region].secrets.values():
            if secret.arn == arn or secret.name == wanted:
                tags = {tag["Key"]: tag["Value"] for tag in secret.tags or ()}
                key = self.key_of(secret.kms_key_id or "", region)
                return Resource(arn=secret.arn, policy=secret.policy, tags=tags, key=key)
        return Resource(arn=arn)

    def _topic(self, arn: str, region: str) -> Resource:
        topic = sns_backends[self._account][region].topics.get(arn)
        if topic is None:
            return Resource(arn=arn)
        return Resource(arn=arn, policy=topic.policy, key=self.key_of(topic.kms_master_key_id, region))

    def _key(self, arn: str, region: str) -> Resource:
        key = kms_backends[self._account][region].keys.get(arn.rpartition("/")[2])
        return Resource(arn=arn, policy=None if key is None else key.policy)

    def _s3(self, arn: str, partition: str) -> Resource:
        bucket_name, _, key_name = arn.split(":", 5)[5].partition("/")
        bucket = s3_backends[self._account][partition].buckets.get(bucket_name)
        if bucket is None:
            return Resource(arn=arn)
        encryption = ((bucket.encryption or {}).get("Rule") or {}).get("ApplyServerSideEncryptionByDefault") or {}
        return Resource(
            arn=arn,
            policy=None if bucket.policy is None else _text(bucket.policy),
            key=self.key_of(encryption.get("KMSMasterKeyID") or "", bucket.region_name),
            is_missing=bool(key_name) and key_name not in bucket.keys,
        )

    def _ecs(self, arn: str, region: str) -> Resource:
        kind, _, path = arn.split(":", 5)[5].partition("/")
        cluster_name, _, name = path.partition("/")
        clusters = ecs_backends[self._account][region].clusters
        cluster = EcsApi.cluster(clusters[cluster_name].arn) if cluster_name in clusters else None
        if cluster is None:
            return Resource(arn=arn)
        if kind == "service":
            service = cluster.services.get(name)
            listed = () if service is None else service.properties.get("tags", ())
        else:
            task = cluster.tasks.get(name)
            listed = () if task is None else task.request.get("tags") or ()
        return Resource(arn=arn, tags={tag["key"]: tag.get("value", "") for tag in listed})


def _current(policy: Any) -> str:
    """Return the version in force of a managed policy. Raises StopIteration when there is none."""
    return _text(next(each.document for each in policy.versions if each.version_id == policy.default_version_id))


def _text(document: Any) -> str:
    """Return a policy as text; moto keeps some as bytes, some as objects."""
    if isinstance(document, bytes):
        return document.decode()
    return document if isinstance(document, str) else json.dumps(document)
