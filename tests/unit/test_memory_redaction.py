import pytest

from recollect.memory.validate import checked, checked_changes
from tests.secret_texts import opaque

TOKEN = "ghp_" + opaque(36)


@pytest.mark.parametrize(
    "metadata",
    [
        {"password": "letmein"},
        {"db": {"password": "Tr0ub4dor3z", "port": 5432}},
        {"tokens": {"github_token": TOKEN}},
        {"env": [{"name": "DB_PASSWORD", "value": "Tr0ub4dor3z"}]},
        {"passwords": [{"password": "Tr0ub4dor3z"}]},
        {"password": {"value": "Tr0ub4dor3z"}},
        {"note": f"use {TOKEN}"},
        {TOKEN: "the key is the secret"},
        {"pin": 482913},
        {"api_key": opaque(30)},
    ],
)
def test_secrets_in_metadata_are_replaced(metadata: dict[str, object]) -> None:
    made = checked({"content": "a note", "metadata": metadata}, True)
    shown = repr(made.metadata)
    for secret in ("letmein", "Tr0ub4dor3z", TOKEN, "482913", opaque(30)):
        assert secret not in shown
    assert made.redacted == 1
    assert sum(made.redactions.values()) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        {"password": "required"},
        {"password": "${DB_PASSWORD}"},
        {"token": "identifier"},
        {"max_tokens": 4096, "token_type": "bearer", "key": "value"},
        {"password_length": 12, "secret": False, "api_key": None},
        {"url": "https://example.com/a?page=2", "commit": "3f2a9c1d4b5e6f708192a3b4c5d6e7f8091a2b3c"},
    ],
)
def test_metadata_without_secrets_stays_as_it_is(metadata: dict[str, object]) -> None:
    assert checked({"content": "a note", "metadata": metadata}, True).metadata == metadata


def test_every_field_of_every_write_passes() -> None:
    raw = {"content": TOKEN, "tags": [TOKEN, "auth"], "memory_type": TOKEN, "metadata": {"a": [TOKEN]}}
    made = checked({**raw, "versions": [raw]}, True)
    assert TOKEN not in repr(made)
    assert made.redactions == {"GitHub token": 8}
    changes, counts = checked_changes(raw, True)
    assert TOKEN not in repr(changes)
    assert counts == {"GitHub token": 4}
    assert TOKEN in repr(checked(raw, False))
