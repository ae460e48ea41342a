"""Compiles the Python files below the working directory with mypyc.

This is a program of its own, because setuptools and mypyc use the working directory: python -I extensions.py build_ext
"""

from pathlib import Path

from mypyc.build import mypycify
from setuptools import setup

files = sorted(str(path) for path in Path().rglob("*.py") if path.name != "__init__.py")
# No configuration of mypy, not even the user's. -O2 without debug information takes half the time of the defaults.
setup(packages=[], py_modules=[], ext_modules=mypycify(["--config-file=", *files], opt_level="2", debug_level="0"))
