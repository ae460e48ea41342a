"""Runs the runner: `python -m agent.runner`."""

from agent.runner.server import main

main()
