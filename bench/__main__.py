"""Run `python -m bench`: compare scaling policies under one load."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# In the Lambda package and in the image these packages are at the top level; here they need their folders on the path.
sys.path[:0] = [str(ROOT / "functions"), str(ROOT / "airflow_image")]

if __name__ == "__main__":
    from bench.sim.compiled.use import use_compiled

    use_compiled()
    from bench.report.one_load import main

    sys.exit(main(sys.argv[1:]))
