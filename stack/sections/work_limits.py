"""The limits of the alarms on Airflow's work: one parameter; the alarms, the forecaster and a function read its parts.

CloudFormation accepts 200 parameters, so the limits share one.
"""

from dataclasses import dataclass

from troposphere import Parameter, Ref, Select, Split, Template

from fleet.work import DEFAULT_LIMITS, LIMIT_NAMES, LIMITS_PATTERN
from stack.lib.parameters import FormGroup, Matching
from stack.sections.topic import GROUP

LONGEST = 120  # characters


@dataclass(frozen=True, kw_only=True)
class WorkLimits:
    """`text`: all of them, as `fleet.work.parse_limits` reads them."""

    text: Ref

    def threshold(self, name: str) -> Select:
        """Return the number of one of LIMIT_NAMES."""
        part = Select(LIMIT_NAMES.index(name), Split(",", self.text))
        return Select(1, Split("=", part))


def add_work_limits(t: Template) -> WorkLimits:
    parameter: Parameter = FormGroup(t, GROUP).add(
        "WorkAlarmLimits",
        label="Limits of the alarms on Airflow's work",
        description="An alarm begins above each: tasks and runs that failed within the window, intervals without a "
        "success of a DAG without a tag expect:N, seconds that a due run waits, seconds that parsing a file takes.",
        constraint=Matching(regex=f"^{LIMITS_PATTERN}$", must_be=f"like {DEFAULT_LIMITS}"),
        default=DEFAULT_LIMITS,
    )
    parameter.MaxLength = LONGEST
    return WorkLimits(text=Ref(parameter))
