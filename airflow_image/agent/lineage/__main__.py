"""Sends lineage until the worker ends: `python -m agent.lineage`."""

from agent.lineage.process import main

main()
