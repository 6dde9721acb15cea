"""A Chromium for the tests of the page. `python -m tests.browser` installs Debian's where there is none and that may be done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_QUIET = (  # nothing but the page under test is asked for anything
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def path() -> str | None:
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def install() -> None:
    """With apt, as root; otherwise it is left to the user, and the tests of the page are skipped."""
    if path() or not (shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0):
        return
    sys.stderr.write("installing chromium for the tests of the page …\n")
    quiet: Any = {
        "stdout": subprocess.DEVNULL,
        "check": False,
        "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    }
    subprocess.run(["apt-get", "update", "-qq"], **quiet)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"], **quiet
    )


@contextmanager
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=path(), args=list(_QUIET))
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    install()
    sys.stderr.write(f"chromium: {path() or 'none; the tests of the page will be skipped'}\n")
