from pathlib import Path

import pytest

from recollect.errors import Refused
from recollect.workspace.places import Caller, check_allowed

HOME = Path("/home/ada")
PERSON, AGENT = Caller(cwd="/srv/work"), Caller(cwd="/srv/work", agent=True)


@pytest.mark.parametrize("path", ["/", "/home", "/home/ada", "/home/ada/.ssh", "/home/ada/.aws/x", "/home/ada/.gnupg"])
def test_nobody_may_have_homes_and_credentials_indexed(path: str) -> None:
    for caller in (PERSON, AGENT):
        with pytest.raises(Refused):
            check_allowed(Path(path), caller, home=HOME)


@pytest.mark.parametrize("path", ["/home/ada/project", "/srv/work", "/srv/work/api", "/scan/x"])
def test_agents_may_use_the_home_scan_paths_and_their_folder(path: str) -> None:
    check_allowed(Path(path), AGENT, ["/scan"], home=HOME)


@pytest.mark.parametrize("path", ["/etc", "/srv/other", "/scanner"])
def test_agents_may_use_nothing_else_but_people_may(path: str) -> None:
    with pytest.raises(Refused):
        check_allowed(Path(path), AGENT, ["/scan"], home=HOME)
    check_allowed(Path(path), PERSON, home=HOME)


def test_an_agent_started_at_the_root_gains_nothing() -> None:
    with pytest.raises(Refused):
        check_allowed(Path("/etc"), Caller(cwd="/", agent=True), home=HOME)
