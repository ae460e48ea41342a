"""Keeps the stacks of each region and executes their change sets, each in a thread of its own."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from urllib.parse import unquote, urlsplit

from botocore.exceptions import ClientError

from cfn.template import TemplateError
from local.aws.backend.cloud import Cloud
from local.aws.backend.settings import Settings
from local.aws.cloudformation import planning
from local.aws.cloudformation.execution import Execution
from local.aws.cloudformation.stacks import ChangeSet, EvaluatedTemplate, Stack
from local.aws.resources import kinds

STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
_CAN_UPDATE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


class Engine:
    """CloudFormation for one account."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kinds = kinds()
        self._stacks: dict[str, dict[str, Stack]] = {}
        self._lock = threading.Lock()
        self.cloud = cache(self._cloud)

    def _cloud(self, region: str) -> Cloud:
        return Cloud(endpoint=self._settings.endpoint, region=region, account=self._settings.account)

    def _arn(self, region: str, rest: str) -> str:
        return f"arn:{self.cloud(region).partition}:cloudformation:{region}:{self._settings.account}:{rest}"

    def stacks(self, region: str) -> list[Stack]:
        """Return the region's stacks, deleted ones included."""
        return list(self._stacks.get(region, {}).values())

    def stack(self, region: str, name_or_id: str) -> Stack:
        """Return the stack by name, unless deleted, or by id. Raises TemplateError as SAM CLI expects it."""
        for stack in self.stacks(region):
            if name_or_id == stack.id or (name_or_id == stack.name and stack.status != "DELETE_COMPLETE"):
                return stack
        raise TemplateError(f"Stack with id {name_or_id} does not exist")

    def change_set(self, region: str, name_or_id: str, stack_name: str | None) -> tuple[Stack, ChangeSet]:
        """Return the change set with its stack. Raises TemplateError."""
        stacks = [self.stack(region, stack_name)] if stack_name else self.stacks(region)
        for stack in stacks:
            for change_set in stack.change_sets.values():
                if name_or_id in (change_set.id, change_set.name):
                    return stack, change_set
        raise TemplateError(f"ChangeSet [{name_or_id}] does not exist")

    def stack_of(self, change_set_id: str) -> str:
        """Return the id of a change set's stack, and an empty text when there is none."""
        for region in list(self._stacks):
            for stack in self.stacks(region):
                if change_set_id in stack.change_sets:
                    return stack.id
        return ""

    def body_at(self, region: str, url: str) -> str:
        """Return the template at a URL, which names the bucket in its path or its host. Raises TemplateError."""
        parts = urlsplit(url)
        path = unquote(parts.path).lstrip("/")
        in_host = re.match(r"(.+?)\.s3[.-]", parts.netloc)
        bucket, key = (in_host.group(1), path) if in_host else path.split("/", 1)
        try:
            answer = self.cloud(region).client("s3").get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            raise TemplateError(f"S3 error: {error.response['Error']['Message']}: {url}") from error
        return str(answer["Body"].read().decode())

    def propose(
        self,
        region: str,
        *,
        stack_name: str,
        name: str,
        kind: str,
        body: str,
        parameters: Mapping[str, str],
        tags: Mapping[str, str],
        description: str | None,
    ) -> tuple[Stack, ChangeSet]:
        """Create a change set; it is FAILED if it changes nothing. Raises TemplateError before it creates anything."""
        if not STACK_NAME.fullmatch(stack_name):
            raise TemplateError(f"1 validation error detected: Value '{stack_name}' at 'stackName' is not a stack name")
        stack = self._for_create(region, stack_name) if kind == "CREATE" else self._for_update(region, stack_name)
        evaluated = self._evaluate(region, stack, body, parameters, tags)
        with self._lock:
            self._stacks.setdefault(region, {})[stack.id] = stack
        if not stack.events:
            stack.become("REVIEW_IN_PROGRESS", "User Initiated")
        changes = planning.changes(stack, evaluated)
        empty = not changes and stack.evaluated is not None and stack.evaluated.outputs == evaluated.outputs
        change_set = ChangeSet(
            id=self._arn(region, f"changeSet/{name}/{uuid.uuid4()}"),
            name=name,
            kind=kind,
            evaluated=evaluated,
            changes=changes,
            status="FAILED" if empty else "CREATE_COMPLETE",
            reason=planning.NO_CHANGES if empty else None,
            description=description,
            created_at=datetime.now(UTC),
            execution_status="UNAVAILABLE" if empty else "AVAILABLE",
        )
        stack.change_sets[change_set.id] = change_set
        return stack, change_set

    def execute(self, region: str, stack: Stack, change_set: ChangeSet) -> None:
        """Begin to execute the change set. Raises TemplateError if its status or the stack's does not allow it."""
        if change_set.execution_status != "AVAILABLE":
            raise TemplateError(f"ChangeSet [{change_set.id}] cannot be executed in its current status of [FAILED]")
        change_set.execution_status = "EXECUTE_IN_PROGRESS"
        execution = self._execution(region, stack)
        work = execution.create if change_set.kind == "CREATE" else execution.update

        def carry_out() -> None:
            work(change_set.evaluated)
            stack.change_sets.clear()

        self._start(stack, f"{change_set.kind}_IN_PROGRESS", carry_out)

    def delete(self, region: str, name_or_id: str) -> None:
        """Delete the stack; do nothing if there is none, as CloudFormation does."""
        try:
            stack = self.stack(region, name_or_id)
        except TemplateError:
            return
        if stack.status != "DELETE_COMPLETE":
            self._start(stack, "DELETE_IN_PROGRESS", self._execution(region, stack).delete)

    def _execution(self, region: str, stack: Stack) -> Execution:
        return Execution(stack, self.cloud(region), limit_s=self._settings.service_limit_s)

    def _start(self, stack: Stack, status: str, work: Callable[[], None]) -> None:
        with self._lock:
            if stack.busy:
                raise TemplateError(f"Stack [{stack.name}] is in {stack.status} state and can not be updated.")
            # Set here, not in the thread, so that no client reads the old, finished status before the thread has begun.
            stack.status = status
        threading.Thread(target=work, name=f"stack {stack.name}", daemon=True).start()

    def _for_create(self, region: str, name: str) -> Stack:
        try:
            stack = self.stack(region, name)
        except TemplateError:
            return Stack(
                id=self._arn(region, f"stack/{name}/{uuid.uuid4()}"),
                name=name,
                status="REVIEW_IN_PROGRESS",
                created_at=datetime.now(UTC),
            )
        if stack.status != "REVIEW_IN_PROGRESS":
            raise TemplateError(
                f"Stack [{name}] already exists and cannot be created again with the changeSet [CREATE]."
            )
        return stack

    def _for_update(self, region: str, name: str) -> Stack:
        stack = self.stack(region, name)
        if stack.status not in _CAN_UPDATE:
            raise TemplateError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack

    def _evaluate(
        self, region: str, stack: Stack, body: str, parameters: Mapping[str, str], tags: Mapping[str, str]
    ) -> EvaluatedTemplate:
        pseudo = planning.pseudo_parameters(
            account=self._settings.account,
            region=region,
            partition=self.cloud(region).partition,
            stack_id=stack.id,
            stack_name=stack.name,
        )
        return planning.evaluate(body, given=parameters, pseudo=pseudo, kinds=self._kinds, tags=tags)
