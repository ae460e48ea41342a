"""DAG files, each broken in a way of its own, and where their faults are."""

from pathlib import Path

HEAD = """from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Variable

"""
GOOD = """with DAG({dag_id!r}, schedule=None) as made:
    EmptyOperator(task_id="only")
"""
# name of the file: text below HEAD, line in the file, kind of the fault, part of its line
BROKEN = {
    "aborts.py": ("import os\n\nos.abort()\n", 6, "exit", "remove it"),
    "caught.py": (
        "import urllib.request\n\ntry:\n    urllib.request.urlopen('http://127.0.0.1:9/')\nexcept OSError:\n    pass\n",
        7,
        "network",
        "a call to the network (127.0.0.1)",
    ),
    "cycle.py": (
        'with DAG("cycle", schedule=None):\n    first = EmptyOperator(task_id="first")\n'
        '    second = EmptyOperator(task_id="second")\n    first >> second >> first\n',
        6,
        "cycle",
        "Faulty task: second",
    ),
    "database.py": (
        "import sqlalchemy\n\nsqlalchemy.create_engine('postgresql://u:p@127.0.0.1:9/d').connect()\n",
        6,
        "database",
        "a call to a database (postgresql)",
    ),
    "driver.py": ("import psycopg2\n\npsycopg2.connect(host='127.0.0.1', port=9)\n", 6, "database", "(psycopg2)"),
    "duplicate.py": (GOOD.format(dag_id="good"), 4, "duplicate", "already that of a_good.py:4: rename"),
    "endless.py": (
        "for each in iter(int, 1): pass\n",
        4,
        "slow",
        "takes longer than 2 s: do less",
    ),
    "exits.py": ("import sys\n\nsys.exit(0)\n", 6, "exit", "sys.exit is called"),
    "helped.py": ("import helper\n", 4, "import", "ZeroDivisionError: division by zero (in helper.py, line 1)"),
    "id_twice.py": (2 * GOOD.format(dag_id="twice"), 6, "duplicate", "already that of line 4"),
    "leaves.py": ("import os\n\nos._exit(0)\n", 6, "exit", "os._exit while the file is imported"),
    "missing.py": ("import nosuchpackage\n", 4, "import", "requirements.in"),
    "queue_unknown.py": (
        'with DAG("lost", schedule=None):\n    EmptyOperator(task_id="well")\n'
        '    EmptyOperator(task_id="lost", queue="defualt")\n',
        6,
        "queue",
        "did you mean 'default'?",
    ),
    "regular.py": ("import re\n\nre.match(r'(a+)+$', 40 * 'a' + 'b')\n", 6, "slow", "takes longer than 2 s"),
    "secret.py": ("Variable.get('name', default=None)\n", 4, "database", "the variable 'name' is read"),
    "syntax.py": ("def made(:\n", 4, "syntax", "SyntaxError: invalid syntax: correct"),
    "thread.py": (
        "import socket\nfrom threading import Thread\n\n"
        "made = Thread(target=socket.create_connection, args=[('127.0.0.1', 9)])\nmade.start(), made.join()\n",
        8,
        "network",
        "a call to the network (127.0.0.1)",
    ),
}


def write_broken(folder: Path) -> None:
    """Write them, two good ones, a test, and modules that neither must break Airflow nor be read."""
    for name, (text, *_) in BROKEN.items():
        (folder / name).write_text(HEAD + text)
    (folder / "a_good.py").write_text(HEAD + GOOD.format(dag_id="good"))
    (folder / "forks.py").write_text(
        f"{HEAD}import os\nimport time\n\nif os.fork() == 0:\n    time.sleep(60)\n{GOOD.format(dag_id='forks')}"
    )
    (folder / "helper.py").write_text("1 / 0\n")
    (folder / "queue.py").write_text("raise ImportError('not the standard library')\n")
    (folder / "test_good.py").write_text("import pytest\nfrom airflow.sdk import DAG\n")
