"""What ssh is told: the address that was checked, under the name by which the host's key is known."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import pytest

from recollect.errors import Refused, Unavailable
from recollect.sync import ssh
from recollect.sync.address import Permissions, parse

PUBLIC = ["140.82.112.3", "2606:50c0:8000::153"]


def told(url: str, numbers: Sequence[str] = PUBLIC, *, local: bool = False, **settings: str) -> list[list[str]]:
    """The options of each command; `settings`: what the person's configuration says."""

    def lookup(host: str) -> Sequence[str]:
        looked_up.append(host)
        if not numbers:
            raise OSError
        return numbers

    looked_up.clear()
    allowed = Permissions(local=local)
    commands = ssh.commands(parse(url, allowed), allowed, lookup, lambda arguments: settings)
    return [shlex.split(command)[3:] for command in commands]


looked_up: list[str] = []


def test_each_address_that_was_checked_is_tried() -> None:
    assert told("git@github.com:a/b") == [
        ["-oHostName=140.82.112.3", "-oHostKeyAlias=github.com"],
        ["-oHostName=2606:50c0:8000::153", "-oHostKeyAlias=github.com"],
    ]
    assert told("ssh://git@h.example:2222/a", PUBLIC[:1]) == [
        ["-oHostName=140.82.112.3", "-oHostKeyAlias=[h.example]:2222"]
    ]


def test_an_alias_of_the_configuration_is_looked_up_by_what_it_stands_for() -> None:
    assert told("git@work:a/b", PUBLIC[:1], hostname="github.com", port="22") == [
        ["-oHostName=140.82.112.3", "-oHostKeyAlias=github.com"]
    ]
    assert looked_up == ["github.com"]
    assert told("git@github.com:a/b", PUBLIC[:1], hostname="ssh.github.com", port="443") == [
        ["-oHostName=140.82.112.3", "-oHostKeyAlias=[ssh.github.com]:443"]
    ]
    assert told("git@work:a/b", PUBLIC[:1], hostname="github.com", hostkeyalias="mine")[0][1] == "-oHostKeyAlias=mine"


@pytest.mark.parametrize("numbers", [["10.0.0.1"], ["140.82.112.3", "127.0.0.1"], ["fec0::1"], ["64:ff9b::a00:1"]])
def test_an_alias_or_name_that_leads_to_a_private_address_is_refused(numbers: list[str]) -> None:
    for settings in ({}, {"hostname": "inside.example"}, {"hostname": "inside.example", "proxyjump": "bastion"}):
        with pytest.raises(Refused):
            told("git@work.example:a/b", numbers, **settings)
    assert told("git@work.example:a/b", numbers, local=True) == [[]]


def test_a_host_that_only_a_proxy_knows_is_refused_and_one_that_nobody_knows_is_said() -> None:
    for proxy in ({"proxyjump": "bastion"}, {"proxycommand": "nc %h %p"}):
        with pytest.raises(Refused, match="proxy"):
            told("git@inside:a/b", [], **proxy)
        assert told("git@h.example:a/b", PUBLIC[:1], **proxy) == [
            ["-oHostName=140.82.112.3", "-oHostKeyAlias=h.example"]
        ]
    for settings in ({}, {"proxycommand": "none"}):
        with pytest.raises(Unavailable, match="not known"):
            told("git@inside:a/b", [], **settings)


def test_a_host_given_by_its_number_needs_no_other_name() -> None:
    number = "2606:50c0:8000::153"
    assert told(f"ssh://git@[{number}]:2222/a/b", [number]) == [[f"-oHostName={number}"]]
    assert told(f"git@[{number}]:a/b", [number]) == [[f"-oHostName={number}"]]
