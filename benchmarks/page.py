"""Whether the page stays smooth: 200 repositories shown while large ones are synced, in headless Chromium.

`python -m benchmarks.page --work FOLDER` (made by `benchmarks.speed`; each of its repositories is synced anew meanwhile).
Prints the gaps between frames, idle and busy, and their ratio. 16.7 ms is every frame of a display at 60 Hz.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests import browser

from recollect.client import Connection

_GAPS = """(seconds) => new Promise((resolve) => {
  const gaps = []; let last = performance.now(); const until = last + seconds * 1000;
  const tick = (now) => { gaps.push(now - last); last = now; now < until ? requestAnimationFrame(tick) : resolve(gaps.slice(1)); };
  requestAnimationFrame(tick);
})"""


def share(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--repositories", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rp-") as folder:
        os.environ["RECOLLECT_HOME"] = f"{folder}/home"
        made = Path(folder) / "r000"
        made.mkdir()
        (made / "a.py").write_text("x = 1\n")
        subprocess.run(["git", "init", "-q"], cwd=made, check=True)
        with Connection() as daemon:
            for number in range(given.repositories):
                root = Path(folder) / f"r{number:03}"
                if number:
                    shutil.copytree(made, root)
                daemon.call("add", {"path": str(root)})
            large = [path for path in sorted(given.work.iterdir()) if (path / ".git").exists()]
            with browser.chromium() as chromium:
                page: Any = chromium.new_page()
                page.goto(daemon.call("web", {})["url"])
                page.locator(".row").nth(given.repositories - 1).wait_for(state="attached")
                idle = page.evaluate(_GAPS, given.seconds)
                page.evaluate(
                    "window.told = 0; for (const p of document.querySelectorAll('.rows')) "
                    "new MutationObserver(() => window.told++).observe(p, {subtree: true, childList: true, characterData: true})"
                )
                for path in large:
                    daemon.call("sync", {"path": str(path), "background": True, "full": True})
                busy = page.evaluate(_GAPS, given.seconds)
                told = page.evaluate("window.told")
            daemon.call("stop", {})
    print(
        f"{given.repositories} repositories, {len(large)} syncs; {told / given.seconds:.1f} updates of the page a second"
    )
    for name, gaps in (("idle", idle), ("busy", busy)):
        late = sum(gap > 50 for gap in gaps)
        print(
            f"{name}: {len(gaps)} frames, gap p50 {share(gaps, 0.5):.1f} ms, p99 {share(gaps, 0.99):.1f} ms, {late} over 50 ms"
        )
    print(
        f"busy / idle, p50 {share(busy, 0.5) / share(idle, 0.5):.2f}, p99 {share(busy, 0.99) / share(idle, 0.99):.2f}"
    )


if __name__ == "__main__":
    main()
