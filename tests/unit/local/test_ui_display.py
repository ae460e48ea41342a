"""The steps and the state on a terminal."""

import io

from rich.console import Console, ConsoleDimensions
from rich.control import Control
from rich.text import Text

from local.ui.display import Display

CLEARED = str(Control.clear())


def test_a_resized_terminal_is_cleared_once_so_that_no_old_frame_stays() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    display = Display(console)
    written = console.file
    assert isinstance(written, io.StringIO)
    display.show(Text("figures"))
    console.print(display._render())
    assert CLEARED not in written.getvalue()
    console.size = ConsoleDimensions(60, 24)
    for _ in range(2):
        console.print(display._render())
    assert written.getvalue().count(CLEARED) == 1
