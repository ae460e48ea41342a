"""Worker pools: each has a set of queues, a service and size limits of its own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from troposphere import Equals, If, Not, NoValue, Parameter, Ref, Select, Split, Sub, Template
from troposphere.ecs import Service, TaskDefinition

from fleet.pools import ENTRIES, SERVICE, TASK_DEFINITION, pool_entry
from stack.lib.iam import name_beginning
from stack.lib.parameters import Between, FormGroup, Matching, add_condition, add_min_max_rule, placeholder
from stack.lib.services import SpotShare, add_spot_share
from stack.lib.started_jobs import BatchJob, EcsTask
from stack.lib.task_definition import Size, add_size

# Airflow's queue for tasks that name none.
DEFAULT_QUEUE = "default"
MAX_WORKERS = 1000
MAX_SLOTS = 256
# Celery takes a third of it, and the runner with Airflow's modules and one task the rest.
LEAST_MEMORY_MIB = 1024
# Minimum of workers up to which the template compares it exactly with the maximum: each number adds a list.
MIN_MAX_EXACT_TO = 10
# IAM's quota for managed policies of a role.
MAX_POLICIES = 10
POLICY_ARN = r"arn:aws(-[a-z]+)*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9+=.@_/-]+"  # a comma separates two
# How the names of the stack's services and families begin.
OWN = "${AWS::StackName}-"
# The place of the revision's number in the ARN of a task definition, between colons.
REVISION_PART = 6


@dataclass(frozen=True, kw_only=True)
class DeclaredPool:
    """A declaration; the numbers are the defaults of the pool's parameters, and `cpu`/`memory_mib` a Fargate size.

    `starts`: what its tasks may start outside of the stack. `publishes`: the names of the SNS topics, of the stack's
    account and region, to which they may publish.
    """

    name: str
    queues: tuple[str, ...]
    min: int = 1
    max: int = 10
    concurrency: int = 16
    cpu: str = "2048"
    memory_mib: str = "8192"
    storage_gib: int = 21
    spot_percent: int = 0
    on_demand_base: int = 1
    starts: tuple[EcsTask | BatchJob, ...] = ()
    publishes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Prefix of the pool's logical ids: `heavy-sql` gives `HeavySql`."""
        return "".join(part.capitalize() for part in self.name.split("-"))


@dataclass(frozen=True, kw_only=True)
class SizedPool:
    """A pool with the parameters that an environment sets. `policy_arns`: a list, or no value."""

    pool: DeclaredPool
    min: Parameter
    max: Parameter
    concurrency: Parameter
    size: Size
    storage_gib: Parameter
    spot: SpotShare
    policy_arns: If


def add_pools(t: Template, pools: Sequence[DeclaredPool]) -> tuple[SizedPool, ...]:
    _check(pools)
    return tuple(_add_pool(t, pool) for pool in pools)


def _check(pools: Sequence[DeclaredPool]) -> None:
    """Raise ValueError if two pools share a name or a queue, or if no pool has the default queue.

    The backlog of a queue can be the demand of one pool only. Without the default queue most tasks would never run.
    """
    for what, names in (
        ("name", [pool.title for pool in pools]),
        ("queue", [queue for pool in pools for queue in pool.queues]),
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two pools have the same {what}: {', '.join(twice)}")
    if not any(DEFAULT_QUEUE in pool.queues for pool in pools):
        raise ValueError(f"no pool has the queue {DEFAULT_QUEUE}: add it to a pool")


def _add_pool(t: Template, pool: DeclaredPool) -> SizedPool:
    form = FormGroup(t, f"Workers ({pool.name})")
    minimum, maximum = _add_limits(form, pool)
    return SizedPool(
        pool=pool,
        min=minimum,
        max=maximum,
        concurrency=form.add(
            f"{pool.title}Concurrency",
            label="Slots per worker",
            description=f"Airflow tasks that one worker of the pool {pool.name} runs at once.",
            constraint=Between(low=1, high=MAX_SLOTS),
            default=pool.concurrency,
        ),
        size=add_size(
            form,
            pool.title,
            described_as=f"a worker of the pool {pool.name}",
            cpu=pool.cpu,
            memory_mib=pool.memory_mib,
            least_memory_mib=LEAST_MEMORY_MIB,
        ),
        storage_gib=form.add(
            f"{pool.title}StorageGib",
            label="Disk in GiB",
            description=f"Disk in GiB of a worker of the pool {pool.name}; its content is lost when the worker ends.",
            constraint=Between(low=21, high=200),
            default=pool.storage_gib,
        ),
        spot=add_spot_share(
            form,
            pool.title,
            described_as=f"the workers of the pool {pool.name}",
            percent=pool.spot_percent,
            base=pool.on_demand_base,
        ),
        policy_arns=_add_policy_arns(form, pool),
    )


def _add_policy_arns(form: FormGroup, pool: DeclaredPool) -> If:
    arns = form.add(
        f"{pool.title}PolicyArns",
        label="Policies of its tasks",
        description=f"ARNs of up to {MAX_POLICIES} managed policies, separated by commas, that say what tasks of the "
        f"pool {pool.name} may do in AWS beyond Airflow's own needs; empty for none.",
        constraint=Matching(
            regex=rf"^({POLICY_ARN}(,{POLICY_ARN}){{0,{MAX_POLICIES - 1}}})?$",
            must_be=f"the ARNs of up to {MAX_POLICIES} IAM policies, separated by commas without blanks, or empty",
        ),
        default="",
    )
    has_policies = add_condition(form.template, f"Has{arns.title}", Not(Equals(Ref(arns), "")))
    return If(has_policies, Split(",", Ref(arns)), NoValue)


def _add_limits(form: FormGroup, pool: DeclaredPool) -> tuple[Parameter, Parameter]:
    minimum = form.add(
        f"{pool.title}Min",
        label="Minimum workers",
        description=f"Workers of the pool {pool.name} that run even when nothing is queued.",
        constraint=Between(low=0, high=MAX_WORKERS),
        default=pool.min,
    )
    maximum = form.add(
        f"{pool.title}Max",
        label="Maximum workers",
        description=f"Workers of the pool {pool.name} that may run at once; not below the minimum.",
        constraint=Between(low=1, high=MAX_WORKERS),
        default=pool.max,
    )
    add_min_max_rule(form.template, pool.title, low=minimum, high=maximum, exact_to=MIN_MAX_EXACT_TO)
    return minimum, maximum


def pools_json(pools: Sequence[SizedPool], *, with_limits: bool = True) -> Sub:
    """Return the pools as JSON for containers; without limits for those that a change of a limit must not replace."""
    entries = (
        pool_entry(
            name=json.dumps(sized.pool.name),
            queues=json.dumps(sized.pool.queues),
            minimum=placeholder(sized.min) if with_limits else None,
            maximum=placeholder(sized.max) if with_limits else None,
            concurrency=placeholder(sized.concurrency),
        )
        for sized in pools
    )
    return Sub(f"[{','.join(map(_object, entries))}]")


def sizes_json(pools: Sequence[SizedPool]) -> Sub:
    """Return what fleet.worker_price reads: the size of each pool's workers, and what share of them is on Spot."""
    sizes = {
        sized.pool.name: _object(
            {
                "cpu": f"${{{sized.size.cpu.data['Ref']}}}",
                "memory": f"${{{sized.size.memory_mib.data['Ref']}}}",
                "disk": placeholder(sized.storage_gib),
                "base": placeholder(sized.spot.base),
                "spot": placeholder(sized.spot.percent),
            }
        )
        for sized in pools
    }
    return Sub(_object(sizes))


def compact_pools_json(
    pools: Sequence[SizedPool],
    *,
    services: Mapping[str, Service],
    definitions: Mapping[str, TaskDefinition] | None = None,
) -> Sub:
    """Return the pools in the compact form, for functions; `services` and `definitions` by the pool's name.

    Of a service's name it has only the beginning, because the functions exist before the services. `definitions`: for
    the function that rolls them out.
    """
    definitions = definitions or {}
    shared = {SERVICE: f'"{OWN}"'}
    if definitions:
        account = "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}"
        shared[TASK_DEFINITION] = f'"{account}:task-definition/{OWN}"'
    revisions = {
        f"{definition.title}Revision": Select(REVISION_PART, Split(":", Ref(definition)))
        for definition in definitions.values()
    }
    entries = ",".join(
        _compact_entry(sized, service=services[sized.pool.name], definition=definitions.get(sized.pool.name))
        for sized in pools
    )
    text = _object({**shared, ENTRIES: f"[{entries}]"})
    return Sub(text, **revisions) if revisions else Sub(text)


def _compact_entry(sized: SizedPool, *, service: Service, definition: TaskDefinition | None) -> str:
    """Return the values of fleet.pools.COMPACT_FIELDS."""
    values = [
        json.dumps(sized.pool.name),
        f'"{name_beginning(service).removeprefix(OWN)}"',
        json.dumps(sized.pool.queues, separators=(",", ":")),
        *(placeholder(each) for each in (sized.min, sized.max, sized.concurrency)),
    ]
    if definition is not None:
        family = definition.Family.data["Fn::Sub"].removeprefix(OWN)
        values.append(f'"{family}:${{{definition.title}Revision}}"')
    return f"[{','.join(values)}]"


def _object(texts: Mapping[str, str]) -> str:
    """Return a JSON object of values that are JSON already."""
    return "{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}"
