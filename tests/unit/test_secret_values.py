import itertools

import pytest

from recollect.secrets.values import redact
from tests.secret_texts import HARMLESS, MORE_HARMLESS, MORE_SECRETS, SECRETS


@pytest.mark.parametrize(("text", "secret"), SECRETS + MORE_SECRETS, ids=itertools.count())
def test_a_secret_in_a_text_is_replaced(text: str, secret: str) -> None:
    cleaned, counts = redact(f"Noted today: {text}\nThat is all." if "\n" not in text else text)
    assert secret not in cleaned
    assert sum(counts.values()) >= 1
    assert redact(cleaned) == (cleaned, {})


@pytest.mark.parametrize("text", HARMLESS + MORE_HARMLESS, ids=itertools.count())
def test_a_text_that_only_looks_alike_stays_as_it_is(text: str) -> None:
    assert redact(text) == (text, {})
