from pathlib import Path

import pytest

from recollect.config import Settings, table
from recollect.errors import UserError


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
    assert all(f"{name.upper()}=" in documented for name in Settings.model_fields)
