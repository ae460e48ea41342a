"""Builds once, before the fork, the decoders that Airflow builds anew in every task's process.

A task's process builds a decoder of all messages of its supervisor, twice, and one of plain JSON for each rendered
field. Each takes as long as a short task itself.
"""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue, TypeAdapter


class Decoders:
    """Makes pydantic's decoders, and returns the same one for the same type."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, TypeAdapter[Any]]] = {}

    def __call__(self, kind: Any, *arguments: Any, **options: Any) -> TypeAdapter[Any]:
        """Return the decoder of a type, which need not be hashable; a new one if it has options of its own."""
        if arguments or options:
            return TypeAdapter(kind, *arguments, **options)
        if id(kind) not in self._known:
            self._known[id(kind)] = (kind, TypeAdapter(kind))  # while the type is kept, no other has its id
        return self._known[id(kind)][1]


class Unsubscripted:
    """Stands for a generic class where it is made for a union of types: Python compares the union, type by type."""

    def __init__(self, generic: Any) -> None:
        self._generic = generic

    def __getitem__(self, _: Any) -> Any:
        return self._generic


def install() -> None:
    """Let Airflow's task processes use the decoders of this process, from which they are forked.

    Raises AttributeError if Airflow decodes in another way than this module was written for.
    """
    from airflow.sdk.execution_time import comms, task_runner

    for module in (comms, task_runner):
        if module.TypeAdapter is not TypeAdapter:
            raise AttributeError(f"{module.__name__}.TypeAdapter is not pydantic's")
    decoders = Decoders()
    for kind in (comms.ToTask, JsonValue):
        decoders(kind)
    comms.TypeAdapter = task_runner.TypeAdapter = decoders
    comms.msgspec.msgpack.Decoder(comms._ResponseFrame)  # msgspec keeps what it finds out about a class
    task_runner.CommsDecoder = Unsubscripted(comms.CommsDecoder)
