"""The load balancer in front of the web pages: never public without a certificate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Equals, If, Not, NoValue, Or, Parameter, Ref, Template
from troposphere.ec2 import SecurityGroupRule
from troposphere.elasticloadbalancingv2 import (
    Action,
    Listener,
    LoadBalancer,
    LoadBalancerAttributes,
    RedirectConfig,
)

from stack.lib.listeners import Balancer, SignIn
from stack.lib.parameters import FormGroup, OneOf, add_condition, add_rule
from stack.lib.security_groups import ANYWHERE, HTTPS_PORT, Group, add_closed_group
from stack.lib.settings import Settings
from stack.sections.domain import Domain, add_domain, add_record
from stack.sections.logs import BALANCER_PREFIX, AccessLogs
from stack.sections.network import Network
from stack.sections.web_access import add_allowed_ranges, add_sign_in, ingress_rules

GROUP = "Access"
HTTP_PORT = 80
FLOWER_LISTENER_PORT = 5555
PUBLIC = "internet-facing"
INTERNAL = "internal"


@dataclass(frozen=True, kw_only=True)
class _Placement:
    """Whether the load balancer faces the internet, and the subnets for that choice."""

    scheme: Ref
    subnets: If


def add_balancer(
    t: Template, *, network: Network, settings: Settings, access_logs: AccessLogs, has_flower: str
) -> Balancer:
    """Add the load balancer. `has_flower`: the condition under which Flower's port is open."""
    form = FormGroup(t, GROUP)
    domain = add_domain(form)
    placement = _add_placement(form, domain=domain, network=network)
    ranges = add_allowed_ranges(form)
    sign_in = add_sign_in(t, can_certify=domain.can_certify)
    web_port = If(domain.has_certificate, HTTPS_PORT, HTTP_PORT)

    ports = [
        (web_port, "Airflow", None),
        (FLOWER_LISTENER_PORT, "Flower", has_flower),
        (HTTP_PORT, "Redirected to HTTPS", domain.has_certificate),
    ]
    group = _add_group(t, network=network, ports=ports, ranges=ranges, sign_in=sign_in)
    attributes = {
        "access_logs.s3.bucket": Ref(access_logs.bucket),
        "access_logs.s3.enabled": "true",
        "access_logs.s3.prefix": BALANCER_PREFIX,
        "deletion_protection.enabled": settings.deletion_protection,
        "routing.http.drop_invalid_header_fields.enabled": "true",
    }
    resource = t.add_resource(
        LoadBalancer(
            "Balancer",
            DependsOn=access_logs.policy.title,
            LoadBalancerAttributes=[LoadBalancerAttributes(Key=key, Value=value) for key, value in attributes.items()],
            Scheme=placement.scheme,
            SecurityGroups=[group.id],
            Subnets=placement.subnets,
            Type="application",
        )
    )
    balancer = Balancer(
        resource=resource,
        group=group,
        vpc=network.vpc,
        host=domain.host(resource),
        certificate_arn=domain.certificate_arn,
        has_certificate=domain.has_certificate,
        web_port=web_port,
        sign_in=sign_in,
    )
    _add_redirect(t, balancer)
    add_record(t, domain=domain, balancer=resource)
    return balancer


def _add_group(
    t: Template,
    *,
    network: Network,
    ports: Sequence[tuple[Any, str, str | None]],
    ranges: Parameter,
    sign_in: SignIn,
) -> Group:
    group = add_closed_group(t, "BalancerGroup", vpc=network.vpc, description="Load balancer")
    group.resource.SecurityGroupIngress = ingress_rules(t, ranges=ranges, ports=ports)
    provider = SecurityGroupRule(
        IpProtocol="tcp", FromPort=HTTPS_PORT, ToPort=HTTPS_PORT, CidrIp=ANYWHERE, Description="Sign-in provider"
    )
    group.resource.SecurityGroupEgress.append(If(sign_in.has_oidc, provider, NoValue))
    return group


def _add_placement(form: FormGroup, *, domain: Domain, network: Network) -> _Placement:
    t = form.template
    scheme = form.add(
        "BalancerScheme",
        label="Load balancer scheme",
        description="Whether the load balancer faces the internet, which needs a certificate, or is internal.",
        constraint=OneOf(values=(INTERNAL, PUBLIC)),
        default=INTERNAL,
    )
    add_rule(
        t,
        "PublicBalancerIsSafe",
        when=Equals(Ref(scheme), PUBLIC),
        assertions=[
            (domain.can_certify, "BalancerScheme internet-facing needs CertificateArn or HostedZoneId."),
            (
                Or(Equals(Ref(network.vpc_id), ""), Not(Equals(Ref(network.public_ids), ""))),
                "BalancerScheme internet-facing in an existing VPC needs PublicSubnetIds.",
            ),
        ],
    )
    is_internal = add_condition(t, "IsBalancerInternal", Equals(Ref(scheme), INTERNAL))
    # The rule makes both halves equal. The linter needs both to see that the load balancer always has subnets.
    is_brought_internal = add_condition(
        t, "IsBroughtNetworkInternal", Or(Equals(Ref(scheme), INTERNAL), Equals(Ref(network.public_ids), ""))
    )
    return _Placement(
        scheme=Ref(scheme),
        subnets=If(
            network.is_created,
            If(is_internal, network.created.private, network.created.public),
            If(is_brought_internal, network.brought.private, network.brought.public),
        ),
    )


def _add_redirect(t: Template, balancer: Balancer) -> None:
    redirect = RedirectConfig(Protocol="HTTPS", Port=str(HTTPS_PORT), StatusCode="HTTP_301")
    t.add_resource(
        Listener(
            "BalancerRedirect",
            Condition=balancer.has_certificate,
            LoadBalancerArn=Ref(balancer.resource),
            Port=HTTP_PORT,
            Protocol="HTTP",
            DefaultActions=[Action(Type="redirect", RedirectConfig=redirect)],
        )
    )
