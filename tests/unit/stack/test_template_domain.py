"""The name under which people open Airflow, its certificate and its record."""

from typing import Any

import pytest

from cfn.parameters import violations
from ops.cost.resolved import resolve_template
from tests.support import rendered

DOMAIN, ZONE = "airflow.example.com", "Z0123456789ABCDEFGHIJ"
BROUGHT = "arn:aws:acm:us-east-1:123456789012:certificate/0-a"
OWN_NAME = {"Host": {"Fn::GetAtt": ["Balancer", "DNSName"]}}


def deployed_with(**given: str) -> dict[str, Any]:
    return resolve_template(rendered.template(), given={"ImageUri": "image:tag", **given}, region=rendered.REGION)


def base_urls(template: dict[str, Any]) -> dict[str, Any]:
    """Return the site's URL by the container that gets it."""
    return {
        container["Name"]: value
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::ECS::TaskDefinition"
        for container in resource["Properties"]["ContainerDefinitions"]
        for name, value in rendered.environment(container).items()
        if name == "BASE_URL"
    }


def site(template: dict[str, Any]) -> Any:
    """Return the only URL that all containers with Airflow's code get."""
    urls = base_urls(template)
    assert urls.keys() == {"gate", "migrate", "webserver", "scheduler", "dag-processor", "triggerer", "runner"}
    (url,) = {str(url): url for url in urls.values()}.values()
    return url


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"Fn::Sub": ["http://${Host}", OWN_NAME]}),
        ({"CertificateArn": BROUGHT}, {"Fn::Sub": ["https://${Host}", OWN_NAME]}),
        ({"DomainName": DOMAIN}, f"http://{DOMAIN}"),
        ({"DomainName": DOMAIN, "CertificateArn": BROUGHT}, f"https://{DOMAIN}"),
        ({"DomainName": DOMAIN, "HostedZoneId": ZONE}, f"https://{DOMAIN}"),
        ({"DomainName": DOMAIN, "HostedZoneId": ZONE, "CertificateArn": BROUGHT}, f"https://{DOMAIN}"),
    ],
)
def test_the_sites_url_follows_from_the_domain_and_the_certificate(given: dict[str, str], expected: Any) -> None:
    template = deployed_with(**given)
    assert site(template) == expected
    assert template["Outputs"]["WebserverUrl"]["Value"] == expected


def test_flower_has_the_same_name() -> None:
    outputs = deployed_with(DomainName=DOMAIN, HostedZoneId=ZONE)["Outputs"]
    assert outputs["FlowerUrl"]["Value"] == f"https://{DOMAIN}:5555"


@pytest.mark.parametrize(
    ("given", "made", "used"),
    [
        ({}, set(), None),
        ({"DomainName": DOMAIN}, set(), None),
        ({"DomainName": DOMAIN, "CertificateArn": BROUGHT}, set(), BROUGHT),
        ({"DomainName": DOMAIN, "HostedZoneId": ZONE}, {"Certificate", "DomainRecord"}, {"Ref": "Certificate"}),
        ({"DomainName": DOMAIN, "HostedZoneId": ZONE, "CertificateArn": BROUGHT}, {"DomainRecord"}, BROUGHT),
    ],
)
def test_a_hosted_zone_gets_the_record_and_validates_a_certificate_unless_one_is_brought(
    given: dict[str, str], made: set[str], used: Any
) -> None:
    resources = deployed_with(**given)["Resources"]
    assert resources.keys() & {"Certificate", "DomainRecord"} == made
    for title in ("WebserverListener", "FlowerListener"):
        listener = resources[title]["Properties"]
        assert listener["Protocol"] == ("HTTP" if used is None else "HTTPS")
        assert listener.get("Certificates") == (None if used is None else [{"CertificateArn": used}])
    assert ("BalancerRedirect" in resources) is (used is not None)


def test_the_certificate_is_validated_by_dns_in_the_zone_and_the_record_leads_to_the_load_balancer() -> None:
    resources = deployed_with(DomainName=DOMAIN, HostedZoneId=ZONE)["Resources"]
    assert resources["Certificate"]["Properties"] == {
        "DomainName": DOMAIN,
        "DomainValidationOptions": [{"DomainName": DOMAIN, "HostedZoneId": ZONE}],
        "ValidationMethod": "DNS",
    }
    record = resources["DomainRecord"]["Properties"]
    assert (record["Name"], record["Type"], record["HostedZoneId"]) == (DOMAIN, "A", ZONE)
    assert record["AliasTarget"] == {
        "DNSName": {"Fn::GetAtt": ["Balancer", "DNSName"]},
        "HostedZoneId": {"Fn::GetAtt": ["Balancer", "CanonicalHostedZoneID"]},
    }


def test_a_zone_makes_a_public_load_balancer_safe() -> None:
    given = {"ImageUri": "image:tag", "BalancerScheme": "internet-facing"}
    assert violations(rendered.template(), given) != []
    assert violations(rendered.template(), {**given, "DomainName": DOMAIN, "HostedZoneId": ZONE}) == []


def test_a_zone_needs_a_name() -> None:
    (found,) = violations(rendered.template(), {"ImageUri": "image:tag", "HostedZoneId": ZONE})
    assert "HostedZoneId needs DomainName." in found
