"""Command line: `python -m bench.report`."""

import sys

from bench.sim.compiled.use import use_compiled

if __name__ == "__main__":
    use_compiled()
    from bench.report.command import main

    sys.exit(main(sys.argv[1:]))
