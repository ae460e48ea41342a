"""Fargate task sizes, of which only certain pairs of processor and memory exist."""

from dataclasses import dataclass
from typing import Any

from troposphere import Equals, Not, Or, Parameter, Ref, Template

from stack.lib.parameters import OneOf, add_parameter, add_rule

# Memory in MiB that Fargate offers with so many CPU units (1024 = one vCPU), in powers of two.
MEMORY_MIB_BY_CPU = {
    "256": ("512", "1024", "2048"),
    "512": ("1024", "2048", "4096"),
    "1024": ("2048", "4096", "8192"),
    "2048": ("4096", "8192", "16384"),
    "4096": ("8192", "16384"),
}
MEMORY_MIB = ("512", "1024", "2048", "4096", "8192", "16384")


@dataclass(frozen=True, kw_only=True)
class Size:
    cpu: Ref
    memory_mib: Ref


def add_size(t: Template, prefix: str, *, group: str, whose: str, cpu: str, memory_mib: str) -> Size:
    """Parameters `<prefix>Cpu` and `<prefix>Memory` with their defaults, and the rule that they fit together."""
    cpu_parameter = add_parameter(
        t,
        f"{prefix}Cpu",
        group=group,
        label="CPU units",
        description=f"Processor share of {whose}; 1024 is one vCPU.",
        constraint=OneOf(values=tuple(MEMORY_MIB_BY_CPU)),
        default=cpu,
    )
    memory_parameter = add_parameter(
        t,
        f"{prefix}Memory",
        group=group,
        label="Memory in MiB",
        description=f"Memory of {whose} in MiB.",
        constraint=OneOf(values=MEMORY_MIB),
        default=memory_mib,
    )
    add_rule(
        t,
        f"{prefix}SizeExists",
        assertions=[_fits(cpu_parameter, memory_parameter, units=units) for units in MEMORY_MIB_BY_CPU],
    )
    return Size(cpu=Ref(cpu_parameter), memory_mib=Ref(memory_parameter))


def _fits(cpu: Parameter, memory: Parameter, *, units: str) -> tuple[Any, str]:
    choices = MEMORY_MIB_BY_CPU[units]
    fits = Or(Not(Equals(Ref(cpu), units)), {"Fn::Contains": [list(choices), Ref(memory)]})
    return fits, f"With {cpu.title} {units}, {memory.title} must be one of {', '.join(choices)}."
