"""Command line: `python -m bench.compiled`, for the commands that simulate. Ends with 0 even when it cannot compile."""

from bench.compiled.build import main

if __name__ == "__main__":
    main()
