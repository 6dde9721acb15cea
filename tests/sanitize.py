"""`make sanitize`: the native tests with the C kernels built under AddressSanitizer and UndefinedBehaviorSanitizer.

The package is copied, so that the library which is installed stays as it is.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
_FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fPIC", "-shared", "-std=gnu11", "-ffp-contract=off"]
_CHECKS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
_TESTS = [
    "tests/property/test_native.py",
    "tests/property/test_damaged_segments.py",
    "tests/property/test_posting_laws.py",
]


def main(arguments: list[str]) -> int:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        sys.stderr.write(f"make sanitize: there is no C compiler {compiler[0]}; install one, or set CC\n")
        return 2
    copy = ROOT / "build" / "sanitize"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(
        ROOT / "src" / "recollect", copy / "recollect", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    folder = copy / "recollect" / "native"
    sources = sorted(map(str, folder.glob("*.c")))
    command = [*compiler, *_FLAGS, *_CHECKS, *sources, "-o", str(folder / "kernels.so"), "-lm"]
    if subprocess.run(command, check=False).returncode:
        sys.stderr.write(
            "make sanitize: the compiler cannot build with AddressSanitizer; GCC and its libasan are needed\n"
        )
        return 2
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(arguments or _TESTS)],
        check=False,
        cwd=ROOT,
        env={**os.environ, **_environment(compiler), "PYTHONPATH": str(copy), "RECOLLECT_SANITIZED": str(folder)},
    ).returncode


def _environment(compiler: list[str]) -> dict[str, str]:
    """Python itself is not instrumented: the sanitizer's library comes before all others. CPython keeps memory at its end."""
    name = "libclang_rt.asan_osx_dynamic.dylib" if sys.platform == "darwin" else "libasan.so"
    asan = subprocess.run([*compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return {
        "DYLD_INSERT_LIBRARIES" if sys.platform == "darwin" else "LD_PRELOAD": asan.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:allocator_may_return_null=1:handle_segv=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
