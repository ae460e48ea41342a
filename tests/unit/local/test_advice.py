"""`make check` names what a deployment would accept and an operator should know before."""

import pytest

from local.stack.advice import advice

OWN = {
    "ImageUri": "210987654321.dkr.ecr.eu-central-1.amazonaws.com/airflow-on-ecs:1.4.0",
    "DomainName": "airflow.my-company.io",
    "DatabaseInstanceClass": "db.m7g.2xlarge",
    "BrokerNodeType": "cache.t4g.micro",
    "AlarmEmail": "team@my-company.io",
}


def test_an_environment_of_ones_own_has_nothing_to_be_told() -> None:
    assert advice(OWN, region="eu-central-1") == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ImageUri", "123456789012.dkr.ecr.us-east-1.amazonaws.com/airflow:1", "names the account 123456789012"),
        (
            "CertificateArn",
            f"arn:aws:acm:us-east-1:210987654321:certificate/{'0' * 8}-0000-0000-0000-{'0' * 12}",
            "zeroes",
        ),
        ("DomainName", "airflow.example.com", "airflow.example.com, which is an example's"),
        ("DatabaseInstanceClass", "db.t4g.gigantic", "db.t4g.gigantic, which has no size"),
        ("BrokerNodeType", "cache.m7g.3x", "cache.m7g.3x, which has no size"),
        ("AlarmEmail", "", "AlarmEmail is empty"),
    ],
)
def test_what_should_not_stay_so_is_one_line(name: str, value: str, said: str) -> None:
    (line,) = advice({**OWN, name: value}, region="eu-central-1")
    assert line.startswith(name)
    assert said in line


def test_a_region_that_there_is_not_is_named() -> None:
    assert advice(OWN, region="eu-centrall-1") == [
        "the region eu-centrall-1 is none that boto3 knows: check samconfig.toml"
    ]
