from pathlib import Path

import pytest

from recollect.errors import Refused
from recollect.index.skip import skip
from recollect.workspace.places import Caller, check_allowed

HOME = Path("/home/ada")
PERSON, AGENT = Caller(cwd="/srv/work"), Caller(cwd="/srv/work", agent=True)


@pytest.mark.parametrize("path", ["/", "/home", "/home/ada", "/home/ada/.ssh", "/home/ada/.aws/x", "/home/ada/.gnupg"])
def test_nobody_may_have_homes_and_credentials_indexed(path: str) -> None:
    for caller in (PERSON, AGENT):
        with pytest.raises(Refused):
            check_allowed(Path(path), caller, home=HOME)


@pytest.mark.parametrize("path", ["/home/ada/project", "/srv/work", "/srv/work/api", "/scan/x"])
def test_agents_may_use_the_home_scan_paths_and_their_folder(path: str) -> None:
    check_allowed(Path(path), AGENT, ["/scan"], home=HOME)


@pytest.mark.parametrize("path", ["/etc", "/srv/other", "/scanner"])
def test_agents_may_use_nothing_else_but_people_may(path: str) -> None:
    with pytest.raises(Refused):
        check_allowed(Path(path), AGENT, ["/scan"], home=HOME)
    check_allowed(Path(path), PERSON, home=HOME)


def test_an_agent_started_at_the_root_gains_nothing() -> None:
    with pytest.raises(Refused):
        check_allowed(Path("/etc"), Caller(cwd="/", agent=True), home=HOME)


CREDENTIALS = (".ssh", ".aws", ".config", ".config/gh", ".config/gcloud", ".claude", ".codex", ".gemini", ".local", ".local/share",
    ".local/share/keyrings", ".putty", ".sops", ".zsh_sessions", ".composer", ".config/composer", ".nuget",
    ".mozilla", ".mozilla/firefox/x.default", ".thunderbird", ".password-store",
    ".terraform.d", ".cargo", ".m2",
    ".gradle", "snap", "snap/firefox/common", ".var", ".var/app/x", "Library", "Library/Keychains", "Library/Application Support",
    "Library/Application Support/Google/Chrome",
    ".docker", ".kube/cache", ".gem",
    ".SSH", ".Config/GH", ".config/google-chrome-beta", ".vault", ".near-credentials")  # fmt: skip
ORDINARY = (".config/nvim", ".local/share/chezmoi", ".claude/skills/review", ".cargo/registry/src/x",
    "go/src/x", "dotfiles",
    "project/.config", "project/.docker",
    "Library/Mobile Documents/x", ".oh-my-zsh", ".emacs.d", "snapshots", ".m2/repository/x")  # fmt: skip


@pytest.mark.parametrize("folder", CREDENTIALS)
def test_a_folder_that_is_holds_or_lies_in_credentials_is_refused_to_all(folder: str) -> None:
    for home in ("/home/ada", "/home/other", "/root", "/Users/ada"):
        for caller in (PERSON, AGENT):
            with pytest.raises(Refused, match=r"credentials|outside"):
                check_allowed(Path(home, folder), caller, home=HOME)
        with pytest.raises(Refused, match="credentials"):
            check_allowed(Path(home, folder), PERSON, home=HOME)


@pytest.mark.parametrize("folder", ORDINARY)
def test_folders_beside_credentials_are_not(folder: str) -> None:
    check_allowed(HOME / folder, AGENT, home=HOME)


def test_variables_that_move_credentials_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/data/settings")
    monkeypatch.setenv("GNUPGHOME", "/data/keys/gpg")
    for refused in ("/data/settings", "/data/settings/gh", "/data/keys/gpg", "/data/keys/gpg/x"):
        with pytest.raises(Refused, match="credentials"):
            check_allowed(Path(refused), PERSON, home=HOME)
    check_allowed(Path("/data/settings/nvim"), PERSON, home=HOME)
    with pytest.raises(Refused, match="credentials"):
        check_allowed(Path("/etc/ssl/private"), PERSON, home=HOME)


def test_a_repository_of_settings_is_indexed_without_its_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    root = tmp_path / ".config"
    (root / ".git").mkdir(parents=True)
    check_allowed(root, PERSON, home=tmp_path)
    assert skip("gh/hosts.yml", b"github.com:\n  user: ada\n", str(root)) == "secret"
    assert skip("gcloud/properties", b"[core]\n", str(root)) == "secret"
    assert skip("nvim/init.lua", b"vim.o.number = true\n", str(root)) is None


def test_another_users_home_is_refused_by_what_lies_in_it(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(Refused):
        check_allowed(Path("/root"), PERSON, home=Path("/root"))
    check_allowed(Path("/home/projects-of-no-user"), PERSON, home=HOME)
