"""Gives a token of Airflow's REST API to the IAM role that this runs with.

python airflow_token.py URL AUDIENCE REGION prints it; docs/machines.md says what these are. It needs botocore, which
Lambda's Python has.
"""

import json
import sys
import urllib.request

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest


def airflow_token(url: str, audience: str, region: str) -> str:
    """Return a token, valid for 15 minutes. Raises urllib.error.HTTPError, whose body says why there is none."""
    session = botocore.session.get_session()
    request = AWSRequest(
        method="POST",
        url=session.create_client("sts", region_name=region).meta.endpoint_url,
        data="Action=GetCallerIdentity&Version=2011-06-15",
        headers={
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "X-Airflow-Audience": audience,
        },
    )
    SigV4Auth(session.get_credentials().get_frozen_credentials(), "sts", region).add_auth(request)
    # Not sent to STS: Airflow sends it, and learns so who signed it.
    signed = {name: request.headers[name] for name in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")}
    exchange = urllib.request.Request(
        f"{url}/machines/aws", data=json.dumps(signed).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(exchange, timeout=30) as answer:
        return json.load(answer)["access_token"]


if __name__ == "__main__":
    print(airflow_token(*sys.argv[1:]))
