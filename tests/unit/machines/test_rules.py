"""The lines of the parameter MachineRoles."""

import pytest

from local.stack.machine_roles import machine_role_faults
from machines.rules import AwsRule, TokenRule, parse_rules

GITHUB = "https://token.actions.githubusercontent.com"
LINES = f"""
# Deployments of the main branch.
Op: issuer={GITHUB} repository=acme/dags ref=refs/heads/main

Data Engineer: issuer=https://login.example.com/realms/a sub=ci audience=api://airflow
User: aws=arn:aws:iam::111122223333:role/reports
Viewer: aws=arn:aws-us-gov:iam::111122223333:role/team/a/reader
"""


def test_a_line_maps_a_token_s_claims_or_an_iam_role_to_a_role_of_airflow() -> None:
    rules = parse_rules(LINES, audience="airflow:here")
    assert rules.tokens == (
        TokenRule(
            role="Op",
            issuer=GITHUB,
            audience="airflow:here",
            claims={"repository": "acme/dags", "ref": "refs/heads/main"},
        ),
        TokenRule(
            role="Data Engineer",
            issuer="https://login.example.com/realms/a",
            audience="api://airflow",
            claims={"sub": "ci"},
        ),
    )
    assert rules.aws == (
        AwsRule(role="User", partition="aws", account="111122223333", name="reports"),
        AwsRule(role="Viewer", partition="aws-us-gov", account="111122223333", name="reader"),
    )


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("issuer=https://a.example sub=ci", "does not begin with a role of Airflow and a colon"),
        (": aws=arn:aws:iam::111122223333:role/a", "does not begin with a role of Airflow and a colon"),
        ("Op: sub=ci", "has neither issuer= nor aws="),
        ("Op: issuer=https://a.example", "has no claim that says whose token it is: one of "),
        # Every repository of the world has such a branch.
        (f"Op: issuer={GITHUB} ref=refs/heads/main", "has no claim that says whose token it is: one of "),
        ("Op: issuer=http://a.example sub=ci", "has issuer=http://a.example, which is no https address"),
        ("Op: issuer=https://u:p@a.example sub=ci", "has issuer=https://u:p@a.example, which is no https address"),
        ("Op: issuer=https://a.example sub=ci aud=x", "has the claim aud, which is checked for every token"),
        ("Op: issuer=https://a.example sub=ci sub=cd", "has sub= twice"),
        ("Op: issuer=https://a.example sub", "has 'sub', which is not NAME=VALUE"),
        ("Op: issuer=https://a.example sub=", "has 'sub=', which is not NAME=VALUE"),
        ("Op: aws=arn:aws:iam::111122223333:role/a sub=ci", "has more than aws="),
        ("Op: aws=arn:aws:iam::111122223333:user/a", "is not the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME"),
        ("Op: aws=arn:aws:iam::111122223333:role/*", "is not the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME"),
        ("Op: aws=arn:aws:sts::111122223333:assumed-role/a/b", "is not the ARN of a role"),
    ],
)
def test_a_faulty_line_is_named_with_its_fault(line: str, fault: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2 ") as caught:
        parse_rules(f"# first\n{line}\n", audience="a")
    assert fault in str(caught.value)


def test_make_check_names_what_would_keep_the_webserver_from_starting() -> None:
    assert machine_role_faults({}) == []
    assert machine_role_faults({"MachineRoles": LINES}) == []
    assert machine_role_faults({"MachineRoles": "Op: sub=ci"}) == ["MachineRoles: line 1 has neither issuer= nor aws="]
    assert machine_role_faults({"MachineRoles": "#" * 4097}) == [
        "MachineRoles has 4,097 bytes, and CloudFormation accepts 4,096"
    ]
