"""An answer that disappoints says why, and names the call that goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recollect.calls import as_tool
from recollect.errors import UserError
from recollect.workspace import Caller, Workspace
from tests.conftest import SHOP, MakeRepository


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(home) as made:
        yield made


# -- repositories -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["paymnts", "Payments-API", "paymentsapi", "team-x", "payments"])
def test_an_unknown_repository_is_answered_with_the_nearest(
    workspace: Workspace, make_repository: MakeRepository, said: str
) -> None:
    workspace.add(str(make_repository(SHOP, "team-x1/payments_api")))
    workspace.add(str(make_repository(SHOP, "billing")))
    with pytest.raises(UserError) as caught:
        workspace.search("cookie", said)
    assert caught.value.code == "unknown_repository"
    assert caught.value.hint.startswith("Did you mean payments_api?")
    assert caught.value.call is not None
    assert as_tool(caught.value.call) == 'sync_repository(path="/path/to/folder")'


def test_where_no_name_is_near_the_known_ones_are_named(workspace: Workspace, make_repository: MakeRepository) -> None:
    workspace.add(str(make_repository(SHOP, "payments")))
    with pytest.raises(UserError) as caught:
        workspace.status("qqqq", caller=Caller())
    assert "Known: payments." in caught.value.hint
