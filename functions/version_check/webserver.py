"""Asks the webserver over HTTP which code it runs; whatever is not that answer is a gap."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from fleet.registry import WEBSERVER, Code
from version_check.verdict import Gap, Reference

TIMEOUT_S = 3.0
JSON = "application/json"
LONGEST_ANSWER_BYTES = 65_536


def ask(url: str) -> Reference | Gap:
    """What `url` (plain HTTP within the VPC) answers. A redirect is not followed: somebody else answers there."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", where.path, headers={"Accept": JSON})
        response = connection.getresponse()
        kind = response.headers.get_content_type()
        if response.status != http.client.OK:
            return _gap(f"answers HTTP {response.status}")
        if kind != JSON:
            return _gap(f"answers {kind}, not {JSON}")
        return _read(json.loads(response.read(LONGEST_ANSWER_BYTES)))
    except ValueError:
        return _gap(f"answers what is not {JSON}")
    except (OSError, http.client.HTTPException) as error:
        return _gap(f"does not answer: {type(error).__name__}: {error}")
    finally:
        connection.close()


def _read(answer: Any) -> Reference | Gap:
    names = ("member", "image_version", "dags_hash", "airflow_version")
    if not isinstance(answer, dict) or not all(isinstance(answer.get(name), str) for name in names):
        return _gap("answers without its version")
    member, *code = (answer[name] for name in names)
    return Reference(member=member, code=Code(**dict(zip(names[1:], code, strict=True))))


def _gap(why: str) -> Gap:
    return Gap(who=WEBSERVER, why=why)
