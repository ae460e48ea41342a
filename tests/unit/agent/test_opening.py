"""Opening files below a folder that someone else writes to."""

import contextlib
import os
from pathlib import Path

import pytest

from agent.opening import open_below


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a file, links of all kinds, and a secret beside it."""
    (tmp_path / "secret").write_text("secret")
    made = tmp_path / "logs"
    (made / "run").mkdir(parents=True)
    (made / "run" / "1.log").write_text("a log")
    (made / "absolute").symlink_to(tmp_path / "secret")
    (made / "relative").symlink_to("../secret")
    (made / "outside").symlink_to(tmp_path)
    (made / "inside").symlink_to("run")
    os.mkfifo(made / "pipe")
    return made


def test_a_file_is_opened(folder: Path) -> None:
    with os.fdopen(open_below(str(folder), "run/1.log")) as opened:
        assert opened.read() == "a log"


@pytest.mark.parametrize(
    "path",
    [
        *("absolute", "relative", "outside/secret", "inside/1.log"),
        *("../secret", "run/../../secret", "run/./1.log", "/etc/passwd", "", "run/", "run//1.log", "run/1.log/x", "no"),
    ],
)
def test_no_link_and_no_way_out_is_followed(folder: Path, path: str) -> None:
    with pytest.raises(OSError, match="Errno"):
        open_below(str(folder), path)


def test_a_folder_that_is_a_link_is_refused(folder: Path) -> None:
    (folder / "outside" / "link").symlink_to("logs")
    with pytest.raises(NotADirectoryError):
        open_below(str(folder.parent / "link"), "run/1.log")


def test_a_pipe_without_a_writer_does_not_block(folder: Path) -> None:
    os.close(open_below(str(folder), "pipe"))


def test_no_descriptor_stays_open(folder: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("outside/secret", "absolute", "run/../x"):
        with contextlib.suppress(OSError):
            open_below(str(folder), path)
    os.close(open_below(str(folder), "run/1.log"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
