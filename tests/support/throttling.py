"""An ECS that throttles calls, through a client's own events."""

import contextlib
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError


@contextlib.contextmanager
def throttling(ecs: Any, operation: str, *, of: str | None = None) -> Iterator[None]:
    """Throttle every call of the operation, or each that concerns the service `of`."""

    def throttled(params: dict[str, Any], **_: Any) -> None:
        if of is None or f'"{of}"' in str(params["body"]):
            error = {"Code": "ThrottlingException", "Message": "Rate exceeded"}
            answer: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(answer, operation)

    name = f"before-call.ecs.{operation}"
    ecs.meta.events.register_first(name, throttled)
    try:
        yield
    finally:
        ecs.meta.events.unregister(name, throttled)
