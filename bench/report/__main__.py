"""Command line: `python -m bench.report`, and `python -m bench.report replay`."""

import sys

from bench.sim.compiled.use import use_compiled

if __name__ == "__main__":
    use_compiled()
    from bench.report import all_loads, replay

    if sys.argv[1:2] == ["replay"]:
        sys.exit(replay.main(sys.argv[2:]))
    sys.exit(all_loads.main(sys.argv[1:]))
