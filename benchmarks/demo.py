"""`make demo`: index a real repository (this one), ask it three questions, show how to connect an agent.

Everything happens in `.demo/`; nothing of yours is touched. Fails where an answer is not the right one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUESTIONS = {
    "split identifiers at case and underscore boundaries": "src/recollect/text.py",
    "refuse folders that hold credentials": "src/recollect/secrets/folders.py",
    "IndexWriter.commit": "src/recollect/index/writer.py",
}


def main() -> int:
    environment = {**os.environ, "RECOLLECT_HOME": str(ROOT / ".demo")}

    def recollect(*arguments: str, capture: bool = False) -> str:
        command = [sys.executable, "-m", "recollect", *arguments]
        done = subprocess.run(
            command, env=environment, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE if capture else None
        )
        return done.stdout or ""

    def say(text: str) -> None:
        print(text, flush=True)

    say("$ recollect sync")
    recollect("sync", "--full")
    wrong = []
    for question, path in QUESTIONS.items():
        say(f"\n$ recollect search {question!r} --limit 2 --snippet-lines 6")
        recollect("search", question, "--limit", "2", "--snippet-lines", "6")
        first = json.loads(recollect("search", question, "--limit", "1", "--json", capture=True))["hits"][0]["path"]
        if first != path:
            wrong.append(f"{question!r}: expected {path}, got {first}")
    recollect("daemon", "stop", capture=True)
    if wrong:
        say("\n".join(["the demo's answers are wrong:", *wrong]))
        return 1
    program = Path(sys.executable).with_name("recollect")
    say("Connect an agent (it then indexes and searches your projects by itself):\n")
    say(f"  {program} install     # all agents that are found here; --dry-run shows what would change")
    say(f"  claude mcp add recollect -- {program} mcp")
    say('  any other client:  {"mcpServers": {"recollect": {"command": "' + str(program) + '", "args": ["mcp"]}}}\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
