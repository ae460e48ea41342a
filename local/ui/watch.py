"""Shows the running stack until it ends."""

from __future__ import annotations

import time
from typing import NoReturn

import redis
from rich.console import Group, RenderableType
from rich.text import Text

from local.stack.up import Stack
from local.ui.lines import Lines
from local.ui.look import declared_pools, take
from local.ui.screen import LINES_ELSEWHERE, fitting
from local.ui.view import View

EVERY_S = 1.0


def watch(stack: Stack, view: View) -> NoReturn:
    """Show the stack until something interrupts it."""
    pools, lines = declared_pools(stack), Lines(lambda line: view.console.print(line, soft_wrap=True, markup=False))
    shown: RenderableType = Text()
    while True:
        trouble = ""
        try:
            look = take(stack.broker, pools)
        except redis.RedisError as error:
            trouble = f"Redis does not answer ({type(error).__name__}): this is the last that was seen"
        if view.console.is_terminal:
            if not trouble:
                shown = fitting(look, view.console, taken=LINES_ELSEWHERE + 1)
            view.show(Group(shown, Text(trouble, style="yellow")))
        else:
            if not trouble:
                lines.tell(look)
            lines.tell_of("broker", trouble)
        time.sleep(EVERY_S)
