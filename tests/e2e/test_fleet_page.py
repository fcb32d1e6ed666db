"""The page of the fleet tool's server in a real browser, over a simulated farm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from contract.modes import MODES, Mode
from tests.e2e.browsing import Tab, browsing
from tests.integration.served_farm import BEARER, ServedFarm, wait_long

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("fleet_page")]

NODES = 60
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedFarm]:
    farm = ServedFarm(tmp_path_factory.mktemp("page"), nodes=NODES, first="127.83.0.1", faults="dead=1", speed="12")
    try:
        farm.start()
        yield farm
        farm.end()
    finally:
        farm.clean()


@pytest.fixture(scope="module")
def one_tab(served: ServedFarm) -> Iterator[Tab]:
    expect.set_options(timeout=WAIT_MS)
    with browsing(served.url) as tab:
        tab.page.set_default_timeout(WAIT_MS)
        yield tab


@pytest.fixture
def tab(one_tab: Tab) -> Iterator[Tab]:
    """Returns the page anew, without a token; afterwards nothing may have gone wrong in it."""
    one_tab.open().evaluate("() => sessionStorage.clear()")
    one_tab.open()
    yield one_tab
    assert one_tab.errors == []
    assert one_tab.outside == []
    assert not any(BEARER in url for url in one_tab.asked)


def operate(page: Page, who: str = "Anna") -> None:
    page.get_by_role("button", name="Operate …").click()
    page.get_by_label("Token").fill(BEARER)
    page.get_by_label("Your name").fill(who)
    page.get_by_role("button", name="Operate", exact=True).click()
    expect(page.get_by_role("form", name="Selection")).to_be_visible()


def cell(host: str) -> str:
    return f'#grid .cell[data-host="{host}"]'


def rgb(mode: Mode) -> str:
    text = MODES[mode].colour
    return f"rgb({int(text[1:3], 16)}, {int(text[3:5], 16)}, {int(text[5:7], 16)})"


def test_every_node_is_shown_in_its_mode_and_not_by_colour_alone(served: ServedFarm, tab: Tab) -> None:
    page = tab.page
    assert page.locator("#grid .cell").count() == NODES
    assert page.locator("#grid .card").count() == 3
    expect(page.locator("#grid .cell[data-mode=HLT]").first).to_have_css("background-color", rgb(Mode.HLT))
    (dead,) = [host for host, told in served.truth().items() if told["fault"] == "dead"]
    expect(page.locator(cell(dead))).to_have_text("?")
    expect(page.locator(cell(dead))).to_have_attribute("aria-label", f"{dead}, no answer")
    legend = page.get_by_role("list", name="Nodes by mode")
    for mode in MODES:
        expect(legend).to_contain_text(mode.value)
    expect(legend.locator("[data-count=HLT]")).to_have_text(str(NODES - 1))
    signs = page.locator("#legend .cell").all_inner_texts()
    assert len(set(signs)) == len(signs)
    expect(page.locator("#trouble")).to_contain_text(dead)


def test_without_the_token_no_action_is_possible(served: ServedFarm, tab: Tab) -> None:
    page, before = tab.page, served.get("/operations")
    page.locator("#grid .cell").first.click()
    page.locator("#grid .cell").first.press("a")
    assert page.locator('#grid [aria-selected="true"]').count() == 0
    expect(page.locator("#tools")).to_be_hidden()
    page.get_by_role("button", name="Operate …").click()
    page.get_by_label("Token").fill("wrong")
    page.get_by_label("Your name").fill("Eve")
    page.get_by_role("button", name="Operate", exact=True).click()
    expect(page.locator("#token-error")).to_have_text("that token is not valid")
    page.keyboard.press("Escape")
    expect(page.locator("#tools")).to_be_hidden()
    assert page.evaluate("() => sessionStorage.getItem('hltmode-token')") is None
    assert served.get("/operations") == before
    tab.errors[:] = [error for error in tab.errors if "401" not in error]  # the browser's own line about the answer


def test_a_selection_is_excluded_after_a_confirmation_and_the_page_follows(served: ServedFarm, tab: Tab) -> None:
    page = tab.page
    operate(page)
    hosts = [f"fu-c2f01-01-0{n}" for n in range(1, 5)]
    page.get_by_label("Nodes", exact=True).fill("fu-c2f01-01-[01-04]")
    page.get_by_role("button", name="Select", exact=True).click()
    expect(page.locator("#chosen")).to_have_text("4 nodes selected")
    page.get_by_role("button", name="Exclude …").click()
    dialog = page.get_by_role("dialog", name="Bring 4 nodes to cloud")
    expect(dialog).to_contain_text("HLT afterwards")
    expect(dialog).to_contain_text(f"{NODES - 1 - 4} of {NODES} nodes")
    expect(dialog).to_contain_text("Jobs that must end")
    expect(dialog).to_contain_text("Expected time")
    dialog.get_by_label("Reason").fill("gap")
    dialog.get_by_label("Keep in HLT").fill("19")  # more than were selected
    expect(dialog).to_contain_text("no node is left to ask (19 of each appliance are kept in HLT)")
    expect(dialog.get_by_role("button", name="Exclude 4 nodes now")).to_be_disabled()
    tab.errors[:] = [error for error in tab.errors if "422" not in error]  # the browser's own line about the answer
    dialog.get_by_label("Keep in HLT").fill("3")
    fewer = page.get_by_role("dialog", name="Bring 1 node to cloud")
    expect(fewer.get_by_role("button", name="Exclude 1 node now")).to_be_enabled()
    fewer.get_by_label("Keep in HLT").fill("0")
    go = dialog.get_by_role("button", name="Exclude 4 nodes now")
    expect(go).to_be_enabled()
    assert not any(served.truth()[host]["requests"] for host in hosts)  # nobody was asked yet
    loads = len([url for url in tab.asked if url.endswith("/page/page.js")])
    go.click()
    expect(page.locator("#running .operation")).to_contain_text("4 nodes to cloud")
    expect(page.locator("#running progress")).to_have_attribute("max", "4")
    for host in hosts:
        expect(page.locator(cell(host))).to_have_attribute("data-mode", "cloud")
        expect(page.locator(cell(host))).to_have_css("background-color", rgb(Mode.CLOUD))
    expect(page.locator("#past")).to_contain_text("all good 4 nodes to cloud")
    expect(page.locator("#switchovers")).to_contain_text("fu-c2f01-01-01 to cloud")
    assert {served.truth()[host]["mode"] for host in hosts} == {"cloud"}
    assert len([url for url in tab.asked if url.endswith("/page/page.js")]) == loads  # live, without a reload
    # and back, by undo
    page.locator("#past li").first.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Include 4 nodes now").click()
    for host in hosts:
        expect(page.locator(cell(host))).to_have_attribute("data-mode", "HLT")


def test_what_others_do_is_seen_without_a_reload(served: ServedFarm, tab: Tab) -> None:
    page = tab.page
    status, begun = served.post("/operations", {"to": "cloud", "hosts": "fu-c2f02-01-01", "who": "run control"})
    assert status == 201, begun
    expect(page.locator("#running")).to_contain_text("run control")
    expect(page.locator(cell("fu-c2f02-01-01"))).to_have_attribute("data-mode", "cloud")
    served.post("/holds", {"hosts": "fu-c2f02-01-02", "reason": "new disk", "who": "Ben"})
    expect(page.locator(cell("fu-c2f02-01-02"))).to_have_attribute("aria-label", "fu-c2f02-01-02, HLT, on hold")
    served.post("/holds/release", {"hosts": "fu-c2f02-01-02"})


def test_a_changed_file_of_nodes_is_taken_over_without_a_reload(served: ServedFarm, tab: Tab) -> None:
    page, before = tab.page, served.hosts_file.read_text()
    lines = before.splitlines()
    first, *between, last = lines
    (gone, other), moved = (line.split()[0] for line in (first, last)), between[-1]
    operate(page)
    page.locator("#set").fill(f"{gone},{other}")
    page.get_by_role("button", name="Select").click()
    expect(page.locator("#chosen")).to_have_text("2 nodes selected")
    page.evaluate("() => { window.stillTheSame = true; }")
    status, plan = served.post("/plans", {"to": "cloud", "hosts": gone})
    assert status == 200, plan
    try:
        host, _, address = moved.split()
        served.hosts_file.write_text("\n".join([*between[:-1], f"{host} bu-new {address}", last]))
        expect(page.locator("#grid .cell")).to_have_count(NODES - 1)
        expect(page.locator("#grid .card")).to_have_count(4)
        expect(page.locator(cell(gone))).to_have_count(0)
        expect(page.locator("#chosen")).to_have_text("1 node selected")
        expect(page.locator(cell(other))).to_have_attribute("aria-selected", "true")
        expect(page.locator(cell(host))).to_have_attribute("data-mode", "HLT")
        assert served.post(f"/plans/{plan['id']}/begin", {})[0] == 410
        status, refused = served.post("/operations", {"to": "cloud", "hosts": gone})
        assert (status, refused["error"]) == (400, f"{gone}: not in the file of nodes")
        for wrong, words in (("nonsense", ":1: write it as"), ("# nobody", "no node in it")):
            served.hosts_file.write_text(wrong)
            wait_long(words, lambda words=words: served.server and words in served.server.said)  # type: ignore[misc]  # mypy can't infer a lambda's default
            assert len(served.get("/farm")["nodes"]) == NODES - 1
    finally:
        served.hosts_file.write_text(before)
    expect(page.locator("#grid .cell")).to_have_count(NODES)
    expect(page.locator(cell(gone))).to_have_attribute("data-mode", "HLT")
    assert page.evaluate("() => window.stillTheSame")
    assert served.server
    told = [line.partition("fleet.serving.service: ")[2] for line in served.server.said.splitlines() if "nodes" in line]
    assert "nodes read again: 0 added, 1 gone, 1 elsewhere; 59 nodes" in told
    assert "nodes read again: 1 added, 0 gone, 1 elsewhere; 60 nodes" in told
    assert sum("not taken over, those of before stay" in line for line in told) == 2


def test_nodes_are_selected_by_click_drag_appliance_and_keys(tab: Tab) -> None:
    page = tab.page
    operate(page)
    chosen = page.locator("#chosen")
    cells = page.locator("#grid .cell")
    cells.nth(3).click()
    expect(chosen).to_have_text("1 node selected")
    cells.nth(7).click(modifiers=["Shift"])
    expect(chosen).to_have_text("5 nodes selected")
    page.get_by_role("button", name="Clear").click()
    expect(chosen).to_have_text("nothing selected")
    page.get_by_role("button", name="bu-c2f02").click()
    expect(chosen).to_have_text("20 nodes selected")
    page.get_by_role("button", name="bu-c2f02").click()
    expect(chosen).to_have_text("nothing selected")
    first, last = cells.nth(0).bounding_box(), cells.nth(12).bounding_box()  # two columns of two rows and one more
    assert first
    assert last
    page.mouse.move(first["x"] - 2, first["y"] - 2)
    page.mouse.down()
    page.mouse.move(first["x"] + 30, first["y"] + 10)
    page.mouse.move(last["x"] + last["width"] / 2, last["y"] + last["height"] / 2)
    page.mouse.up()
    expect(chosen).to_have_text("6 nodes selected")
    page.keyboard.press("Escape")
    cells.nth(0).focus()
    for key in ("Space", "ArrowRight", "ArrowDown", "Space"):
        page.keyboard.press(key)
    assert [cells.nth(n).get_attribute("aria-selected") for n in (0, 1, 11)] == ["true", "false", "true"]
    expect(page.locator("#detail")).to_contain_text("bu-c2f01 · HLT")
    page.keyboard.press("a")
    expect(chosen).to_have_text("20 nodes selected")
    page.keyboard.press("Escape")
    expect(chosen).to_have_text("nothing selected")
    page.get_by_label("Nodes", exact=True).fill("fu-[1-")
    page.get_by_role("button", name="Select", exact=True).click()
    expect(page.locator("#tools-error")).to_contain_text("not a set of nodes")
    tab.errors[:] = [error for error in tab.errors if "400" not in error]


def test_a_page_without_its_server_says_so_and_comes_back(served: ServedFarm, tab: Tab) -> None:
    page = tab.page
    expect(page.locator("#line")).to_contain_text("live")
    served.kill()
    expect(page.locator("#line")).to_contain_text("no connection")
    served.start()
    expect(page.locator("#line")).to_contain_text("live")
    served.post("/holds", {"hosts": "fu-c2f02-01-03", "reason": "new disk"})
    expect(page.locator(cell("fu-c2f02-01-03"))).to_have_attribute("aria-label", "fu-c2f02-01-03, HLT, on hold")
    # the browser's own lines about a server that was killed, by what it was about to answer, and is not there yet
    cut = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "ERR_INCOMPLETE")
    tab.errors[:] = [error for error in tab.errors if not any(words in error for words in cut)]


def test_in_a_narrow_and_dark_window_nothing_sticks_out(tab: Tab) -> None:
    page = tab.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme="dark")
    try:
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
        expect(page.locator("body")).to_have_css("background-color", "rgb(20, 22, 26)")
    finally:
        page.set_viewport_size({"width": 1600, "height": 1000})
        page.emulate_media(color_scheme="light")


def test_the_page_loads_nothing_and_builds_nothing() -> None:
    folder = Path(__file__).parents[2] / "fleet" / "page"
    for path in folder.iterdir():
        text = path.read_text()
        assert "innerHTML" not in text, path
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), path
        assert "https://" not in text, path
