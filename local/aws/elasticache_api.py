"""ElastiCache operations that moto 5.2.5 lacks: parameter groups, user groups, and deleting what was made."""

from __future__ import annotations

from typing import Any, ClassVar

from moto.core.responses import ActionResult, EmptyResult
from moto.elasticache.responses import ElastiCacheResponse

from local.aws.backend.errors import ApiError
from local.aws.backend.settings import Address


class _NotFound(ApiError):
    code = "CacheParameterGroupNotFoundFault"


class _SubnetGroupNotFound(ApiError):
    code = "CacheSubnetGroupNotFoundFault"


class _UserGroupNotFound(ApiError):
    code = "UserGroupNotFoundFault"


class ElastiCacheApi(ElastiCacheResponse):  # type: ignore[misc]  # mypy is told not to look into moto
    """One request; `broker` is the address of every replication group."""

    broker: ClassVar[Address]
    _parameter_groups: ClassVar[dict[tuple[str, str], dict[str, Any]]] = {}
    _user_groups: ClassVar[dict[tuple[str, str], dict[str, Any]]] = {}

    def create_replication_group(self) -> ActionResult:
        result = super().create_replication_group()
        group = self.elasticache_backend.replication_groups[self._get_param("ReplicationGroupId")]
        group.port = self.broker.port
        for node_group in group.node_groups:
            endpoint = {"address": self.broker.host, "port": self.broker.port}
            node_group["primary_endpoint"] = node_group["reader_endpoint"] = endpoint
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

    def create_user_group(self) -> ActionResult:
        name = self._get_param("UserGroupId")
        group = {
            "UserGroupId": name,
            "Engine": self._get_param("Engine"),
            "UserIds": self._get_param("UserIds", []),
            "Status": "active",
            "ARN": f"arn:{self.partition}:elasticache:{self.region}:{self.current_account}:usergroup:{name}",
        }
        self._user_groups[self.region, name] = group
        return ActionResult(group)

    def delete_user_group(self) -> ActionResult:
        group = self._user_group()
        del self._user_groups[self.region, group["UserGroupId"]]
        return ActionResult(group)

    def _user_group(self) -> dict[str, Any]:
        name = self._get_param("UserGroupId")
        if (self.region, name) not in self._user_groups:
            raise _UserGroupNotFound(f"User group {name} not found.")
        return self._user_groups[self.region, name]

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
