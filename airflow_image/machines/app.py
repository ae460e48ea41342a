"""The application below /machines: a machine's proof in, a token of the REST API out."""

import json
import logging
import os
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from agent import variables
from agent.broker import connect
from machines.aws import AwsIdentities
from machines.exchange import Exchange
from machines.refusals import Malformed, Refusal, TooMany, Unavailable
from machines.rules import parse_rules
from machines.signatures import Signatures
from machines.tokens import Tokens
from machines.users import TOKEN_LIFE_S, token_for
from sign_in.attempts import address_of

log = logging.getLogger(__name__)

LARGEST = 32_768  # bytes of a request's body
RETRY_AFTER_S = {TooMany.status: "60", Unavailable.status: "10"}
# A token is in the answer.
NOT_KEPT = {"Cache-Control": "no-store"}


def make_app() -> FastAPI:
    """Return the application, with the rules of the environment's variables. Raises ValueError for a wrong rule."""
    audience = os.environ[variables.MACHINE_AUDIENCE]
    rules = parse_rules(os.environ[variables.MACHINE_ROLES], audience=audience)
    region = os.environ[variables.REGION]
    endpoint = os.environ.get(variables.ENDPOINT_URL) or os.environ[variables.STS_URL]
    memory = Signatures(connect(os.environ[variables.BROKER_URL]))
    aws = AwsIdentities(rules.aws, endpoint=endpoint, region=region, audience=audience, memory=memory)
    return application(Exchange(tokens=Tokens(rules.tokens), aws=aws, token_for=token_for))


def application(exchange: Exchange) -> FastAPI:
    """Return the routes in front of the exchange."""
    app = FastAPI(openapi_url=None)

    def add(path: str, make: Callable[[dict[str, Any], str], str]) -> None:
        async def endpoint(request: Request) -> JSONResponse:
            try:
                token = await run_in_threadpool(make, await _body(request), _address(request))
            except Refusal as refusal:
                retry = RETRY_AFTER_S.get(refusal.status)
                headers = NOT_KEPT if retry is None else {**NOT_KEPT, "Retry-After": retry}
                return JSONResponse({"detail": str(refusal)}, refusal.status, headers)
            given = {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFE_S}
            return JSONResponse(given, 201, NOT_KEPT)

        app.post(path)(endpoint)

    add("/token", exchange.by_token)
    add("/aws", exchange.by_aws)
    return app


async def _body(request: Request) -> dict[str, Any]:
    """Return the JSON object in a request's body. Raises Malformed."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > LARGEST:
            raise Malformed("the body is too long")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise Malformed("the body is not JSON") from None
    if not isinstance(body, dict):
        raise Malformed("the body is not a JSON object")
    return body


def _address(request: Request) -> str:
    """Return the address that the load balancer saw."""
    client = request.client.host if request.client else ""
    return address_of(",".join(request.headers.getlist("x-forwarded-for")), client)
