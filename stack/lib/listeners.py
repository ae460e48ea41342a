"""Web pages behind the load balancer: a listener forwards to a container's port."""

from dataclasses import dataclass
from typing import Any

from troposphere import If, NoValue, Output, Ref, Sub, Template
from troposphere.elasticloadbalancingv2 import (
    Action,
    AuthenticateOidcConfig,
    Certificate,
    Condition,
    FixedResponseConfig,
    Listener,
    ListenerRule,
    ListenerRuleAction,
    LoadBalancer,
    Matcher,
    PathPatternConfig,
    TargetGroup,
    TargetGroupAttribute,
)

from stack.lib.parameters import placeholder
from stack.lib.security_groups import Group

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
HEALTH_INTERVAL_S = 15
HEALTH_TIMEOUT_S = 10
DEREGISTRATION_S = 30


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """`has_oidc` is the condition under which a listener signs people in with `config` before it forwards."""

    has_oidc: str
    config: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Balancer:
    """`web_port` is the default port of the scheme: the site behind it needs no port in its URL."""

    resource: LoadBalancer
    group: Group
    vpc: If
    certificate_arn: Ref
    has_certificate: str
    web_port: If
    sign_in: SignIn


@dataclass(frozen=True, kw_only=True)
class WebTarget:
    """A container that the load balancer sends requests to."""

    container: str
    port: int
    target_group: TargetGroup
    listener: Listener


def add_web_target(
    t: Template, prefix: str, *, balancer: Balancer, container: str, port: int, listener_port: Any, health_path: str
) -> WebTarget:
    """Add a target group and a listener for a container's port, named after `prefix`."""
    target_group = t.add_resource(
        TargetGroup(
            f"{prefix}TargetGroup",
            HealthCheckIntervalSeconds=HEALTH_INTERVAL_S,
            HealthCheckPath=health_path,
            HealthCheckTimeoutSeconds=HEALTH_TIMEOUT_S,
            HealthyThresholdCount=2,
            Matcher=Matcher(HttpCode="200"),
            Port=port,
            Protocol="HTTP",
            TargetGroupAttributes=[
                TargetGroupAttribute(Key="deregistration_delay.timeout_seconds", Value=str(DEREGISTRATION_S))
            ],
            TargetType="ip",
            UnhealthyThresholdCount=3,
            VpcId=balancer.vpc,
        )
    )
    certified = balancer.has_certificate
    listener = t.add_resource(
        Listener(
            f"{prefix}Listener",
            Certificates=If(certified, [Certificate(CertificateArn=balancer.certificate_arn)], NoValue),
            DefaultActions=_actions(balancer.sign_in, target_group=target_group),
            LoadBalancerArn=Ref(balancer.resource),
            Port=listener_port,
            Protocol=If(certified, "HTTPS", "HTTP"),
            SslPolicy=If(certified, TLS_POLICY, NoValue),
        )
    )
    return WebTarget(container=container, port=port, target_group=target_group, listener=listener)


def _actions(sign_in: SignIn, *, target_group: TargetGroup) -> list[Any]:
    authenticate = Action(
        Type="authenticate-oidc", Order=1, AuthenticateOidcConfig=AuthenticateOidcConfig(**sign_in.config)
    )
    forward = Action(Type="forward", Order=2, TargetGroupArn=Ref(target_group))
    return [If(sign_in.has_oidc, authenticate, NoValue), forward]


def hide_paths(t: Template, title: str, *, target: WebTarget, paths: list[str]) -> None:
    """Answer 404 to paths of a site that only the stack's own ECS tasks may use."""
    t.add_resource(
        ListenerRule(
            title,
            ListenerArn=Ref(target.listener),
            Priority=1,
            Conditions=[Condition(Field="path-pattern", PathPatternConfig=PathPatternConfig(Values=paths))],
            Actions=[
                ListenerRuleAction(
                    Type="fixed-response",
                    FixedResponseConfig=FixedResponseConfig(
                        StatusCode="404", ContentType="text/plain", MessageBody="Not found"
                    ),
                )
            ],
        )
    )


def add_url_output(t: Template, title: str, *, balancer: Balancer, description: str, port: int | None = None) -> None:
    """Output the URL of a site; without `port`, it uses the default port of the scheme."""
    text = f"${{Scheme}}://{placeholder(balancer.resource, 'DNSName')}{'' if port is None else f':{port}'}"
    scheme = If(balancer.has_certificate, "https", "http")
    t.add_output(Output(title, Description=description, Value=Sub(text, Scheme=scheme)))
