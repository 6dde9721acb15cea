"""What of our answers reaches the model: runs coding agents against a model that is made up.

    npm install @modelcontextprotocol/sdk @anthropic-ai/claude-code @openai/codex @google/gemini-cli opencode-ai \\
        @qwen-code/qwen-code @github/copilot cline
    python -m benchmarks.agents node_modules                                # all that are there
    python -m benchmarks.agents node_modules --clients claude,gemini --markdown
    python -m benchmarks.agents node_modules --sizes                        # from which size on a client cuts answers
    python -m benchmarks.agents node_modules --delay 65                     # whether a client waits for an answer that long
    python -m benchmarks.agents node_modules --ask                          # what runs without an approval

Each client has an empty home, `recollect install` sets it up, and no request leaves this machine: everything runs in a
network of its own where `unshare` can make one. Exit code 1 where a model got JSON in place of the text or besides, could
not read an error, or where a client did not run to its end; 2 where there is no client.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.agents.clients import CLIENTS
from benchmarks.agents.model import Call
from benchmarks.agents.session import Options, Outcome, make_repository, run
from benchmarks.agents.verdict import Form, Verdict

QUESTION = "where is the session cookie signed"
CALLS = (
    Call("search_code, 10 hits", "search_code", {"query": QUESTION, "limit": 10}),
    Call("find_symbol with references", "find_symbol", {"name": "BooksInvoices", "references": True}),
    Call("read_code, 60 lines", "read_code", {"path": "books/invoices.py", "start_line": 1, "end_line": 60}),
    Call("get_repo_map", "get_repo_map", {"max_tokens": 1500}),
    Call("list_repositories", "list_repositories", {}),
    Call(
        "store_memory", "store_memory", {"content": 'Cookies are signed with "HMAC" since the audit', "tags": ["audit"]}
    ),
    Call("retrieve_memory", "retrieve_memory", {"query": "how are cookies signed"}),
    Call("error: unknown repository", "search_code", {"query": "cookie", "repository": "nowhere"}, mistaken=True),
    Call("error: no such file", "read_code", {"path": "books/invoice.py"}, mistaken=True),
    Call("error: bad argument", "search_code", {"query": "cookie", "mode": "fuzzy"}, mistaken=True),
    Call("an unknown argument", "search_code", {"query": QUESTION, "limit": 2, "colour": "red"}),
    Call(
        "null for what is optional",
        "search_code",
        {"query": QUESTION, "limit": 2, "repository": None, "max_tokens": None},
    ),
    Call("numbers as strings", "search_code", {"query": QUESTION, "limit": "2", "snippet_lines": "3"}, loose=True),
    Call("a list as JSON text", "search_code", {"query": QUESTION, "limit": 2, "path_glob": '["*.py"]'}),
    Call(
        "the largest answer",
        "search_code",
        {"query": QUESTION, "limit": 50, "snippet_lines": 200, "max_tokens": 50_000},
    ),
)
SIZES = tuple(
    Call(f"{size} tokens", "search_code", {"query": QUESTION, "limit": 50, "snippet_lines": 200, "max_tokens": size})
    for size in (1500, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 10_000, 12_000, 14_000)
)
APPROVALS = (
    Call("it only reads", "search_code", {"query": QUESTION, "limit": 1}),
    Call("it writes", "store_memory", {"content": "Cookies are signed", "tags": ["audit"]}),
    Call("it may delete", "delete_memory", {"tags": ["audit"], "dry_run": True}),
)
WAITING = (Call("held back", "search_code", {"query": QUESTION, "limit": 1}),)


def table(outcomes: Sequence[Outcome], calls: Sequence[Call]) -> str:
    """What each client made of each call, in columns to read."""
    lines = []
    for outcome in outcomes:
        tools = f"{outcome.tools_offered} of {outcome.tools_listed} tools offered in {outcome.tools_tokens:,} tokens"
        if not outcome.tools_offered:
            tools = f"{outcome.tools_listed} tools, not offered one by one"
        lines.append(
            f"\n{outcome.client} {outcome.version}: {tools}; MCP {outcome.protocol or '-'}; {outcome.seconds:g} s"
        )
        if outcome.problem:
            lines.append(f"  PROBLEM: {outcome.problem}")
        if not any(verdict.form is not Form.MISSING for verdict in outcome.verdicts.values()):
            continue
        for call in calls:
            got = outcome.verdicts[call.label]
            sizes = f"{got.tokens:>6} of {got.own_tokens or '-':>6} tokens  {_times(got):>6}"
            why = " ".join(got.says.split())[:100] if got.is_bad or got.form in (Form.REFUSED, Form.GIVEN_UP) else ""
            lines.append(f"  {'BAD' if got.is_bad else '   '} {call.label:28} {_form(got):22} {sizes}  {why}".rstrip())
    return "\n".join(lines)


def markdown(outcomes: Sequence[Outcome], calls: Sequence[Call]) -> str:
    """The same for a document: a row for each call, a column for each client; ✗ where a model is badly served."""
    lines = ["| | " + " | ".join(outcome.client for outcome in outcomes) + " |", "|---|" + "---|" * len(outcomes)]
    lines.append("| version | " + " | ".join(outcome.version for outcome in outcomes) + " |")
    for call in calls:
        cells = []
        for outcome in outcomes:
            got = outcome.verdicts[call.label]
            cells.append(f"{_form(got)} {_times(got)}".rstrip() + " ✗" * got.is_bad)
        lines.append(f"| {call.label} | " + " | ".join(cells) + " |")
    lines.append(
        "| tokens of the tools | "
        + " | ".join(f"{outcome.tools_tokens:,}" if outcome.tools_tokens else "-" for outcome in outcomes)
        + " |"
    )
    return "\n".join(lines)


def _times(got: Verdict) -> str:
    return f"× {got.ratio}" if got.ratio is not None else ""


def _form(got: Verdict) -> str:
    """In which form it came, and whether that is an error which should be none."""
    unexpected = got.is_error and got.is_bad and got.form in (Form.TEXT, Form.QUOTED)
    return f"{got}, an error" if unexpected else str(got)


def limits(outcomes: Sequence[Outcome]) -> str:
    """Up to which size an answer came whole, in tokens, and what is left of the first that did not."""
    lines = ["| client | whole up to | cut from | to |", "|---|---|---|---|"]
    for outcome in outcomes:
        sizes = sorted(outcome.verdicts.values(), key=lambda got: got.own_tokens)
        cut = next((got for got in sizes if got.cut or got.is_bad), None)
        whole = [got.own_tokens for got in sizes if cut is None or got.own_tokens < cut.own_tokens]
        first = f"{cut.own_tokens:,} | {cut.tokens:,}" if cut else "- | -"
        lines.append(f"| {outcome.client} {outcome.version} | {max(whole, default=0):,} | {first} |")
    return "\n".join(lines)


def main() -> int:
    options = _options()
    if not options.no_isolation and not options.isolated:
        _isolate()  # comes back only where the system cannot do so
    if options.isolated:
        _raise_loopback()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    modules = options.modules.resolve()
    wanted = [name.strip() for name in options.clients.split(",") if name.strip()]
    unknown = set(wanted) - {client.name.partition(",")[0] for client in CLIENTS}
    chosen = [client for client in CLIENTS if not wanted or client.name.partition(",")[0] in wanted]
    there = [client for client in chosen if client.version(modules) is not None]
    if unknown or not there:
        names = ", ".join(dict.fromkeys(client.name.partition(",")[0] for client in CLIENTS))
        problem = f"no client is called {', '.join(unknown)}" if unknown else f"there is no client in {modules}"
        print(f"{problem}; known: {names}", file=sys.stderr)
        return 2
    calls = SIZES if options.sizes else WAITING if options.delay else APPROVALS if options.ask else CALLS
    outcomes = []
    how = Options(options.limit + options.delay, options.delay, not options.ask, options.isolated)
    with tempfile.TemporaryDirectory(prefix="agents-", ignore_cleanup_errors=True) as folder:
        work = Path(folder).resolve()
        repository = make_repository(work / "shop")
        for number, client in enumerate(there):
            print(f"{client.name} …", end=" ", file=sys.stderr, flush=True)
            outcomes.append(run(client, calls, modules, work / str(number), repository, how))
            print(f"{outcomes[-1].seconds:g} s", file=sys.stderr, flush=True)
        if options.keep:
            shutil.copytree(work, options.keep, symlinks=True, dirs_exist_ok=True, ignore=_no_sockets)
    print(limits(outcomes) if options.sizes else (markdown if options.markdown else table)(outcomes, calls))
    if options.json:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1, ensure_ascii=False))
    return int(any(outcome.is_bad for outcome in outcomes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.agents", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", type=Path, metavar="NODE_MODULES", help="a folder that npm installed clients into")
    parser.add_argument("--clients", default="", help="only these, with commas between")
    parser.add_argument("--markdown", action="store_true", help="print a table for a document")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to a file, too")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the clients' homes and logs there")
    parser.add_argument("--limit", type=float, default=180, metavar="S", help="seconds for a client (180)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--sizes", action="store_true", help="ask for larger and larger answers instead")
    what.add_argument("--delay", type=float, default=0, metavar="S", help="hold one answer back for so long instead")
    parser.add_argument(
        "--ask", action="store_true", help="start the clients without the arguments that approve of tools"
    )
    parser.add_argument("--no-isolation", action="store_true", help="stay in the network of this machine")
    parser.add_argument("--isolated", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.keep and options.keep.exists():
        parser.error(f"{options.keep} is there already")
    return options


def _isolate() -> None:
    """Start again in a network that has nothing but a loopback device, if this user may make one."""
    unshare = shutil.which("unshare")
    for user in ((), ("--map-root-user",)):
        command = [unshare or "false", "--net", *user]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            os.execv(unshare or "", [*command, sys.executable, "-m", "benchmarks.agents", *sys.argv[1:], "--isolated"])


def _raise_loopback() -> None:
    """`ip link set lo up`, where there is no `ip`."""
    get_flags, set_flags, up = 0x8913, 0x8914, 1  # linux/sockios.h, linux/if.h
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, get_flags, request))[1]
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", flags | up))


def _no_sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not (Path(folder, name).is_file() or Path(folder, name).is_dir())]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
