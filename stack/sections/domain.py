"""The name under which people open Airflow: its certificate, and its record in Route 53.

A team brings a certificate (`CertificateArn`), or names a hosted zone, in which the stack validates one of its own.
"""

from dataclasses import dataclass
from typing import Any

from troposphere import And, Condition, Equals, GetAtt, If, Not, Or, Ref, Template
from troposphere.certificatemanager import Certificate, DomainValidationOption
from troposphere.elasticloadbalancingv2 import LoadBalancer
from troposphere.route53 import AliasTarget, RecordSetType

from stack.lib.parameters import FormGroup, Matching, add_condition, add_rule

NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


@dataclass(frozen=True, kw_only=True)
class Domain:
    """`has_certificate`: the condition under which the load balancer uses HTTPS, with `certificate_arn`.

    `can_certify`: the same as an expression for rules, which may not refer to conditions. `has_name`: the condition
    under which people use `name`; else they use the load balancer's own.
    """

    name: Ref
    has_name: str
    zone: Ref
    has_zone: str
    certificate_arn: If
    has_certificate: str
    can_certify: Or

    def host(self, balancer: LoadBalancer) -> If:
        """Return the name by which people reach the load balancer."""
        return If(self.has_name, self.name, GetAtt(balancer, "DNSName"))


def add_domain(form: FormGroup) -> Domain:
    t = form.template
    brought = form.add(
        "CertificateArn",
        label="Certificate",
        description="ARN of an ACM certificate for HTTPS that you bring; empty for one that the stack makes in "
        "HostedZoneId. Without either, the load balancer uses HTTP.",
        constraint=Matching(
            regex=r"^(arn:[a-z-]+:acm:[a-z0-9-]+:[0-9]{12}:certificate/[0-9a-f-]+)?$",
            must_be="the ARN of an ACM certificate, or empty",
        ),
        default="",
    )
    name = form.add(
        "DomainName",
        label="Domain name",
        description="Name under which people open Airflow, such as airflow.example.com; links in mails begin with it. "
        "Empty for the load balancer's own name.",
        constraint=Matching(
            regex=rf"^({NAME}(\.{NAME})+)?$", must_be="a domain name in small letters, such as airflow.example.com"
        ),
        default="",
    )
    zone = form.add(
        "HostedZoneId",
        label="Hosted zone",
        description="Id of the public hosted zone of Route 53 that gets the record of DomainName, and by which its "
        "certificate is validated; empty if you make the record yourself.",
        constraint=Matching(regex=r"^[A-Z0-9]{0,32}$", must_be="the id of a hosted zone, or empty"),
        default="",
    )
    add_rule(
        t,
        "HostedZoneHasDomainName",
        when=Not(Equals(Ref(zone), "")),
        assertions=[(Not(Equals(Ref(name), "")), "HostedZoneId needs DomainName.")],
    )
    has_name = add_condition(t, "HasDomainName", Not(Equals(Ref(name), "")))
    has_zone = add_condition(t, "HasHostedZone", Not(Equals(Ref(zone), "")))
    is_brought = add_condition(t, "HasOwnCertificate", Not(Equals(Ref(brought), "")))
    is_made = add_condition(t, "HasMadeCertificate", And(Condition(has_zone), Not(Condition(is_brought))))
    made = _add_certificate(t, name=Ref(name), zone=Ref(zone), condition=is_made)
    return Domain(
        name=Ref(name),
        has_name=has_name,
        zone=Ref(zone),
        has_zone=has_zone,
        certificate_arn=If(is_made, Ref(made), Ref(brought)),
        has_certificate=add_condition(t, "HasCertificate", Or(Condition(is_brought), Condition(is_made))),
        can_certify=Or(Not(Equals(Ref(brought), "")), Not(Equals(Ref(zone), ""))),
    )


def _add_certificate(t: Template, *, name: Ref, zone: Ref, condition: str) -> Certificate:
    """Add the certificate. CloudFormation makes the record that validates it, and waits until ACM has seen that."""
    return t.add_resource(
        Certificate(
            "Certificate",
            Condition=condition,
            DomainName=name,
            DomainValidationOptions=[DomainValidationOption(DomainName=name, HostedZoneId=zone)],
            ValidationMethod="DNS",
        )
    )


def add_record(t: Template, *, domain: Domain, balancer: LoadBalancer) -> Any:
    """Add the record by which the domain's name leads to the load balancer."""
    return t.add_resource(
        RecordSetType(
            "DomainRecord",
            Condition=domain.has_zone,
            AliasTarget=AliasTarget(
                DNSName=balancer.get_att("DNSName"), HostedZoneId=balancer.get_att("CanonicalHostedZoneID")
            ),
            HostedZoneId=domain.zone,
            Name=domain.name,
            Type="A",
        )
    )
