"""Containers of a stack that root started have unprivileged users, each its own."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local.fargate.container import Container
from local.fargate.container_user import FIRST_UID, GID, RANGE, ContainerUsers, UnusableUserError, container_users
from local.fargate.image import Image
from local.servers.process import spawn

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes as another user")

WAIT_S = 20.0
SLEEP = "import time; print('up', flush=True); time.sleep(600)"
# A daemon: twice forked, in a session of its own.
DAEMON = """
import os, time
if not os.fork():
    os.setsid()
    if os.fork(): os._exit(0)
    print(os.getpid(), flush=True)
time.sleep(600)
"""
MakeContainer = Callable[[str, str], Container]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """Make an image below a folder that only root can enter."""
    root = tmp_path / "closed" / "image"
    root.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    (root / "entrypoint").touch()
    (root / "VERSION").touch()
    return Image(root=root, version="1", packages=Path(sys.executable).parent.parent)


@pytest.fixture
def users(image: Image, tmp_path: Path) -> Iterator[ContainerUsers]:
    try:
        found = container_users(image, authorities=image.root / "VERSION", folder=tmp_path)
    except UnusableUserError as error:
        pytest.skip(f"WITHOUT A USER OF THEIR OWN containers run as root here: {error}")
    assert found is not None
    yield found
    found.close()


@pytest.fixture
def make(tmp_path: Path, users: ContainerUsers) -> Iterator[MakeContainer]:
    made = []

    def start(name: str, code: str) -> Container:
        home = tmp_path / name
        home.mkdir()
        argv, env = [sys.executable, "-c", code], {"SECRET": name}
        log_path = tmp_path / f"{name}.log"
        made.append(Container(name=name, argv=argv, env=env, home=home, log_path=log_path, user=users.new()))
        return made[-1]

    yield start
    for container in made:
        container.kill()


def said(container: Container) -> str:
    deadline = time.monotonic() + WAIT_S
    while not (text := container.log_path.read_text()).endswith("\n"):
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    return text.strip()


def test_each_container_has_a_user_of_its_own_in_the_images_group(make: MakeContainer) -> None:
    ids = [said(make(name, "import os; print(os.getresuid(), os.getresgid(), os.getgroups())")) for name in "ab"]
    assert ids[0] != ids[1]
    for line in ids:
        uid = int(line.split(",")[0].strip("("))
        assert uid >= FIRST_UID
        assert line == f"{(uid,) * 3} {(GID,) * 3} []"


def test_a_container_can_neither_read_nor_signal_its_neighbour(make: MakeContainer) -> None:
    neighbour = make("neighbour", SLEEP)
    assert said(neighbour) == "up"
    attack = f"""
import os
for attempt in (
    lambda: open('/proc/{neighbour.pid}/environ').read(),
    lambda: open('/proc/{neighbour.pid}/mem').read(1),
    lambda: os.kill({neighbour.pid}, 9),
    lambda: os.listdir({str(neighbour.log_path.parent / "neighbour")!r}),
):
    try: attempt(); print('succeeded', end=' ')
    except OSError as error: print(type(error).__name__, end=' ')
print()
"""
    assert said(make("attacker", attack)).split()[:3] == ["PermissionError"] * 3
    # The folder above is closed: the neighbour's home is out of sight as well.
    assert said(make("again", attack)).split()[3] in {"PermissionError", "FileNotFoundError"}
    assert neighbour.exit_code is None


def test_its_home_is_its_own_and_the_image_is_not(make: MakeContainer, image: Image) -> None:
    code = f"""
open('mine', 'w').close()
try: open({str(image.root / "entrypoint")!r}, 'w'); print('wrote')
except PermissionError: print('refused')
"""
    assert said(make("a", code)) == "refused"


def test_below_a_closed_folder_it_sees_only_what_it_needs(image: Image, users: ContainerUsers, tmp_path: Path) -> None:
    (image.root.parent / "else").touch()
    user, log_path = users.new(), tmp_path / "log"
    code = f"import os; print(os.listdir({str(image.root.parent)!r}))"
    child = spawn([sys.executable, "-c", code], env={}, cwd="/", log_path=log_path, user=user.ids, reveal=user.reveal)
    assert child.wait(WAIT_S) == 0, log_path.read_text()
    assert log_path.read_text().strip() == "['image']"


def test_a_daemon_that_left_the_containers_session_ends_with_it(make: MakeContainer) -> None:
    container = make("a", DAEMON)
    daemon = psutil.Process(int(said(container)))
    assert os.getsid(daemon.pid) != container.pid
    container.kill()
    psutil.wait_procs([daemon], timeout=WAIT_S)
    assert not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE


def test_what_even_a_revealed_path_does_not_let_it_read_is_said(image: Image, tmp_path: Path) -> None:
    image.entrypoint.chmod(0o600)
    with pytest.raises(UnusableUserError, match=r"PermissionError.*entrypoint"):
        container_users(image, authorities=image.root / "VERSION", folder=tmp_path)


def test_containers_change_each_others_files_in_a_folder_that_they_share(users: ContainerUsers, tmp_path: Path) -> None:
    folder, log_path = tmp_path / "closed" / "shared", tmp_path / "log"
    folder.mkdir()
    codes = "os.mkdir('a'); open('a/b', 'w').write('handed over')", "print(open('a/b', 'r+').read()); open('a/c', 'w')"
    for name, code in zip("ab", codes, strict=True):
        home = tmp_path / name
        home.mkdir()
        argv = [sys.executable, "-c", f"import os; os.chdir({str(folder)!r}); {code}"]
        user = users.new(shared=[folder])
        container = Container(name=name, argv=argv, env={}, home=home, log_path=log_path, user=user)
        assert container.process.wait(WAIT_S) == 0, log_path.read_text()
    assert log_path.read_text().strip() == "handed over"


@pytest.fixture
def stacks() -> Iterator[Callable[[], ContainerUsers]]:
    made: list[ContainerUsers] = []

    def begin() -> ContainerUsers:
        made.append(ContainerUsers())
        return made[-1]

    yield begin
    for each in made:
        each.close()


def test_no_two_stacks_give_one_user(stacks: Callable[[], ContainerUsers]) -> None:
    """Not even before a process of the user runs, or when it has ended: the end of a container ends all of them."""
    one, other = stacks(), stacks()
    given = [(one.new().ids.uid, other.new().ids.uid) for _ in range(RANGE + 1)]
    assert len({uid for pair in given for uid in pair}) == 2 * len(given)


def test_the_users_of_a_stack_that_has_ended_are_given_again(stacks: Callable[[], ContainerUsers]) -> None:
    one = stacks()
    first = one.new().ids
    one.close()
    assert stacks().new().ids == first


def test_a_user_of_a_living_process_is_not_given_to_a_container(
    stacks: Callable[[], ContainerUsers], tmp_path: Path
) -> None:
    one = stacks()
    first = one.new().ids
    child = spawn(["sleep", "60"], env={"PATH": os.defpath}, cwd="/", log_path=tmp_path / "log", user=first)
    try:
        deadline = time.monotonic() + WAIT_S
        while psutil.Process(child.pid).uids().real != first.uid:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        one.close()
        assert stacks().new().ids != first
    finally:
        child.kill()
        child.wait()
