"""The coding agents that npm offers: what each needs to talk to a model on the loopback device and to call tools unasked.

`recollect install` writes the server into their configuration; what stands here is what their user would have: a model, and
no reports to anyone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.agents.model import Call

Environment = dict[str, str]
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


@dataclass(frozen=True)
class Session:
    """Where a client runs: a home of its own, the port of the model, the server's program, the calls to come."""

    home: Path
    port: int
    program: Path
    modules: Path
    calls: Sequence[Call]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def write(self, name: str, content: Any) -> Path:
        """Write a file of the home, as JSON unless it is text."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
        return path

    def names(self, find: Callable[[str], str]) -> list[str]:
        """The tools that will be called, by the client's names for them."""
        return list(dict.fromkeys(find(call.tool) for call in self.calls))


@dataclass(frozen=True)
class Client:
    """`program` below `node_modules/.bin`, `agent` by the name that `recollect install` knows it by.

    `prepare` writes the user's configuration and returns the environment. `command` runs one conversation and ends; the
    arguments `approval`, with which tools run unasked, stand before its last word. `tool` is its name for a tool of ours,
    `search` the call by which a model finds tools that are not listed at once, `script` how one is called from a program.
    """

    name: str
    package: str
    program: str | None
    agent: str | None
    prepare: Callable[[Session], Environment]
    command: Sequence[str]
    approval: Sequence[str] = ()
    tool: Callable[[str], str] = "mcp__recollect__{}".format
    search: Callable[[Session], Sequence[Call]] = lambda session: ()
    script: Callable[[Call], str] | None = None

    def version(self, modules: Path) -> str | None:
        """Return the version that is installed, None where it is not."""
        try:
            return str(json.loads((modules / self.package / "package.json").read_text())["version"])
        except FileNotFoundError:
            return None

    def command_line(self, session: Session, *, approve: bool) -> list[str]:
        """Return the command to run in the repository."""
        program = str(session.modules / ".bin" / self.program) if self.program else shutil.which("node") or "node"
        places = {"home": session.home, "modules": session.modules, "url": session.url, "program": session.program}
        words = [word.format(here=Path(__file__).parent, **places) for word in self.command]
        return [program, *words[:-1], *(self.approval if approve else ()), words[-1]]


# -- Claude Code ------------------------------------------------------------------------------------------------------


def _claude(session: Session) -> Environment:
    return {
        "ANTHROPIC_BASE_URL": session.url,
        "ANTHROPIC_API_KEY": "none",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


def _claude_searching(session: Session) -> Environment:
    return {**_claude(session), "ENABLE_TOOL_SEARCH": "true"}


def _claude_search(session: Session) -> list[Call]:
    names = ",".join(session.names(CLAUDE.tool))
    return [Call("search for tools", "ToolSearch", {"query": f"select:{names}", "max_results": 50}, raw=True)]


CLAUDE = Client(
    "claude",
    "@anthropic-ai/claude-code",
    "claude",
    "claude-code",
    _claude,
    ("--print", "--model", "claude-sonnet-4-5", "go"),
    ("--allowedTools=mcp__recollect",),
)
CLAUDE_SEARCHING = Client(
    "claude, tools searched for",
    CLAUDE.package,
    CLAUDE.program,
    CLAUDE.agent,
    _claude_searching,
    CLAUDE.command,
    CLAUDE.approval,
    search=_claude_search,
)

# -- Codex ------------------------------------------------------------------------------------------------------------

_CODEX = """model = "{model}"
model_provider = "made-up"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.made-up]
name = "made-up"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "MODEL_KEY"
"""


def _codex(model: str) -> Callable[[Session], Environment]:
    def prepare(session: Session) -> Environment:
        session.write(".codex/config.toml", _CODEX.format(model=model, url=session.url))
        return {"MODEL_KEY": "none"}

    return prepare


def _codex_search(session: Session) -> list[Call]:
    """Search twice: the first request is made while servers still start, and its search sees what was there then."""
    words = " ".join(["recollect", *session.names(str)])
    return [Call("search for tools", "tool_search", {"query": words, "limit": 60}, raw=True)] * 2


def _codex_code_search(session: Session) -> list[Call]:
    return [Call("search for tools", "exec", "text(ALL_TOOLS.map((tool) => tool.name));", raw=True)] * 2


def _codex_script(call: Call) -> str:
    """Return the program of a model that shows all that it gets."""
    return f"const r = await tools.mcp__recollect__{call.tool}({json.dumps(call.arguments)});\ntext(r);"


CODEX = Client(
    "codex",
    "@openai/codex",
    "codex",
    "codex",
    _codex("gpt-5.5"),
    ("exec", "--skip-git-repo-check", "go"),
    ("--dangerously-bypass-approvals-and-sandbox",),
    search=_codex_search,
)
CODEX_CODE = Client(
    "codex, code mode",
    CODEX.package,
    CODEX.program,
    CODEX.agent,
    _codex("gpt-6.2-sol"),
    CODEX.command,
    CODEX.approval,
    search=_codex_code_search,
    script=_codex_script,
)

# -- Gemini CLI and Qwen Code, which grew from it ------------------------------------------------------------------------


def _settings(authentication: str) -> dict[str, Any]:
    return {
        "security": {"auth": {"selectedType": authentication}, "folderTrust": {"enabled": False}},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "general": {"disableAutoUpdate": True, "enableAutoUpdate": False},
    }


def _gemini(session: Session) -> Environment:
    session.write(".gemini/settings.json", _settings("gemini-api-key"))
    return {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": session.url, "GEMINI_CLI_TRUST_WORKSPACE": "true"}


def _qwen(session: Session) -> Environment:
    session.write(".qwen/settings.json", _settings("openai"))
    model = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{session.url}/v1", "OPENAI_MODEL": "made-up"}
    return model | dict.fromkeys(PROXIES, "")  # through a proxy it would look for the loopback device, too


def _qwen_search(session: Session) -> list[Call]:
    names = ",".join(session.names(QWEN.tool))
    return [Call("search for tools", "tool_search", {"query": f"select:{names}", "max_results": 20}, raw=True)]


GEMINI = Client(
    "gemini",
    "@google/gemini-cli",
    "gemini",
    "gemini-cli",
    _gemini,
    ("--model", "gemini-2.5-flash", "--prompt=go"),
    ("--yolo",),
    "mcp_recollect_{}".format,
)
QWEN = Client(
    "qwen",
    "@qwen-code/qwen-code",
    "qwen",
    "qwen-code",
    _qwen,
    ("--model", "made-up", "--prompt=go"),
    ("--yolo",),
    search=_qwen_search,
)

# -- others -----------------------------------------------------------------------------------------------------------


def _opencode(session: Session) -> Environment:
    model = {"name": "made-up", "tool_call": True, "limit": {"context": 1_000_000, "output": 8192}}
    options = {"baseURL": f"{session.url}/v1", "apiKey": "none"}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "made-up", "options": options, "models": {"made-up": model}}
    settings = {
        "provider": {"local": provider},
        "model": "local/made-up",
        "small_model": "local/made-up",
        "autoupdate": False,
        "share": "disabled",
    }
    session.write(".config/opencode/opencode.json", settings)
    off = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS", "SHARE")
    return {f"OPENCODE_DISABLE_{what}": "true" for what in off}


def _copilot(session: Session) -> Environment:
    return {
        "COPILOT_PROVIDER_BASE_URL": f"{session.url}/v1",
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_PROVIDER_API_KEY": "none",
        "COPILOT_PROVIDER_MAX_PROMPT_TOKENS": "1000000",
        "COPILOT_MODEL": "made-up",
        "COPILOT_OFFLINE": "true",
    }


def _cline(session: Session) -> Environment:
    """Cline's command line has a configuration apart from that of the extension, which `recollect install` writes."""
    server = {"type": "stdio", "command": str(session.program), "args": ["mcp"], "disabled": False, "autoApprove": []}
    session.write("data/settings/cline_mcp_settings.json", {"mcpServers": {"recollect": server}})
    program = session.modules / ".bin" / "cline"
    model = ("-p", "openai-compatible", "-k", "none", "-m", "made-up", "-b", f"{session.url}/v1")
    subprocess.run(
        [program, "auth", *model, "--data-dir", session.home / "data"],
        env={"PATH": os.environ["PATH"], "HOME": str(session.home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return {"CLINE_NO_AUTO_UPDATE": "1"}


OPENCODE = Client(
    "opencode",
    "opencode-ai",
    "opencode",
    "opencode",
    _opencode,
    ("run", "--model", "local/made-up", "go"),
    tool="recollect_{}".format,
)
COPILOT = Client(
    "copilot",
    "@github/copilot",
    "copilot",
    "copilot-cli",
    _copilot,
    ("--disable-builtin-mcps", "--no-auto-update", "--prompt=go"),
    ("--allow-all-tools",),
    "recollect-{}".format,
)
CLINE = Client(
    "cline",
    "cline",
    "cline",
    None,
    _cline,
    ("--data-dir", "{home}/data", "-P", "openai-compatible", "-m", "made-up", "go on"),
    ("--auto-approve", "true"),
    "recollect__{}".format,
)
SDK = Client(
    "TypeScript SDK",
    "@modelcontextprotocol/sdk",
    None,
    None,
    lambda session: {},
    ("{here}/sdk_client.mjs", "{modules}", "{url}/v1", "{program}", "mcp"),
    tool=str,
)

CLIENTS = (CLAUDE, CLAUDE_SEARCHING, CODEX, CODEX_CODE, GEMINI, OPENCODE, QWEN, COPILOT, CLINE, SDK)
