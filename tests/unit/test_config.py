import os
from pathlib import Path

import pytest

from recollect.config import NAMES, Settings, memory, processors, table
from recollect.errors import UserError
from tests.conftest import write


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('recollect_workers = 2\nauto_sync_exclude = ["dist2"]\n')
    settings = Settings.load(tmp_path, {"RECOLLECT_WORKERS": "5  # five"})
    assert (settings.recollect_workers, settings.auto_sync_exclude) == (5, ("dist2",))
    origins = {row["name"]: row["origin"] for row in table(tmp_path, {"RECOLLECT_WORKERS": "5"})}
    assert origins["RECOLLECT_WORKERS"] == "environment"
    assert origins["AUTO_SYNC_EXCLUDE"] == "config.toml"
    assert origins["USE_ASYNC_SYNC"] == "default"


@pytest.mark.parametrize(
    ("name", "value"),
    [("RECOLLECT_WORKERS", "many"), ("RECOLLECT_LOG_LEVEL", "loud"), ("AUTO_SYNC_MAX_CONCURRENT", "0")],
)
def test_a_bad_value_is_an_error_that_names_the_variable(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(UserError, match=name):
        Settings.load(tmp_path, {name: value})


def test_an_unknown_key_in_the_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("recollect_wrokers = 2\n")
    with pytest.raises(UserError, match="recollect_wrokers"):
        Settings.load(tmp_path, {})


def test_every_setting_is_documented() -> None:
    documented = (Path(__file__).parents[2] / ".env.example").read_text()
    assert all(f"{name.upper()}=" in documented for name in NAMES)


@pytest.mark.parametrize(
    ("own", "groups", "wanted"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),  # a container, version 2
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/user/me/term\n", {"user/me/cpu.max": "300000 100000\n", "user/me/term/cpu.max": "max 100000\n"}, 3),
        ("4:cpu,cpuacct:/a/b\n0::/\n", {"cpu,cpuacct/cpu.cfs_quota_us": "400000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 4),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ("1:cpuset:/\n", {"cpuset/cpu.max": "100000 100000\n"}, 64),  # another controller
        ("nonsense\n", {}, 64),
    ],
)  # fmt: skip
def test_no_more_processors_are_used_than_a_container_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, groups: dict[str, str], wanted: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    write(tmp_path / "groups", groups)
    write(tmp_path, {"own": own})
    assert processors(tmp_path / "groups", tmp_path / "own") == wanted
    assert processors(tmp_path / "groups", tmp_path / "missing") == 64


def test_no_more_memory_is_counted_on_than_a_container_has(tmp_path: Path) -> None:
    everything = memory(tmp_path, tmp_path / "missing")
    assert everything > 100_000_000
    for own, groups, wanted in (
        ("0::/\n", {"memory.max": "100000000\n"}, 100_000_000),
        ("0::/\n", {"memory.max": "max\n"}, everything),
        ("3:memory:/docker/x\n", {"memory/memory.limit_in_bytes": "90000000\n"}, 90_000_000),
        ("3:memory:/docker/x\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, everything),
    ):
        write(tmp_path / "groups", groups)
        write(tmp_path, {"own": own})
        assert memory(tmp_path / "groups", tmp_path / "own") == wanted
