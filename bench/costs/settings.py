"""The settings of an environment that decide how many workers its pools have, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoscaler import settings as names
from autoscaler.policy import Policy
from fleet.pools import Pool
from ops.cost.estimate import AUTOSCALER
from ops.cost.fargate import HourPrices, pools_of, worker_prices
from ops.cost.resolved import read_template

PERCENT = 100


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """A pool, the policy of its scaling, and what an hour of its workers costs."""

    pool: Pool
    policy: Policy
    prices: HourPrices


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`name`: of the environment, with the revision if it is not the checkout. `poll_s`: between two ticks."""

    name: str
    pools: tuple[PoolSettings, ...]
    poll_s: float


def read_settings(environment: str, revision: str | None) -> Settings:
    """Return an environment's settings, in the checkout or in a revision.

    Raises CommandError or TemplateError for what is missing.
    """
    template = read_template(environment, revision)
    variables = _autoscalers(template)
    prices = worker_prices(template)
    pools = (
        PoolSettings(pool=pool, policy=_policy(pool, variables), prices=prices[pool.name])
        for pool in pools_of(template)
    )
    return Settings(
        name=f"{environment} {revision or ''}".strip(),
        pools=tuple(pools),
        poll_s=float(variables.get(names.POLL_SECONDS, names.POLL_SECONDS_DEFAULT)),
    )


def _autoscalers(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the variables of the autoscaler's function."""
    functions = (r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::Lambda::Function")
    (autoscaler,) = (function for function in functions if function["Handler"].startswith(f"{AUTOSCALER}."))
    variables: Mapping[str, Any] = autoscaler["Environment"]["Variables"]
    return variables


def _policy(pool: Pool, variables: Mapping[str, Any]) -> Policy:
    """Return the policy; a revision that does not know a setting has its default."""

    def whole(name: str, default: int) -> int:
        value = variables.get(name)
        return default if value in (None, "") else int(str(value))

    max_age_s = whole(names.MAX_AGE_HOURS, names.MAX_AGE_DEFAULT_HOURS) * names.HOUR_S
    return Policy(
        minimum=min(pool.minimum, pool.maximum),
        maximum=pool.maximum,
        concurrency=pool.concurrency,
        scale_in_after_s=whole(names.SCALE_IN_AFTER_S, names.SCALE_IN_AFTER_DEFAULT_S),
        max_step_out=whole(names.MAX_STEP_OUT, 0) or None,
        boots_per_task=whole(names.RACED_BOOTS_PERCENT, names.RACED_BOOTS_DEFAULT_PERCENT) / PERCENT,
        racing_budget=whole(names.RACING_BUDGET_PERCENT, names.RACING_BUDGET_DEFAULT_PERCENT) / PERCENT,
        max_age_s=float(max_age_s) if max_age_s else None,
    )
