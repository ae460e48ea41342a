"""Compiles the Python files that lie below the working directory, in packages, with mypyc.

A program of its own, for setuptools and mypyc need the working directory: python -I extensions.py build_ext ...
"""

from pathlib import Path

from mypyc.build import mypycify
from setuptools import setup

files = sorted(str(path) for path in Path().rglob("*.py") if path.name != "__init__.py")
# No configuration of mypy's, be it the user's. -O2 without debug information: half the time of the defaults.
setup(packages=[], py_modules=[], ext_modules=mypycify(["--config-file=", *files], opt_level="2", debug_level="0"))
