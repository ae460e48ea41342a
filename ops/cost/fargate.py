"""Price the ECS tasks of a service a month: those that always run, and the second set during deployments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.pools import POOLS, Pool, find_pool, read_pools
from ops.cost import prices
from ops.cost.load import Load

SPOT = "FARGATE_SPOT"
SCHEDULER = "scheduler"  # of all containers the one that needs the pools with their limits in every release
MINUTES_AN_HOUR = 60

Properties = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class HourPrices:
    """What an hour of one ECS task costs, in dollars, and the strategy that says which of them run on Spot."""

    on_demand_usd: float
    spot_usd: float
    strategy: Any

    def mean_usd(self, tasks: float) -> float:
        """Return the mean price of an hour of one ECS task while so many run."""
        if tasks <= 0:
            return self.on_demand_usd
        parts = split(tasks, self.strategy)
        return (parts.on_demand * self.on_demand_usd + parts.spot * self.spot_usd) / tasks


@dataclass(frozen=True, kw_only=True)
class Split:
    """The number of ECS tasks on demand and on Spot."""

    on_demand: float
    spot: float


def price_service(p: Properties, template: Mapping[str, Any], load: Load) -> Iterator[tuple[str, float]]:
    """Yield a description of each part and its dollars a month."""
    title = _definition(p, template)
    definition = template["Resources"][title]["Properties"]
    tasks = mean_tasks(title, definition, template, load)
    hour = hour_prices(p, definition)
    parts = split(tasks, hour.strategy)
    vcpu, gb, processor = _size(definition)
    size = f"{vcpu:g} vCPU, {gb:g} GB, {processor}"
    if parts.on_demand or not parts.spot:
        yield f"{parts.on_demand:.1f} x {size}", parts.on_demand * hour.on_demand_usd * prices.HOURS_A_MONTH
    if parts.spot:
        yield f"{parts.spot:.1f} x {size} on Spot", parts.spot * hour.spot_usd * prices.HOURS_A_MONTH
    gate_minutes = _gate_minutes(definition)
    if gate_minutes and load.deployments_a_month:
        while_awake = tasks / load.awake  # no deployments while asleep
        twice = load.deployments_a_month * gate_minutes / MINUTES_AN_HOUR * while_awake * hour.on_demand_usd
        yield f"{load.deployments_a_month} deployments, old and new for {gate_minutes} min", twice
    if "ServiceRegistries" in p:
        yield "registered tasks", tasks * prices.REGISTERED_TASK_MONTH


def hour_prices(p: Properties, definition: Properties) -> HourPrices:
    """Return what an hour of a service's ECS task costs, from the properties of both."""
    vcpu, gb, processor = _size(definition)
    hour = vcpu * prices.FARGATE_VCPU_HOUR[processor] + gb * prices.FARGATE_GB_HOUR[processor]
    disk = definition.get("EphemeralStorage", {}).get("SizeInGiB", prices.FARGATE_FREE_DISK_GB)
    disk_hour = (disk - prices.FARGATE_FREE_DISK_GB) * prices.FARGATE_DISK_GB_HOUR
    return HourPrices(
        on_demand_usd=hour + disk_hour,
        spot_usd=hour * prices.FARGATE_SPOT_SHARE + disk_hour,
        strategy=p.get("CapacityProviderStrategy", ()),
    )


def worker_prices(template: Mapping[str, Any]) -> dict[str, HourPrices]:
    """Return what an hour of a worker costs, by pool."""
    found: dict[str, HourPrices] = {}
    for resource in template["Resources"].values():
        if resource["Type"] != "AWS::ECS::Service":
            continue
        p = resource["Properties"]
        definition = template["Resources"][_definition(p, template)]["Properties"]
        for environment in map(_environment, definition["ContainerDefinitions"]):
            if "POOL" in environment:
                found[environment["POOL"]] = hour_prices(p, definition)
    return found


def _size(definition: Properties) -> tuple[float, float, str]:
    """Return vCPUs, GB of memory and the processor of an ECS task."""
    return (
        int(definition["Cpu"]) / 1024,
        int(definition["Memory"]) / 1024,
        definition["RuntimePlatform"]["CpuArchitecture"],
    )


def containers_of(p: Properties, template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the plain variables of each container of a service's ECS tasks, by the containers' names."""
    definition = template["Resources"][_definition(p, template)]["Properties"]
    return {container["Name"]: _environment(container) for container in definition["ContainerDefinitions"]}


def split(tasks: float, strategy: Any) -> Split:
    """Divide tasks as ECS does: the base on demand first, the rest by weight."""
    items = {item["CapacityProvider"]: item for item in strategy}
    weights = {name: _number(item.get("Weight", 0)) for name, item in items.items()}
    base = sum(_number(item.get("Base", 0)) for item in items.values())
    if not weights.get(SPOT):
        return Split(on_demand=tasks, spot=0.0)
    spot = max(tasks - base, 0.0) * weights[SPOT] / sum(weights.values())
    return Split(on_demand=tasks - spot, spot=spot)


def _number(value: Any) -> float:
    """Return a number, or the one that the template selects from a list."""
    if isinstance(value, Mapping):
        index, choices = value["Fn::Select"]
        return float(choices[index])
    return float(value)


def _environment(container: Properties) -> dict[str, Any]:
    return {entry["Name"]: entry["Value"] for entry in container["Environment"]}


def _gate_minutes(definition: Properties) -> int:
    """Return the longest time that new tasks of a deployment run beside the old ones; 0 without a gate."""
    return max(int(_environment(c).get("GATE_MINUTES", 0)) for c in definition["ContainerDefinitions"])


def pools_of(template: Mapping[str, Any]) -> tuple[Pool, ...]:
    """Return the pools with their limits, which the workers are not told."""
    definitions = (r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::ECS::TaskDefinition")
    containers = (container for definition in definitions for container in definition["ContainerDefinitions"])
    return next(read_pools(_environment(c)[POOLS]) for c in containers if c["Name"] == SCHEDULER)


def _definition(p: Properties, template: Mapping[str, Any]) -> str:
    """Return the logical id of a service's task definition, which the service may name by its family."""
    named = p["TaskDefinition"]
    if "Ref" in named:
        return str(named["Ref"])
    resources: Mapping[str, Any] = template["Resources"]
    return next(title for title, r in resources.items() if r.get("Properties", {}).get("Family") == named)


def mean_tasks(title: str, definition: Properties, template: Mapping[str, Any], load: Load) -> float:
    """Return the mean number of ECS tasks over all hours; none run while asleep.

    A pool's workers follow the load. A service that scales by CPU runs its minimum. Every other service runs one.
    """
    for environment in map(_environment, definition["ContainerDefinitions"]):
        if "POOL" in environment:
            pools = pools_of(template)
            pool = find_pool(pools, environment["POOL"])
            # All tasks go to the first pool: the load does not say which pool runs a task.
            if pool != pools[0]:
                return load.awake * float(pool.minimum)
            return load.workers(concurrency=pool.concurrency, least=pool.minimum, most=pool.maximum)
    service = title.removesuffix("TaskDefinition") + "Service"
    for resource in template["Resources"].values():
        of_this = f"${{{service}.Name}}" in str(resource.get("Properties", {}).get("ResourceId", ""))
        if resource["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget" and of_this:
            return load.awake * float(resource["Properties"]["MinCapacity"])
    return load.awake
