"""Two clients from npm, held between our server and a model that is made up: what they hand on is our text."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.agents import wire

PACKAGES = ("@modelcontextprotocol/sdk@1.32.2", "@google/gemini-cli@0.61.0")
INSTALL_S = 40


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which npm installed the clients; the test is skipped where it could not, or not in time."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("npm and node are not installed")
    folder = tmp_path_factory.mktemp("npm")
    command = [npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", *PACKAGES]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "npm_config_cache": str(folder / "cache")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not install the clients within {INSTALL_S} s")
    if done.returncode:
        pytest.skip(f"npm could not install the clients: {done.stderr.strip()[-200:]}")
    return folder / "node_modules"


@pytest.mark.timeout(240)
def test_what_a_real_client_tells_its_model_is_the_servers_text(modules: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.agents",
        str(modules),
        "--limit",
        "90",
        "--json",
        str(tmp_path / "outcomes.json"),
    ]
    done = subprocess.run(command, cwd=wire.ROOT, capture_output=True, text=True, timeout=220, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = json.loads((tmp_path / "outcomes.json").read_text())
    assert [outcome["client"] for outcome in outcomes] == ["gemini", "TypeScript SDK"]
    for outcome in outcomes:
        assert outcome["tools_offered"] == outcome["tools_listed"] > 10
        assert {got["form"] for got in outcome["verdicts"].values()} <= {"text", "text in JSON", "refused"}
        assert "nowhere" in outcome["verdicts"]["error: unknown repository"]["says"]
