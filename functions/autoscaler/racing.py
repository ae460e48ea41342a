"""Races boots within a budget: more workers are launched than are needed, the first ones ready take the tasks. Pure.

By chance a boot takes one minute or two. Of several boots for one place the first is early, and the others, the losers,
are cancelled when the minute is over that Fargate bills at least. That is worth something only where boots do not take
equally long, and where their cost stays small beside that of the work. So the budget limits it: racers never cost more
than a share of what the pool's workers have cost lately.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from autoscaler.policy import Policy

# ECS launches this many tasks of an account at once, and further ones slowly: a larger race would delay other launches.
LAUNCH_BURST = 100
# A small deficit may be raced by 30 boots, a large one by three times what it needs: beyond that each task gains little
# from one more racer.
MAX_RACED = 30
RACERS_A_NEEDED_BOOT = 3
# Fargate bills a minute at least. A loser is cancelled 55 s after its launch, by a tick that is at most a minute late.
LEAST_COST_S, MOST_COST_S = 60.0, 120.0
# What workers cost is forgotten within about a day: a pool that has become small must not race like a large one.
LATELY_S = 86_400.0
# What workers cost between two ticks that are further apart is unknown and does not count.
LONGEST_GAP_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What races may still cost.

    `left_s`: worker-seconds, without those that are set aside for the `racers`: boots under way beyond the need.
    `workers`: how many ran at the time `at` (Redis's). `fresh`: the racers that were launched then. `most`: how many
    more may join at this tick, whatever they cost.
    """

    left_s: float = 0.0
    racers: int = 0
    workers: int = 0
    at: float = 0.0
    fresh: int = 0
    most: int = LAUNCH_BURST

    @property
    def affordable(self) -> int:
        """How many more boots may race."""
        return min(self.most, max(0, int(self.left_s // MOST_COST_S)))

    def earn(self, workers: int, *, share: float, now: float) -> Budget:
        """Add the `share` of what the workers cost since the last tick: of those that ran then and run now.

        A repeated tick has not launched the racers of this moment yet, and launches no more than the first one did:
        that may have cancelled a boot, and the others must not race in its place.
        """
        if now == self.at:
            left_s = self.left_s + self.fresh * MOST_COST_S
            return replace(self, left_s=left_s, racers=self.racers - self.fresh, fresh=0, most=self.fresh)
        elapsed_s = max(0.0, now - self.at)
        cost_s = min(workers, self.workers) * min(elapsed_s, LONGEST_GAP_S)
        kept_s = self.left_s * math.exp(-elapsed_s / LATELY_S)
        return replace(self, left_s=kept_s + share * cost_s, workers=workers, at=now, fresh=0, most=LAUNCH_BURST)

    def launch(self, racers: int) -> Budget:
        """Set aside what these racers cost at most."""
        left_s = self.left_s - racers * MOST_COST_S
        return replace(self, left_s=left_s, racers=self.racers + racers, fresh=racers, most=LAUNCH_BURST)

    def settle(self, *, cancelled: int, age_s: float, booting: int) -> Budget:
        """Take back what cancelled racers did not cost; `age_s` is the age of the oldest, `booting` are left.

        Nothing comes back for a racer that has booted: it may cost more than it saves.
        """
        losers = min(cancelled, self.racers)
        back_s = losers * (MOST_COST_S - max(LEAST_COST_S, age_s))
        racers = min(self.racers - losers, booting)
        return replace(self, left_s=self.left_s + back_s, racers=racers, fresh=min(self.fresh, racers))


def boots_needed(tasks: float, policy: Policy) -> int:
    """Return how many workers must boot for these `tasks`, which have no slot."""
    return math.ceil(tasks / policy.concurrency)


def boots_raced(tasks: float, policy: Policy, *, half_way: int) -> int:
    """Return how many boots would race for these `tasks` if their cost did not matter.

    No boot races for tasks that the `half_way` boots will serve: it would come too late. Losers are also never seen to
    be ready, so boots would seem shorter than they are, and workers for a forecast would be late.
    """
    needed = boots_needed(tasks, policy)
    unraced = min(needed, half_way)
    raced = unraced + math.ceil((tasks - policy.concurrency * unraced) * policy.boots_per_task)
    return max(needed, min(raced, max(MAX_RACED, RACERS_A_NEEDED_BOOT * needed), LAUNCH_BURST))


def racers_to_launch(wanted: int, *, needed: int, booting: int, budget: Budget) -> int:
    """Return how many racers join the boots under way: `wanted` boots race where `needed` would do.

    Boots that were launched as racers stay racers, also when more tasks have come that need them.
    """
    others = booting - budget.racers
    return min(budget.affordable, max(0, wanted - max(needed, others) - budget.racers))
