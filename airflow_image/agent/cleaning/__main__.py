"""Cleans the database once: `python -m agent.cleaning`."""

import sys

from agent.cleaning.process import main

sys.exit(main())
