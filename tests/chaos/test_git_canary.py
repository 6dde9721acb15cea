"""A repository names a program in every setting that can: whatever we do with it, none of them runs.

Each program leaves a mark of its own. That the marks work is shown by git itself, which does run them.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from recollect.errors import RecollectError
from recollect.sync import git_process, history, worktree
from recollect.sync.discover import discover
from recollect.workspace import Caller, Workspace
from tests.conftest import MakeRepository, git, write
from tests.git_server import serving

FILES: dict[str, str | bytes] = {
    "shop/cart.py": "def total_price(cart):\n    return sum(cart)\n",
    "shop/router.py": "def route(path):\n    return path\n",
    "README.md": "# A shop\n",
    ".gitignore": "*.log\n",
    ".gitattributes": "* filter=canary diff=canary merge=canary\n*.py filter=process\n",
}
# Settings whose value git runs, with a name in the place of each <part>.
PROGRAMS = """
    alias.diff alias.ls-files alias.status browser.canary.cmd core.alternateRefsCommand core.askPass core.editor core.fsmonitor
    core.gitProxy core.pager core.sshCommand credential.helper credential.https://example.org.helper diff.canary.command
    diff.canary.textconv diff.external difftool.canary.cmd filter.canary.clean filter.canary.smudge filter.process.clean
    filter.process.process filter.process.smudge gpg.openpgp.program gpg.program gpg.ssh.defaultKeyCommand gpg.ssh.program
    gpg.x509.program guitool.canary.cmd imap.tunnel interactive.diffFilter man.canary.cmd merge.canary.driver
    mergetool.canary.cmd pager.config pager.diff pager.diff-index pager.diff-tree pager.ls-files pager.rev-list
    pager.rev-parse pager.status receive.procReceiveRefs remote.origin.proxy remote.origin.receivepack remote.origin.uploadpack
    sendemail.ccCmd sendemail.smtpServer sendemail.tocmd sequence.editor tar.canary.command trailer.canary.cmd
    trailer.canary.command uploadpack.packObjectsHook web.browser
""".split()
_SUSPICIOUS = re.compile(
    r"(cmd|command|program|helper|textconv|driver|hook|pager|editor|askpass|proxy|process|clean|smudge|external|fsmonitor"
    r"|uploadpack|receivepack|filter|tunnel|browser)$",
    re.IGNORECASE,
)
# What `git help -c` lists that sounds so, and names no program (or, set to a word that is none, would stop git itself).
_NO_PROGRAMS = set(
    "core.hooksPath clone.filterSubmodules gitcvs.dbDriver http.proxy instaweb.browser help.browser color.pager uploadpack.allowFilter"
    " advice.ignoredHook advice.waitingForEditor column.clean diff.<driver>.cachetextconv"
    " remote.<name>.partialclonefilter trailer.<token>.command".split()
)
_HOOKS = "post-index-change post-checkout fsmonitor-watchman reference-transaction pre-auto-gc post-merge pre-push post-rewrite"


class Marks:
    """Programs that leave a mark, and the marks that were left."""

    def __init__(self, folder: Path) -> None:
        self._programs, self._left = folder / "programs", folder / "left"
        self._programs.mkdir(parents=True)
        self._left.mkdir()

    def program(self, name: str) -> str:
        word = re.sub(r"\W", "_", name)
        path = self._programs / word
        path.write_text(f"#!/bin/sh\ntouch '{self._left}/{word}'\n")
        path.chmod(0o755)
        return str(path)

    def left(self) -> set[str]:
        return {path.name for path in self._left.iterdir()}

    def clear(self) -> None:
        for path in self._left.iterdir():
            path.unlink()


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path / "canary")


def programs() -> list[str]:
    """The settings above, and those that this version of git lists by a name that sounds as if they were programs."""
    done = subprocess.run(["git", "help", "-c"], capture_output=True, text=True, check=True)
    listed = [name for name in done.stdout.split() if _SUSPICIOUS.search(name) and name not in _NO_PROGRAMS]
    return sorted({*PROGRAMS, *(re.sub(r"<[^>]*>|\*", "canary", name) for name in listed)})


def poison(config: Path, marks: Marks, *, hooks: Path, only: Callable[[str], bool] = lambda name: True) -> None:
    """Set every program in a configuration file: half of them by a file that it includes."""
    included = config.with_name("included")
    for number, name in enumerate(filter(only, programs())):
        target = included if number % 2 else config
        subprocess.run(["git", "config", "--file", str(target), name, marks.program(name)], check=True)
    git(config.parent, "config", "--file", str(config), "include.path", "included")
    git(config.parent, "config", "--file", str(config), "filter.canary.required", "true")
    git(config.parent, "config", "--file", str(config), "core.hooksPath", str(hooks))
    hooks.mkdir(exist_ok=True)
    for name in _HOOKS.split():
        path = hooks / name
        path.write_text(f"#!/bin/sh\nexec {marks.program(f'hook {name}')}\n")
        path.chmod(0o755)
    (config.parent / "info").mkdir(exist_ok=True)
    (config.parent / "info" / "attributes").write_text(
        "* filter=canary diff=canary merge=canary\n*.py filter=process\n"
    )


def stir(root: Path) -> None:
    """Leave no file with the stat that git's index keeps, and one with other contents."""
    for path in root.rglob("*"):
        if ".git" not in path.parts and path.is_file():
            os.utime(path, (1_700_000_000, 1_700_000_000))
    write(root, {"shop/cart.py": "def total_price(cart):\n    return max(cart)\n", "new.py": "def untracked(): pass\n"})


def ordinary(make: MakeRepository, tmp_path: Path, marks: Marks) -> tuple[Path, Path]:
    root = make(FILES, "ordinary")
    return root, root / ".git"


def linked(make: MakeRepository, tmp_path: Path, marks: Marks) -> tuple[Path, Path]:
    main = make(FILES, "main")
    git(main, "config", "extensions.worktreeConfig", "true")
    git(main, "worktree", "add", "-q", str(tmp_path / "linked"))
    poison(main / ".git/worktrees/linked/config.worktree", marks, hooks=tmp_path / "hooks")
    return tmp_path / "linked", main / ".git"


def submodule(make: MakeRepository, tmp_path: Path, marks: Marks) -> tuple[Path, Path]:
    inner, root = make(FILES, "inner"), make(FILES, "outer")
    git(root, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub")
    git(root, "config", "-f", ".gitmodules", "submodule.sub.update", f"!{marks.program('submodule update')}")
    git(root, "commit", "-qam", "a submodule")
    poison(root / ".git/modules/sub/config", marks, hooks=tmp_path / "hooks")
    stir(root / "sub")
    return root, root / ".git"


def inside_a_submodule(make: MakeRepository, tmp_path: Path, marks: Marks) -> tuple[Path, Path]:
    root = submodule(make, tmp_path, marks)[0]
    return root / "sub", root / ".git/modules/sub"


def partial(make: MakeRepository, tmp_path: Path, marks: Marks) -> tuple[Path, Path]:
    source = make(FILES, "source")
    write(source, {"shop/router.py": "def route(path):\n    return path.strip()\n"})
    git(source, "commit", "-qam", "Strip the route")
    git(source, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=tree:0", source.as_uri(), "partial")
    git(tmp_path / "partial", "config", "protocol.allow", "always")
    return tmp_path / "partial", tmp_path / "partial/.git"


def another_url(url: str) -> Callable[[MakeRepository, Path, Marks], tuple[Path, Path]]:
    def made(make: MakeRepository, tmp_path: Path, marks: Marks) -> tuple[Path, Path]:
        root, own = partial(make, tmp_path, marks)
        git(root, "config", "remote.origin.url", url.replace("PROGRAM", marks.program("the url")))
        return root, own

    return made


def another_helper(make: MakeRepository, tmp_path: Path, marks: Marks) -> tuple[Path, Path]:
    root, own = partial(make, tmp_path, marks)
    git(root, "config", "remote.origin.vcs", "ext")
    return root, own


def around_a_bare_one(make: MakeRepository, tmp_path: Path, marks: Marks) -> tuple[Path, Path]:
    """A folder of the work tree that itself looks like a repository."""
    root = make(FILES, "around")
    git(tmp_path, "clone", "-q", "--bare", str(root), str(root / "shop" / "bare"))
    git(root / "shop" / "bare", "config", "core.worktree", "..")
    poison(root / "shop/bare/config", marks, hooks=tmp_path / "hooks")
    return root, root / ".git"


def with_a_work_tree_elsewhere(make: MakeRepository, tmp_path: Path, marks: Marks) -> tuple[Path, Path]:
    root = make(FILES, "elsewhere")
    write(tmp_path / "private", {"secret.py": "def very_secret(): pass\n"})
    git(root, "config", "core.worktree", str(tmp_path / "private"))
    (root / ".git/objects/info").mkdir(exist_ok=True)
    (root / ".git/objects/info/alternates").write_text(str(tmp_path / "private") + "\n")
    return root, root / ".git"


def included_by_conditions(make: MakeRepository, tmp_path: Path, marks: Marks) -> tuple[Path, Path]:
    root = make(FILES, "conditions")
    places = (f"gitdir:{root}/.git", "onbranch:**", "hasconfig:remote.*.url:https://**")
    for number, condition in enumerate(places):
        poison(root / f".git/conditional{number}", marks, hooks=tmp_path / "hooks")
        git(root, "config", f"includeIf.{condition}.path", f"conditional{number}")
    git(root, "config", "remote.other.url", "https://example.org/x")
    return root, root / ".git"


def with_a_sparse_index(make: MakeRepository, tmp_path: Path, marks: Marks) -> tuple[Path, Path]:
    root = make({**FILES, "other/deep/y.py": "def y(): pass\n"}, "sparse")
    git(root, "sparse-checkout", "set", "--cone", "--sparse-index", "shop")
    return root, root / ".git"


def with_its_repository_outside(make: MakeRepository, tmp_path: Path, marks: Marks) -> tuple[Path, Path]:
    root, outside = make(FILES, "outside"), tmp_path / "outside.git"
    (root / ".git").rename(outside)
    (root / ".git").write_text(f"gitdir: {outside}\n")
    return root, outside


LAYOUTS = [
    ordinary,
    linked,
    submodule,
    inside_a_submodule,
    partial,
    another_url("ext::PROGRAM %S"),
    another_url("ssh://example.invalid/x"),
    another_helper,
    around_a_bare_one,
    with_a_work_tree_elsewhere,
    included_by_conditions,
    with_a_sparse_index,
    with_its_repository_outside,
]


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as made:
        yield made


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__qualname__)
def test_no_program_that_a_repository_names_is_run(
    workspace: Workspace,
    make_repository: MakeRepository,
    tmp_path: Path,
    marks: Marks,
    layout: Callable[..., tuple[Path, Path]],
) -> None:
    root, own = layout(make_repository, tmp_path, marks)
    poison(own / "config", marks, hooks=tmp_path / "hooks")
    stir(root)
    marks.clear()
    use_everything(workspace, root, tmp_path)
    assert marks.left() == set()


def use_everything(workspace: Workspace, root: Path, tmp_path: Path) -> None:
    """All that starts git, as often as there are ways in."""
    caller = Caller(cwd=str(root))
    assert discover([tmp_path]).repositories
    for folder in (root, root / "shop"):
        assert workspace.sync(folder, caller=caller).status == "completed"
    name = workspace.sync_status(str(root)).repository
    for number in range(3):
        write(root, {f"shop/fresh{number}.py": f"def written_just_now_{number}(): pass\n"})
        hits = workspace.search(f"written_just_now_{number}", str(root), caller=caller).hits
        assert hits[0].path == f"shop/fresh{number}.py"
    os.utime(root / "shop/router.py")
    for revision in ("HEAD", "HEAD~1", "HEAD:shop", ":/route", "HEAD@{1}"):
        with suppress(RecollectError):  # that it is no commit, or is not here
            workspace.search("total price", str(root), changed_since=revision)
            workspace.search("total", str(root), mode="regex", changed_since=revision)
    found = workspace.search("total price", str(root), changed_since="HEAD").hits
    assert found[0].path == "shop/cart.py"
    assert not workspace.search("very_secret", "*").hits or "secret" not in str(
        workspace.search("very_secret", "*").hits
    )
    worktree.has_changes(root)
    history.read(root, {})
    for path in ("new.py", "some.log", "shop/none.py", "shop/bare/config"):
        (root / "some.log").write_text("x\n")
        with suppress(RecollectError):
            workspace.why(str(root / path), caller=caller)
    assert workspace.status(name).files
    assert workspace.statuses()
    assert workspace.repositories().repositories
    assert workspace.map(name).map
    assert workspace.related("shop/cart.py", 1, repository=name).hits is not None
    workspace.remember("the cart is totalled in shop/cart.py", caller=caller)
    workspace.recall("cart", caller=caller)
    workspace.diagnose()
    assert workspace.sync(root, full=True).status == "completed"
    for bare in root.rglob("bare"):
        with suppress(RecollectError):
            workspace.sync(bare)
        with suppress(RecollectError):
            workspace.sync(bare / "objects")
        with suppress(RecollectError):
            worktree.changed_since(bare, "HEAD")


def test_bare_repositories_are_found_and_not_opened(
    workspace: Workspace, make_repository: MakeRepository, tmp_path: Path, marks: Marks
) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(make_repository(FILES)), "found/bare.git")
    git(tmp_path / "found/bare.git", "config", "remote.origin.url", "https://example.org/team/shop.git")
    poison(tmp_path / "found/bare.git/config", marks, hooks=tmp_path / "hooks")
    infos = discover([tmp_path / "found"]).repositories
    assert [(info.name, info.url) for info in infos] == [("shop", "https://example.org/team/shop.git")]
    with pytest.raises(RecollectError, match="bare"):
        workspace.sync(tmp_path / "found/bare.git")
    assert marks.left() == set()


def test_clones_are_made_and_kept_without_running_anything(
    workspace: Workspace,
    make_repository: MakeRepository,
    tmp_path: Path,
    marks: Marks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_HTTP", "1")
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_LOCAL", "1")
    own = tmp_path / "own" / "gitconfig"  # a person's filters, which a repository's attributes can choose from
    own.parent.mkdir()
    for part in ("clean", "smudge", "process"):
        git(tmp_path, "config", "--file", str(own), f"filter.canary.{part}", marks.program(f"own {part}"))
    git(tmp_path, "config", "--file", str(own), "filter.canary.required", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(own))
    git_process.environment.cache_clear()
    work = make_repository({name: text for name, text in FILES.items() if name != ".gitattributes"})
    write(work, {".gitattributes": "* filter=canary\n"})

    def commit(message: str) -> None:
        unfiltered = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
        for arguments in (
            ["add", "-A"],
            ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", message],
        ):
            subprocess.run(["git", *arguments], cwd=work, env=unfiltered, check=True, capture_output=True)

    with serving(tmp_path / "served") as server:
        commit("attributes")
        url = server.publish(work, "shop")
        marks.clear()
        clone = Path(workspace.clone(url).path)
        assert (clone / "shop/cart.py").read_text() == FILES["shop/cart.py"]

        def advance(number: int) -> None:
            write(work, {"more.txt": f"{number}\n"})
            commit(f"number {number}")
            git(work, "push", "-q", str(server.root / "shop.git"), "HEAD")
            marks.clear()

        for number in range(2):  # hooks and attributes that somebody put into the clone are none of its settings
            advance(number)
            hook = clone / ".git/hooks/post-checkout"
            hook.parent.mkdir(exist_ok=True)
            hook.write_text(f"#!/bin/sh\n{marks.program('hook')}\n")
            hook.chmod(0o755)
            (clone / ".git/info").mkdir(exist_ok=True)
            (clone / ".git/info/attributes").write_text("* filter=canary diff=canary\n")
            workspace.sync(clone)
            assert (clone / "more.txt").read_text() == f"{number}\n"
            assert marks.left() == set()
        for name in programs():
            git(clone, "config", name, marks.program(name))
        advance(9)
        os.utime(clone / "more.txt")
        workspace.sync(clone)
        assert "changed its configuration" in (workspace.clone_status(str(clone)).notice or "")
        assert (clone / "more.txt").read_text() == "1\n"
        workspace.forget(str(clone))
        assert marks.left() == set()
    git_process.environment.cache_clear()


def test_git_itself_runs_them(make_repository: MakeRepository, tmp_path: Path, marks: Marks) -> None:
    root = ordinary(make_repository, tmp_path, marks)[0]
    poison(
        root / ".git/config",
        marks,
        hooks=tmp_path / "hooks",
        only=lambda name: name != "diff.external" and "alias" not in name,
    )
    stir(root)
    for command in (
        ["status"],
        ["diff", "HEAD"],
        ["log", "-p", "--ext-diff"],
        ["checkout", "-q", "-f", "."],
        ["branch", "another"],
        ["fetch", "-q", "ssh://example.invalid/x"],
    ):
        subprocess.run(["git", *command], cwd=root, capture_output=True, check=False, timeout=60)
    expected = {
        "core_fsmonitor",
        "filter_canary_clean",
        "filter_process_process",
        "diff_canary_command",
        "core_sshCommand",
    }
    assert expected <= marks.left()
    assert any(name.startswith("hook") for name in marks.left())


@pytest.mark.parametrize(
    "layout", [partial, another_url("ext::PROGRAM %S"), submodule, linked], ids=lambda layout: layout.__qualname__
)
def test_git_itself_runs_them_in_the_other_layouts(
    make_repository: MakeRepository, tmp_path: Path, marks: Marks, layout: Callable[..., tuple[Path, Path]]
) -> None:
    root, own = layout(make_repository, tmp_path, marks)
    poison(own / "config", marks, hooks=tmp_path / "hooks", only=lambda name: "alias" not in name)
    stir(root)
    marks.clear()
    for command in (["diff", "HEAD"], ["log", "--raw"]):
        subprocess.run(["git", *command], cwd=root, capture_output=True, check=False, timeout=60)
    assert marks.left()
