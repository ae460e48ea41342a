"""What may be deployed where, by what the ledgers say."""

import json
from dataclasses import replace

import pytest

from ops.delivery.ledger import DONE, FAILED, PROMOTION, UNDER_WAY, Deployment, Ledger
from ops.delivery.plan import LONGEST_DEPLOYMENT_S, Plan, plan_promotion, plan_rollback, predecessor
from ops.delivery.release import Refused, Release
from tests.support.releases import FIRST, LINEAGE, REPOSITORY, SECOND, UPGRADE, a_release

NOW = 1_700_000_000.0
SNAPSHOT = "airflow-prd-before-2-0-0"


def ledger(*latest_last: tuple[Release, str], environment: str = "prd") -> Ledger:
    """Return the ledger of an environment to which these were deployed, an hour apart."""
    made = Ledger(environment=environment)
    for number, (release, outcome) in enumerate(latest_last):
        began = NOW - 3600 * (len(latest_last) - number)
        made = made.begin(Deployment(release=release, kind=PROMOTION, began_at=began, snapshot=SNAPSHOT))
        made = made.end(outcome=outcome)
    return made


def promotion(release: Release, to: Ledger, *, before: Ledger | None = None, exists: bool = True) -> Plan:
    return plan_promotion(release, ledger=to, before=before, exists=exists, now=NOW)


def rollback(of: Ledger, version: str | None = None) -> Plan:
    return plan_rollback(version, ledger=of, exists=True, now=NOW)


def test_releases_go_from_dev_over_qa_to_prd() -> None:
    assert [predecessor(name) for name in ("dev", "qa", "prd")] == [None, "dev", "qa"]
    with pytest.raises(Refused, match="'local' is not an environment of the pipeline"):
        predecessor("local")


def test_the_first_environment_takes_any_release_and_a_new_stack_has_nothing_to_migrate() -> None:
    plan = promotion(UPGRADE, Ledger(environment="dev"), exists=False)
    assert (plan.release, plan.migrates) == (UPGRADE, False)


@pytest.mark.parametrize(
    "before",
    [
        Ledger(environment="qa"),
        ledger((FIRST, DONE), environment="qa"),
        ledger((SECOND, FAILED), environment="qa"),
        ledger((SECOND, UNDER_WAY), environment="qa"),
        ledger((replace(SECOND, image=FIRST.image), DONE), environment="qa"),  # the same version, another digest
    ],
    ids=["nothing", "another", "failed", "under way", "another digest"],
)
def test_only_the_digest_that_ran_well_in_the_environment_before_goes_on(before: Ledger) -> None:
    with pytest.raises(Refused, match="has not passed the version check in qa: promote it there before prd"):
        promotion(SECOND, ledger((FIRST, DONE)), before=before)
    assert promotion(SECOND, ledger((FIRST, DONE)), before=ledger((SECOND, DONE), environment="qa")).migrates is False


def test_a_newer_revision_is_a_migration() -> None:
    assert promotion(UPGRADE, ledger((FIRST, DONE))).migrates is True


def test_a_failed_attempt_leaves_both_revisions_possible() -> None:
    failed = ledger((FIRST, DONE), (UPGRADE, FAILED))
    assert failed.possible_revisions() == {FIRST.revision, UPGRADE.revision}
    assert promotion(UPGRADE, failed).migrates is True
    assert ledger((FIRST, FAILED), (UPGRADE, DONE)).possible_revisions() == {UPGRADE.revision}


def test_a_rollback_within_one_revision_goes_to_what_ran_well_before() -> None:
    plan = rollback(ledger((FIRST, DONE), (SECOND, DONE)))
    assert (plan.release, plan.migrates) == (FIRST, False)
    assert rollback(ledger((FIRST, DONE), (SECOND, FAILED))).release == FIRST
    assert rollback(ledger((FIRST, DONE), (SECOND, DONE), (a_release("1.2.0"), FAILED)), "1.0.0").release == FIRST


@pytest.mark.parametrize("outcome", [DONE, FAILED])
def test_a_rollback_over_a_migration_is_refused_and_says_why_and_what_to_do(outcome: str) -> None:
    with pytest.raises(Refused) as refused:
        rollback(ledger((FIRST, DONE), (UPGRADE, outcome)))
    assert str(refused.value) == (
        "the database of prd may be at revision cccc3333cccc, which Airflow 3.3.2 in version 1.0.0 does not know: it "
        "can neither run on it nor downgrade it. First run airflow db downgrade --to-revision bbbb2222bbbb with the "
        "image of version 2.0.0; or restore the snapshot airflow-prd-before-2-0-0, which loses everything since. "
        "Then run make settle ENV=prd REVISION=bbbb2222bbbb"
    )


def test_after_the_database_was_downgraded_the_rollback_is_allowed() -> None:
    downgraded = ledger((FIRST, DONE), (UPGRADE, DONE)).settle(revision=FIRST.revision, at=NOW)
    assert rollback(downgraded).release == FIRST


def test_a_promotion_over_a_database_that_its_image_does_not_know_is_refused() -> None:
    with pytest.raises(Refused, match="does not know"):
        promotion(SECOND, ledger((UPGRADE, DONE)))


def test_a_rollback_goes_only_to_what_ran_well_here() -> None:
    with pytest.raises(Refused, match=r"version 1\.1\.0 never ran well in prd"):
        rollback(ledger((SECOND, FAILED), (FIRST, DONE)), "1.1.0")
    with pytest.raises(Refused, match="no other version ran well in prd"):
        rollback(ledger((FIRST, DONE), (FIRST, DONE)))
    with pytest.raises(Refused, match="does not exist"):
        plan_rollback(None, ledger=ledger((FIRST, DONE), (SECOND, DONE)), exists=False, now=NOW)


def test_a_stack_that_others_deployed_is_not_touched_before_its_revision_is_known() -> None:
    with pytest.raises(Refused, match="make settle ENV=prd"):
        promotion(SECOND, Ledger(environment="prd"))
    known = Ledger(environment="prd").settle(revision=LINEAGE[1], at=NOW)
    assert promotion(SECOND, known).migrates is True


def test_a_second_deployment_is_refused_until_the_first_is_too_old_to_run() -> None:
    busy = ledger((FIRST, DONE), (SECOND, UNDER_WAY))
    with pytest.raises(Refused, match=r"a deployment of version 1\.1\.0 to prd is under way"):
        promotion(SECOND, busy)
    later = plan_promotion(SECOND, ledger=busy, before=None, exists=True, now=NOW + LONGEST_DEPLOYMENT_S)
    assert later.release == SECOND


def test_a_ledger_is_read_as_it_was_written() -> None:
    kept = ledger((FIRST, DONE), (UPGRADE, FAILED)).settle(revision="aaaa1111aaaa", at=NOW)
    assert Ledger.from_record(json.loads(json.dumps(kept.to_record())), environment="prd") == kept


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {},
        {"environment": "qa", "entries": []},
        {"environment": "prd", "entries": [{}]},
        {"environment": "prd", "entries": [{**Ledger.to_record(ledger((FIRST, DONE)))["entries"][0], "outcome": "?"}]},
        {"environment": "prd", "entries": [{**Ledger.to_record(ledger((FIRST, DONE)))["entries"][0], "more": 1}]},
    ],
)
def test_a_malformed_ledger_is_not_an_empty_one(record: object) -> None:
    with pytest.raises(Refused, match="the ledger of prd is malformed"):
        Ledger.from_record(record, environment="prd")


@pytest.mark.parametrize(
    "changed",
    [
        {"image": f"{REPOSITORY}:1.0.0"},
        {"image": f"{REPOSITORY}@sha256:abc"},
        {"version": "../1"},
        {"version": ""},
        {"airflow_version": ""},
        {"revision": "dddd4444dddd"},
        {"lineage": []},
        {"lineage": ["bbbb2222bbbb", "--sql"]},
        {"lineage": [1]},
        {"lineage": None},
    ],
)
def test_a_release_names_its_image_by_digest_and_its_revision_with_all_before_it(changed: dict[str, object]) -> None:
    assert Release.from_record(FIRST.to_record()) == FIRST
    with pytest.raises(Refused):
        Release.from_record({**FIRST.to_record(), **changed})
