"""Carry out the steps of a plan through the APIs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fleet.pools import lists_of_pools
from shared.tags import ASLEEP_TAG, DESIRED_STATE_TAG, DesiredState, asleep_tag
from sleeper.plan import Step, Verb
from sleeper.read import SUSPENDED, Clients, cluster, scalable_target
from sleeper.settings import Settings

ALARMS_A_CALL = 100  # the API takes no more
UNSETTLED = "INSUFFICIENT_DATA"
REARMED = "Reset after waking, so that an alarm that is still on notifies again."


class Hands:
    """Acts on one environment. Every step may be repeated; each raises one of AWS_ERRORS or BROKER_ERRORS."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        self._clients, self._settings = clients, settings
        self._verbs: Mapping[Verb, Callable[[Step], object]] = {
            Verb.MARK_ASLEEP: self._mark_asleep,
            Verb.STOP_TASKS: lambda step: self._set_desired(step, 0),
            Verb.RESTORE_TASKS: self._restore_tasks,
            Verb.SUSPEND_SCALING: lambda _: self._suspend(True),
            Verb.RESUME_SCALING: lambda _: self._suspend(False),
            Verb.SILENCE_ALARMS: lambda step: self._switch_alarms("disable_alarm_actions", step),
            Verb.ARM_ALARMS: lambda step: self._switch_alarms("enable_alarm_actions", step),
            Verb.REARM_ALARMS: self._rearm,
            Verb.DROP_MESSAGES: lambda _: self._drop_messages(),
            Verb.STOP_DATABASE: lambda _: clients.rds.stop_db_instance(DBInstanceIdentifier=settings.database),
            Verb.START_DATABASE: lambda _: clients.rds.start_db_instance(DBInstanceIdentifier=settings.database),
            Verb.CLEAR_DESIRED_STATE: lambda _: self._clear_desired_state(),
        }

    def take(self, step: Step) -> None:
        self._verbs[step.verb](step)

    def record(self, desired_state: DesiredState) -> None:
        """Write the desired state to the cluster's tag."""
        self._clients.ecs.tag_resource(resourceArn=self._cluster_arn(), tags=[desired_state.to_tag()])

    def _clear_desired_state(self) -> None:
        self._clients.ecs.untag_resource(resourceArn=self._cluster_arn(), tagKeys=[DESIRED_STATE_TAG])

    def _cluster_arn(self) -> str:
        return str(cluster(self._clients.ecs, self._settings.cluster)["clusterArn"])

    def _mark_asleep(self, step: Step) -> None:
        self._clients.ecs.tag_resource(resourceArn=_arn(step), tags=[asleep_tag(step.size)])

    def _restore_tasks(self, step: Step) -> None:
        """Set the size before removing the tag: the tag is the only record of the size."""
        self._set_desired(step, step.size)
        self._clients.ecs.untag_resource(resourceArn=_arn(step), tagKeys=[ASLEEP_TAG])

    def _set_desired(self, step: Step, desired: int) -> None:
        self._clients.ecs.update_service(cluster=self._settings.cluster, service=_arn(step), desiredCount=desired)

    def _suspend(self, suspended: bool) -> None:
        target = scalable_target(self._settings.cluster, self._settings.airflow)
        state = dict.fromkeys(SUSPENDED, suspended)
        self._clients.scaling.register_scalable_target(**target, SuspendedState=state)

    def _switch_alarms(self, call: str, step: Step) -> None:
        for start in range(0, len(step.names), ALARMS_A_CALL):
            getattr(self._clients.alarms, call)(AlarmNames=list(step.names[start : start + ALARMS_A_CALL]))

    def _rearm(self, step: Step) -> None:
        """Reset the alarms, then arm them: an alarm notifies only when it changes to ALARM."""
        for name in step.names:
            self._clients.alarms.set_alarm_state(AlarmName=name, StateValue=UNSETTLED, StateReason=REARMED)
        self._switch_alarms("enable_alarm_actions", step)

    def _drop_messages(self) -> None:
        client: Any = self._clients.broker.connect()
        client.delete(*lists_of_pools(self._settings.pools))


def _arn(step: Step) -> str:
    if step.service is None:
        raise ValueError(f"the step {step.verb.value} names no service")
    return step.service.arn
