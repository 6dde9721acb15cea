"""The page in a real browser: what people see and do, by mouse, by keyboard and with a screen reader, wide and narrow."""

from __future__ import annotations

import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recollect.client import Connection
from tests import browser
from tests.conftest import SHOP, MakeRepository, git
from tests.git_server import serving

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.skipif(browser.path() is None, reason="no Chromium is installed (python -m tests.browser)"),
    pytest.mark.xdist_group("browser"),
]
expect = playwright.expect


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as one:
        yield one


@pytest.fixture
def shop(home: Path, make_repository: MakeRepository) -> Path:
    root = make_repository(SHOP, "shop")
    with Connection() as daemon:
        daemon.call("sync", {"path": str(root)})
    return root


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Any]:
    """`open_page(width, scheme)`: a page that was let in by a link; what it complains of fails the test."""
    contexts, complaints = [], []

    def opened(width: int = 1200, scheme: str = "light") -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                complaints.append(said.text) if said.type == "error" and "Failed to load" not in said.text else None
            ),
        )
        with Connection() as daemon:
            page.goto(daemon.call("web", {})["url"])
        expect(page.locator("#connection")).to_have_text("live")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


def violations(page: Any) -> list[str]:
    """What axe finds of WCAG 2 A and AA and of its best practices."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} ({one['nodes'][0]['failureSummary'][:300]})" for one in found
    ]


def test_a_repository_is_added_synced_configured_and_forgotten(
    shop: Path, open_page: Any, make_repository: MakeRepository
) -> None:
    other = make_repository({"a.py": "def first(): pass\n"}, "other")
    page = open_page()
    row = page.locator(".row[data-name=shop]")
    expect(row).to_contain_text("up to date")
    expect(page.locator("#summary")).to_contain_text("1 repositories, 7 files, 1 up to date")
    page.get_by_role("button", name="Add or clone").click()
    page.get_by_label("Path of a folder, or URL to clone").fill(str(other))
    page.get_by_role("dialog").get_by_role("button", name="Add").click()
    added = page.locator(".row[data-name=other]")
    expect(added).to_contain_text("ready")
    (other / "b.py").write_text("def second(): pass\n")
    page.get_by_role("button", name="Sync other").click()
    expect(added).to_contain_text("2 files")
    page.get_by_role("button", name="Configure other").click()
    page.get_by_label("Keep it in step with its files").fill("no")
    page.get_by_role("button", name="Save").click()
    expect(added).to_contain_text("left alone")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("searchbox", name="Filter repositories").fill("shop")
    expect(added).to_have_count(0)
    page.get_by_role("searchbox", name="Filter repositories").fill("")
    page.get_by_role("button", name="Forget other").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    expect(added).to_have_count(0)
    assert (other / "a.py").exists()


def test_a_repository_is_cloned_by_its_url_and_failures_say_why(
    home: Path, open_page: Any, make_repository: MakeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_HTTP", "1")
    monkeypatch.setenv("RECOLLECT_CLONE_ALLOW_LOCAL", "1")
    with serving(tmp_path / "served") as served:
        url = served.publish(make_repository(SHOP, "shop"), "team/shop")
        page = open_page()
        for given in (url, url.replace("shop", "nothing")):
            page.get_by_role("button", name="Add or clone").click()
            page.get_by_label("Path of a folder, or URL to clone").fill(given)
            page.get_by_role("dialog").get_by_role("button", name="Add").click()
        expect(page.locator(".row[data-name=shop]")).to_contain_text("7 files", timeout=20_000)
        failed = page.locator(".row[data-name=nothing]")
        expect(failed).to_contain_text("failed", timeout=20_000)
        page.get_by_role("button", name="Why nothing").click()
        expect(failed.locator(".why")).to_contain_text("clone:")
        expect(page.get_by_role("button", name="Clone again nothing")).to_be_visible()
        page.get_by_role("button", name="Forget shop").click()
        expect(page.get_by_role("dialog")).to_contain_text("so is the clone")
        page.get_by_role("dialog").get_by_role("button", name="Forget").click()
        expect(page.locator(".row[data-name=shop]")).to_have_count(0)


def test_errors_are_one_click_away_with_the_reason_and_the_mend(shop: Path, open_page: Any) -> None:
    page = open_page()
    shop.rename(shop.with_name("elsewhere"))
    page.get_by_role("button", name="Sync shop").click()
    row = page.locator(".row[data-name=shop]")
    expect(row).to_contain_text("missing")
    page.get_by_role("button", name="Why shop").click()
    expect(row.locator(".why")).to_contain_text("bring the folder back, or forget it")
    shop.with_name("elsewhere").rename(shop)
    expect(row).to_contain_text("ready")


def test_one_searches_as_one_types_and_moves_by_keyboard(shop: Path, open_page: Any) -> None:
    page = open_page()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="What to find")).to_be_focused()
    page.keyboard.type("sign a session cookie")
    first = page.locator(".hit").first
    expect(first).to_contain_text("shop/session.py")
    expect(first.locator("pre mark").first).to_be_visible()
    expect(first.locator("pre .k", has_text="def")).to_be_visible()
    assert first.locator(".place a").get_attribute("href").startswith(f"vscode://file{shop}/shop/session.py:")  # type: ignore[union-attr]
    page.keyboard.press("ArrowDown")
    expect(first.locator(".place a")).to_be_focused()
    first.locator("summary").click()
    expect(first.locator(".addends")).to_contain_text("lexical")
    page.get_by_role("searchbox", name="What to find").fill("register a route")
    page.get_by_label("Language").fill("typescript")
    expect(page.locator(".hit").first).to_contain_text("web/router.ts")
    page.get_by_label("Language").fill("")
    page.get_by_label("Mode").select_option("regex")
    page.get_by_role("searchbox", name="What to find").fill(r"def \w+_price\(")
    expect(page.locator(".hit")).to_have_count(1)
    page.get_by_role("searchbox", name="What to find").fill("(")
    expect(page.locator("#search-said")).to_contain_text("missing")


def test_code_that_looks_like_markup_stays_text(home: Path, open_page: Any, make_repository: MakeRepository) -> None:
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    root = make_repository({"a.py": f"# greeting {evil}\ndef greeting(): pass\n"}, "shop")
    with Connection() as daemon:
        daemon.call("sync", {"path": str(root)})
        daemon.call("remember", {"content": evil, "tags": ["<b>"]})
    page = open_page()
    page.goto(page.url + "#search/greeting")
    expect(page.locator(".hit pre")).to_contain_text("<img src=x")
    page.goto(page.url.partition("#")[0] + "#memories")
    expect(page.locator("#memory-rows li")).to_contain_text("<script>")
    assert page.locator("#main img, #main script").count() == 0
    assert "Recollect" in page.title()


def test_what_others_wrote_makes_no_lines_and_hides_nothing(
    home: Path, open_page: Any, make_repository: MakeRepository
) -> None:
    steers = "\x1b[2J\x85\u2028IGNORE\u202e\u2066\u200b\U000e0041"
    root = make_repository(
        {f"zebra\nIGNORE{steers}.py": f'def zebra():\n    """stripes {steers}"""\n'}, f"repo\nIGNORE{steers}"
    )
    hostile = f"zebra\nIGNORE{steers}"
    with Connection() as daemon:
        daemon.call("sync", {"path": str(root)})
        daemon.call("remember", {"content": hostile, "tags": [hostile], "memory_type": hostile})
    page = open_page()
    for view, ready in (("repositories", ".row .name"), ("search/zebra", ".hit"), ("memories", "#memory-rows li .tag")):
        page.goto(f"{page.url.partition('#')[0]}#{view}")
        page.locator(ready).first.wait_for()
        shown = page.locator("main").text_content()
        assert "\\u202e" in shown
        assert "IGNORE" in shown
        odd = {sign for sign in shown if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}} - {"\n", "\t"}
        assert not odd, (view, odd)
        titles = page.locator("main [aria-label]").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
        assert not [title for title in titles if not title.isprintable()]
    assert "\n" not in page.locator("#memory-rows li .tag").first.text_content()
    assert page.locator("#memory-rows li .block").first.text_content().split("\n")[0] == "zebra"


def test_memories_are_kept_changed_deleted_and_brought_back(shop: Path, open_page: Any) -> None:
    page = open_page()
    page.get_by_role("link", name="Memories").click()
    expect(page.locator("#memory-rows")).to_contain_text("Nothing is remembered yet")
    page.get_by_role("button", name="Remember").click()
    page.get_by_label("What to remember").fill("Prices are in cents.")
    page.get_by_label("Tags").fill("money, shop")
    page.get_by_role("dialog").get_by_role("button", name="Remember").click()
    card = page.locator("#memory-rows li")
    expect(card).to_contain_text("#money")
    page.get_by_role("button", name="Edit: Prices").click()
    page.get_by_label("What to remember").fill("Prices are in euro cents.")
    page.get_by_role("button", name="Save").click()
    expect(card).to_contain_text("euro cents")
    page.get_by_role("searchbox", name="What was remembered").fill("what unit do prices have")
    expect(card).to_contain_text("euro cents")
    page.get_by_role("button", name="Delete: Prices").click()
    expect(page.locator("#memory-rows")).to_contain_text("Nothing is remembered of that")
    page.get_by_role("button", name="Undo").click()
    expect(card).to_contain_text("euro cents")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    assert "euro cents" in Path(download.value.path()).read_text()


def test_the_map_goes_from_folders_to_files_to_definitions(shop: Path, open_page: Any) -> None:
    page = open_page()
    page.get_by_role("link", name="Map").click()
    expect(page.get_by_role("button", name="folder shop")).to_be_visible()
    page.get_by_role("button", name="folder shop").click(position={"x": 5, "y": 5})  # its own name, above what is in it
    page.get_by_role("button", name="shop/cart.py").click()
    expect(page.get_by_role("button", name="Cart, class")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="shop/prices.py")).to_be_visible()
    page.get_by_role("button", name="shop/cart.py").click()
    page.get_by_role("button", name="Cart, class").click()
    expect(page.locator(".hit").first).to_contain_text("shop/cart.py")
    expect(page.locator("#where")).to_have_value("shop")


def test_activity_and_settings_are_shown_and_saved(shop: Path, open_page: Any) -> None:
    page = open_page()
    page.get_by_role("link", name="Activity").click()
    expect(page.locator("#syncs")).to_contain_text("shop")
    expect(page.locator("#processes")).to_contain_text("daemon")
    expect(page.locator("#savings")).to_contain_text("an estimate")
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Seconds between checks").fill("120")
    page.get_by_role("button", name="Save").click()
    row = page.locator("#all-settings tr", has_text="AUTO_SYNC_INTERVAL")
    expect(row).to_contain_text("120")
    expect(row).to_contain_text("persisted")
    page.get_by_label("Syncs at once").fill("0")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#toasts")).to_contain_text("max_concurrent")


@pytest.mark.parametrize("view", ["repositories", "search/cart", "memories", "map", "activity", "settings"])
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (400, "dark")])
def test_every_view_is_accessible_wide_and_narrow(
    shop: Path, open_page: Any, view: str, width: int, scheme: str, tmp_path: Path
) -> None:
    with Connection() as daemon:
        daemon.call("remember", {"content": "Prices are in cents.", "tags": ["money"]})
    page = open_page(width, scheme)
    page.goto(page.url.partition("#")[0] + f"#{view}")
    waited = {"search/cart": ".hit", "memories": "#memory-rows li", "map": ".tile", "activity": "#syncs table"}
    page.wait_for_selector(waited.get(view, "#all-settings tr" if view == "settings" else ".row"))
    assert violations(page) == []
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    page.screenshot(path=tmp_path / "view.png")  # pytest keeps the last runs' folders


def test_a_dialog_is_accessible_and_closes_by_keyboard(shop: Path, open_page: Any) -> None:
    page = open_page()
    page.get_by_role("button", name="Add or clone").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_page_comes_back_by_itself_after_a_restart(
    shop: Path, open_page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RECOLLECT_HTTP_PORT", str(one.getsockname()[1]))
    with Connection() as daemon:
        daemon.call("stop", {})
    import time

    time.sleep(0.3)
    page = open_page()
    with Connection() as daemon:
        pid = daemon.call("about", {})["pid"]
        daemon.call("stop", {})
    expect(page.locator("#connection")).not_to_have_text("live")
    time.sleep(0.3)
    with Connection() as daemon:
        assert daemon.call("about", {})["pid"] != pid
        expect(page.locator("#connection")).to_have_text("live", timeout=20_000)
    expect(page.locator(".row[data-name=shop]")).to_contain_text("ready")


def test_two_hundred_repositories_are_shown_filtered_and_kept_live(home: Path, open_page: Any, tmp_path: Path) -> None:
    first = tmp_path / "r000"
    first.mkdir()
    (first / "a.py").write_text("x = 1\n")
    git(first, "init", "-q")
    with Connection() as daemon:
        for number in range(200):
            root = tmp_path / f"r{number:03}"
            if number:
                subprocess.run(["cp", "-r", str(first), str(root)], check=True)
            daemon.call("add", {"path": str(root)})
        page = open_page()
        expect(page.locator(".row")).to_have_count(200)
        page.get_by_role("searchbox", name="Filter repositories").fill("r19")
        expect(page.locator(".row")).to_have_count(10)
        daemon.call("sync", {"path": str(tmp_path / "r195")})
        expect(page.locator(".row[data-name=r195]")).to_contain_text("ready")
        page.get_by_role("searchbox", name="Filter repositories").fill("")
        expect(page.locator(".row")).to_have_count(200)
        daemon.call("forget", {"repository": "r007"})
        expect(page.locator(".row")).to_have_count(199)
