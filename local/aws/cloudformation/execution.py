"""Creates, updates and deletes a stack as CloudFormation does: in parallel by dependency, and back when it fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from cfn.intrinsics import resolve
from cfn.template import TemplateError
from local.aws.backend.cloud import Cloud
from local.aws.cloudformation.operations import RETAIN_EXCEPT_ON_CREATE, Operations, ResourceFailure, in_words
from local.aws.cloudformation.planning import outputs_of, scope_of
from local.aws.cloudformation.stacks import DesiredResource, EvaluatedTemplate, Resource, Stack
from local.aws.cloudformation.walk import reversed_needs, walk


class Execution:
    """One creation, update or deletion of one stack."""

    def __init__(self, stack: Stack, cloud: Cloud, *, limit_s: float) -> None:
        self._stack = stack
        self._cloud = cloud
        self._halted = threading.Event()
        self._operations = Operations(stack, cloud, limit_s=limit_s, halted=self._halted)
        self._before = dict(stack.resources)
        # Resources that others took the place of, and those that a rollback gives up for them again.
        self._replaced: dict[str, Resource] = {}
        self._given_up: dict[str, Resource] = {}

    def create(self, evaluated: EvaluatedTemplate) -> None:
        """Create the stack, or roll back: delete what was created, unless it is retained in every case."""
        stack = self._stack
        with self._never_left_in_progress("CREATE_FAILED"):
            stack.evaluated = evaluated
            stack.become("CREATE_IN_PROGRESS", "User Initiated")
            failed = self._apply(evaluated, "create")
            if failed is None:
                stack.become("CREATE_COMPLETE")
                return
            stack.become("ROLLBACK_IN_PROGRESS", f"{failed} Rollback requested by user.")
            self._end("ROLLBACK", self._remove_all(dict(stack.resources), is_rollback=True))

    def update(self, evaluated: EvaluatedTemplate) -> None:
        """Update the stack and delete what the template no longer has, or roll back."""
        stack = self._stack
        with self._never_left_in_progress("UPDATE_ROLLBACK_FAILED"):
            stack.become("UPDATE_IN_PROGRESS", "User Initiated")
            stack.updated_at = datetime.now(UTC)
            outputs = stack.outputs
            failed = self._apply(evaluated, "update")
            if failed is not None:
                stack.become("UPDATE_ROLLBACK_IN_PROGRESS", failed)
                stack.outputs = outputs
                self._roll_back()
                return
            stack.evaluated = evaluated
            stack.become("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            gone = {name: r for name, r in stack.resources.items() if name not in evaluated.resources}
            # What cannot be deleted stays behind: the update is complete all the same.
            self._remove_all(self._replaced, is_replacement=True)
            self._remove_all(gone)
            for name in gone:
                stack.resources.pop(name, None)
            stack.become("UPDATE_COMPLETE")

    def delete(self) -> None:
        """Delete the stack's resources."""
        with self._never_left_in_progress("DELETE_FAILED"):
            self._stack.become("DELETE_IN_PROGRESS", "User Initiated")
            self._end("DELETE", self._remove_all(dict(self._stack.resources)))

    @contextmanager
    def _never_left_in_progress(self, status: str) -> Iterator[None]:
        """Give the stack `status` if the block ends otherwise without one: a bug must end the deployment, too."""
        try:
            yield
        finally:
            if self._stack.busy:
                self._stack.become(status, "Internal error of the local AWS API, see its standard error")

    def _end(self, what: str, failed: list[str]) -> None:
        if failed:
            why = f"The following resource(s) failed to delete: [{', '.join(failed)}]."
            self._stack.become(f"{what}_FAILED", why)
        else:
            self._stack.become(f"{what}_COMPLETE")

    def _apply(self, evaluated: EvaluatedTemplate, verb: str) -> str | None:
        """Bring the resources about; return None, or which of them failed. Nothing new begins after a failure."""
        reasons: list[str] = []

        def work(name: str) -> None:
            try:
                self._bring_about(evaluated, evaluated.resources[name])
            except ResourceFailure as failure:
                reasons.append(str(failure))
                self._halted.set()
                raise

        needs = {name: desired.needs for name, desired in evaluated.resources.items()}
        failures = walk(needs, work, goes_on=lambda: not self._halted.is_set())
        self._halted.clear()
        if failures:
            _raise_bugs(failures)
            names = ", ".join(failures)
            return f"The following resource(s) failed to {verb}: [{names}]. {reasons[0]}."
        try:
            self._stack.outputs = outputs_of(evaluated, scope_of(evaluated, self._stack.resources))
        except TemplateError as error:
            return f"{error}."
        return None

    def _bring_about(self, evaluated: EvaluatedTemplate, desired: DesiredResource) -> None:
        name, stack = desired.logical_id, self._stack
        existing = stack.resources.get(name)
        try:
            properties = resolve(desired.properties, scope_of(evaluated, stack.resources))
        except TemplateError as error:
            action = "CREATE" if existing is None else "UPDATE"
            reason = in_words(error)
            stack.record(
                logical_id=name, physical_id="", type=desired.kind.type, status=f"{action}_FAILED", reason=reason
            )
            raise ResourceFailure(f"{desired.kind.type}: {reason}") from error
        if existing is None:
            self._operations.create(desired, properties)
        elif existing.kind is not desired.kind or desired.kind.replaces(existing.properties, properties):
            self._replaced[name] = existing
            self._operations.create(desired, properties)
        elif existing.properties != properties:
            self._operations.update(desired, properties)
        now = stack.resources[name]
        stack.resources[name] = replace(now, needs=desired.needs, policies=desired.policies)

    def _roll_back(self) -> None:
        """Bring every resource back to what it was, each after those it needs; then delete what the update created."""
        stack, before = self._stack, self._before
        failures = walk({name: r.needs for name, r in before.items()}, self._restore)
        _raise_bugs(failures)
        if failures:
            names = ", ".join(failures)
            stack.become("UPDATE_ROLLBACK_FAILED", f"The following resource(s) failed to update: [{names}].")
            return
        stack.become("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        created = {name: r for name, r in stack.resources.items() if name not in before}
        self._remove_all(created, is_rollback=True)
        self._remove_all(self._given_up, is_rollback=True)
        for name in created:
            stack.resources.pop(name, None)
        stack.become("UPDATE_ROLLBACK_COMPLETE")

    def _restore(self, name: str) -> None:
        was, now = self._before[name], self._stack.resources[name]
        if now.physical.id != was.physical.id:
            self._given_up[name] = now
            self._stack.resources[name] = was
        elif now.properties != was.properties:
            desired = DesiredResource(
                logical_id=name, kind=was.kind, properties=was.properties, needs=was.needs, policies=was.policies
            )
            self._operations.update(desired, was.properties)
        self._stack.resources[name] = replace(self._stack.resources[name], needs=was.needs, policies=was.policies)

    def _remove_all(
        self, resources: Mapping[str, Resource], *, is_rollback: bool = False, is_replacement: bool = False
    ) -> list[str]:
        """Delete the resources, each before those it needs; return the names of those that could not be deleted.

        `is_rollback`: of the operation that created them. `is_replacement`: others took their place.
        """

        def work(name: str) -> None:
            resource = resources[name]
            policy = resource.policies.replacement if is_replacement else resource.policies.deletion
            if policy == RETAIN_EXCEPT_ON_CREATE:
                policy = "Delete" if is_rollback else "Retain"
            self._operations.remove(resource, policy)

        failures = walk(reversed_needs({name: r.needs for name, r in resources.items()}), work)
        _raise_bugs(failures)
        return list(failures)


def _raise_bugs(failures: Mapping[str, Exception]) -> None:
    for error in failures.values():
        if not isinstance(error, ResourceFailure):
            raise error
