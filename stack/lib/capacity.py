"""What a service's tasks run on: Fargate, or a share of them on Fargate Spot."""

from dataclasses import dataclass

from troposphere import Parameter, Ref, Select, Split, Template
from troposphere.ecs import CapacityProviderStrategyItem

from stack.lib.parameters import Between, add_parameter

ON_DEMAND, SPOT = "FARGATE", "FARGATE_SPOT"
PROVIDERS = (ON_DEMAND, SPOT)
WHOLE = 100
MOST_ON_DEMAND = 1000
# CloudFormation cannot subtract: the weight of on-demand is picked from 100, 99 ... 0 by the weight of Spot.
REMAINDERS = ",".join(str(WHOLE - percent) for percent in range(WHOLE + 1))


@dataclass(frozen=True, kw_only=True)
class SpotShare:
    """The first `base` tasks run on demand; of those beyond, `percent` on Spot. ECS rounds as it can."""

    base: Parameter
    percent: Parameter

    def strategy(self) -> list[CapacityProviderStrategyItem]:
        """For a service, in place of a launch type. A base counts even where the weight is 0."""
        on_demand = Select(Ref(self.percent), Split(",", REMAINDERS))
        return [
            CapacityProviderStrategyItem(CapacityProvider=ON_DEMAND, Base=Ref(self.base), Weight=on_demand),
            CapacityProviderStrategyItem(CapacityProvider=SPOT, Weight=Ref(self.percent)),
        ]


def add_spot_share(t: Template, prefix: str, *, group: str, whose: str, percent: int, base: int) -> SpotShare:
    """Parameters `<prefix>SpotPercent` and `<prefix>OnDemandBase` with their defaults."""
    return SpotShare(
        percent=add_parameter(
            t,
            f"{prefix}SpotPercent",
            group=group,
            label="Percent on Spot",
            description=f"Share of {whose} beyond the base that runs on Fargate Spot, which is cheaper and may be "
            "taken back with two minutes' notice.",
            constraint=Between(low=0, high=WHOLE),
            default=percent,
        ),
        base=add_parameter(
            t,
            f"{prefix}OnDemandBase",
            group=group,
            label="Base on demand",
            description=f"How many of {whose} run on demand before any runs on Spot.",
            constraint=Between(low=0, high=MOST_ON_DEMAND),
            default=base,
        ),
    )
