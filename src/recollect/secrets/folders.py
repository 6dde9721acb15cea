"""Which folders and files below a home keep credentials: programs' settings, key rings, browsers' profiles.

The rules hold for anyone's home folder, in any spelling; variables that move such a place (`XDG_CONFIG_HOME`, `GNUPGHOME`, …)
count too. A rule is a path by its parts, each of which may be a pattern.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Final

Parts = tuple[str, ...]

ANYWHERE: Final = frozenset({".ssh", ".gnupg", ".aws", ".azure", ".kube", ".password-store", ".gcloud", ".1password"})
"""Names of folders that keep credentials wherever they are."""

_CONFIG: Final = """
1password op bitwarden* containers configstore doctl filezilla fly flyctl gcloud gh
git/credentials github-copilot glab-cli google-chrome* chromium* microsoft-edge* bravesoftware
opera* vivaldi* hcloud heroku hub keepassxc keybase libsecret linode-cli nats netlify ngrok rclone
scw signal slack discord sops stripe solana wireguard wrangler cachix evolution goa-1.0 remmina
code/user/globalstorage cursor/user/globalstorage zed/credentials nextcloud owncloud syncthing
himalaya aerc/accounts.conf anthropic openai claude opencode/auth.json kwalletrc pulse/cookie
gcloud-* borg/keys restic age gopass mutt neomutt msmtp isync
"""
_DATA: Final = """
keyrings kwalletd keepassxc gnupg password-store pass gopass evolution signal-desktop
telegramdesktop opencode/auth.json containers/auth.json mise/secrets atuin tailscale bitwarden*
seahorse claude goose/secrets jupyter/runtime fish/fish_history
"""
_HOME: Final = """
.vault .step .nats .nsc .rclone .s3 .gsutil .credentials .private .certs .acme.sh .lego .krb5 .near-credentials
.foundry/keystores .brownie/accounts .ollama/id_ed25519 .openclaw .zoom .config/letsencrypt .letsencrypt
.ssh .gnupg .aws .azure .kube .docker .password-store .gcloud .1password .bitwarden* .oci .bluemix
.aliyun .databricks .snowflake .snowsql .kaggle .huggingface .pulumi .terraform.d .minikube
.ngrok2 .mc .fly .railway .heroku .netlify .supabase .wrangler .travis .subversion/auth .mozilla
.thunderbird .librewolf .waterfox .zen .purple .weechat .irssi .mutt .electrum .bitcoin .ethereum
.gem/credentials .gnome2/keyrings .pki .keychain .keys .secrets .cargo/credentials
.cargo/credentials.toml .m2/settings.xml .m2/settings-security.xml .gradle/gradle.properties
.cache/huggingface/token .cache/mozilla .cache/google-chrome .dbt .jupyter .circleci .sentryclirc
.gpg .tor .claude/.credentials.json .claude/projects .claude/history.jsonl .claude/todos
.claude/shell-snapshots .claude/statsig .codex/auth.json .codex/sessions .codex/history.jsonl
.gemini/oauth_creds.json .gemini/google_accounts.json .gemini/tmp .copilot .cursor/mcp.json
.cursor/projects .continue/sessions .continue/config.json .codeium .windsurf .amazonq
.qwen/oauth_creds.json .kimi/credentials .aider.conf.yml .opencode/auth.json .var/app snap
.putty .sops .talos .doctl .zsh_sessions .composer/auth.json .config/composer/auth.json .nuget/nuget.config
.config/helm/registry .expo/state.json .vagrant.d/insecure_private_key
.vault-token .chef .lastpass .dropbox .local/state/gh .npm/_logs .android/debug.keystore
library/keychains library/cookies library/mail library/messages library/safari library/accounts
library/containers library/preferences library/group?containers library/application?support/google
library/application?support/firefox library/application?support/chromium
library/application?support/bravesoftware library/application?support/claude
library/application?support/cursor library/application?support/code
library/application?support/1password* library/application?support/bitwarden
library/application?support/slack library/application?support/gcloud
library/application?support/com.apple.tcc library/application?support/thunderbird
library/thunderbird library/group?containers appdata/roaming appdata/local/google
"""
_MOVED: Final = """
GNUPGHOME DOCKER_CONFIG CLOUDSDK_CONFIG AZURE_CONFIG_DIR PASSWORD_STORE_DIR GH_CONFIG_DIR
GLAB_CONFIG_DIR CODEX_HOME KAGGLE_CONFIG_DIR PULUMI_HOME MINIKUBE_HOME OCI_CLI_CONFIG_FILE
AWS_SHARED_CREDENTIALS_FILE AWS_CONFIG_FILE KUBECONFIG NETRC PGPASSFILE CLAUDE_CONFIG_DIR
NPM_CONFIG_USERCONFIG GOOGLE_APPLICATION_CREDENTIALS BOTO_CONFIG RCLONE_CONFIG SOPS_AGE_KEY_FILE
HF_TOKEN_PATH TF_CLI_CONFIG_FILE DATABRICKS_CONFIG_FILE ANSIBLE_VAULT_PASSWORD_FILE SNOWFLAKE_HOME
PGSSLKEY JUPYTER_CONFIG_DIR
""".split()
_SYSTEM: Final = (
    "/etc/ssh /etc/ssl/private /etc/wireguard /etc/letsencrypt /etc/shadow /run/secrets /var/run/secrets".split()
)
_HOMES: Final[tuple[Parts, ...]] = (("root",), ("var", "root"), ("home", "*"), ("users", "*"), ("export", "home", "*"))
_MARKS: Final = (".ssh", ".gnupg", ".aws", ".bashrc", ".profile", ".zshrc", ".bash_history")  # of a home folder


def keeps_credentials(path: Path, home: Path) -> bool:
    """Whether a path is a place of credentials, or lies in one."""
    parts = _parts(os.fspath(path))
    if not ANYWHERE.isdisjoint(parts):
        return True
    return any(_begins(parts, rule) for rule in _rules(parts, home, moved=True))


def holds_credentials(path: Path, home: Path) -> bool:
    """Whether a place of credentials may lie below a folder, be it there now or not; or the folder is somebody's home."""
    parts = _parts(os.fspath(path))
    if any(len(parts) == len(other) and _begins(parts, other) for other in _HOMES):
        return any((path / mark).exists() for mark in _MARKS)
    return any(len(rule) > len(parts) and _begins(rule, parts) for rule in _rules(parts, home, moved=False))


def keeps_credentials_below(root: str, path: str) -> bool:
    """Whether a file of a repository is a place of credentials, or lies in one, by where the repository is."""
    rules = _rules_below(root, os.environ.get("HOME"))
    return bool(rules) and any(_begins(_parts(path), rule) for rule in rules)


@lru_cache(64)
def _rules_below(root: str, home: str | None) -> tuple[Parts, ...]:
    parts = _parts(os.path.realpath(root))
    rules = _rules(parts, Path(os.path.realpath(home or Path.home())), moved=True)
    return tuple(rule[len(parts) :] for rule in rules if len(rule) > len(parts) and _begins(rule, parts))


def _rules(parts: Parts, home: Path, *, moved: bool) -> list[Parts]:
    """Places of credentials by their absolute parts: below the user's home, and below the home that `parts` lie in."""
    own = _parts(os.fspath(home))
    homes = {own, *(parts[: len(other)] for other in _HOMES if _begins(parts, other))}
    rules = [(*folder, *rule) for folder in homes for rule in _below_a_home()]
    for variable, text in (("XDG_CONFIG_HOME", _CONFIG), ("XDG_DATA_HOME", _DATA)):
        base = os.environ.get(variable, "")
        if os.path.isabs(base):
            rules += [(*_parts(os.path.realpath(base)), *_parts(rule)) for rule in text.split()]
    return rules + (_moved(os.environ) if moved else [])


@lru_cache(1)
def _below_a_home() -> tuple[Parts, ...]:
    below = [*_HOME.split(), *(f".config/{rule}" for rule in _CONFIG.split())]
    return tuple(map(_parts, [*below, *(f".local/share/{rule}" for rule in _DATA.split())]))


def _moved(environment: Mapping[str, str]) -> list[Parts]:
    """Places that variables name, and those of the system."""
    paths = (path for variable in _MOVED for path in environment.get(variable, "").split(os.pathsep))
    moved = [_parts(os.path.realpath(path)) for path in paths if os.path.isabs(path) and path.strip("/")]
    return moved + [_parts(path) for path in _SYSTEM]


def _parts(path: str) -> Parts:
    """The names of a path in one spelling for all that case and Unicode make equal."""
    folded = unicodedata.normalize("NFKC", path).casefold()
    return tuple(part for part in folded.split("/") if part and part != ".")


def _begins(parts: Parts, rule: Parts) -> bool:
    """Whether a path begins with what a rule says; either may hold patterns."""
    if len(parts) < len(rule):
        return False
    return all(
        part == wanted or fnmatchcase(part, wanted) or fnmatchcase(wanted, part)
        for part, wanted in zip(parts, rule, strict=False)
    )
