"""ElastiCache operations that moto 5.2.5 lacks: parameter groups, users and their groups, deleting what was made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import redis
from moto.core.responses import ActionResult, EmptyResult
from moto.elasticache.responses import ElastiCacheResponse

from local.aws.backend.errors import ApiError
from local.aws.backend.settings import Address
from local.aws.broker_users import DEFAULT, BrokerUser, BrokerUsers


class _NotFound(ApiError):
    code = "CacheParameterGroupNotFoundFault"


class _SubnetGroupNotFound(ApiError):
    code = "CacheSubnetGroupNotFoundFault"


class _UserGroupNotFound(ApiError):
    code = "UserGroupNotFoundFault"


class _UserNotFound(ApiError):
    code = "UserNotFoundFault"


class _DefaultUserRequired(ApiError):
    code = "DefaultUserRequired"


class _InvalidRules(ApiError):
    code = "InvalidParameterValue"


class ElastiCacheApi(ElastiCacheResponse):  # type: ignore[misc]  # mypy is told not to look into moto
    """One request; `broker` is the address of every replication group."""

    broker: ClassVar[Address]
    users: ClassVar[BrokerUsers]
    _parameter_groups: ClassVar[dict[tuple[str, str], dict[str, Any]]] = {}

    def create_replication_group(self) -> ActionResult:
        result = super().create_replication_group()
        group = self.elasticache_backend.replication_groups[self._get_param("ReplicationGroupId")]
        group.port = self.broker.port
        for node_group in group.node_groups:
            endpoint = {"address": self.broker.host, "port": self.broker.port}
            node_group["primary_endpoint"] = node_group["reader_endpoint"] = endpoint
        self._obey(self._get_param("UserGroupIds", []))
        return result

    def delete_replication_group(self) -> ActionResult:
        """Delete the group at once; moto leaves it `deleting` without end."""
        result = super().delete_replication_group()
        del self.elasticache_backend.replication_groups[self._get_param("ReplicationGroupId")]
        return result

    def delete_cache_subnet_group(self) -> ActionResult:
        name = self._get_param("CacheSubnetGroupName")
        if self.elasticache_backend.cache_subnet_groups.pop(name, None) is None:
            raise _SubnetGroupNotFound(f"Cache subnet group {name} not found.")
        return EmptyResult()

    def create_user(self) -> ActionResult:
        user = BrokerUser(
            id=self._get_param("UserId"),
            name=self._get_param("UserName"),
            access_string=self._get_param("AccessString"),
            passwords=tuple(self._get_param("Passwords", [])),
        )
        self._applied(lambda: self.users.put(user))
        return ActionResult(self._described(user))

    def modify_user(self) -> ActionResult:
        name, rules, passwords = (self._get_param(what) for what in ("UserId", "AccessString", "Passwords"))
        self._user(name)
        self._applied(lambda: self.users.change(name, access_string=rules, passwords=passwords or ()))
        return ActionResult(self._described(self._user(name)))

    def describe_users(self) -> ActionResult:
        name = self._get_param("UserId")
        found = self.users.all() if name is None else (self._user(name),)
        return ActionResult({"Users": [self._described(user) for user in found]})

    def delete_user(self) -> ActionResult:
        user = self._user(self._get_param("UserId"))
        self._applied(lambda: self.users.remove(user.id))
        return ActionResult(self._described(user))

    def create_user_group(self) -> ActionResult:
        name = self._get_param("UserGroupId")
        ids = self._get_param("UserIds", [])
        if DEFAULT not in [self._user(each).name for each in ids]:
            raise _DefaultUserRequired(f"User group {name} needs a user with the name {DEFAULT}.")
        self._applied(lambda: self.users.put_group(name, ids))
        return ActionResult(self._described_group(name))

    def modify_user_group(self) -> ActionResult:
        name = self._get_param("UserGroupId")
        added, removed = self._get_param("UserIdsToAdd", []), self._get_param("UserIdsToRemove", [])
        kept = [each for each in self._group(name) if each not in removed]
        ids = [*kept, *(self._user(each).id for each in added)]
        self._applied(lambda: self.users.put_group(name, ids))
        return ActionResult(self._described_group(name))

    def delete_user_group(self) -> ActionResult:
        name = self._get_param("UserGroupId")
        described = self._described_group(name)
        self._applied(lambda: self.users.remove_group(name))
        return ActionResult(described)

    def _obey(self, groups: list[str]) -> None:
        for name in groups:
            self._group(name)
        self._applied(lambda: self.users.attach(groups))

    def _applied(self, change: Callable[[], object]) -> None:
        try:
            change()
        except redis.RedisError as error:
            # Redis's reply names the rule; it never holds a password.
            raise _InvalidRules(f"The broker does not take the user's rules: {error}") from None

    def _user(self, user_id: str) -> BrokerUser:
        try:
            return self.users.find(user_id)
        except KeyError:
            raise _UserNotFound(f"User {user_id} not found.") from None

    def _group(self, name: str) -> tuple[str, ...]:
        try:
            return self.users.group(name)
        except KeyError:
            raise _UserGroupNotFound(f"User group {name} not found.") from None

    def _described(self, user: BrokerUser) -> dict[str, Any]:
        return {
            "UserId": user.id,
            "UserName": user.name,
            "AccessString": user.access_string,
            "Engine": "redis",
            "Status": "active",
            "UserGroupIds": self.users.groups_of(user.id),
            "Authentication": {"Type": "password", "PasswordCount": len(user.passwords)},
            "ARN": self._arn("user", user.id),
        }

    def _described_group(self, name: str) -> dict[str, Any]:
        return {
            "UserGroupId": name,
            "Engine": "redis",
            "UserIds": list(self._group(name)),
            "Status": "active",
            "ARN": self._arn("usergroup", name),
        }

    def _arn(self, kind: str, name: str) -> str:
        return f"arn:{self.partition}:elasticache:{self.region}:{self.current_account}:{kind}:{name}"

    def create_cache_parameter_group(self) -> ActionResult:
        name = self._get_param("CacheParameterGroupName")
        group = {
            "CacheParameterGroupName": name,
            "CacheParameterGroupFamily": self._get_param("CacheParameterGroupFamily"),
            "Description": self._get_param("Description"),
            "IsGlobal": False,
            "ARN": f"arn:{self.partition}:elasticache:{self.region}:{self.current_account}:parametergroup:{name}",
        }
        self._parameter_groups[self.region, name] = {"group": group, "parameters": {}}
        return ActionResult({"CacheParameterGroup": group})

    def modify_cache_parameter_group(self) -> ActionResult:
        found = self._parameter_group()
        for parameter in self._get_param("ParameterNameValues", []):
            found["parameters"][parameter["ParameterName"]] = parameter["ParameterValue"]
        return ActionResult({"CacheParameterGroupName": self._get_param("CacheParameterGroupName")})

    def delete_cache_parameter_group(self) -> ActionResult:
        self._parameter_group()
        del self._parameter_groups[self.region, self._get_param("CacheParameterGroupName")]
        return EmptyResult()

    def _parameter_group(self) -> dict[str, Any]:
        name = self._get_param("CacheParameterGroupName")
        if (self.region, name) not in self._parameter_groups:
            raise _NotFound(f"CacheParameterGroup {name} not found.")
        return self._parameter_groups[self.region, name]
