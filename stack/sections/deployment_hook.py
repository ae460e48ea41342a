"""A deployment lifecycle hook on the services: ECS asks whether the tasks that it has just started run one code.

Off by default: under ECS's rolling strategy, which the services use, hooks have not been seen to be called.
"""

from collections.abc import Sequence

from troposphere import Equals, If, NoValue, Ref, Template
from troposphere.ecs import DeploymentLifecycleHook, Service
from troposphere.iam import ManagedPolicy

from stack.lib.function import Code, add_function
from stack.lib.iam import ECS, add_role, allow, inspect_revisions
from stack.lib.parameters import YES_OR_NO, add_condition, add_parameter
from stack.lib.security_groups import Group
from stack.sections.airflow import Foundation

GROUP = "Versions"
STAGE = "POST_SCALE_UP"


def add_deployment_hook(
    t: Template, *, base: Foundation, group: Group, network_policy: ManagedPolicy, services: Sequence[Service]
) -> None:
    """The hook's function knows no service: each of them names the function, and two cannot name each other."""
    wanted = add_parameter(
        t,
        "DeploymentHook",
        group=GROUP,
        label="Ask before a deployment goes on",
        description="Whether ECS asks, in a deployment, if all new tasks run one code; not yet confirmed on AWS.",
        constraint=YES_OR_NO,
        default="false",
    )
    is_asked = add_condition(t, "IsDeploymentHooked", Equals(Ref(wanted), "true"))
    function = add_function(
        t,
        "DeploymentHook",
        base=base,
        group=group,
        code=Code(
            package="version_check",
            module="hook",
            environment={
                **base.broker.environment,
                "BROKER_SECRET_ARN": Ref(base.broker.secret),
                "CLUSTER": Ref(base.cluster.ecs),
            },
            statements=inspect_revisions(cluster=base.cluster.ecs),
            network_policy=network_policy,
            condition=is_asked,
        ),
    )
    role = add_role(
        t,
        "DeploymentHookCallerRole",
        service=ECS,
        statements=[allow(actions=["lambda:InvokeFunction"], resources=[function.get_att("Arn")])],
        boundary=base.settings.permissions_boundary,
    )
    role.Condition = is_asked
    hook = DeploymentLifecycleHook(
        HookTargetArn=function.get_att("Arn"), LifecycleStages=[STAGE], RoleArn=role.get_att("Arn")
    )
    for service in services:
        service.DeploymentConfiguration.LifecycleHooks = If(is_asked, [hook], NoValue)
