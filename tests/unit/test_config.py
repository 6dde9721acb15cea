import os
from dataclasses import fields
from pathlib import Path

import pytest

from recollect.config import (
    NAMES,
    OPTIONS,
    Settings,
    check_value,
    described,
    how_to_set,
    memory,
    processors,
    table,
    usable,
)
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


LIMITED = [(item.name, *limit) for item in fields(Settings) for limit in item.metadata.get("limits", {}).items()]


@pytest.mark.parametrize(("name", "kind", "limit"), LIMITED)
def test_a_limit_holds_from_wherever_a_value_comes_and_is_documented(
    tmp_path: Path, name: str, kind: str, limit: int
) -> None:
    beyond = limit if kind == "gt" else limit - 1 if kind == "ge" else limit + 1
    if kind != "gt":
        assert check_value(name, limit) == Settings.load(tmp_path, {name.upper(): str(limit)}).__getattribute__(name)
    with pytest.raises(UserError, match=f"{name.upper()} = {beyond}"):
        check_value(name, beyond)
    with pytest.raises(UserError, match=f"{name.upper()} = '{beyond}' .environment"):
        Settings.load(tmp_path, {name.upper(): str(beyond)})
    good, problems = usable({"paused": True, "use_async_sync": False, name: beyond})
    assert good == {"paused": True, "use_async_sync": False}
    assert f"{name.upper()} = {beyond} (persisted)" in problems[0]
    assert how_to_set(name) in problems[0]
    (tmp_path / "config.toml").write_text(f"{name} = {beyond}\n")
    with pytest.raises(UserError, match=rf"{name.upper()} = {beyond} .config\.toml"):
        Settings.load(tmp_path, {})
    allowed = {row[0]: row[3] for row in described()}[name]
    assert f"{limit:,}" in allowed


def test_commands_and_programs_refuse_what_a_setting_refuses() -> None:
    from recollect.server import api, schema
    from recollect.workspace.auto_sync import NAMES as CONFIGURED

    limits = {item.name: item.metadata["limits"] for item in fields(Settings) if "limits" in item.metadata}
    for model in (schema.ConfigureAutoSync, api.Global):
        for name, parameter in model.model_fields.items():
            declared = {
                kind: getattr(rule, kind) for rule in parameter.metadata for kind in ("ge", "le") if hasattr(rule, kind)
            }
            if name in CONFIGURED:
                wanted = limits[CONFIGURED[name]]
                is_own = (
                    model is schema.ConfigureAutoSync and name == "sync_interval"
                )  # 0 takes a repository's own one back
                assert all(wanted[kind] == limit for kind, limit in declared.items() if not is_own), name
    assert set(CONFIGURED.values()) == {name for name, option in OPTIONS.items() if option}


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", [item.name for item in fields(Settings) if item.type == "float"])
def test_no_setting_is_endless_or_no_number(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(UserError, match=name.upper()):
        Settings.load(tmp_path, {name.upper(): value})


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("auto_sync_interval", 60.0, "recollect auto-sync config --sync-interval 60"),
        ("auto_sync_paths", ["/a b", "/c"], "recollect auto-sync config --path '/a b' --path /c"),
        ("auto_sync_enabled", False, "recollect auto-sync config --disabled"),
        ("auto_sync_auto_watch", False, "recollect auto-sync config --no-auto-watch"),
        ("auto_sync_on_startup", True, "recollect auto-sync config --on-startup"),
        ("auto_sync_max_depth", None, "recollect auto-sync config --max-depth VALUE"),
        (
            "recollect_workers",
            4,
            "put recollect_workers = 4 into config.toml of the data directory, then: recollect daemon restart",
        ),
    ],
)
def test_how_a_setting_is_changed_is_said_exactly(name: str, value: object, command: str) -> None:
    assert how_to_set(name, value) == command


def test_each_bad_persisted_value_is_named_and_costs_itself_alone(tmp_path: Path) -> None:
    persisted = {
        "auto_sync_interval": "often",
        "auto_sync_paths": {"of": "a newer version"},
        "auto_sync_max_concurrent": 5,
        "from_a_newer_version": [1],
    }
    good, problems = usable(persisted)
    assert good == {"auto_sync_max_concurrent": 5, "from_a_newer_version": [1]}
    assert [problem.split(" ")[0] for problem in problems] == ["AUTO_SYNC_INTERVAL", "AUTO_SYNC_PATHS"]
    assert "recollect auto-sync config --sync-interval" in problems[0]
    settings = Settings.load(tmp_path, {}, good)
    assert (settings.auto_sync_interval, settings.auto_sync_max_concurrent) == (300.0, 5)
    rows = {row["name"]: row for row in table(tmp_path, {}, persisted)}
    assert (rows["AUTO_SYNC_INTERVAL"]["origin"], rows["AUTO_SYNC_MAX_CONCURRENT"]["origin"]) == (
        "default",
        "persisted",
    )


def test_what_somebody_has_set_is_told_from_defaults(tmp_path: Path) -> None:
    assert Settings.load(tmp_path, {}).explicit == frozenset()
    assert Settings.load(tmp_path, {"AUTO_SYNC_INTERVAL": "300"}).explicit == {"auto_sync_interval"}
    assert Settings(auto_sync_interval=5.0).explicit == {"auto_sync_interval"}


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


@pytest.mark.parametrize("patterns", [["x" * 5_000], [f"folder{number}" for number in range(1_001)]])
def test_a_list_that_no_person_would_write_is_refused(patterns: list[str]) -> None:
    with pytest.raises(UserError, match=r"AUTO_SYNC_EXCLUDE.*at most 1,000 entries of 4,096 characters each") as caught:
        check_value("auto_sync_exclude", patterns)
    assert len(caught.value.message) < 600
