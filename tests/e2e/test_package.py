"""What is handed out: built twice it is the same, it installs, and it works with the network cut off."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SHOP, MakeRepository

ROOT = Path(__file__).parents[2]


def build(target: Path) -> dict[str, Path]:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-m", "build", "--outdir", str(target), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=170)
    return {"wheel": next(target.glob("*.whl")), "sdist": next(target.glob("*.tar.gz"))}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("built"))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_building_twice_gives_the_same_bytes(built: dict[str, Path], tmp_path: Path) -> None:
    again = build(tmp_path)
    assert {kind: digest(path) for kind, path in again.items()} == {kind: digest(path) for kind, path in built.items()}


def test_the_wheel_holds_all_that_it_needs_and_little_else(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = wheel.namelist()
    for needed in ("server/page/index.html", "server/page/app.js", "py.typed", "index/model/vocabulary.txt"):
        assert f"recollect/{needed}" in names
    assert not [name for name in names if not name.startswith(("recollect/", "recollect-"))]
    assert built["wheel"].stat().st_size < 8_000_000
    with tarfile.open(built["sdist"]) as sdist:
        assert any(name.endswith("/docs/tutorial.md") for name in sdist.getnames())


def cut_off() -> list[str]:
    """What runs a command without any network, where that is allowed here."""
    for command in (["unshare", "-n"], ["unshare", "-rn"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
        ):
            return command
    return []


def test_installed_from_the_wheel_it_works_with_the_network_cut_off(
    built: dict[str, Path], home: Path, tmp_path: Path, make_repository: MakeRepository
) -> None:
    """What it depends on comes from this environment; `pip install` of all of it is what `make setup` does."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=120)
    python = tmp_path / "venv" / "bin" / "python"
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(built["wheel"])]
    subprocess.run([python, *install], check=True, capture_output=True, timeout=120)
    packages = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    root = make_repository(SHOP, "shop")
    where = [str(python), "-c", "import recollect; print(recollect.__file__)"]
    assert str(tmp_path) in subprocess.run(where, capture_output=True, text=True, check=True, timeout=60).stdout

    def recollect(*words: str) -> Any:
        command = [*cut_off(), str(tmp_path / "venv" / "bin" / "recollect"), *words, "--json"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert recollect("sync")["new_files"] == 7
    assert recollect("search", "total price of the cart")["hits"][0]["path"] == "shop/cart.py"
    assert recollect("remember", "Prices are in cents.")["success"]
    assert recollect("recall", "cents")["count"] == 1
    assert recollect("map")["definitions"] > 0
    recollect("daemon", "stop")
