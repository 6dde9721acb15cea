from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.agents import AFTER, copied, set_up

with tempfile.TemporaryDirectory() as folder:
    home = copied(Path(folder) / "home")
    set_up(home, Path(folder) / "data")
    shutil.rmtree(AFTER, ignore_errors=True)
    shutil.copytree(home, AFTER)
