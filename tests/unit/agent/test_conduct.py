"""Unit tests of a worker's state machine, without Celery, Redis or ECS."""

import pytest

from agent.conduct import (
    CONFIRM_IDLE_S,
    LATE_EFFECT_S,
    LEASE_MARGIN_S,
    LEASE_MINUTES,
    NO_ANSWER,
    NO_EVENT_LOOP,
    NOT_CONNECTED,
    PROOF_S,
    RENEW_EVERY_S,
    REPLACE_AFTER_S,
    REPLACE_UNHEARD_AFTER_S,
    RETRY_MOST_S,
    SNAPSHOT_FRESH_S,
    Conduct,
    IdleWatch,
    Request,
    Snapshot,
)
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING, STOPPED
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN

LEASE_S = LEASE_MINUTES * 60 - LEASE_MARGIN_S


class Worker:
    """A conduct, a clock, and an event loop that obeys every command."""

    def __init__(self) -> None:
        self.conduct = Conduct()
        self.conduct.permit(True)
        self.now = 1000.0
        self.active = 0
        self.idle = False
        self.read_at: float | None = None  # None: now

    @property
    def snapshot(self) -> Snapshot:
        command = self.conduct.command(self.now)
        return Snapshot(
            at=self.now,
            epoch=command.epoch,
            consuming=command.consume,
            active=self.active,
            idle=self.idle,
            read_at=self.now if self.read_at is None else self.read_at,
        )

    @property
    def trouble(self) -> str:
        return self.conduct.trouble(self.snapshot, self.now)

    def is_beyond_help(self, *, heard_since: float | None) -> bool:
        return self.conduct.is_beyond_help(active=self.active, heard_since=heard_since, now=self.now)

    @property
    def state(self) -> str:
        return self.conduct.state(self.snapshot, active=self.active, now=self.now)

    @property
    def request(self) -> Request:
        return self.conduct.next_request(self.snapshot, self.now)

    @property
    def consumes(self) -> bool:
        return self.conduct.command(self.now).consume

    def answer(self, *, granted: bool | None) -> None:
        self.conduct.answered(self.request, granted=granted, asked_at=self.now, now=self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def starting() -> Worker:
    return Worker()


@pytest.fixture
def consuming() -> Worker:
    worker = Worker()
    worker.answer(granted=True)
    assert worker.state == CONSUMING
    return worker


@pytest.fixture
def draining(consuming: Worker) -> Worker:
    consuming.active = 1
    consuming.conduct.obey(ORDER_DRAIN)
    assert consuming.state == DRAINING
    return consuming


@pytest.fixture
def drained(draining: Worker) -> Worker:
    draining.active, draining.idle = 0, True
    draining.answer(granted=True)
    assert draining.state == DRAINED
    return draining


def test_a_worker_asks_for_protection_before_it_consumes(starting: Worker) -> None:
    assert (starting.state, starting.request, starting.consumes) == (STARTING, Request.PROTECT, False)
    starting.answer(granted=True)
    assert (starting.state, starting.request, starting.consumes) == (CONSUMING, Request.NOTHING, True)


def test_a_worker_that_is_not_permitted_leaves_protection_to_others(starting: Worker) -> None:
    starting.conduct.permit(False)
    assert (starting.state, starting.request, starting.consumes) == (STARTING, Request.NOTHING, False)
    starting.conduct.permit(True)
    assert starting.request is Request.PROTECT


def test_a_worker_consumes_nothing_before_it_is_permitted() -> None:
    conduct = Conduct()
    conduct.answered(Request.PROTECT, granted=True, asked_at=0.0, now=0.0)
    assert not conduct.command(0.0).consume


def test_a_worker_that_loses_its_permission_unsubscribes_and_keeps_its_tasks_protected(consuming: Worker) -> None:
    consuming.active = 1
    consuming.conduct.permit(False)
    assert (consuming.state, consuming.consumes, consuming.conduct.protected) == (DRAINING, False, True)
    consuming.wait(RENEW_EVERY_S)
    assert consuming.request is Request.PROTECT
    consuming.conduct.permit(True)
    assert consuming.consumes


def test_a_worker_without_permission_drains_by_order(consuming: Worker) -> None:
    consuming.conduct.permit(False)
    consuming.conduct.obey(ORDER_DRAIN)
    consuming.idle = True
    assert consuming.request is Request.UNPROTECT
    consuming.answer(granted=True)
    assert consuming.state == DRAINED


@pytest.mark.parametrize("granted", [False, None], ids=["refused", "no answer"])
def test_a_worker_that_is_not_protected_stays_unsubscribed(starting: Worker, granted: bool | None) -> None:
    starting.answer(granted=granted)
    assert (starting.state, starting.consumes) == (STARTING, False)


@pytest.mark.parametrize(("granted", "protected"), [(False, False), (None, True)], ids=["refused", "no answer"])
def test_protection_that_may_have_been_granted_is_reported(
    starting: Worker, granted: bool | None, protected: bool
) -> None:
    starting.answer(granted=granted)
    assert starting.conduct.protected is protected


def test_a_failed_request_is_repeated_after_growing_pauses(starting: Worker) -> None:
    asked_at = []
    for _ in range(600):
        if starting.request is Request.PROTECT:
            asked_at.append(starting.now - 1000.0)
            starting.answer(granted=None)
        starting.wait(0.1)
    # after 1 s, then pauses of 2, 4, 8, and 15 s each
    assert asked_at == pytest.approx([0, 1, 3, 7, 15, 30, 45], abs=0.5)
    assert RETRY_MOST_S == 15


def test_the_lease_is_renewed_while_consuming(consuming: Worker) -> None:
    wishes = []
    for seconds in (RENEW_EVERY_S - 1, 1):
        consuming.wait(seconds)
        wishes.append(consuming.request)
    assert wishes == [Request.NOTHING, Request.PROTECT]


def test_the_lease_is_renewed_while_draining(draining: Worker) -> None:
    draining.wait(RENEW_EVERY_S)
    assert draining.request is Request.PROTECT


@pytest.mark.parametrize("granted", [False, None], ids=["refused", "no answer"])
def test_a_failed_renewal_changes_nothing_while_the_lease_holds(consuming: Worker, granted: bool | None) -> None:
    consuming.wait(RENEW_EVERY_S)
    consuming.answer(granted=granted)
    assert (consuming.state, consuming.consumes, consuming.conduct.protected) == (CONSUMING, True, True)


def test_a_worker_consumes_on_through_an_outage_of_ecs_that_lasts_for_hours(consuming: Worker) -> None:
    for _ in range(11 * 12):
        consuming.wait(RENEW_EVERY_S)
        consuming.answer(granted=None)
    assert (consuming.state, consuming.consumes, consuming.conduct.protected) == (CONSUMING, True, True)


def test_a_worker_whose_lease_runs_out_unsubscribes_in_time(consuming: Worker) -> None:
    consuming.wait(LEASE_S - 1)
    assert consuming.consumes
    consuming.wait(1)
    assert (consuming.state, consuming.consumes) == (DRAINING, False)


def test_a_worker_whose_lease_ran_out_consumes_again_when_it_is_protected_again(consuming: Worker) -> None:
    consuming.wait(LEASE_S)
    assert not consuming.consumes
    consuming.answer(granted=True)
    assert consuming.state == CONSUMING


def test_a_worker_ordered_to_drain_unsubscribes_and_stays_protected(draining: Worker) -> None:
    assert (draining.consumes, draining.request, draining.conduct.protected) == (False, Request.NOTHING, True)


def test_a_worker_gives_up_protection_when_it_is_surely_idle(draining: Worker) -> None:
    draining.active, draining.idle = 0, True
    assert (draining.state, draining.request) == (DRAINING, Request.UNPROTECT)
    draining.answer(granted=True)
    assert (draining.state, draining.request, draining.conduct.protected) == (DRAINED, Request.NOTHING, False)


@pytest.mark.parametrize("granted", [False, None], ids=["refused", "no answer"])
def test_a_worker_is_not_drained_until_its_release_is_confirmed(draining: Worker, granted: bool | None) -> None:
    draining.active, draining.idle = 0, True
    draining.answer(granted=granted)
    assert (draining.state, draining.conduct.protected) == (DRAINING, True)
    draining.wait(1)
    assert draining.request is Request.UNPROTECT


def test_a_release_without_an_answer_may_have_worked_so_a_recall_asks_for_protection(draining: Worker) -> None:
    draining.active, draining.idle = 0, True
    draining.answer(granted=None)
    draining.conduct.obey(ORDER_CONSUME)
    assert (draining.consumes, draining.request) == (False, Request.PROTECT)


def test_a_recalled_worker_waits_until_an_unanswered_release_can_no_longer_undo_its_protection(
    draining: Worker,
) -> None:
    draining.idle = True
    draining.answer(granted=None)
    draining.conduct.obey(ORDER_CONSUME)
    draining.answer(granted=True)
    assert not draining.consumes
    draining.wait(LATE_EFFECT_S)
    draining.answer(granted=True)
    assert draining.consumes


def test_a_worker_is_not_drained_while_an_unanswered_renewal_may_still_protect_it(consuming: Worker) -> None:
    consuming.wait(RENEW_EVERY_S)
    consuming.answer(granted=None)
    consuming.conduct.obey(ORDER_DRAIN)
    consuming.idle = True
    consuming.answer(granted=True)
    assert consuming.state == DRAINING
    consuming.wait(LATE_EFFECT_S)
    consuming.answer(granted=True)
    assert consuming.state == DRAINED


def test_a_worker_seen_idle_under_an_earlier_command_is_not_confirmed_as_idle(draining: Worker) -> None:
    draining.idle = True
    stale = draining.snapshot
    draining.conduct.obey(ORDER_CONSUME)
    assert draining.consumes  # recalled, still protected: it may have taken a message by now
    draining.conduct.obey(ORDER_DRAIN)
    assert draining.conduct.next_request(stale, draining.now) is Request.NOTHING


def test_a_worker_with_an_old_snapshot_is_not_confirmed_as_idle(draining: Worker) -> None:
    draining.idle = True
    old = draining.snapshot
    draining.wait(SNAPSHOT_FRESH_S + 0.1)
    assert draining.conduct.next_request(old, draining.now) is Request.NOTHING


def test_a_worker_without_a_snapshot_is_not_confirmed_as_idle(draining: Worker) -> None:
    assert draining.conduct.next_request(None, draining.now) is Request.NOTHING
    assert draining.conduct.state(None, active=0, now=draining.now) == DRAINING


def test_a_drained_worker_that_is_seen_busy_does_not_report_as_drained(drained: Worker) -> None:
    drained.idle = False
    assert drained.state == DRAINING


def test_a_recalled_worker_consumes_only_after_it_is_protected_again(drained: Worker) -> None:
    drained.conduct.obey(ORDER_CONSUME)
    assert (drained.state, drained.consumes, drained.request) == (DRAINING, False, Request.PROTECT)
    drained.answer(granted=True)
    assert drained.state == CONSUMING


def test_a_recalled_worker_does_not_wait_for_an_earlier_pause_to_end(starting: Worker) -> None:
    for _ in range(5):
        starting.wait(60)
        starting.answer(granted=False)
    starting.conduct.obey(ORDER_DRAIN)
    starting.conduct.obey(ORDER_CONSUME)
    assert starting.request is Request.PROTECT


def test_a_worker_recalled_while_draining_consumes_at_once(draining: Worker) -> None:
    draining.conduct.obey(ORDER_CONSUME)
    assert (draining.state, draining.request) == (CONSUMING, Request.NOTHING)


def test_a_worker_ordered_to_drain_before_it_ever_consumed_drains_without_a_request(starting: Worker) -> None:
    starting.conduct.obey(ORDER_DRAIN)
    starting.idle = True
    assert (starting.state, starting.request) == (DRAINED, Request.NOTHING)


@pytest.mark.parametrize("order", [None, "sleep", ""])
def test_the_last_order_stands_when_none_or_an_unknown_one_is_read(consuming: Worker, order: str | None) -> None:
    consuming.conduct.obey(order)
    assert consuming.consumes
    consuming.conduct.obey(ORDER_DRAIN)
    consuming.conduct.obey(order)
    assert not consuming.consumes


def test_a_worker_that_is_being_stopped_unsubscribes_and_asks_for_nothing(consuming: Worker) -> None:
    consuming.conduct.shut_down()
    consuming.wait(RENEW_EVERY_S)
    assert (consuming.consumes, consuming.request, consuming.conduct.protected) == (False, Request.NOTHING, True)


def test_a_worker_that_is_being_stopped_is_not_recalled(consuming: Worker) -> None:
    consuming.conduct.shut_down()
    consuming.conduct.obey(ORDER_DRAIN)
    consuming.conduct.obey(ORDER_CONSUME)
    assert not consuming.consumes


@pytest.mark.parametrize(("active", "state"), [(1, DRAINING), (0, STOPPED)])
def test_a_worker_that_is_being_stopped_drains_until_its_tasks_end(consuming: Worker, active: int, state: str) -> None:
    consuming.conduct.shut_down()
    consuming.active = active
    assert consuming.state == state


def test_a_worker_whose_requests_for_messages_are_answered_has_no_trouble(consuming: Worker) -> None:
    consuming.wait(10 * PROOF_S)
    assert consuming.trouble == ""


def test_a_worker_has_some_seconds_for_its_first_proof(consuming: Worker) -> None:
    consuming.read_at = 0.0
    assert consuming.trouble == ""
    consuming.wait(PROOF_S)
    assert consuming.trouble == ""
    consuming.wait(0.1)
    assert (consuming.state, consuming.trouble) == (CONSUMING, NO_ANSWER)


def test_a_worker_that_gets_an_answer_again_is_out_of_trouble(consuming: Worker) -> None:
    consuming.read_at = consuming.now
    assert consuming.trouble == ""
    consuming.wait(PROOF_S + 1)
    assert consuming.trouble == NO_ANSWER
    consuming.read_at = consuming.now
    assert consuming.trouble == ""


def test_trouble_says_whether_the_connection_or_the_event_loop_is_gone(consuming: Worker) -> None:
    last = consuming.snapshot
    consuming.conduct.trouble(last, consuming.now)
    consuming.wait(PROOF_S + 1)
    assert consuming.conduct.trouble(last, consuming.now) == NO_EVENT_LOOP
    assert consuming.conduct.trouble(None, consuming.now) == NOT_CONNECTED


def test_a_worker_that_is_not_to_consume_has_no_trouble(consuming: Worker) -> None:
    consuming.conduct.obey(ORDER_DRAIN)
    assert consuming.conduct.trouble(None, consuming.now) == ""
    consuming.wait(10 * PROOF_S)
    assert consuming.conduct.trouble(None, consuming.now) == ""


def test_a_recalled_worker_proves_itself_anew(consuming: Worker) -> None:
    consuming.read_at = 0.0
    assert consuming.trouble == ""
    consuming.wait(PROOF_S + 1)
    assert consuming.trouble == NO_ANSWER
    consuming.conduct.obey(ORDER_DRAIN)
    assert consuming.trouble == ""
    consuming.conduct.obey(ORDER_CONSUME)
    assert consuming.state == CONSUMING
    assert consuming.trouble == ""


@pytest.mark.parametrize(("heard_since", "after_s"), [(0.0, REPLACE_AFTER_S), (None, REPLACE_UNHEARD_AFTER_S)])
@pytest.mark.parametrize("order", [ORDER_CONSUME, ORDER_DRAIN])
def test_a_worker_without_tasks_ends_when_nothing_has_moved_for_long(
    consuming: Worker, order: str, heard_since: float | None, after_s: float
) -> None:
    consuming.conduct.obey(order)
    consuming.conduct.trouble(None, consuming.now)
    consuming.wait(after_s)
    consuming.conduct.trouble(None, consuming.now)
    assert not consuming.is_beyond_help(heard_since=heard_since)
    consuming.wait(1)
    assert consuming.is_beyond_help(heard_since=heard_since)


def test_a_worker_has_time_to_connect_after_an_outage(consuming: Worker) -> None:
    consuming.conduct.trouble(None, consuming.now)
    consuming.wait(10 * REPLACE_AFTER_S)
    back = consuming.now
    consuming.conduct.trouble(None, consuming.now)
    assert not consuming.is_beyond_help(heard_since=None)
    assert not consuming.is_beyond_help(heard_since=back)
    consuming.wait(REPLACE_AFTER_S + 1)
    assert consuming.is_beyond_help(heard_since=back)


def test_a_worker_with_tasks_never_ends_by_itself(consuming: Worker) -> None:
    consuming.active = 1
    consuming.conduct.trouble(None, consuming.now)
    consuming.wait(10 * REPLACE_UNHEARD_AFTER_S)
    consuming.conduct.trouble(None, consuming.now)
    assert not consuming.is_beyond_help(heard_since=0.0)


def test_idleness_is_confirmed_only_after_it_lasted() -> None:
    watch = IdleWatch()
    assert not watch.check(quiet=True, epoch=1, now=10.0)
    assert not watch.check(quiet=True, epoch=1, now=10.0 + CONFIRM_IDLE_S - 0.1)
    assert watch.check(quiet=True, epoch=1, now=10.0 + CONFIRM_IDLE_S)


def test_one_busy_tick_restarts_the_wait() -> None:
    watch = IdleWatch()
    watch.check(quiet=True, epoch=1, now=10.0)
    assert not watch.check(quiet=False, epoch=1, now=11.9)
    assert not watch.check(quiet=True, epoch=1, now=12.1)
    assert watch.check(quiet=True, epoch=1, now=12.1 + CONFIRM_IDLE_S)


def test_idleness_under_an_earlier_command_does_not_count() -> None:
    watch = IdleWatch()
    watch.check(quiet=True, epoch=1, now=10.0)
    assert not watch.check(quiet=True, epoch=3, now=20.0)
