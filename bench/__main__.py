"""Command line: `python -m bench`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The Lambda finds its packages at the top of its code, and so does the simulator.
sys.path[:0] = [str(ROOT / "functions"), str(ROOT / "airflow_image")]

if __name__ == "__main__":
    from bench.sim.compiled.use import use_compiled

    use_compiled()
    from bench.report.one_load import main

    sys.exit(main(sys.argv[1:]))
