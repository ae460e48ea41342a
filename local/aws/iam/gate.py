"""Lets a call to the API through if the policies of the caller's role, and of what it is about, allow it.

The caller is told by its access key. The ADMINISTRATOR, as whom local commands call, may do everything. A key that is a
service's name (`ecs-tasks.amazonaws.com`) may take the roles that trust the service. All others are of sessions, which
AssumeRole gave out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.credentials import Credentials

from local.aws.backend.settings import ACCESS_PATH
from local.aws.iam.calls import Call, read_call
from local.aws.iam.conditions import UnsupportedPolicy
from local.aws.iam.policies import Principal, Request, Rules, decide
from local.aws.iam.refusals import BAD_KEY, DENIED, EXPIRED, UNKNOWN, UNSIGNED, WRONGLY_SIGNED, Refusal
from local.aws.iam.resources import Need, Place, needs_of
from local.aws.iam.sessions import FUNCTIONS
from local.aws.iam.signatures import is_signed_by
from local.aws.iam.state import Resource, State

log = logging.getLogger(__name__)

ADMINISTRATOR = "local"
SERVICE_SUFFIX = ".amazonaws.com"
# What a service does with the caller's own right to the key that encrypts a resource.
KEY_USES = {
    "s3:GetObject": ("kms:Decrypt",),
    "s3:PutObject": ("kms:GenerateDataKey",),
    "secretsmanager:GetSecretValue": ("kms:Decrypt",),
    "sns:Publish": ("kms:GenerateDataKey", "kms:Decrypt"),
}
READS_OBJECT = "s3:GetObject"
# Others pass this call on to learn who signed it. Its signature is checked, and that of telemetry, which no SDK signs.
TELLS_CALLER = "sts:GetCallerIdentity"
TAKES_ROLE = "sts:AssumeRole"

Application = Callable[[dict[str, Any], Any], Any]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls, and with which policies."""

    principal: Principal
    user_id: str = ""
    function: str = ""  # the ARN of the function whose code calls
    policies: tuple[str, ...] = ()
    boundary: str | None = None


class Gate:
    """A WSGI application in front of the API.

    `used`: the actions that were allowed, by the name of the role. `refused`: how often, by the message.
    """

    def __init__(
        self,
        application: Application,
        *,
        state: State,
        account: str,
        stack_of: Callable[[str], str],
        own: Mapping[str, Application] | None = None,
    ) -> None:
        """`own`: paths of no AWS service, which the local stack asks without a signature."""
        self._application, self._state, self._account, self._stack_of = application, state, account, stack_of
        self._own = {ACCESS_PATH: self._tell, **(own or {})}
        self.used: dict[str, set[str]] = {}
        self.refused: dict[str, int] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if (own := self._own.get(environ.get("PATH_INFO", ""))) is not None:
            return own(environ, start_response)
        refusal = self._refusal(environ)
        if refusal is None:
            return self._application(environ, start_response)
        if refusal.message not in self.refused:
            log.warning("refused: %s", refusal.message)
        self.refused[refusal.message] = self.refused.get(refusal.message, 0) + 1
        return refusal(environ, start_response)

    def _refusal(self, environ: dict[str, Any]) -> Refusal | None:
        """Return why the call is not allowed; None if it is."""
        if f"Credential={ADMINISTRATOR}/" in environ.get("HTTP_AUTHORIZATION", ""):
            return None
        call = read_call(environ)
        if call is None:
            unsigned = Call(key_id="", service="", operation="", region="")
            return Refusal(call=unsigned, code=UNSIGNED, message="Request is missing Authentication Token")
        if call.key_id == ADMINISTRATOR:  # of a URL that it signed
            return None
        place = Place(
            partition=_partition(call.region),
            account=self._account,
            region=call.region,
            stack_of=self._stack_of,
            identity_of=lambda address: self._state.identity_of(address, call.region),
            roles_of=lambda definition: self._state.task_roles(definition, call.region),
        )
        is_checked = call.is_telemetry or call.action == TELLS_CALLER
        if is_checked and not self._is_rightly_signed(call, environ, place):
            message = "The request signature we calculated does not match the signature you provided."
            return Refusal(call=call, code=WRONGLY_SIGNED, message=message)
        caller = self._caller(call, place)
        if isinstance(caller, Refusal):
            return caller
        try:
            for need, resource in self._needs(call, place):
                why = self._why_not(need, resource, caller, place)
                if why is not None:
                    return Refusal(call=call, code=DENIED, message=why)
        except UnsupportedPolicy as error:
            return Refusal(call=call, code=UNKNOWN, message=f"the local API cannot evaluate a policy: {error}")
        return None

    def _is_rightly_signed(self, call: Call, environ: dict[str, Any], place: Place) -> bool:
        """Return whether the session of the call's key signed it; True for a key that is no session's."""
        session = self._state.session(call.key_id, place.partition)
        if session is None:
            return True
        credentials = Credentials(call.key_id, session.secret, session.token)
        return is_signed_by(environ, credentials, now=datetime.now(UTC))

    def _caller(self, call: Call, place: Place) -> Caller | Refusal:
        if call.key_id.endswith(SERVICE_SUFFIX):
            return Caller(principal=Principal(service=call.key_id))
        session = self._state.session(call.key_id, place.partition)
        if session is None:
            return Refusal(call=call, code=BAD_KEY, message="The security token included in the request is invalid.")
        if session.expires <= datetime.now(UTC):
            return Refusal(call=call, code=EXPIRED, message="The security token included in the request is expired")
        try:
            policies, boundary = self._state.role_policies(session.role_arn, place.partition)
        except KeyError:  # the role was deleted
            policies, boundary = [], None
        principal = Principal(account=self._account, arn=session.role_arn, session=session.arn)
        is_function = FUNCTIONS in (self._state.trust_policy(session.role_arn, place.partition) or "")
        return Caller(
            principal=principal,
            user_id=session.user_id,
            function=place.arn("lambda", f"function:{session.arn.rpartition('/')[2]}") if is_function else "",
            policies=tuple(policies),
            boundary=boundary,
        )

    def _needs(self, call: Call, place: Place) -> Iterator[tuple[Need, Resource]]:
        """Yield what the call needs, and what services do for it with the caller's rights."""
        for need in needs_of(call, place):
            resource = self._state.resource(need.resource, place.region)
            yield need, resource
            if need.action == READS_OBJECT and resource.is_missing:
                # Only who may list it learns that it is not there; S3 then takes the key for the prefix.
                bucket, _, key = resource.arn.partition("/")
                listing = Need(action="s3:ListBucket", resource=bucket, context={"s3:prefix": key})
                yield listing, self._state.resource(bucket, place.region)
            elif resource.key:
                via = {"kms:viaservice": f"{call.service}.{place.region}{SERVICE_SUFFIX}"}
                for action in KEY_USES.get(need.action, ()):
                    use = Need(action=action, resource=resource.key, context={**via, "aws:viaawsservice": "true"})
                    yield use, self._state.resource(resource.key, place.region)

    def _why_not(self, need: Need, resource: Resource, caller: Caller, place: Place) -> str | None:
        principal = caller.principal
        request = Request(
            principal=principal,
            action=need.action,
            resource=resource.arn,
            context={**_context(caller, place), **_of_resource(resource), **need.context},
        )
        takes_role = need.action == TAKES_ROLE
        rules = Rules(
            identity=caller.policies,
            boundary=caller.boundary,
            resource=self._state.trust_policy(need.resource, place.partition) if takes_role else resource.policy,
            needs_resource=takes_role or need.action.startswith("kms:"),
        )
        decision = decide(request, rules)
        if decision.is_allowed:
            self.used.setdefault(principal.arn.rpartition("/")[2] or principal.service, set()).add(need.action)
            return None
        return (
            f"User: {principal.name} is not authorized to perform: {need.action} "
            f"on resource: {resource.arn} {decision.why}"
        )

    def _tell(self, _environ: dict[str, Any], start_response: Any) -> list[bytes]:
        used = {role: sorted(actions) for role, actions in list(self.used.items())}
        data = json.dumps({"used": used, "refused": dict(self.refused)}).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
        return [data]


def _context(caller: Caller, place: Place) -> dict[str, str]:
    """Return the keys that every request has. A client on AWS always uses TLS, which this API does not speak."""
    now, principal = datetime.now(UTC), caller.principal
    context = {
        "aws:securetransport": "true",
        "aws:requestedregion": place.region,
        "aws:currenttime": now.isoformat(timespec="seconds"),
        "aws:epochtime": str(int(now.timestamp())),
        "aws:resourceaccount": place.account,
        "aws:viaawsservice": "false",
        "aws:principalisawsservice": str(bool(principal.service)).lower(),
        "kms:calleraccount": place.account,
    }
    if principal.service:
        return {**context, "aws:principalservicename": principal.service, "aws:sourceaccount": place.account}
    return {
        **context,
        "aws:principalarn": principal.arn,
        "aws:principalaccount": principal.account,
        "aws:principaltype": "AssumedRole",
        "aws:userid": caller.user_id,
        **({"lambda:sourcefunctionarn": caller.function} if caller.function else {}),
    }


def _of_resource(resource: Resource) -> dict[str, str]:
    return {f"aws:resourcetag/{name.lower()}": value for name, value in (resource.tags or {}).items()}


def _partition(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
