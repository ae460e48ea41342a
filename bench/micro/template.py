"""Measures how long generating the template takes; exits with 1 above the limit.

python -m bench.micro.template [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import template_gen
from bench.micro.processor import cpu_s
from stack.render import render

MOST_S = 1.0  # fast enough to generate the template after each change of stack/


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.micro.template", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    found = cpu_s(lambda: render(template_gen.build()))
    print(json.dumps({"generation_s": found}) if options.json else f"template generated in           {found:.3f} s")
    return int(found > MOST_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
