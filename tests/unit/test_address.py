"""Clone URLs: which are one repository, which are refused, and that nothing secret is left of them."""

from __future__ import annotations

import pytest

from recollect.errors import RecollectError, Refused, Unavailable, UserError
from recollect.sync.address import Permissions, checked_numbers, parse

_ALL = Permissions(http=True, local=True)


@pytest.mark.parametrize(
    "spelling",
    [
        "https://github.com/Owner/name",
        "https://github.com/Owner/name.git",
        "https://github.com/Owner/name/",
        "https://github.com/Owner/name.git/",
        "https://GitHub.com/Owner/name",
        "https://github.com:443/Owner/name",
        "https://user:secret@github.com/Owner/name",
        "https://secret@github.com/Owner/name.git",
        "git@github.com:Owner/name.git",
        "git@GITHUB.com:Owner/name",
        "ssh://git@github.com/Owner/name.git",
        "ssh://git@github.com:2222/Owner/name",
        "  https://github.com/Owner/name\n",
    ],
)
def test_every_spelling_is_one_repository(spelling: str) -> None:
    address = parse(spelling, Permissions())
    assert address.key == "github.com/Owner/name"
    assert "secret" not in repr(address)
    assert str(address.folder(None)) == "github.com/Owner/name"
    assert str(address.folder("feature/x")) == "github.com/Owner/name@feature%2Fx"


@pytest.mark.parametrize(
    "said",
    [
        "file:///etc",
        "/etc",
        "../x",
        "ext::sh -c touch% /tmp/x",
        "ext::sh",
        "-oProxyCommand=x",
        "--upload-pack=x",
        "git@-oProxyCommand=x:a/b",
        "ssh://-oProxyCommand=x/a",
        "ftp://host/a",
        "git://github.com/a/b",
        "http://github.com/a/b",
        "https://localhost/a/b",
        "https://127.0.0.1/a/b",
        "https://127.1/a/b",
        "https://0x7f000001/a/b",
        "https://2130706433/a/b",
        "https://10.0.0.8/a/b",
        "https://192.168.1.1/a/b",
        "https://169.254.169.254/latest",
        "https://[::1]/a",
        "https://[::ffff:127.0.0.1]/a",
        "https://[fe80::1]/a",
        "https://[fd00::1]/a",
        "https://0.0.0.0/a",
        "git@localhost:a/b",
        "https://metadata.google.internal/a",
        "https://github.com/../../etc",
        "https://github.com/a/%2e%2e/b",
        "https://github.com/a/-b",
        "https://github.com/a\\b",
    ],
)
def test_other_places_are_refused(said: str) -> None:
    with pytest.raises(RecollectError) as caught:
        parse(said, Permissions())
    assert isinstance(caught.value, (Refused, UserError))


@pytest.mark.parametrize(
    "said", ["", "https://", "https:///a", "https://github.com", "https://a b/c", "https://h:99999/a", "x" * 3000]
)
def test_what_is_no_url_is_said(said: str) -> None:
    with pytest.raises((UserError, Refused)):
        parse(said, _ALL)


def test_what_was_permitted_is_permitted() -> None:
    assert parse("http://127.0.0.1:8080/a/b.git", _ALL).key == "127.0.0.1:8080/a/b"
    assert str(parse("http://127.0.0.1:8080/a/b.git", _ALL).folder(None)) == "127.0.0.1%3A8080/a/b"


def test_a_name_that_leads_to_a_private_address_is_refused() -> None:
    address = parse("https://innocent.example/a/b", Permissions())
    assert checked_numbers(address, Permissions(), lambda host: ["140.82.112.3"]) == ["140.82.112.3"]
    for numbers in (["127.0.0.1"], ["140.82.112.3", "10.0.0.1"], ["::1"], ["169.254.169.254"]):
        with pytest.raises(Refused):
            checked_numbers(address, Permissions(), lambda host, found=numbers: found)  # type: ignore[misc]

    def fails(host: str) -> list[str]:
        raise OSError

    with pytest.raises(Unavailable):
        checked_numbers(address, Permissions(), fails)
    assert checked_numbers(parse("git@alias:a/b", Permissions()), Permissions(), fails) == []
