"""The measured process: Lambda's Python, the built package, the runtime's libraries and nothing else.

Run as `python -I -S -B measured_process.py PACKAGE RUNTIME_LIBRARIES COMMANDS_FD ANSWERS_FD`. It reads one command a
line and writes one JSON object a line. The function prints to standard output, as on Lambda. Nothing that the function
imports is imported earlier (so no `typing` here and no `json` yet), to measure its whole import.
"""

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

TIME_LEFT_MS = 60_000
MS_A_SECOND = 1000
# The fixed work, similar to a tick but shorter, that figures are compared with, because a machine's speed varies.
CALIBRATION_RECORDS = 300
CALIBRATION_PINGS = 50


class Context:
    """The part of Lambda's context object that the function uses."""

    def get_remaining_time_in_millis(self) -> int:
        return TIME_LEFT_MS


class AwsCalls:
    """Counts the calls of botocore's clients, and the time from sending a request until its answer is complete."""

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

        setattr(URLLib3Session, "send", counted)  # noqa: B010 - mypy allows no other way to replace a method

    def forget(self) -> None:
        self.names.clear()
        self.waited_s = 0.0


def import_function() -> "tuple[ModuleType, dict[str, float]]":
    """Import the function; return its module and the milliseconds of the import, elapsed and processor time."""
    began, began_cpu = time.perf_counter(), time.process_time()
    import autoscaler.handler as function

    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return function, {"import_ms": MS_A_SECOND * took, "import_cpu_ms": MS_A_SECOND * cpu}


def wire(function: "ModuleType") -> dict[str, float]:
    """Return the milliseconds until the function has its settings and clients, which are not connected yet."""
    began = time.perf_counter()
    function.wiring()
    return {"wiring_ms": MS_A_SECOND * (time.perf_counter() - began)}


def tick(function: "ModuleType", calls: AwsCalls) -> "dict[str, Any]":
    """Invoke the function with one tick; return its times in milliseconds, with the time of waiting for AWS apart."""
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
    """Return the milliseconds of the fixed work: writing and parsing JSON, and PINGs of the same Redis."""
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
    """Return the peak of memory in bytes; not ru_maxrss, which begins with the size of the parent process."""
    with open("/proc/self/status") as status:  # noqa: PTH123 - pathlib would be one more import
        (line,) = (line for line in status if line.startswith("VmHWM:"))
    return {"peak_bytes": int(line.split()[1]) * 1024}


def main() -> None:
    package, libraries, commands_fd, answers_fd = sys.argv[1:]
    # The order of Lambda: the package, Python, the runtime's libraries.
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
