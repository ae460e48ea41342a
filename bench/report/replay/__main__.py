"""Command line: `python -m bench.report.replay`."""

import sys

from bench.sim.compiled.use import use_compiled

if __name__ == "__main__":
    use_compiled()
    from bench.report.replay.command import main

    sys.exit(main(sys.argv[1:]))
