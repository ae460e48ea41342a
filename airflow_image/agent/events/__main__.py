"""Sends state changes until the container ends: `python -m agent.events`."""

from agent.events.process import main

main()
