"""Command line: `python -m bench.sim.compiled`, for the commands that simulate. Compiling nothing is no failure."""

from bench.sim.compiled.build import main

if __name__ == "__main__":
    main()
