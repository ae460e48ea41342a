"""Web pages behind the load balancer: a listener forwards to a container's port."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import If, NoValue, Output, Ref, Split, Sub, Template
from troposphere.elasticloadbalancingv2 import (
    Action,
    Certificate,
    Condition,
    FixedResponseConfig,
    Listener,
    ListenerRule,
    ListenerRuleAction,
    ListenerRuleAuthenticateOidcConfig,
    LoadBalancer,
    Matcher,
    PathPatternConfig,
    TargetGroup,
    TargetGroupAttribute,
)

from stack.lib.secrets import SecretValue
from stack.lib.security_groups import Group

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
HEALTH_INTERVAL_S = 15
HEALTH_TIMEOUT_S = 10
# ECS replaces an ECS task whose target is unhealthy, the scheduler beside the webserver included. A database failover
# takes up to two minutes, in which a webserver does not answer. The most that a target group accepts.
UNHEALTHY_ATTEMPTS = 10
DEREGISTRATION_S = 30
MAX_PATHS = 5  # condition values that a rule may have
# After a sign-in the provider sends the browser there. The load balancer answers it itself.
SIGNED_IN_PATH = "/oauth2/idpresponse"
# Priorities of rules that forward; rules that hide paths come before them.
FIRST_ALLOWED, LAST_ALLOWED = 10, 99


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """`has_oidc` is the condition under which people sign in with a provider.

    A listener does so with `config` before it forwards to a site that has no sign-in with a provider itself. A site
    that has one gets `environment` and `secrets`.
    """

    has_oidc: str
    config: dict[str, Any]
    environment: dict[str, Any]
    secrets: dict[str, SecretValue]


@dataclass(frozen=True, kw_only=True)
class Balancer:
    """`host`: the name by which people reach it. `web_port`: the scheme's default port, which needs none in the URL."""

    resource: LoadBalancer
    group: Group
    vpc: If
    host: If
    certificate_arn: If
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
    rules: tuple[ListenerRule, ...]


@dataclass(frozen=True, kw_only=True)
class MorePaths:
    """Path patterns that an operator gives, under the condition that there are some."""

    values: Split
    condition: str


def add_web_target(
    t: Template,
    prefix: str,
    *,
    balancer: Balancer,
    container: str,
    port: int,
    listener_port: Any,
    health_path: str,
    paths: Sequence[str],
    paths_without_sign_in: Sequence[str] = (),
    group_port: int | None = None,
    more_paths: MorePaths | None = None,
    signs_in: bool = False,
) -> WebTarget:
    """Add a target group and a listener for a container's port, named after `prefix`.

    The listener forwards what matches a pattern of `paths` or `more_paths`, and answers 404 to everything else. It
    signs no one in for `paths_without_sign_in`, also if they match `paths`.
    `group_port`: the target group's own port if it is not the container's. `signs_in`: the site itself asks people to
    sign in with the provider, so that they are not asked twice.
    """
    target_group = t.add_resource(
        TargetGroup(
            f"{prefix}TargetGroup",
            HealthCheckIntervalSeconds=HEALTH_INTERVAL_S,
            HealthCheckPath=health_path,
            HealthCheckTimeoutSeconds=HEALTH_TIMEOUT_S,
            HealthyThresholdCount=2,
            Matcher=Matcher(HttpCode="200"),
            Port=port if group_port is None else group_port,
            Protocol="HTTP",
            TargetGroupAttributes=[
                TargetGroupAttribute(Key="deregistration_delay.timeout_seconds", Value=str(DEREGISTRATION_S))
            ],
            TargetType="ip",
            UnhealthyThresholdCount=UNHEALTHY_ATTEMPTS,
            VpcId=balancer.vpc,
        )
    )
    certified = balancer.has_certificate
    listener = t.add_resource(
        Listener(
            f"{prefix}Listener",
            Certificates=If(certified, [Certificate(CertificateArn=balancer.certificate_arn)], NoValue),
            DefaultActions=[Action(Type="fixed-response", FixedResponseConfig=_not_found())],
            LoadBalancerArn=Ref(balancer.resource),
            Port=listener_port,
            Protocol=If(certified, "HTTPS", "HTTP"),
            SslPolicy=If(certified, TLS_POLICY, NoValue),
        )
    )
    actions = _actions(None if signs_in else balancer.sign_in, target_group=target_group)
    rules = []
    if paths_without_sign_in:
        title, open_to = f"{prefix}AllowsMachines", list(paths_without_sign_in)
        rules.append(_allow(t, title, listener=listener, priority=FIRST_ALLOWED, values=open_to, actions=actions[-1:]))
    all_paths = paths if signs_in else (*paths, SIGNED_IN_PATH)
    for number, values in enumerate(_batched(all_paths), start=1):
        title, priority = f"{prefix}Allows{number}", FIRST_ALLOWED + number
        rules.append(_allow(t, title, listener=listener, priority=priority, values=values, actions=actions))
    if more_paths is not None:
        title, more = f"{prefix}AllowsMore", more_paths.values
        rule = _allow(t, title, listener=listener, priority=LAST_ALLOWED, values=more, actions=actions)
        rule.Condition = more_paths.condition
    return WebTarget(container=container, port=port, target_group=target_group, listener=listener, rules=tuple(rules))


def _allow(
    t: Template, title: str, *, listener: Listener, priority: int, values: Any, actions: list[Any]
) -> ListenerRule:
    return t.add_resource(
        ListenerRule(
            title,
            ListenerArn=Ref(listener),
            Priority=priority,
            Conditions=[Condition(Field="path-pattern", PathPatternConfig=PathPatternConfig(Values=values))],
            Actions=actions,
        )
    )


def _batched(paths: Sequence[str]) -> Iterator[list[str]]:
    """Yield the paths in lists of the size that one rule may have."""
    for first in range(0, len(paths), MAX_PATHS):
        yield list(paths[first : first + MAX_PATHS])


def _actions(sign_in: SignIn | None, *, target_group: TargetGroup) -> list[Any]:
    if sign_in is None:
        return [ListenerRuleAction(Type="forward", TargetGroupArn=Ref(target_group))]
    authenticate = ListenerRuleAction(
        Type="authenticate-oidc", Order=1, AuthenticateOidcConfig=ListenerRuleAuthenticateOidcConfig(**sign_in.config)
    )
    forward = ListenerRuleAction(Type="forward", Order=2, TargetGroupArn=Ref(target_group))
    return [If(sign_in.has_oidc, authenticate, NoValue), forward]


def _not_found() -> FixedResponseConfig:
    return FixedResponseConfig(StatusCode="404", ContentType="text/plain", MessageBody="Not found")


def hide_paths(t: Template, title: str, *, target: WebTarget, paths: list[str]) -> None:
    """Answer 404 to paths of a site that only the stack's own ECS tasks may use."""
    t.add_resource(
        ListenerRule(
            title,
            ListenerArn=Ref(target.listener),
            Priority=1,
            Conditions=[Condition(Field="path-pattern", PathPatternConfig=PathPatternConfig(Values=paths))],
            Actions=[ListenerRuleAction(Type="fixed-response", FixedResponseConfig=_not_found())],
        )
    )


def site_url(balancer: Balancer, *, port: int | None = None) -> Sub:
    """Return the URL of a site, without a slash at its end; without `port`, it uses the scheme's default port."""
    text = f"${{Scheme}}://${{Host}}{'' if port is None else f':{port}'}"
    return Sub(text, Scheme=If(balancer.has_certificate, "https", "http"), Host=balancer.host)


def add_url_output(t: Template, title: str, *, balancer: Balancer, description: str, port: int | None = None) -> None:
    """Output the URL of a site; without `port`, it uses the default port of the scheme."""
    t.add_output(Output(title, Description=description, Value=site_url(balancer, port=port)))
