"""Compiles src/recollect/native where there is a C compiler; without one the package is the same, only slower (docs/adr/0016)."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# No contraction of products and sums: the numbers must not depend on the processor.
_FLAGS = ["-O3", "-fPIC", "-shared", "-std=gnu11", "-ffp-contract=off"]


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        folder = Path(self.root, "src", "recollect", "native")
        library = folder / "kernels.so"
        library.unlink(missing_ok=True)
        compiler = shlex.split(os.environ.get("CC", "cc"))
        with tempfile.TemporaryDirectory() as made:
            new = Path(made, "kernels.so")
            sources = sorted(map(str, folder.glob("*.c")))
            try:
                subprocess.run([*compiler, *_FLAGS, *sources, "-o", str(new), "-lm"], check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                said = getattr(error, "stderr", None) or str(error).encode()
                self.app.display_warning(f"built without compiled parts: {said.decode(errors='replace').strip()[:500]}")
                return
            library.write_bytes(new.read_bytes())
        build_data["artifacts"].append("src/recollect/native/*.so")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"  # it is loaded by ctypes: any Python will do
