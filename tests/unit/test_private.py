"""Folders and files through which secrets go: only those that no other user can reach are used."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
import struct
from pathlib import Path

import pytest

from recollect import private
from recollect.client import _try_connect
from recollect.errors import Refused
from recollect.home import run_folder, socket_path
from recollect.private import check_peer, open_private, opener, reachable_folder
from recollect.server.access import Keys

_SOMEBODY = 54_321


@pytest.fixture
def as_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is on the disk belongs to another user than we are."""
    monkeypatch.setattr(private.os, "geteuid", lambda: _SOMEBODY)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_folders_that_are_made_are_closed_whatever_the_umask(home: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        run_folder(home / "deep" / "down")
    finally:
        os.umask(before)
    for folder in (home / "deep", home / "deep/down", home / "deep/down/run"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_run_folder_that_others_can_read_is_closed(home: Path) -> None:
    (home / "run").mkdir(mode=0o755)
    assert stat.S_IMODE(run_folder(home).stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_run_folder_that_others_can_write_to_is_refused(home: Path, mode: int) -> None:
    (home / "run").mkdir()
    (home / "run").chmod(mode)
    with pytest.raises(Refused, match="other users can write to") as caught:
        run_folder(home)
    assert "rm -r" in caught.value.hint


def test_a_run_folder_that_is_a_link_is_refused(home: Path, tmp_path: Path) -> None:
    (home / "run").symlink_to(tmp_path)
    with pytest.raises(Refused, match="no folder of its own"):
        run_folder(home)


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_home_that_everybody_can_write_to_is_refused(home: Path, mode: int) -> None:
    home.chmod(mode)
    with pytest.raises(Refused, match="can write to"):
        run_folder(home)


def test_a_home_below_a_folder_that_everybody_can_write_to_is_refused_unless_it_is_sticky(home: Path) -> None:
    (home / "shared").mkdir()
    (home / "shared").chmod(0o777)
    with pytest.raises(Refused, match="can write to"):
        run_folder(home / "shared" / "mine")
    (home / "shared").chmod(0o1777)
    assert run_folder(home / "shared" / "mine").is_dir()


@pytest.fixture
def opened_to_roots_group(monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """A folder of root's group, which may write to it, seen by a user whose number has no name."""
    home.chmod(0o775)
    own = os.geteuid()

    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    def status_of(path: str) -> os.stat_result:
        status = os.stat(path, follow_symlinks=False)
        return os.stat_result((*status[:4], own, 0 if path == os.fspath(home) else status.st_gid, *status[6:10]))

    monkeypatch.setattr(private.os, "lstat", status_of)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(pwd, "getpwall", lambda: [_account(0), _account(11)])  # root, and a service
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group(("root", "x", gid, [])))
    return home


def _account(uid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((f"user{uid}", "x", uid, 0, "", "/", "/bin/sh"))


def test_a_home_that_roots_group_can_write_to_is_used_as_containers_have_it(opened_to_roots_group: Path) -> None:
    assert reachable_folder(opened_to_roots_group / "data").is_dir()


def test_a_home_that_roots_group_can_write_to_is_refused_where_a_person_is_in_it(
    opened_to_roots_group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pwd, "getpwall", lambda: [_account(0), _account(_SOMEBODY)])
    with pytest.raises(Refused, match="other users can write to"):
        reachable_folder(opened_to_roots_group / "data")
    monkeypatch.setattr(pwd, "getpwall", lambda: [_account(0)])
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group(("root", "x", gid, ["somebody"])))
    with pytest.raises(Refused, match="other users can write to"):
        reachable_folder(opened_to_roots_group / "data")


@pytest.mark.parametrize(
    ("tag", "rights", "number", "is_refused"),
    [(0x02, 7, _SOMEBODY, True), (0x08, 6, _SOMEBODY, True), (0x02, 1, _SOMEBODY, False), (0x02, 7, 0, False)],
)
def test_an_access_list_that_lets_others_write_is_noticed(
    opened_to_roots_group: Path, monkeypatch: pytest.MonkeyPatch, tag: int, rights: int, number: int, is_refused: bool
) -> None:
    entries = [(0x01, 7, 0xFFFFFFFF), (tag, rights, number), (0x04, 7, 0xFFFFFFFF), (0x10, 7, 0xFFFFFFFF)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    monkeypatch.setattr(private.os, "getxattr", lambda *_, **__: packed, raising=False)
    if is_refused:
        with pytest.raises(Refused, match="other users can write to"):
            reachable_folder(opened_to_roots_group)
    else:
        assert reachable_folder(opened_to_roots_group) == opened_to_roots_group


def test_a_home_of_somebody_else_is_refused(home: Path, as_somebody_else: None) -> None:
    with pytest.raises(Refused, match="belongs to another user") as caught:
        reachable_folder(home)
    assert "RECOLLECT_HOME" in caught.value.hint


def test_a_link_on_the_way_is_followed_where_only_its_owner_can_change_it(home: Path, tmp_path: Path) -> None:
    (home / "real").mkdir(mode=0o700)
    (home / "link").symlink_to("real")
    assert reachable_folder(home / "link") == home / "link"
    (home / "round").symlink_to("round")
    with pytest.raises(Refused, match="link"):
        reachable_folder(home / "round")


def test_a_link_of_somebody_else_is_refused(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "link").symlink_to(tmp_path)
    real = os.lstat

    def lstat(path: str) -> os.stat_result:
        status = real(path)
        if not path.endswith("/link"):
            return status
        fields = list(status)
        fields[stat.ST_UID] = _SOMEBODY
        return os.stat_result(fields)

    monkeypatch.setattr(private.os, "lstat", lstat)
    with pytest.raises(Refused, match="link of another user"):
        reachable_folder(home / "link")


def test_a_socket_in_an_unsafe_folder_is_not_connected_to(home: Path) -> None:
    (home / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as planted:
        planted.bind(os.fspath(socket_path(home)))
        planted.listen()
        planted.settimeout(0.0)
        (home / "run").chmod(0o777)
        with pytest.raises(Refused):
            _try_connect(home)
        with pytest.raises(BlockingIOError):
            planted.accept()


def test_nothing_is_said_to_a_peer_of_another_user(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        check_peer(ours)
        monkeypatch.setattr(private, "_peer_uid", lambda connection: _SOMEBODY)
        with pytest.raises(Refused, match="another user"):
            check_peer(ours)


@pytest.mark.parametrize("name", ["daemon.log", "token", "crash.log"])
def test_a_planted_link_is_never_written_through(home: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.write_text("as it was")
    (run_folder(home) / name).symlink_to(target)
    if name == "token":
        assert len(Keys(home).token) >= 32  # the link is replaced
    else:
        with pytest.raises(Refused, match="is a link"), open(run_folder(home) / name, "ab", opener=opener):
            pass
    assert target.read_text() == "as it was"


def test_a_file_that_is_a_pipe_keeps_nobody_waiting(home: Path) -> None:
    os.mkfifo(run_folder(home) / "daemon.log")
    with pytest.raises((Refused, OSError)):
        open_private(run_folder(home) / "daemon.log", os.O_WRONLY | os.O_APPEND)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_files_are_for_their_owner_alone_whatever_the_umask(home: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with open(run_folder(home) / "daemon.log", "ab", opener=opener):
            pass
        Keys(home)
    finally:
        os.umask(before)
    for name in ("daemon.log", "token"):
        assert stat.S_IMODE((home / "run" / name).stat().st_mode) == 0o600


def test_a_file_that_others_could_read_is_closed(home: Path) -> None:
    log = run_folder(home) / "daemon.log"
    log.touch()
    log.chmod(0o644)
    with open(log, "ab", opener=opener):
        assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_token_that_others_could_read_is_made_anew(home: Path) -> None:
    first = Keys(home).token
    (home / "run" / "token").chmod(0o644)
    assert Keys(home).token != first
    assert Keys(home).token == Keys(home).token


def test_a_socket_folder_in_tmp_must_be_this_users_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    monkeypatch.setattr("recollect.home.Path", lambda path: tmp_path if path == "/tmp" else Path(path))
    folder = tmp_path / f"recollect-{os.getuid()}"
    folder.symlink_to(tmp_path)
    with pytest.raises(Refused):
        socket_path(long)
    folder.unlink()
    assert socket_path(long).parent == folder
    folder.chmod(0o777)
    with pytest.raises(Refused):
        socket_path(long)
