"""Every test gets a data directory of its own; the real home is out of reach; what a test starts, it ends."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from recollect.sync.git import environment

_SANDBOX = tempfile.mkdtemp(prefix="rc-")
# What whoever runs the tests has set for Recollect, or for an agent whose files `install` would then find.
_SETTINGS = ("AUTO_SYNC_", "USE_ASYNC_", "SYNC_", "RECOLLECT_")
_AGENTS = ("AMP_", "CLAUDE_", "CLINE_", "CODEX_", "CONTINUE_", "COPILOT_", "CRUSH_", "GEMINI_", "GOOSE_", "KIRO_", "OPENCODE_",
           "QWEN_", "VSCODE_")  # fmt: skip
for _name in [name for name in os.environ if name.startswith((*_SETTINGS, *_AGENTS))]:
    if _name != "RECOLLECT_SANITIZED":  # of the tests themselves
        del os.environ[_name]
os.environ.update(
    HOME=_SANDBOX,
    XDG_CONFIG_HOME=f"{_SANDBOX}/.config",
    XDG_DATA_HOME=f"{_SANDBOX}/.local/share",
    XDG_RUNTIME_DIR=_SANDBOX,
    RECOLLECT_HOME=f"{_SANDBOX}/forbidden",  # a test that forgets to name its own
    GIT_CONFIG_NOSYSTEM="1",
    RECOLLECT_FRESH_BUDGET_MS="20000",  # however slow the machine is, a question waits for what changed
    OPENBLAS_NUM_THREADS="1",
    NO_COLOR="1",
)
for _name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
    os.environ.pop(_name, None)

ROOT = Path(__file__).parents[1]
MakeRepository = Callable[..., Path]


def pytest_unconfigure() -> None:
    shutil.rmtree(_SANDBOX, ignore_errors=True)


atexit.register(shutil.rmtree, _SANDBOX, ignore_errors=True)  # for programs that import this without pytest


@pytest.fixture(autouse=True)
def _no_real_home() -> Iterator[None]:
    environment.cache_clear()  # a thread of the test before may have kept what that test had set
    yield
    assert not Path(os.environ["RECOLLECT_HOME"]).exists() or "forbidden" not in os.environ["RECOLLECT_HOME"], (
        "a test wrote to the default data directory"
    )


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory with a short path; its processes are gone afterwards, by force if need be."""
    with (
        tempfile.TemporaryDirectory(prefix="rh-", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryDirectory(prefix="rw-", ignore_cleanup_errors=True) as outside,
    ):
        monkeypatch.setenv("RECOLLECT_HOME", folder)
        # A memory that is stored in a repository registers it: the tests must not stand in that of the project.
        monkeypatch.chdir(outside)
        monkeypatch.setenv("PYTHONPATH", os.fspath(ROOT))
        yield Path(folder)
        for pid in processes_of(Path(folder)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def processes_of(home: Path) -> list[int]:
    """Our processes that work for a data directory, this one left out."""
    others = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    found = ((pid, command_of(pid)) for pid in others if pid != os.getpid())
    return [pid for pid, command in found if os.fsencode(home) in command and b"recollect" in command]


def daemons_of(home: Path) -> list[int]:
    return [pid for pid in processes_of(home) if b"server.daemon" in command_of(pid)]


def open_files(pid: int | str = "self") -> list[str]:
    """What the descriptors of a process lead to."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed by now
            found.append(os.readlink(entry))
    return found


def command_of(pid: int) -> bytes:
    """The command line of a process; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_until(true: Callable[[], object], timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def write(root: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def make_repository(tmp_path: Path) -> MakeRepository:
    """`make_repository({name: content}, name="r", git=True)`: a folder with these files, committed."""

    def make(files: Mapping[str, str | bytes], name: str = "project", use_git: bool = True) -> Path:
        root = tmp_path / name
        root.mkdir(parents=True, exist_ok=True)
        write(root, files)
        if use_git:
            git(root, "init", "-q")
            git(root, "add", "-A", "-f")
            git(root, "commit", "-qm", "first", "--allow-empty")
        return root

    return make


SHOP: dict[str, str | bytes] = {
    "shop/cart.py": '''"""The shopping cart."""

from shop.prices import price_of


class Cart:
    """What a customer wants to buy."""

    def __init__(self):
        self.items = []

    def add_item(self, item, quantity=1):
        """Put an item into the cart."""
        self.items.append((item, quantity))

    def total_price(self):
        """Sum of the prices of all items, discounts included."""
        return sum(price_of(item) * quantity for item, quantity in self.items)
''',
    "shop/prices.py": '''"""Prices and discounts."""

DISCOUNT = 0.1


def price_of(item):
    """Price of one item after the discount."""
    return item.price * (1 - DISCOUNT)
''',
    "shop/session.py": '''"""Sessions kept in signed cookies."""

import hmac


class SessionStore:
    def sign_cookie(self, value, key):
        """Sign the cookie of a session so that nobody can forge it."""
        return hmac.new(key, value, "sha256").hexdigest()
''',
    "tests/test_cart.py": """from shop.cart import Cart


def test_the_total_price_of_a_cart():
    cart = Cart()
    assert cart.total_price() == 0
""",
    "web/router.ts": """export interface Route { path: string }

export class Router {
  routes: Route[] = [];
  register(route: Route): void {
    this.routes.push(route);
  }
}
""",
    "README.md": "# Shop\n\nA shop with a cart and sessions.\n",
    ".gitignore": "build/\n*.log\n",
}
