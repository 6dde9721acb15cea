"""Secrets in a text: keys and tokens that look like nothing else are replaced before anything is stored."""

from __future__ import annotations

import re
from typing import Final

_SECRETS: Final = (
    (
        "private key",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    ),
    ("AWS key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})")),
    ("GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("API key", re.compile(r"\b(?:sk|pk|rk)[-_](?:live|test|ant|proj|or)?[-_]?[A-Za-z0-9_-]{20,}")),
    ("Slack token", re.compile(r"\bxox[abposr]-[A-Za-z0-9-]{10,}")),
    ("Google key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}")),
    ("package token", re.compile(r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,})")),
    ("JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")),
    ("password in a URL", re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")),
    (
        "secret",
        re.compile(
            r"(?i)(?<![\w-])(?:password|passwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token)\s*[:=]\s*"
            r"[\"']?(?P<value>[^\s\"']{8,})[\"']?"
        ),
    ),
)


def redact(text: str) -> tuple[str, int]:
    """`text` with each secret replaced by a word that says what it was; and how many were."""
    count = 0
    for name, pattern in _SECRETS:

        def replaced(match: re.Match[str], name: str = name) -> str:
            nonlocal count
            count += 1
            whole, value = match.group(), match.groupdict().get("value")
            return whole.replace(value, f"[{name} removed]") if value else f"[{name} removed]"

        text = pattern.sub(replaced, text)
    return text, count
