"""The API keeps what its OpenAPI description promises, whatever is sent: schemathesis makes the requests up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from recollect.client import Connection
from tests.conftest import SHOP, MakeRepository


@pytest.mark.timeout(400)
def test_the_api_keeps_what_its_description_promises(
    home: Path, make_repository: MakeRepository, tmp_path: Path
) -> None:
    root = make_repository(SHOP, "shop")
    with Connection() as daemon:
        daemon.call("sync", {"path": str(root)})
        daemon.call("remember", {"content": "Prices are in cents."})
        address = daemon.call("web", {})["address"]
    token = (home / "run" / "token").read_text().strip()
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{address}/api/v1/openapi.json"]
    command += ["--header", f"Authorization: Bearer {token}", "--phases", "coverage,fuzzing", "--max-examples", "5"]
    # what a schema cannot say (the form of a URL, which repositories there are) is refused with 400: that is no fault
    command += ["--exclude-checks", "positive_data_acceptance", "--generation-deterministic", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=380, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
