"""One conversation of a client with the model, from an empty home to the end of all its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.agents import verdict, wire
from benchmarks.agents.clients import PROXIES, Client, Session
from benchmarks.agents.model import Call, Conversation, serving
from benchmarks.agents.verdict import Verdict

_NOWHERE = "http://127.0.0.1:9"  # the discard port: a proxy that refuses
_SERVER_START_S = 20
_THINGS = "invoice order parcel refund coupon account address basket stock review return voucher".split()
_DEPARTMENTS = ("books", "garden", "kitchen", "toys")
_MODULE = '''"""The {thing}s of the {department} department: what they cost and who may change them."""

import hashlib
import hmac

SECTION = "{department}/{thing}"


class {title}:
    """Keeps what a customer's \\"basket\\" refers to."""

    def __init__(self, rows):
        self.rows = list(rows)
'''
_METHOD = '''
    def {verb}_{number}(self, cookie, *, note="C:\\\\tmp"):
        """Sign the session cookie, then {verb} the {thing} in row {number}."""
        signature = hmac.new(cookie, b"{thing}/{number}", hashlib.sha256).hexdigest()
        if not note:
            raise ValueError("a {thing} needs a note\\n")
        return {{"signature": signature, "total": sum(row.price for row in self.rows) * {number}}}
'''


def make_repository(folder: Path) -> Path:
    """Write a small project, always the same, with enough in it for the largest answer; commit it."""
    for department in _DEPARTMENTS:
        (folder / department).mkdir(parents=True)
        for thing in _THINGS:
            names = {"thing": thing, "department": department, "title": _title(department, thing)}
            methods = (
                _METHOD.format(**names, verb=verb, number=number)
                for number in range(10)
                for verb in ("add", "change", "remove", "price")
            )
            (folder / department / f"{thing}s.py").write_text(_MODULE.format(**names) + "".join(methods))
    pairs = [(department, thing) for department in _DEPARTMENTS for thing in _THINGS]
    lines = [f"from {department}.{thing}s import {_title(department, thing)}" for department, thing in pairs]
    lines += ["", "", "def checkout(cookie):", "    return ["]
    lines += [f"        {_title(department, thing)}([]).price_1(cookie)," for department, thing in pairs]
    (folder / "checkout.py").write_text("\n".join([*lines, "    ]", ""]))
    identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "The shop")):
        subprocess.run(["git", *words], cwd=folder, check=True, env={"PATH": os.environ["PATH"], "HOME": str(folder)})
    return folder


def _title(department: str, thing: str) -> str:
    return f"{department.title()}{thing.title()}s"


@dataclass
class Outcome:
    """What became of one client's session. `verdicts`: by the labels of the calls."""

    client: str
    version: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    tools_listed: int = 0
    tools_offered: int = 0
    tools_tokens: int = 0  # of the definitions, as the model gets them
    protocol: str = ""
    seconds: float = 0.0
    problem: str | None = None  # it did not run, or not to the end
    log: str = ""

    @property
    def is_bad(self) -> bool:
        return self.problem is not None or any(verdict.is_bad for verdict in self.verdicts.values())


@dataclass(frozen=True)
class Options:
    """How a session is run. `isolated`: there is no way out of this machine anyhow."""

    limit_s: float = 180.0
    delay_s: float = 0.0
    approve: bool = True
    isolated: bool = False


def run(
    client: Client, calls: Sequence[Call], modules: Path, home: Path, repository: Path, options: Options
) -> Outcome:
    """Set a client up as its user would, let it make the calls, and judge what its model was told of each.

    `home` is made for this; its path must be short, for sockets lie in it.
    """
    (home / "tmp").mkdir(parents=True)
    log = home / "wire.jsonl"
    program = wire.make_program(home / "bin" / "recollect", log, options.delay_s)
    outcome = Outcome(client.name, client.version(modules) or "?")
    told: dict[str, tuple[str, wire.Exchange | None]] = {}
    seen = 0

    def on_result(call: Call, text: str) -> None:
        nonlocal seen
        sent = wire.read(log).calls
        of_this = [exchange for exchange in sent[seen:] if exchange.tool == call.tool]
        told[call.label], seen = (text, of_this[-1] if of_this else None), len(sent)

    def on_start() -> None:
        """Wait for the server: a real model takes its time, too, and Codex does not wait for servers at all."""
        until = time.monotonic() + _SERVER_START_S
        while not wire.read(log).tools and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(0.5)  # until the client has read what the log already holds

    environment = _environment(home, options.isolated)
    conversation = Conversation([], client.tool, on_result, on_start, client.script)
    started = time.monotonic()
    with (home / "client.log").open("wb") as output, serving(conversation) as port:

        def ends(*command: str | Path) -> bool:
            return _ends_within(options.limit_s, command, repository, environment, output.fileno())

        session = Session(home, port, program, modules, calls)
        conversation.calls = [*client.search(session), *calls]
        try:
            environment |= client.prepare(session)
            if client.agent:
                ends(program, "install", "--agent", client.agent)
            ends(program, "sync")
            ended = ends(*client.command_line(session, approve=options.approve))
        finally:
            with suppress(OSError):
                ends(program, "daemon", "stop")
            _kill_all_with(f"HOME={home}")
    outcome.seconds = round(time.monotonic() - started, 1)
    outcome.log = (home / "client.log").read_text(errors="replace")
    said = wire.read(log)
    offered = conversation.server_tools([tool["name"] for tool in said.tools])
    outcome.protocol, outcome.tools_listed, outcome.tools_offered = said.protocol, len(said.tools), len(offered)
    outcome.tools_tokens = sum(verdict.tokens(str(tool.definition)) for tool in offered)
    for call in calls:
        outcome.verdicts[call.label] = verdict.judge(call, *told.get(call.label, (None, None)))
    if not conversation.requests:
        outcome.problem = "it did not ask the model: " + (outcome.log.strip()[-300:] or "it said nothing")
    elif not ended:
        outcome.problem = f"it did not end within {options.limit_s:g} s"
    return outcome


def _environment(home: Path, isolated: bool) -> dict[str, str]:
    """Nothing of the caller's but the PATH; without a network of its own a proxy that leads nowhere."""
    made = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home / "tmp"), "LANG": "C.UTF-8"}
    made |= {"TERM": "dumb", "NO_COLOR": "1", "USER": "nobody", "AUTO_SYNC_ENABLED": "false"}
    if not isolated:
        made |= dict.fromkeys(PROXIES, _NOWHERE) | dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    return made


def _ends_within(
    limit_s: float, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], output: int
) -> bool:
    """Run a command to its end; False where it had to be killed. It and its group are gone in any case."""
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        child.wait(limit_s)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _kill_all_with(variable: str) -> None:
    """Kill the processes in whose environment a variable has this value: what left its parent's group."""
    for process in _processes():
        with suppress(OSError):
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


def _processes() -> Iterator[Path]:
    """The others of this user; none where the system has no /proc."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(entry.name) != os.getpid() and entry.stat().st_uid == os.getuid():
                yield entry
