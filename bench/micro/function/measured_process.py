"""The process that is measured: Lambda's Python, the built package, what the runtime brings, nothing else.

Run as `python -I -S -B subject.py PACKAGE RUNTIME_LIBRARIES COMMANDS_FD ANSWERS_FD`. Reads a command a line, writes a
JSON object a line. What the function prints goes to standard output, as on Lambda. Nothing that the function imports is
imported before it (so no `typing` here, no `json` yet): all of its import is measured.
"""

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

TIME_LEFT_MS = 60_000
MS_A_SECOND = 1000
# The fixed work that figures are compared with on a machine whose speed varies: of the kind a look does, and shorter.
CALIBRATION_RECORDS = 300
CALIBRATION_PINGS = 50


class Context:
    """The part of Lambda's context object that the function uses."""

    def get_remaining_time_in_millis(self) -> int:
        return TIME_LEFT_MS


class AwsCalls:
    """Counts the calls of botocore's clients, and how long they wait for AWS: from sent until all of it is there."""

    def __init__(self) -> None:
        from botocore.httpsession import URLLib3Session

        self.names: list[str] = []
        self.waited_s = 0.0
        send = URLLib3Session.send

        def counted(session: "Any", request: "Any") -> "Any":
            began = time.perf_counter()
            try:
                return send(session, request)
            finally:
                self.waited_s += time.perf_counter() - began
                target = request.headers["X-Amz-Target"]
                self.names.append((target if isinstance(target, str) else target.decode()).rpartition(".")[2])

        setattr(URLLib3Session, "send", counted)  # noqa: B010 - mypy knows no other way to replace a method

    def forget(self) -> None:
        self.names.clear()
        self.waited_s = 0.0


def import_function() -> "tuple[ModuleType, dict[str, float]]":
    """The function's module, and how many milliseconds its import took, by the clock and of the processor."""
    began, began_cpu = time.perf_counter(), time.process_time()
    import autoscaler.handler as function

    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return function, {"import_ms": MS_A_SECOND * took, "import_cpu_ms": MS_A_SECOND * cpu}


def wire(function: "ModuleType") -> dict[str, float]:
    """Milliseconds until the function has its settings and its clients; nothing is connected then."""
    began = time.perf_counter()
    function.wiring()
    return {"wiring_ms": MS_A_SECOND * (time.perf_counter() - began)}


def tick(function: "ModuleType", calls: AwsCalls) -> "dict[str, Any]":
    """One invocation with one look: milliseconds of its own and Redis's, waiting for AWS apart."""
    calls.forget()
    began, began_cpu = time.perf_counter(), time.process_time()
    answer = function.handler({"ticks": 1}, Context())
    sys.stdout.flush()
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return {
        "own_ms": MS_A_SECOND * (took - calls.waited_s),
        "cpu_ms": MS_A_SECOND * cpu,
        "aws_ms": MS_A_SECOND * calls.waited_s,
        "calls": list(calls.names),
        "pools": answer["pools"],
    }


def calibrate(function: "ModuleType") -> dict[str, float]:
    """Milliseconds for work that never changes: JSON there and back, and PINGs of the same Redis."""
    import json

    client = function.wiring().broker.connect()
    record = {"id": "x" * 40, "queues": ["default"] * 4, "numbers": list(range(20)), "ratio": 0.125}
    began = time.perf_counter()
    for _ in range(CALIBRATION_RECORDS):
        json.loads(json.dumps(record))
    for _ in range(CALIBRATION_PINGS):
        client.ping()
    return {"calibration_ms": MS_A_SECOND * (time.perf_counter() - began)}


def peak_memory() -> dict[str, int]:
    """Bytes. Not ru_maxrss, which begins with the size of the process that started this one."""
    with open("/proc/self/status") as status:  # noqa: PTH123 - pathlib would be one more import
        (line,) = (line for line in status if line.startswith("VmHWM:"))
    return {"peak_bytes": int(line.split()[1]) * 1024}


def main() -> None:
    package, libraries, commands_fd, answers_fd = sys.argv[1:]
    # As on Lambda: the package, Python, what comes with the runtime.
    sys.path[:] = [package, *(path for path in sys.path[1:] if path), libraries]
    function, imported = import_function()
    calls = AwsCalls()
    begun = {**imported, **wire(function)}
    import json

    with open(int(commands_fd)) as commands, open(int(answers_fd), "w", buffering=1) as answers:  # noqa: PTH123
        for line in commands:
            match line.strip():
                case "begin":
                    answer: dict[str, Any] = begun
                case "tick":
                    answer = tick(function, calls)
                case "calibrate":
                    answer = calibrate(function)
                case "peak_memory":
                    answer = peak_memory()
                case unknown:
                    raise SystemExit(f"unknown command {unknown!r}")
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
