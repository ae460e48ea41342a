"""A stack with a domain of its own, as CloudFormation makes it: certificate, record, URLs; and how it is taken away."""

from collections.abc import Iterator
from typing import Any

import pytest

from stack.render import render
from template_gen import POOLS, build
from tests.support.aws_api import AwsApi, aws_api, outputs
from tests.support.deployed_pools import deploy_pools, packaged

DOMAIN = "airflow.example.com"


@pytest.fixture
def api() -> Iterator[AwsApi]:
    with aws_api() as api:
        yield api


def zone(api: AwsApi, *, is_private: bool = False) -> str:
    config = {"PrivateZone": is_private, "Comment": "teams"}
    made = api.client("route53").create_hosted_zone(Name="example.com.", CallerReference="1", HostedZoneConfig=config)
    return str(made["HostedZone"]["Id"]).rpartition("/")[2]


def records(api: AwsApi, zone: str) -> dict[tuple[str, str], dict[str, Any]]:
    listed = api.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return {(each["Name"], each["Type"]): each for each in listed if each["Type"] not in ("NS", "SOA")}


def site_of(api: AwsApi, family: str, container: str) -> str:
    ecs = api.client("ecs")
    (arn,) = ecs.list_task_definitions(familyPrefix=family)["taskDefinitionArns"]
    containers = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["containerDefinitions"]
    (found,) = (each for each in containers if each["name"] == container)
    return str({v["name"]: v["value"] for v in found["environment"]}["BASE_URL"])


def test_a_hosted_zone_gets_the_record_and_validates_the_certificate_of_the_listeners(api: AwsApi) -> None:
    hosted = zone(api)
    stack = deploy_pools(api, POOLS, DomainName=DOMAIN, HostedZoneId=hosted)
    assert outputs(stack)["WebserverUrl"] == site_of(api, "pools-Worker", "runner") == f"https://{DOMAIN}"
    (balancer,) = api.client("elbv2").describe_load_balancers()["LoadBalancers"]
    target = records(api, hosted)[f"{DOMAIN}.", "A"]["AliasTarget"]
    assert target["DNSName"].rstrip(".") == balancer["DNSName"]
    assert target["HostedZoneId"] == balancer["CanonicalHostedZoneId"]
    (summary,) = api.client("acm").list_certificates()["CertificateSummaryList"]
    certificate = api.client("acm").describe_certificate(CertificateArn=summary["CertificateArn"])["Certificate"]
    assert (certificate["DomainName"], certificate["Status"]) == (DOMAIN, "ISSUED")
    proof = certificate["DomainValidationOptions"][0]["ResourceRecord"]
    assert records(api, hosted)[proof["Name"], "CNAME"]["ResourceRecords"] == [{"Value": proof["Value"]}]
    listeners = api.client("elbv2").describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    assert {each["Port"]: [c["CertificateArn"] for c in each.get("Certificates", ())] for each in listeners} == {
        443: [summary["CertificateArn"]],
        5555: [summary["CertificateArn"]],
        80: [],
    }

    template = packaged(render(build()))
    stack = api.carry_out("pools", template, "UPDATE", ImageUri="airflow:1")
    assert stack["StackStatus"] == "UPDATE_COMPLETE", api.failures("pools")
    assert (f"{DOMAIN}.", "A") not in records(api, hosted)
    assert api.client("acm").list_certificates()["CertificateSummaryList"] == []
    assert outputs(stack)["WebserverUrl"] == f"http://{balancer['DNSName']}"


@pytest.mark.slow
def test_a_private_zone_validates_nothing_and_the_deployment_says_so(api: AwsApi) -> None:
    with pytest.raises(AssertionError, match=r"the hosted zone .* is private"):
        deploy_pools(api, POOLS, DomainName=DOMAIN, HostedZoneId=zone(api, is_private=True))
