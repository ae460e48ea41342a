"""The load balancer in front of what people open in a browser: never public without a certificate."""

from dataclasses import dataclass
from typing import Any

from troposphere import Equals, If, Not, NoValue, Or, Ref, Template
from troposphere.ec2 import SecurityGroupRule
from troposphere.elasticloadbalancingv2 import (
    Action,
    Listener,
    LoadBalancer,
    LoadBalancerAttributes,
    RedirectConfig,
)

from stack.declare import Matching, add_condition, add_parameter
from stack.network import Network
from stack.paths import HTTPS_PORT, Group, add_silent_group

GROUP = "Access"
HTTP_PORT = 80
FLOWER_LISTENER_PORT = 5555
PUBLIC = "internet-facing"
INTERNAL = "internal"


@dataclass(frozen=True, kw_only=True)
class Balancer:
    """`web_port` is the port of the site that needs no port in its address."""

    resource: LoadBalancer
    group: Group
    network: Network
    certificate_arn: Ref
    has_certificate: str
    web_port: If


def add_balancer(t: Template, *, network: Network) -> Balancer:
    certificate = add_parameter(
        t,
        "CertificateArn",
        group=GROUP,
        label="Certificate",
        description="ARN of an ACM certificate for HTTPS; without one the load balancer is internal and speaks HTTP.",
        constraint=Matching(
            regex=r"^(arn:[a-z-]+:acm:[a-z0-9-]+:[0-9]{12}:certificate/[0-9a-f-]+)?$",
            says="the ARN of an ACM certificate, or empty",
        ),
        default="",
    )
    allowed = add_parameter(
        t,
        "AllowedCidr",
        group=GROUP,
        label="Allowed addresses",
        description="IPv4 range that may open the web pages.",
        constraint=Matching(
            regex=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/([0-9]|[12][0-9]|3[0-2])$",
            says="an IPv4 range, such as 10.0.0.0/8",
        ),
        default="10.0.0.0/8",
    )
    has_none = Equals(Ref(certificate), "")
    has_certificate = add_condition(t, "HasCertificate", Not(has_none))
    is_brought_internal = add_condition(t, "IsBroughtNetworkInternal", Or(has_none, network.is_brought_without_public))
    web_port = If(has_certificate, HTTPS_PORT, HTTP_PORT)

    group = add_silent_group(t, "BalancerGroup", network=network, description="Load balancer")
    group.resource.SecurityGroupIngress = [
        _from(allowed, port=web_port, what="Airflow"),
        _from(allowed, port=FLOWER_LISTENER_PORT, what="Flower"),
        If(has_certificate, _from(allowed, port=HTTP_PORT, what="Redirected to HTTPS"), NoValue),
    ]
    resource = t.add_resource(
        LoadBalancer(
            "Balancer",
            LoadBalancerAttributes=[
                LoadBalancerAttributes(Key="routing.http.drop_invalid_header_fields.enabled", Value="true")
            ],
            Scheme=If(
                network.is_created,
                If(has_certificate, PUBLIC, INTERNAL),
                If(is_brought_internal, INTERNAL, PUBLIC),
            ),
            SecurityGroups=[group.id],
            Subnets=If(
                network.is_created,
                If(has_certificate, network.created.public, network.created.private),
                If(is_brought_internal, network.brought.private, network.brought.public),
            ),
            Type="application",
        )
    )
    balancer = Balancer(
        resource=resource,
        group=group,
        network=network,
        certificate_arn=Ref(certificate),
        has_certificate=has_certificate,
        web_port=web_port,
    )
    _add_redirect(t, balancer)
    return balancer


def _from(allowed: Any, *, port: Any, what: str) -> SecurityGroupRule:
    return SecurityGroupRule(IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp=Ref(allowed), Description=what)


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
