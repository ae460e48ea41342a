"""A stack is created, updated and deleted in parallel by dependency, and goes back when a resource fails."""

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from textwrap import dedent

import pytest

from local.aws.backend.cloud import Cloud
from local.aws.backend.shapes import UnsupportedProperty
from local.aws.cloudformation.execution import Execution
from local.aws.cloudformation.planning import evaluate
from local.aws.cloudformation.stacks import EvaluatedTemplate, Stack
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, Unstable
from local.aws.resources.schemas import Rules

SCHEMA = {
    "additionalProperties": False,
    "properties": {
        "V": {"type": "string", "pattern": "^[a-z]*$"},
        "Name": {"type": "string"},
        "Fixed": {"type": "string"},
        "Size": {"type": "integer", "enum": [1, 2]},
        "Arn": {"type": "string"},
        "Behaves": {"type": "string"},
    },
    "createOnlyProperties": ["/properties/Name"],
    "readOnlyProperties": ["/properties/Arn"],
}
WAITED_S = 5.0


@dataclass
class World:
    """What exists, in the order of its creation, and what became of it."""

    made: list[str] = field(default_factory=list)
    existing: dict[str, Properties] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    updated: list[tuple[str, str]] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))
    number: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def create(self, _cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
        logical = name.split("-")[1]
        match properties.get("Behaves"):
            case "meets":
                self.meeting.wait(WAITED_S)
            case "fails":
                raise UnsupportedProperty("no such luck")
            case "fails-late":
                time.sleep(0.3)
                raise UnsupportedProperty("no such luck")
        with self.lock:
            self.number += 1
            physical = f"{logical}-{self.number}"
            self.existing[physical] = properties
            self.made.append(logical)
        return PhysicalResource(id=physical, attributes={"Arn": f"arn:{physical}"})

    def update(self, _cloud: Cloud, change: Change) -> PhysicalResource:
        if change.new.get("Behaves") == "fails" or change.new.get("V") == "neveragain":
            raise UnsupportedProperty("no such luck")
        self.existing[change.physical.id] = change.new
        self.updated.append((change.physical.id.split("-")[0], str(change.new.get("V"))))
        return change.physical

    def delete(self, _cloud: Cloud, physical: PhysicalResource) -> None:
        if self.existing[physical.id].get("Behaves") == "stays":
            raise UnsupportedProperty("in use")
        del self.existing[physical.id]
        self.deleted.append(physical.id.split("-")[0])

    def is_stable(self, _cloud: Cloud, physical: PhysicalResource) -> bool:
        behaves = self.existing[physical.id].get("Behaves")
        if behaves == "breaks":
            raise Unstable("Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'.")
        return behaves != "waits"

    def kind(self, service: str) -> Kind:
        return Kind(
            type=f"AWS::{service}::Thing",
            create=self.create,
            update=self.update,
            delete=self.delete,
            is_stable=self.is_stable,
            snapshot=lambda _cloud, physical: self.snapshots.append(physical.id.split("-")[0]),
            unchangeable=frozenset(("Fixed",)),
            rules_of=lambda _type: Rules(SCHEMA),
        )

    def kinds(self) -> dict[str, Kind]:
        return {kind.type: kind for kind in (self.kind("One"), self.kind("Two"))}


class Runs:
    """A world with one stack in it."""

    def __init__(self) -> None:
        self.world = World()
        self.stack = Stack(id="id", name="s", status="REVIEW_IN_PROGRESS", created_at=datetime.now(UTC))
        self._kinds = self.world.kinds()

    def create(self, resources: str, **limits: float) -> str:
        self._execution(**limits).create(self._evaluated(resources))
        return self.stack.status

    def update(self, resources: str, **limits: float) -> str:
        self._execution(**limits).update(self._evaluated(resources))
        return self.stack.status

    def delete(self) -> str:
        self._execution().delete()
        return self.stack.status

    def _execution(self, *, limit_s: float = WAITED_S) -> Execution:
        return Execution(self.stack, Cloud(endpoint="", region="us-east-1", account="1"), limit_s=limit_s)

    def _evaluated(self, resources: str) -> EvaluatedTemplate:
        body = "Resources:\n" + "\n".join(f"  {line}" for line in dedent(resources).strip().splitlines())
        return evaluate(
            body.replace(": One", ": AWS::One::Thing").replace(": Two", ": AWS::Two::Thing"),
            given={},
            pseudo={"AWS::Region": "us-east-1"},
            kinds=self._kinds,
            tags={},
        )

    def said(self, status: str) -> list[str]:
        return [event.logical_id for event in self.stack.events if event.status == status]

    def reasons(self, status: str) -> list[str]:
        return [str(event.reason) for event in self.stack.events if event.status == status]


@pytest.fixture
def runs() -> Runs:
    return Runs()


def test_resources_that_do_not_need_each_other_are_created_at_once(runs: Runs) -> None:
    """Each waits for the other; one after the other, neither would be created."""
    status = runs.create("""
        A: {Type: One, Properties: {Behaves: meets}}
        B: {Type: Two, Properties: {Behaves: meets}}
    """)
    assert status == "CREATE_COMPLETE"


def test_a_resource_is_created_after_those_that_it_needs_and_deleted_before_them(runs: Runs) -> None:
    runs.create("""
        C: {Type: One, DependsOn: B}
        B: {Type: Two, Properties: {Behaves: !Ref A}}
        A: {Type: One}
    """)
    assert runs.world.made == ["A", "B", "C"]
    assert runs.delete() == "DELETE_COMPLETE"
    assert runs.world.deleted == ["C", "B", "A"]


def test_a_resource_waits_until_the_one_before_is_stable(runs: Runs) -> None:
    assert runs.create("A: {Type: One, Properties: {Behaves: waits}}\nB: {Type: Two, DependsOn: A}", limit_s=0.5) == (
        "ROLLBACK_COMPLETE"
    )
    assert runs.reasons("CREATE_FAILED") == ["Exceeded attempts to wait"]
    assert runs.world.made == ["A"]
    assert runs.world.existing == {}


def test_without_a_limit_nothing_is_waited_for(runs: Runs) -> None:
    assert runs.create("A: {Type: One, Properties: {Behaves: waits}}", limit_s=0) == "CREATE_COMPLETE"


def test_a_resource_that_cannot_become_stable_fails_at_once(runs: Runs) -> None:
    began = time.monotonic()
    assert runs.create("A: {Type: One, Properties: {Behaves: breaks}}", limit_s=60) == "ROLLBACK_COMPLETE"
    assert "Circuit Breaker" in runs.reasons("CREATE_FAILED")[0]
    assert time.monotonic() - began < WAITED_S


def test_a_failed_creation_cancels_the_others_and_deletes_what_was_created(runs: Runs) -> None:
    status = runs.create(
        """
        A: {Type: One}
        B: {Type: One, DependsOn: A, Properties: {Behaves: waits}}
        C: {Type: Two, DependsOn: A, Properties: {Behaves: fails-late}}
        D: {Type: Two, DependsOn: C}
    """,
        limit_s=60,
    )
    assert status == "ROLLBACK_COMPLETE"
    assert sorted(runs.reasons("CREATE_FAILED")) == ["Resource creation cancelled", "no such luck"]
    assert runs.world.deleted == ["B", "A"]
    assert runs.stack.resources == {}
    assert "D" not in runs.said("CREATE_IN_PROGRESS")
    (reason,) = runs.reasons("ROLLBACK_IN_PROGRESS")
    assert "C" in reason
    assert "no such luck" in reason


POLICIES = """
    A: {Type: One, DeletionPolicy: Retain}
    B: {Type: One, DeletionPolicy: RetainExceptOnCreate}
    C: {Type: One, DeletionPolicy: Snapshot}
    D: {Type: One}
"""


def test_the_rollback_of_a_creation_keeps_only_what_is_retained_in_every_case(runs: Runs) -> None:
    failing = "E: {Type: Two, DependsOn: [A, B, C, D], Properties: {Behaves: fails}}"
    assert runs.create(dedent(POLICIES) + failing) == "ROLLBACK_COMPLETE"
    assert [name.split("-")[0] for name in runs.world.existing] == ["A"]
    assert runs.said("DELETE_SKIPPED") == ["A"]
    assert runs.world.snapshots == ["C"]


def test_a_deletion_keeps_what_is_retained(runs: Runs) -> None:
    runs.create(POLICIES)
    assert runs.delete() == "DELETE_COMPLETE"
    assert sorted(name.split("-")[0] for name in runs.world.existing) == ["A", "B"]
    assert runs.world.snapshots == ["C"]


def test_a_rollback_that_cannot_delete_says_so_and_deletes_the_rest(runs: Runs) -> None:
    status = runs.create("""
        A: {Type: One}
        B: {Type: One, DependsOn: A, Properties: {Behaves: stays}}
        C: {Type: One}
        D: {Type: Two, DependsOn: [B, C], Properties: {Behaves: fails}}
    """)
    assert status == "ROLLBACK_FAILED"
    assert runs.stack.reason == "The following resource(s) failed to delete: [B]."
    assert sorted(runs.stack.resources) == ["A", "B"]  # A is left, because B still needs it
    assert runs.world.deleted == ["C"]


BEFORE = """
    A: {Type: One, Properties: {V: old}}
    B: {Type: One, DependsOn: A, Properties: {Name: old, V: old}}
    Gone: {Type: Two}
"""


def test_an_update_replaces_what_the_schema_says_and_deletes_the_former_last(runs: Runs) -> None:
    runs.create(BEFORE)
    status = runs.update("""
        A: {Type: One, Properties: {V: new}}
        B: {Type: One, DependsOn: A, Properties: {Name: new, V: old}}
        C: {Type: Two, DependsOn: B}
    """)
    assert status == "UPDATE_COMPLETE"
    assert runs.world.updated == [("A", "new")]
    assert sorted(runs.world.deleted) == ["B", "Gone"]
    assert sorted(runs.world.existing) == ["A-1", "B-4", "C-5"] or sorted(runs.world.existing) == ["A-2", "B-4", "C-5"]
    statuses = [event.status for event in runs.stack.events]
    assert statuses.index("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS") < statuses.index("DELETE_IN_PROGRESS")


def test_a_failed_update_restores_everything_in_the_order_of_the_needs(runs: Runs) -> None:
    runs.create(BEFORE)
    before = {name: resource.physical.id for name, resource in runs.stack.resources.items()}
    status = runs.update("""
        A: {Type: One, Properties: {V: new}}
        B: {Type: One, DependsOn: A, Properties: {Name: new, V: old}}
        C: {Type: Two, DependsOn: B}
        D: {Type: Two, DependsOn: C, Properties: {Behaves: fails}}
    """)
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert {name: resource.physical.id for name, resource in runs.stack.resources.items()} == before
    assert runs.world.updated == [("A", "new"), ("A", "old")]
    assert sorted(runs.world.deleted) == ["B", "C"]  # the new B
    assert set(runs.world.existing) == set(before.values())
    assert runs.update(BEFORE.replace("V: old", "V: third")) == "UPDATE_COMPLETE"


def test_a_resource_whose_own_update_fails_is_brought_back_too(runs: Runs) -> None:
    runs.create("A: {Type: One, Properties: {V: old}}\nB: {Type: Two, Properties: {V: old}}")
    status = runs.update(
        "A: {Type: One, Properties: {V: new}}\nB: {Type: Two, DependsOn: A, Properties: {V: neveragain}}"
    )
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert {r.properties["V"] for r in runs.stack.resources.values()} == {"old"}


def test_an_update_rollback_that_fails_says_so(runs: Runs) -> None:
    runs.create("A: {Type: One, Properties: {V: neveragain}}\nB: {Type: Two}")
    status = runs.update(
        "A: {Type: One, Properties: {V: new}}\nB: {Type: Two, DependsOn: A, Properties: {Behaves: fails}}"
    )
    assert status == "UPDATE_ROLLBACK_FAILED"
    assert runs.stack.reason == "The following resource(s) failed to update: [A]."


def test_a_replaced_resource_is_kept_where_its_policy_says(runs: Runs) -> None:
    runs.create("A: {Type: One, UpdateReplacePolicy: Retain, Properties: {Name: old}}")
    assert runs.update("A: {Type: One, UpdateReplacePolicy: Retain, Properties: {Name: new}}") == "UPDATE_COMPLETE"
    assert sorted(runs.world.existing) == ["A-1", "A-2"]


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ("{Colour: red}", "#: extraneous key [Colour] is not permitted"),
        ("{Arn: mine}", "it is read-only: [Arn]"),
        ("{Size: 3}", "#/Size: failed validation constraint for keyword [enum]"),
        ("{V: 'NO'}", "#/V: failed validation constraint for keyword [pattern]"),
        ("{V: [a]}", "#/V: failed validation constraint for keyword [type]"),
    ],
)
def test_what_the_schema_refuses_is_not_created(runs: Runs, properties: str, said: str) -> None:
    assert runs.create(f"A: {{Type: One, Properties: {properties}}}") == "ROLLBACK_COMPLETE"
    assert said in runs.reasons("CREATE_FAILED")[0]
    assert runs.world.made == []


def test_numbers_may_be_written_as_text(runs: Runs) -> None:
    assert runs.create("A: {Type: One, Properties: {Size: '2'}}") == "CREATE_COMPLETE"


def test_a_change_that_this_api_cannot_make_in_place_is_refused_by_name(runs: Runs) -> None:
    runs.create("A: {Type: One, Properties: {Fixed: old}}")
    assert runs.update("A: {Type: One, Properties: {Fixed: new}}") == "UPDATE_ROLLBACK_COMPLETE"
    assert runs.reasons("UPDATE_FAILED") == ["the local AWS API cannot change Fixed of AWS::One::Thing in place"]
