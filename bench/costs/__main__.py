"""What the tasks of a history cost with an environment's settings: `python -m bench.costs HISTORY --env ...`."""

import sys

from bench.sim.compiled.use import use_compiled

if __name__ == "__main__":
    use_compiled()
    from bench.costs.command import main

    sys.exit(main(sys.argv[1:]))
