"""Command line: `python -m bench.replay`."""

import sys

from bench.compiled.use import use_compiled

if __name__ == "__main__":
    use_compiled()
    from bench.replay.command import main

    sys.exit(main(sys.argv[1:]))
