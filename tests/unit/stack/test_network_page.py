"""The page about the network says what the security groups allow."""

import re
from pathlib import Path
from typing import Any

from tests.support import rendered

PAGE = Path(__file__).parents[3] / "docs/network.md"
INGRESS = "AWS::EC2::SecurityGroupIngress"
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (\d+) \|", re.MULTILINE)


def group(reference: Any) -> str:
    return str(reference["Fn::GetAtt"][0]).removesuffix("Group")


def test_says_which_group_may_connect_to_which_and_at_which_port() -> None:
    rules = [each["Properties"] for each in rendered.deployed()["Resources"].values() if each["Type"] == INGRESS]
    allowed = {(group(r["SourceSecurityGroupId"]), group(r["GroupId"]), str(r["FromPort"])) for r in rules}
    assert set(ROW.findall(PAGE.read_text())) == allowed
