"""The static page in a browser: headless Chromium, driven by Playwright."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import natsdb
from natsdb.site.data import INDEX

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
_LONG = 30_000  # milliseconds: DuckDB-WASM is compiled
_TSS = "architectures (the space has 15,625)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium: install it (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        # Chromium's sandbox does not work for root.
        sandbox = [] if os.name == "nt" or os.getuid() else ["--no-sandbox"]
        running = playwright.chromium.launch(executable_path=chromium, args=sandbox)
        yield running
        running.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that may ask its own server only, and whose scripts may not fail."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on(
        "request",
        lambda request: None if re.match(r"http://127\.0\.0\.1:|data:", request.url) else wrong.append(request.url),
    )
    yield tab
    context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def asking(browser: Any, sql_address: str) -> Iterator[Any]:
    """A page at its SQL box, DuckDB-WASM loaded."""
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(f"{sql_address}#/sql")
    expect(tab.locator("#example option")).not_to_have_count(0)
    _ask(tab, "select 42 as answer")
    expect(tab.locator("#answer td")).to_have_text("42", timeout=_LONG)
    yield tab
    context.close()


def _ask(tab: Any, statement: str) -> None:
    tab.get_by_label("Statement").fill(statement)
    tab.get_by_role("button", name="Run").click()


def _rows(tab: Any) -> list[list[str]]:
    return [line.locator("td").all_inner_texts() for line in tab.locator("#board tbody tr").all()]


def test_the_page_shows_the_leaderboard_and_loads_no_duckdb(page: Any, plain_address: str, embedded_db: Path) -> None:
    transferred: list[int] = []
    page.on("requestfinished", lambda request: transferred.append(request.sizes()["responseBodySize"]))
    page.goto(plain_address)
    expect(page.locator("#count")).to_have_text(f"37 of 37 {_TSS}")
    # On the page, accuracies that are equal to 4 decimals share a rank.
    best = natsdb.query(
        """select rank() over (order by round(accuracy, 4) desc) as rank, arch, accuracy from leaderboard
        where space = 'tss' and split = 'x-valid' order by rank, arch""",
        embedded_db,
    )
    assert [(int(row[0]), row[1], row[2]) for row in _rows(page)] == [
        (rank, f"tss/{arch}", f"{accuracy:.2f}") for rank, arch, accuracy in best.rows()
    ]
    assert sum(transferred) < 200_000
    expect(page.get_by_role("img", name="Scatter of x-valid accuracy")).to_be_visible()


def test_filters_filter(page: Any, plain_address: str, embedded_db: Path) -> None:
    page.goto(plain_address)
    page.get_by_role("group", name="FLOPs (millions)").get_by_label("to").fill("10")
    kept = natsdb.query("select count(*) from mean_cost where space = 'tss' and flops <= 10", embedded_db).item()
    expect(page.locator("#count")).to_have_text(f"{kept} of 37 {_TSS}")
    assert all(float(row[3]) <= 10 for row in _rows(page))
    page.get_by_role("button", name="Clear selection").click()
    page.get_by_role("form", name="Filters").get_by_label("Space").select_option("sss")
    expect(page.locator("#count")).to_have_text("29 of 29 architectures (the space has 32,768)")
    page.get_by_label("Split").select_option("ori-test")
    top = natsdb.query("select max(accuracy) from mean_final where space = 'sss' and split = 'ori-test'", embedded_db)
    expect(page.locator("#board tbody tr").first).to_contain_text(f"{top.item():.2f}")


def test_a_brush_selects_and_a_click_opens_a_point(page: Any, plain_address: str) -> None:
    page.goto(plain_address)
    expect(page.locator("#count")).to_have_text(f"37 of 37 {_TSS}")
    frame = page.locator("#scatter").bounding_box()
    x, y, w, h = frame["x"], frame["y"], frame["width"], frame["height"]
    page.mouse.move(x + 70, y + 20)
    page.mouse.down()
    page.mouse.move(x + w / 2, y + h / 2, steps=4)
    page.mouse.up()
    expect(page.locator("#count")).not_to_have_text(f"37 of 37 {_TSS}")
    low, high = (float(page.locator(f"[name=accuracy-{end}]").input_value()) for end in ("low", "high"))
    chosen = [float(row[2]) for row in _rows(page)]
    assert 0 < len(chosen) < 37
    assert low <= min(chosen) <= max(chosen) <= high
    page.get_by_role("button", name="Clear selection").click()
    # The Pareto front's last point is the best architecture: at the top.
    hover = page.locator("#hover")
    for step in range(60, int(w), 4):
        page.mouse.move(x + step, y + 22)
        if "rank 1" in hover.inner_text():
            break
    page.mouse.down()
    page.mouse.up()
    expect(page.locator("#arch h1")).to_have_text("tss/1416")


def test_the_axis_is_any_measure_and_is_read_when_it_is_chosen(
    page: Any, plain_address: str, embedded_db: Path
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/measures/" in request.url else None)
    page.goto(plain_address)
    expect(page.locator("#count")).to_have_text(f"37 of 37 {_TSS}")
    assert asked == []
    page.locator("[name=cost-high]").fill("10")
    page.get_by_label("Axis").select_option("hw_nas_bench.raspi4_latency")
    expect(page.locator("#count")).to_have_text(f"37 of 37 {_TSS}")  # a limit of FLOPs is none of latency
    assert len(asked) == 1
    costs = natsdb.query("from measured('hw_nas_bench.raspi4_latency') where dataset = 'cifar10-valid'", embedded_db)
    value = {f"tss/{row['arch']}": row["value"] for row in costs.to_dicts()}
    expect(page.get_by_role("columnheader", name="raspi4_latency (ms)")).to_be_visible()
    for row in _rows(page):
        assert float(row[3]) == pytest.approx(value[row[1]], rel=1e-4)
    expect(page.get_by_role("img", name="accuracy over latency on Raspberry Pi 4 (ms)")).to_be_visible()
    page.get_by_role("group", name="latency on Raspberry Pi 4 (ms)").get_by_label("to").fill("15")
    kept = sum(value[row[1]] <= 15 for row in _rows(page))
    expect(page.locator("#count")).to_have_text(f"{kept} of 37 {_TSS}")
    # Not all have a proxy; a rank is that among all.
    page.get_by_role("button", name="Clear selection").click()
    page.get_by_label("Axis").select_option("zero_cost.nwot")
    scored = natsdb.query("from measured('zero_cost.nwot') where dataset = 'cifar10-valid'", embedded_db)
    held = natsdb.query(
        "select arch from mean_final where space = 'tss' and split = 'x-valid' order by accuracy desc", embedded_db
    )["arch"].to_list()
    there = [rank for rank, arch in enumerate(held, 1) if arch in scored["arch"].to_list()]
    expect(page.locator("#count")).to_have_text(f"{len(there)} of {len(there)} {_TSS}")
    assert int(_rows(page)[-1][0]) <= there[-1]


@pytest.mark.parametrize(
    "statement",
    [
        "select archs, spearman from correlation('hw_nas_bench.raspi4_latency', 'cifar10-valid', 'x-valid', '12')",
        "select measure, spearman from correlations('cifar10-valid', 'x-valid', '12', of := 'hw_nas_bench')",
        "select arch, cost from pareto('cifar10-valid', 'x-valid', '12', 'hw_nas_bench.edgegpu_energy')",
        "select arch, measured from best('cifar10-valid', 'x-valid', '12', measure := 'hw_nas_bench.raspi4_latency', "
        "at_most := 20)",
        "select count(*) as n from measure where space = 'tss'",
    ],
)
def test_measures_are_asked_in_the_browser_too(asking: Any, embedded_db: Path, statement: str) -> None:
    _ask(asking, statement)
    frame = natsdb.query(statement, embedded_db)
    expect(asking.locator("#state")).to_have_text(re.compile(rf"^{len(frame)} rows? in "), timeout=_LONG)
    expect(asking.locator("#answer th").first).to_have_text(frame.columns[0])
    texts = asking.locator("#answer tbody tr").first.locator("td").all_inner_texts()
    for text, value in zip(texts, frame.row(0), strict=True):
        assert text == value if isinstance(value, str) else float(text) == pytest.approx(value, rel=1e-5)


def test_columns_sort_by_keyboard(page: Any, plain_address: str) -> None:
    page.goto(plain_address)
    header = page.get_by_role("columnheader", name="FLOPs (M)")
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(header).to_have_attribute("aria-sort", "ascending")
    flops = [float(row[3]) for row in _rows(page)]
    assert flops == sorted(flops)
    page.keyboard.press("Enter")
    expect(header).to_have_attribute("aria-sort", "descending")
    assert [float(row[3]) for row in _rows(page)] == flops[::-1]


def test_every_control_is_reached_by_tab_and_shows_its_focus(page: Any, plain_address: str) -> None:
    page.goto(plain_address)
    expect(page.locator("#count")).to_have_text(f"37 of 37 {_TSS}")
    seen = []
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    names = ["Skip to the content", "Leaderboard", "Show", "space", "dataset", "hp", "source", "split"]
    names += ["axis", "cost-low", "cost-high", "accuracy-low", "accuracy-high", "Clear selection", "Rank", "tss/1416"]
    places = [seen.index(name) for name in names]
    assert places == sorted(places)


def test_an_architectures_page_draws_its_cell_and_lists_its_runs(page: Any, plain_address: str) -> None:
    page.goto(plain_address)
    page.get_by_label("Architecture", exact=True).fill("1416")
    page.keyboard.press("Enter")
    expect(page.locator("#arch h1")).to_have_text("tss/1416")
    expect(page.get_by_role("img", name="Cell. 0 to 1: skip_connect; 0 to 2: nor_conv_1x1;")).to_be_visible()
    expect(page.locator("#arch")).to_contain_text("Computes the same function as tss/296.")
    runs = page.get_by_role("region", name="Accuracy (percent) by seed and split")
    assert runs.locator("tbody th").all_inner_texts() == ["cifar10-valid, hp 12, regenerated"]
    assert runs.locator("tbody td").all_inner_texts() == ["777", "50.45", "43.60", "", "44.50"]
    expect(page.locator("#arch")).to_contain_text("which this site was written without")
    page.goto(f"{plain_address}#/sss/13")
    expect(page.get_by_role("img", name="Output channels: stem, cell 1 8; reduction 1 8;")).to_be_visible()
    page.goto(f"{plain_address}#/tss/15625")
    expect(page.locator("#arch")).to_contain_text("There is no such architecture: tss has 0 to 15624.")


def test_curves_are_read_from_parquet_by_ranges(page: Any, sql_address: str) -> None:
    ranges: list[str] = []
    page.on(
        "request",
        lambda request: ranges.append(request.headers.get("range", "whole")) if "/metric/" in request.url else None,
    )
    page.goto(f"{sql_address}#/tss/1416")
    chart = page.get_by_role("img", name="Accuracy over epochs, seeds 777; at the end train 50.45, x-valid 43.60")
    expect(chart).to_be_visible(timeout=_LONG)
    assert len(chart.locator("path.curve").all()) == 3
    assert ranges
    assert "whole" not in ranges


def test_examples_answer_as_natsdb_does(asking: Any, sql_site: Path, embedded_db: Path) -> None:
    examples = json.loads((sql_site / INDEX).read_text())["examples"]
    assert len(examples) == 5
    for number, example in enumerate(examples):
        asking.get_by_label("Examples").select_option(str(number))
        asking.get_by_role("button", name="Run").click()
        frame = natsdb.query(example["sql"], embedded_db)
        expect(asking.locator("#state")).to_have_text(re.compile(rf"^{len(frame)} rows? in "), timeout=_LONG)
        names = asking.locator("#answer th").all_inner_texts()
        assert names == frame.columns
        texts = asking.locator("#answer tbody tr").first.locator("td").all_inner_texts()
        for text, value in zip(texts, frame.row(0), strict=True):
            assert text == value if isinstance(value, str) else float(text) == pytest.approx(value, rel=1e-5)


def test_every_view_and_macro_of_the_list_is_there(asking: Any) -> None:
    names = asking.locator("#tables dd").last.text_content().split(", ")
    assert {"leaderboard", "curves", "best"} < set(names)
    listed = ", ".join(f"('{name}')" for name in names)
    _ask(
        asking,
        f"""select name from (values {listed}) as listed(name)
        where name not in (select view_name from duckdb_views())
            and name not in (select function_name from duckdb_functions())""",
    )
    expect(asking.locator("#state")).to_have_text(re.compile("^0 rows"), timeout=_LONG)


def test_wrong_sql_shows_its_error_and_the_next_question_answers(asking: Any) -> None:
    _ask(asking, "select nonsense from arch")
    alert = asking.get_by_role("alert")
    expect(alert).to_contain_text('Referenced column "nonsense" not found')
    expect(asking.locator("#answer")).to_be_empty()
    asking.get_by_label("Statement").fill("select count(*) as archs from arch")
    asking.get_by_label("Statement").press("Control+Enter")
    expect(asking.locator("#answer td")).to_have_text("48393")
    expect(alert).to_be_empty()


def test_a_question_asked_before_the_index_is_there_is_answered(page: Any, sql_address: str) -> None:
    held: list[Any] = []
    page.route("**/data/site.json", lambda route: held.append(route))
    page.goto(f"{sql_address}#/sql")
    _ask(page, "select 6 * 7 as answer")
    for route in held:
        route.continue_()
    expect(page.locator("#example option")).not_to_have_count(0)
    expect(page.get_by_label("Statement")).to_have_value("select 6 * 7 as answer")
    expect(page.locator("#answer td")).to_have_text("42", timeout=_LONG)


def _cells(region: Any) -> list[list[str]]:
    return [line.locator("td").all_inner_texts() for line in region.locator("tbody tr").all()]


def test_searches_are_shown_as_the_views_have_them(page: Any, searched_address: str, searched_db: Path) -> None:
    page.goto(searched_address)
    page.get_by_role("link", name="Searches").click()
    expect(page.get_by_role("heading", name="Every search on cifar10")).to_be_visible()
    expect(page.get_by_role("link", name="Searches")).to_have_attribute("aria-current", "page")
    table = natsdb.query(
        "select label, runs, cifar10_valid, coverage from search_table where space = 'tss'", searched_db
    )
    shown = _cells(page.get_by_role("region", name="Results"))
    assert [[row[0], int(row[1].replace(",", "")), row[2], row[-1]] for row in shown] == [
        [label, runs, said, coverage or ""] for label, runs, said, coverage in table.rows()
    ]
    ranks = natsdb.query(
        "from search_rank where role = 'valid' and dataset = 'cifar10' and moment = 12 order by mean_rank", searched_db
    ).to_dicts()
    assert _cells(page.get_by_role("region", name="Ranks")) == [
        [row["label"], *[f"{row[name]:.2f}" for name in ("mean_rank", "mean_rank", "regret", "area", "area_rank")], "4"]
        for row in ranks
    ]
    regret = next(row["regret"] for row in ranks if row["label"] == "second")
    chart = page.get_by_role("img", name="Regret to the best of the space")
    expect(chart).to_have_attribute("aria-label", re.compile(f", second {regret:.2f},"))
    assert chart.locator("path.curve").count() == 4
    # Those that are ranked are drawn over their own time, whoever else is there.
    late = page.get_by_role("img", name="Mean rank, 1 is best")
    assert late.get_by_text("20k", exact=True).count() == 1
    assert page.get_by_role("img", name="Accuracy of the best so far").locator("path.curve").count() == 4
    assert page.get_by_role("img", name="Accuracy over epochs, shared weights").locator("path.curve").count() == 1
    kinds = {line.get_attribute("class") for line in page.locator("#searches .legend path").all()}
    assert len(kinds) == 5


def test_many_searches_differ_in_looks_and_times_of_any_length_have_room(page: Any, searched_address: str) -> None:
    def many(route: Any) -> None:
        response = route.fetch()
        found = response.json()
        for name in ("regrets", "searches"):
            for row in [row for row in found["tss"][name] if row["label"] == "first"]:
                brief = {"seconds": [seconds / 4e4 for seconds in row["seconds"]]} if name == "regrets" else {}
                found["tss"][name] += [row | brief | {"label": f"more {number}"} for number in range(16)]
        route.fulfill(response=response, json=found)

    page.route("**/data/searches.json", many)
    page.goto(f"{searched_address}#/searches")
    expect(page.locator("#searches .legend path")).to_have_count(21)
    look = "lines => lines.map(getComputedStyle).map(of => [of.stroke, of.strokeDasharray, of.strokeWidth].join())"
    assert len(set(page.locator("#searches .legend path").evaluate_all(look))) == 21
    chart = page.get_by_role("img", name="Regret to the best of the space")
    boxes = [text.bounding_box() for text in chart.locator("text[y='213']").all()]
    assert len(boxes) > 3
    assert all(left["x"] + left["width"] < right["x"] for left, right in itertools.pairwise(boxes))


def test_everything_that_is_kept_of_a_search_is_there(page: Any, searched_address: str, searched_db: Path) -> None:
    page.goto(f"{searched_address}#/searches")
    page.get_by_text("second: 4 runs (search second)").click()
    kept = page.locator("#searches details[open] dl").inner_text()
    for said in ("20,000 simulated seconds", "as published", "3.0 a run", "schedule (hp)"):
        assert said in kept
    page.get_by_text("a_trained: 4 runs (search trained)").click()
    trained = page.locator("#searches details[open] dl").nth(0).inner_text()
    for said in ("none", "evaluations\n2.0 a run", "7,002 of training, a run"):
        assert said in trained
    (arch,) = natsdb.query("select arch from search_run where search = 'second' and run = 0", searched_db)["arch"]
    page.get_by_role("link", name=f"tss/{arch}").click()
    expect(page.locator("#arch h1")).to_have_text(f"tss/{arch}")


def test_without_searches_their_page_says_so(page: Any, plain_address: str) -> None:
    page.goto(f"{plain_address}#/searches")
    expect(page.locator("#searches-state")).to_have_text("The database holds no search: natsdb search makes them.")
    expect(page.get_by_role("link", name="Searches")).to_be_hidden()


def test_at_400_pixels_searches_are_no_wider(browser: Any, searched_address: str) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 800})
    tab = context.new_page()
    tab.goto(f"{searched_address}#/searches")
    tab.locator("#searches details").first.wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") == 400
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_at_400_pixels_no_page_is_wider(browser: Any, sql_address: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme=scheme)
    tab = context.new_page()
    for address, ready in (("#/", "#board tbody tr"), ("#/sql", "#statement"), ("#/tss/1416", "#arch svg")):
        tab.goto(sql_address + address)
        tab.locator(ready).first.wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth") == 400
    # Text stands out from its ground: WCAG asks for 4.5.
    assert tab.evaluate(_CONTRAST) >= 4.5
    context.close()


_CONTRAST = """() => {
    const style = getComputedStyle(document.documentElement);
    const light = (name) => {
        const hex = style.getPropertyValue(name).trim().slice(1);
        const full = hex.length === 3 ? [...hex].map((c) => c + c).join("") : hex;
        const [r, g, b] = [0, 2, 4].map((n) => parseInt(full.slice(n, n + 2), 16) / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratios = ["--ink", "--soft", "--accent"].flatMap((ink) => ["--paper", "--panel"].map((ground) => {
        const [a, b] = [light(ink), light(ground)].sort();
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    }));
    return Math.min(...ratios);
}"""
