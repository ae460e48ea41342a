"""Run `python -m bench.report` (all loads) or `python -m bench.report replay` (your own history)."""

import sys

from bench.sim.compiled.use import use_compiled

if __name__ == "__main__":
    use_compiled()
    from bench.report import all_loads, replay

    if sys.argv[1:2] == ["replay"]:
        sys.exit(replay.main(sys.argv[2:]))
    sys.exit(all_loads.main(sys.argv[1:]))
