"""Makes a fault of the text with which Airflow says that it could not import a file."""

from __future__ import annotations

import re
from pathlib import Path

from dag_check.faults import Fault
from dag_check.places import Places

BEGINS = "Traceback (most recent call last):"
FRAME = re.compile(r'^ +File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)
MISSING = re.compile(r"No module named '(?P<module>[\w.]+)'")
ADVICE = {
    "SyntaxError": ("syntax", "correct the syntax"),
    "IndentationError": ("syntax", "correct the indentation"),
    "TabError": ("syntax", "use spaces only"),
    "SystemExit": ("exit", "remove sys.exit: the file must be read to its end"),
    "AirflowDagCycleException": ("cycle", "remove one of the dependencies that lead back to this task"),
    "AirflowClusterPolicyViolation": ("refused", "change it: the DAG processor refuses the DAG"),
}
IN_TASK = "correct it, or do it in a task"


def fault_of(text: str, *, file: Path, root: Path, places: Places) -> Fault:
    """Return the fault of the file. `text`: a stack trace, or a message that begins with the exception's name."""
    name, where = str(file.relative_to(root)), str(file)
    if BEGINS not in text:
        return _fault(text, file=name, line=places.of_message(text), module="")
    # The last of several is the one that nothing handled.
    last = text[text.rindex(BEGINS) :]
    frames = [(each["file"], int(each["line"])) for each in FRAME.finditer(last)]
    message = "\n".join(line for line in last.splitlines()[1:] if line and not line.startswith(" "))
    line = next((line for path, line in reversed(frames) if path == where), 0)
    inner = next((each for each in reversed(frames) if each[0].startswith(f"{root}/")), (where, 0))
    module = "" if inner[0] == where else f" (in {inner[0].removeprefix(f'{root}/')}, line {inner[1]})"
    return _fault(message or last.strip().splitlines()[-1], file=name, line=line or 1, module=module)


def _fault(message: str, *, file: str, line: int, module: str) -> Fault:
    exception = message.partition(":")[0].rpartition(".")[2].strip()
    kind, advice = ADVICE.get(exception, ("import", IN_TASK))
    if (missing := MISSING.search(message)) is not None:
        package = missing["module"].partition(".")[0]
        advice = f"add its package to airflow_image/requirements.in, or put {package}.py beside the DAG files"
    if "no pool serves the queue" in message:
        kind, advice = "queue", "use one of these, or declare a pool in template_gen.py"
    reason = f"sys.exit is called ({message.strip()})" if exception == "SystemExit" else message.strip()
    return Fault(file=file, line=line, kind=kind, reason=f"{reason}{module}", advice=advice)
