"""AWS::IAM resources: roles and policies."""

from __future__ import annotations

import json

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, shortened, without

ROLE_NAME_LENGTH = 64


def _fill(cloud: Cloud, role: str, properties: Properties) -> None:
    iam = cloud.client("iam")
    for policy in properties.get("Policies", []):
        document = json.dumps(policy["PolicyDocument"])
        iam.put_role_policy(RoleName=role, PolicyName=policy["PolicyName"], PolicyDocument=document)
    for arn in properties.get("ManagedPolicyArns", []):
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)


def _empty(cloud: Cloud, role: str, properties: Properties) -> None:
    iam = cloud.client("iam")
    for policy in properties.get("Policies", []):
        iam.delete_role_policy(RoleName=role, PolicyName=policy["PolicyName"])
    for arn in properties.get("ManagedPolicyArns", []):
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)


def _create_role(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    request = {"RoleName": shortened(name, ROLE_NAME_LENGTH), **without(properties, "Policies", "ManagedPolicyArns")}
    role = cloud.call("iam", "create_role", request)["Role"]
    _fill(cloud, role["RoleName"], properties)
    return PhysicalResource(id=role["RoleName"], attributes={"Arn": role["Arn"], "RoleId": role["RoleId"]})


def _update_role(cloud: Cloud, change: Change) -> PhysicalResource:
    trust = json.dumps(change.new["AssumeRolePolicyDocument"])
    cloud.client("iam").update_assume_role_policy(RoleName=change.physical.id, PolicyDocument=trust)
    _describe_role(cloud, change)
    _empty(cloud, change.physical.id, change.old)
    _fill(cloud, change.physical.id, change.new)
    return change.physical


def _describe_role(cloud: Cloud, change: Change) -> None:
    iam, role = cloud.client("iam"), {"RoleName": change.physical.id}
    if change.differs("PermissionsBoundary"):
        if boundary := change.new.get("PermissionsBoundary"):
            iam.put_role_permissions_boundary(**role, PermissionsBoundary=boundary)
        else:
            iam.delete_role_permissions_boundary(**role)
    if change.differs("Description") or change.differs("MaxSessionDuration"):
        described = {key: change.new[key] for key in ("Description", "MaxSessionDuration") if key in change.new}
        iam.update_role(**role, **described)


def _delete_role(cloud: Cloud, physical: PhysicalResource) -> None:
    iam = cloud.client("iam")
    for policy in iam.list_role_policies(RoleName=physical.id)["PolicyNames"]:
        iam.delete_role_policy(RoleName=physical.id, PolicyName=policy)
    for attached in iam.list_attached_role_policies(RoleName=physical.id)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=physical.id, PolicyArn=attached["PolicyArn"])
    iam.delete_role(RoleName=physical.id)


def _put_policy(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    document = json.dumps(properties["PolicyDocument"])
    policy = properties["PolicyName"]
    for role in properties["Roles"]:
        cloud.client("iam").put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document)
    return PhysicalResource(id=name, attributes={"Id": name, "_policy": policy, "_roles": list(properties["Roles"])})


def _update_policy(cloud: Cloud, change: Change) -> PhysicalResource:
    if change.differs("PolicyName") or change.differs("Roles"):
        _delete_policy(cloud, change.physical)
    return _put_policy(cloud, change.physical.id, change.new)


def _delete_policy(cloud: Cloud, physical: PhysicalResource) -> None:
    for role in physical.attributes["_roles"]:
        cloud.client("iam").delete_role_policy(RoleName=role, PolicyName=physical.attributes["_policy"])


def _create_managed_policy(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    plain = without(properties, "Roles", "ManagedPolicyName")
    request = {"PolicyName": properties.get("ManagedPolicyName", name), **plain}
    arn = cloud.call("iam", "create_policy", request)["Policy"]["Arn"]
    for role in properties.get("Roles", []):
        cloud.client("iam").attach_role_policy(RoleName=role, PolicyArn=arn)
    return PhysicalResource(id=arn, attributes={"PolicyArn": arn})


def _update_managed_policy(cloud: Cloud, change: Change) -> PhysicalResource:
    iam, arn = cloud.client("iam"), change.physical.id
    document = json.dumps(change.new["PolicyDocument"])
    former = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
    iam.delete_policy_version(PolicyArn=arn, VersionId=former)
    return change.physical


def _delete_managed_policy(cloud: Cloud, physical: PhysicalResource) -> None:
    iam = cloud.client("iam")
    for role in iam.list_entities_for_policy(PolicyArn=physical.id)["PolicyRoles"]:
        iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn=physical.id)
    iam.delete_policy(PolicyArn=physical.id)


KINDS = (
    Kind(
        type="AWS::IAM::Role",
        create=_create_role,
        update=_update_role,
        unchangeable=frozenset(("Tags",)),
        delete=_delete_role,
    ),
    Kind(
        type="AWS::IAM::Policy",
        create=_put_policy,
        update=_update_policy,
        delete=_delete_policy,
    ),
    Kind(
        type="AWS::IAM::ManagedPolicy",
        create=_create_managed_policy,
        update=_update_managed_policy,
        unchangeable=frozenset(("Groups", "Roles", "Tags", "Users")),
        delete=_delete_managed_policy,
    ),
)
