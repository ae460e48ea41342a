"""Starts the forecaster: `python -m agent.forecaster`."""

from agent.forecaster.process import main

main()
