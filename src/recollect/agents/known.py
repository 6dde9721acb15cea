"""The coding agents that Recollect knows to set up: where each keeps what, as its own documentation says."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Final

from recollect.agents import documents
from recollect.agents.documents import Format, Path_
from recollect.records import dataclass

SERVER: Final = "recollect"
_SERVER_TIMEOUT_S: Final = 300
Entry = Callable[[list[str], Mapping[str, str]], dict[str, Any]]
"""(command line, environment) → what stands in the agent's configuration"""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a user's files lie; functions of it, so that tests have homes of their own.

    `environment`: the agents' own variables, which move their folders.
    """

    home: Path
    config: Path  # XDG_CONFIG_HOME, or ~/.config
    applications: Path  # what macOS calls Application Support; on Linux the same as `config`
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Places:
        home = Path(environment.get("HOME") or Path.home())
        given = Path(environment.get("XDG_CONFIG_HOME", "").strip())
        config = given if given.is_absolute() else home / ".config"  # a relative one counts for nothing there
        applications = home / "Library" / "Application Support" if platform == "darwin" else config
        return cls(home, config, applications, dict(environment))

    def named(self, variable: str) -> Path | None:
        """The absolute path that a variable names, if it is set: `~` is the home, a relative one lies in this folder."""
        value = self.environment.get(variable, "").strip()
        if not value:
            return None
        if value == "~" or value.startswith("~/"):
            return self.home / value[2:]
        return Path(os.path.abspath(value))

    def set_of(self, *variables: str) -> tuple[tuple[str, str], ...]:
        """(name, value) of those variables that are set."""
        return tuple((name, value) for name in variables if (value := self.environment.get(name, "").strip()))


@dataclass(frozen=True, slots=True)
class Hooks:
    """Where an agent is told what to run, and when. `events`: its name of an event → ours.

    `shape` "nested": a list of `{matcher?, hooks: [{type, command, timeout}]}` for each event; "flat": of `{command}`.
    `timeout`: of one hook, in the agent's unit (seconds or milliseconds).
    """

    file: Path
    events: Mapping[str, str]
    shape: str = "nested"
    timeout: int = 10
    constants: Mapping[str, Any] | None = None  # what such a file must hold besides


@dataclass(frozen=True, slots=True)
class Agent:
    """`marks`: any of these is there where the agent is; so is `program`, if it is on the PATH.

    `moved`: (name, value) of the variables that are set and say where its files lie. `listing`: the command that says
    which servers it knows. `clients`: how the names begin, in small letters without spaces, by which it introduces
    itself to a server. `subagents`: it has some that cannot call an MCP tool but can run a command, so that its
    instructions say which.
    """

    name: str
    title: str
    marks: tuple[Path, ...]
    file: Path
    path: Path_
    entry: Entry
    kind: Format = documents.JSON
    program: str | None = None
    instructions: Path | None = None
    hooks: Hooks | None = None
    note: str = ""
    aliases: tuple[str, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    listing: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    subagents: bool = False

    def is_here(self) -> bool:
        """Whether it seems to be installed."""
        return any(map(os.path.exists, self.marks)) or bool(self.program and program_on_path(self.program))


def program_on_path(name: str) -> str | None:
    """The program of that name on the PATH; never one of the folder that somebody happens to be in."""
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(folder)]
    return shutil.which(name, path=os.pathsep.join(folders))


def _plain(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    return {"command": command[0], "args": command[1:], **({"env": dict(environment)} if environment else {})}


def _typed(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    return {"type": "stdio", **_plain(command, environment)}


def _copilot(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    return {"type": "local", **_plain(command, environment), "tools": ["*"]}


def _opencode(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "local", "command": command, "enabled": True}
    return {**made, **({"environment": dict(environment)} if environment else {})}


def _goose(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        "enabled": True,
        "type": "stdio",
        "name": SERVER,
        "description": "Code search and memory",
        "cmd": command[0],
        "args": command[1:],
        "envs": dict(environment),
        "timeout": _SERVER_TIMEOUT_S,
    }


def _continue(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    return {"name": SERVER, **_plain(command, environment)}


def _amazon(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    return {**_plain(command, environment), "timeout": _SERVER_TIMEOUT_S * 1000}


_CLAUDE_EVENTS: Final = {
    "SessionStart": "session-start",
    "PreCompact": "before-compaction",
    "SessionEnd": "session-end",
}


def agents(places: Places) -> list[Agent]:
    """All that are known, whether they are here or not."""
    home, config, applications = places.home, places.config, places.applications
    portable, moved = places.named("VSCODE_PORTABLE"), places.named("VSCODE_APPDATA")
    code = (portable / "user-data" if portable else (moved or applications) / "Code") / "User"
    claude = places.named("CLAUDE_CONFIG_DIR")
    claude_folder = claude or home / ".claude"
    claude_file = (claude or home) / ".claude.json"
    codex = places.named("CODEX_HOME") or home / ".codex"
    opencode = places.named("OPENCODE_CONFIG_DIR") or config / "opencode"
    opencode_files = (opencode / "opencode.jsonc", opencode / "opencode.json")
    copilot = places.named("COPILOT_HOME") or home / ".copilot"
    gemini = (places.named("GEMINI_CLI_HOME") or home) / ".gemini"
    qwen = places.named("QWEN_HOME") or home / ".qwen"
    cline = places.named("CLINE_DATA_DIR") or (places.named("CLINE_DIR") or home / ".cline") / "data"
    goose_root = places.named("GOOSE_PATH_ROOT")
    goose = goose_root / "config" if goose_root else config / "goose"
    continue_ = places.named("CONTINUE_GLOBAL_DIR") or home / ".continue"
    kiro = places.named("KIRO_HOME") or home / ".kiro"
    amp = places.named("AMP_SETTINGS_FILE")
    amp_files = (config / "amp" / "settings.jsonc", config / "amp" / "settings.json")
    crush = places.named("CRUSH_GLOBAL_CONFIG") or config / "crush"
    servers = ("mcpServers", SERVER)
    return [
        Agent(
            "claude-code",
            "Claude Code",
            (claude_file, claude_folder),
            _first(claude_folder / ".config.json", claude_file),
            servers,
            _typed,
            program="claude",
            instructions=claude_folder / "CLAUDE.md",
            hooks=Hooks(claude_folder / "settings.json", _CLAUDE_EVENTS),
            moved=places.set_of("CLAUDE_CONFIG_DIR"),
            listing=("claude", "mcp", "list"),
            clients=("claude-code",),
            subagents=True,
            aliases=("claude",),
        ),
        Agent(
            "claude-desktop",
            "Claude Desktop",
            (applications / "Claude",),
            applications / "Claude" / "claude_desktop_config.json",
            servers,
            _plain,
            clients=("claude-ai", "claude-desktop"),
        ),
        Agent(
            "cursor",
            "Cursor",
            (home / ".cursor", applications / "Cursor"),
            home / ".cursor" / "mcp.json",
            servers,
            _plain,
            hooks=Hooks(
                home / ".cursor" / "hooks.json",
                {"sessionStart": "session-start", "preCompact": "before-compaction", "sessionEnd": "session-end"},
                shape="flat",
                constants={"version": 1},
            ),
            clients=("cursor",),
            note="Cursor keeps instructions for all projects in its settings; recollect install --project writes AGENTS.md.",
        ),
        Agent(
            "codex",
            "Codex",
            (codex,),
            codex / "config.toml",
            ("mcp_servers", SERVER),
            _plain,
            documents.TOML,
            program="codex",
            instructions=codex / "AGENTS.md",
            hooks=Hooks(codex / "hooks.json", {"SessionStart": "session-start", "PreCompact": "before-compaction"}),
            moved=places.set_of("CODEX_HOME"),
            listing=("codex", "mcp", "list"),
            clients=("codex",),
            note="Codex asks once whether the hooks may run: /hooks.",
        ),
        Agent(
            "opencode",
            "OpenCode",
            (opencode, config / "opencode"),
            places.named("OPENCODE_CONFIG") or _first(*opencode_files),
            ("mcp", SERVER),
            _opencode,
            program="opencode",
            instructions=opencode / "AGENTS.md",
            moved=places.set_of("OPENCODE_CONFIG", "OPENCODE_CONFIG_DIR"),
            listing=("opencode", "mcp", "list"),
            clients=("opencode",),
            subagents=True,
        ),
        Agent(
            "vscode",
            "VS Code and Copilot",
            (code,),
            code / "mcp.json",
            ("servers", SERVER),
            _typed,
            program="code",
            aliases=("VS Code", "visual studio code"),
            moved=places.set_of("VSCODE_PORTABLE", "VSCODE_APPDATA"),
            clients=("visualstudiocode",),
        ),
        Agent(
            "copilot-cli",
            "Copilot CLI",
            (copilot,),
            copilot / "mcp-config.json",
            servers,
            _copilot,
            program="copilot",
            instructions=copilot / "copilot-instructions.md",
            moved=places.set_of("COPILOT_HOME"),
            listing=("copilot", "mcp", "list"),
            clients=("github-copilot", "copilot"),
            subagents=True,
        ),
        Agent(
            "windsurf",
            "Windsurf",
            (home / ".codeium" / "windsurf",),
            home / ".codeium" / "windsurf" / "mcp_config.json",
            servers,
            _plain,
            instructions=home / ".codeium" / "windsurf" / "memories" / "global_rules.md",
            clients=("windsurf",),
        ),
        Agent(
            "gemini-cli",
            "Gemini CLI",
            (gemini / "settings.json",),
            gemini / "settings.json",
            servers,
            _plain,
            program="gemini",
            instructions=gemini / "GEMINI.md",
            hooks=Hooks(
                gemini / "settings.json",
                {"SessionStart": "session-start", "PreCompress": "before-compaction", "SessionEnd": "session-end"},
                timeout=10_000,
            ),
            aliases=("gemini",),
            moved=places.set_of("GEMINI_CLI_HOME"),
            listing=("gemini", "mcp", "list"),
            clients=("gemini",),
        ),
        Agent(
            "antigravity",
            "Antigravity",
            (home / ".gemini" / "antigravity",),
            home / ".gemini" / "antigravity" / "mcp_config.json",
            servers,
            _plain,
            clients=("antigravity",),
        ),
        Agent(
            "qwen-code",
            "Qwen Code",
            (qwen,),
            qwen / "settings.json",
            servers,
            _plain,
            program="qwen",
            instructions=qwen / "QWEN.md",
            hooks=Hooks(qwen / "settings.json", _CLAUDE_EVENTS, timeout=10_000),
            aliases=("qwen",),
            moved=places.set_of("QWEN_HOME"),
            listing=("qwen", "mcp", "list"),
            clients=("qwen",),
            subagents=True,
        ),
        Agent(
            "zed",
            "Zed",
            (config / "zed",),
            config / "zed" / "settings.json",
            ("context_servers", SERVER),
            _plain,
            program="zed",
            clients=("zed",),
        ),
        Agent(
            "cline",
            "Cline",
            (code / "globalStorage" / "saoudrizwan.claude-dev",),
            code / "globalStorage" / "saoudrizwan.claude-dev" / "settings" / "cline_mcp_settings.json",
            servers,
            _plain,
            instructions=home / "Documents" / "Cline" / "Rules" / "recollect.md",
            moved=places.set_of("VSCODE_PORTABLE", "VSCODE_APPDATA"),
            clients=("cline",),
            subagents=True,
        ),
        Agent(
            "cline-cli",
            "Cline CLI",
            (cline,),
            places.named("CLINE_MCP_SETTINGS_PATH") or cline / "settings" / "cline_mcp_settings.json",
            servers,
            _plain,
            program="cline",
            instructions=home / "Documents" / "Cline" / "Rules" / "recollect.md",
            moved=places.set_of("CLINE_MCP_SETTINGS_PATH", "CLINE_DATA_DIR", "CLINE_DIR"),
            clients=("@cline", "cline"),
            subagents=True,
        ),
        Agent(
            "roo",
            "Roo Code",
            (code / "globalStorage" / "rooveterinaryinc.roo-cline",),
            code / "globalStorage" / "rooveterinaryinc.roo-cline" / "settings" / "mcp_settings.json",
            servers,
            _plain,
            instructions=home / ".roo" / "rules" / "recollect.md",
            aliases=("roo cline",),
            moved=places.set_of("VSCODE_PORTABLE", "VSCODE_APPDATA"),
            clients=("roo",),
        ),
        Agent(
            "kilo",
            "Kilo Code",
            (code / "globalStorage" / "kilocode.kilo-code",),
            code / "globalStorage" / "kilocode.kilo-code" / "settings" / "mcp_settings.json",
            servers,
            _plain,
            aliases=("kilocode",),
            moved=places.set_of("VSCODE_PORTABLE", "VSCODE_APPDATA"),
            clients=("kilo",),
        ),
        Agent(
            "goose",
            "Goose",
            (goose,),
            goose / "config.yaml",
            ("extensions", SERVER),
            _goose,
            documents.YAML,
            program="goose",
            instructions=goose / ".goosehints",
            moved=places.set_of("GOOSE_PATH_ROOT"),
            clients=("goose",),
        ),
        Agent(
            "continue",
            "Continue",
            (continue_,),
            continue_ / "config.yaml",
            ("mcpServers", SERVER),
            _continue,
            documents.YAML_LIST,
            program="cn",
            moved=places.set_of("CONTINUE_GLOBAL_DIR"),
            clients=("continue",),
        ),
        Agent(
            "kiro",
            "Kiro",
            (kiro,),
            kiro / "settings" / "mcp.json",
            servers,
            _plain,
            program="kiro",
            instructions=kiro / "steering" / "recollect.md",
            moved=places.set_of("KIRO_HOME"),
            clients=("kiro",),
        ),
        Agent(
            "amazon-q",
            "Amazon Q",
            (home / ".aws" / "amazonq",),
            home / ".aws" / "amazonq" / "mcp.json",
            servers,
            _amazon,
            program="q",
            aliases=("q developer",),
            clients=("q-dev", "amazon-q", "amazonq"),
        ),
        Agent(
            "amp",
            "Amp",
            (config / "amp",),
            amp or _first(*amp_files),
            ("amp.mcpServers", SERVER),
            _plain,
            program="amp",
            instructions=config / "amp" / "AGENTS.md",
            moved=places.set_of("AMP_SETTINGS_FILE"),
            listing=("amp", "mcp", "list"),
            clients=("amp",),
        ),
        Agent(
            "crush",
            "Crush",
            (crush,),
            crush / "crush.json",
            ("mcp", SERVER),
            _typed,
            program="crush",
            moved=places.set_of("CRUSH_GLOBAL_CONFIG"),
            clients=("crush",),
        ),
        Agent(
            "factory",
            "Factory Droid",
            (home / ".factory",),
            home / ".factory" / "mcp.json",
            servers,
            _typed,
            program="droid",
            instructions=home / ".factory" / "AGENTS.md",
            aliases=("droid",),
            clients=("factory", "droid"),
        ),
    ]


def _first(*paths: Path) -> Path:
    """The first that is there, else the last."""
    return next((path for path in paths if path.exists()), paths[-1])
