"""Examines the database that the environment names: `python -m agent.drill`."""

import sys

from agent.drill.process import main

sys.exit(main())
