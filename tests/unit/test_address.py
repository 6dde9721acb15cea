"""Clone URLs: which are one repository, which are refused, and that nothing secret is left of them."""

from __future__ import annotations

import ipaddress

import pytest

from recollect.errors import RecollectError, Refused, Unavailable, UserError
from recollect.sync.address import Permissions, checked_numbers, is_public, parse

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
        "ssh://git@[::1]/a",
        "git@[::1]:a/b",
        "git@[fe80::1]:a/b",
        "git@[evil]:a/b",
        "git@[-oProxyCommand=x]:a/b",
        "git@[github.com:22]:a/b",
        "https://[fe80::1%25eth0]/a",
        "https://[2606:4700::1%25eth0]/a",
        "https://[64:ff9b::8c52:7003]/a",
        "https://[fec0::1]/a",
        "https://0177.0.0.1/a/b",
        "https://0/a/b",
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


@pytest.mark.parametrize(
    "number",
    """0.0.0.0 0.1.2.3 10.255.255.255 100.64.0.1 100.127.255.254 127.0.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.9
    192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.7 203.0.113.7 224.0.0.1 239.1.2.3 240.0.0.1 255.255.255.255
    :: ::1 ::7f00:1 ::8.8.8.8 ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::ffff:0:8.8.8.8 64:ff9b::7f00:1 64:ff9b::a00:1
    64:ff9b::a9fe:a9fe 64:ff9b::808:808 64:ff9b:1::1 64:ff9b:1:ffff::a00:1 100::1 2001::1 2001:0:7f00:1::1 2001:2::1
    2001:10::1 2001:20::1 2001:db8::1 2002:a00:1:: 2002:7f00:1::1 2002:808:808::1 3fff::1 4000::1 5f00::1 fc00::1 fd12::1
    fe80::1 fe80::1%eth0 febf::1 fec0::1 feff::1 ff02::1 ff0e::1""".split(),
)
def test_addresses_that_are_not_one_host_of_the_internet(number: str) -> None:
    assert not is_public(ipaddress.ip_address(number))
    with pytest.raises(Refused):
        checked_numbers(parse("https://a.example/x", Permissions()), Permissions(), lambda host: [number])


@pytest.mark.parametrize(
    "number",
    """1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 140.82.112.3 172.15.0.1 172.32.0.1 192.0.1.1 198.20.0.1 223.255.255.255
    2001:4860:4860::8888 2606:50c0:8000::153 2a00:1450::1 2620:fe::fe 2400:cb00::1 ::ffff:8.8.8.8""".split(),
)
def test_addresses_of_the_internet(number: str) -> None:
    assert is_public(ipaddress.ip_address(number))


def test_a_translated_address_counts_as_what_it_translates_where_that_is_given_too() -> None:
    address = parse("https://github.com/a/b", Permissions())
    both = ["140.82.112.3", "64:ff9b::8c52:7003"]
    assert checked_numbers(address, Permissions(), lambda host: both) == both
    for numbers in (both[1:], ["140.82.112.3", "64:ff9b::a00:1"], ["10.0.0.1", "64:ff9b::a00:1"]):
        with pytest.raises(Refused):
            checked_numbers(address, Permissions(), lambda host, found=numbers: found)  # type: ignore[misc]


def test_hosts_that_are_numbers() -> None:
    for said, url in (
        ("https://[2606:50c0:8000::153]/a/b.git", "https://[2606:50c0:8000::153]/a/b.git"),
        ("https://[2606:50C0:8000:0:0:0:0:153]:8443/a/b", "https://[2606:50c0:8000::153]:8443/a/b"),
        ("ssh://git@[2606:50c0:8000::153]/a/b", "ssh://git@[2606:50c0:8000::153]/a/b"),
        ("ssh://git@[2606:50c0:8000::153]:2222/a/b", "ssh://git@[2606:50c0:8000::153]:2222/a/b"),
        ("git@[2606:50c0:8000::153]:a/b", "git@[2606:50c0:8000::153]:a/b"),
        ("https://0x08080808/a/b", "https://8.8.8.8/a/b"),
        ("https://134744072/a/b", "https://8.8.8.8/a/b"),
    ):
        assert parse(said, Permissions()).url == url
    assert parse("https://[2606:50c0:8000::153]/a/b.git", Permissions()).key == "[2606:50c0:8000::153]/a/b"
    assert parse("https://1password.com/a", Permissions()).host == "1password.com"
