"""The coding agents that Recollect knows to set up: where each keeps what, as its own documentation says."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
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
    """Where a user's files lie; functions of it, so that tests have homes of their own."""

    home: Path
    config: Path  # XDG_CONFIG_HOME, or ~/.config
    applications: Path  # what macOS calls Application Support; on Linux the same as `config`

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Places:
        home = Path(environment.get("HOME") or Path.home())
        config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
        return cls(home, config, home / "Library" / "Application Support" if platform == "darwin" else config)


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
    """`marks`: any of these is there where the agent is; so is `program`, if it is on the PATH."""

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

    def is_here(self) -> bool:
        """Whether it seems to be installed."""
        return any(mark.exists() for mark in self.marks) or bool(self.program and shutil.which(self.program))


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
    code = applications / "Code" / "User"
    servers = ("mcpServers", SERVER)
    return [
        Agent(
            "claude-code",
            "Claude Code",
            (home / ".claude.json", home / ".claude"),
            home / ".claude.json",
            servers,
            _typed,
            program="claude",
            instructions=home / ".claude" / "CLAUDE.md",
            hooks=Hooks(home / ".claude" / "settings.json", _CLAUDE_EVENTS),
            aliases=("claude",),
        ),
        Agent(
            "claude-desktop",
            "Claude Desktop",
            (applications / "Claude",),
            applications / "Claude" / "claude_desktop_config.json",
            servers,
            _plain,
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
            note="Cursor keeps instructions for all projects in its settings; recollect install --project writes AGENTS.md.",
        ),
        Agent(
            "codex",
            "Codex",
            (home / ".codex",),
            home / ".codex" / "config.toml",
            ("mcp_servers", SERVER),
            _plain,
            documents.TOML,
            program="codex",
            instructions=home / ".codex" / "AGENTS.md",
            hooks=Hooks(
                home / ".codex" / "hooks.json", {"SessionStart": "session-start", "PreCompact": "before-compaction"}
            ),
            note="Codex asks once whether the hooks may run: /hooks.",
        ),
        Agent(
            "opencode",
            "OpenCode",
            (config / "opencode",),
            _first(config / "opencode" / "opencode.jsonc", config / "opencode" / "opencode.json"),
            ("mcp", SERVER),
            _opencode,
            program="opencode",
            instructions=config / "opencode" / "AGENTS.md",
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
        ),
        Agent(
            "copilot-cli",
            "Copilot CLI",
            (home / ".copilot",),
            home / ".copilot" / "mcp-config.json",
            servers,
            _copilot,
            program="copilot",
            instructions=home / ".copilot" / "copilot-instructions.md",
        ),
        Agent(
            "windsurf",
            "Windsurf",
            (home / ".codeium" / "windsurf",),
            home / ".codeium" / "windsurf" / "mcp_config.json",
            servers,
            _plain,
            instructions=home / ".codeium" / "windsurf" / "memories" / "global_rules.md",
        ),
        Agent(
            "gemini-cli",
            "Gemini CLI",
            (home / ".gemini" / "settings.json",),
            home / ".gemini" / "settings.json",
            servers,
            _plain,
            program="gemini",
            instructions=home / ".gemini" / "GEMINI.md",
            hooks=Hooks(
                home / ".gemini" / "settings.json",
                {"SessionStart": "session-start", "PreCompress": "before-compaction", "SessionEnd": "session-end"},
                timeout=10_000,
            ),
            aliases=("gemini",),
        ),
        Agent(
            "antigravity",
            "Antigravity",
            (home / ".gemini" / "antigravity",),
            home / ".gemini" / "antigravity" / "mcp_config.json",
            servers,
            _plain,
        ),
        Agent(
            "qwen-code",
            "Qwen Code",
            (home / ".qwen",),
            home / ".qwen" / "settings.json",
            servers,
            _plain,
            program="qwen",
            instructions=home / ".qwen" / "QWEN.md",
            hooks=Hooks(home / ".qwen" / "settings.json", _CLAUDE_EVENTS, timeout=10_000),
            aliases=("qwen",),
        ),
        Agent(
            "zed",
            "Zed",
            (config / "zed",),
            config / "zed" / "settings.json",
            ("context_servers", SERVER),
            _plain,
            program="zed",
        ),
        Agent(
            "cline",
            "Cline",
            (code / "globalStorage" / "saoudrizwan.claude-dev",),
            code / "globalStorage" / "saoudrizwan.claude-dev" / "settings" / "cline_mcp_settings.json",
            servers,
            _plain,
            instructions=home / "Documents" / "Cline" / "Rules" / "recollect.md",
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
        ),
        Agent(
            "kilo",
            "Kilo Code",
            (code / "globalStorage" / "kilocode.kilo-code",),
            code / "globalStorage" / "kilocode.kilo-code" / "settings" / "mcp_settings.json",
            servers,
            _plain,
            aliases=("kilocode",),
        ),
        Agent(
            "goose",
            "Goose",
            (config / "goose",),
            config / "goose" / "config.yaml",
            ("extensions", SERVER),
            _goose,
            documents.YAML,
            program="goose",
            instructions=config / "goose" / ".goosehints",
        ),
        Agent(
            "continue",
            "Continue",
            (home / ".continue",),
            home / ".continue" / "config.yaml",
            ("mcpServers", SERVER),
            _continue,
            documents.YAML_LIST,
            program="cn",
        ),
        Agent(
            "kiro",
            "Kiro",
            (home / ".kiro",),
            home / ".kiro" / "settings" / "mcp.json",
            servers,
            _plain,
            program="kiro",
            instructions=home / ".kiro" / "steering" / "recollect.md",
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
        ),
        Agent(
            "amp",
            "Amp",
            (config / "amp",),
            config / "amp" / "settings.json",
            ("amp.mcpServers", SERVER),
            _plain,
            program="amp",
            instructions=config / "amp" / "AGENTS.md",
        ),
        Agent(
            "crush",
            "Crush",
            (config / "crush",),
            config / "crush" / "crush.json",
            ("mcp", SERVER),
            _typed,
            program="crush",
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
        ),
    ]


def _first(*paths: Path) -> Path:
    """The first that is there, else the last."""
    return next((path for path in paths if path.exists()), paths[-1])
