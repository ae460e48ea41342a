"""Run `python -m bench.sim.compiled`, before the commands that simulate. Without a compiler it succeeds as well."""

from bench.sim.compiled.build import main

if __name__ == "__main__":
    main()
