"""Pictures: what they show is what the database says; where it says nothing, an error says what there is."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import natsdb
from databases import keep_made_up_search
from natsdb import plot
from natsdb.cli import app
from natsdb.ingest import collect, ingest
from natsdb.ingest.attached import keep_attached
from natsdb.plot import Measured
from natsdb.schema.errors import NatsdbError
from natsdb.store.locations import BUILTIN, EMBEDDED
from natsdb.store.manifest import Attached, Measure


@pytest.fixture(scope="module")
def con(made_up_db: Path) -> Any:
    return natsdb.connect(made_up_db)


@pytest.fixture(scope="module")
def published_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published table, without FLOPs, of every tenth topology: accuracies by their indexes."""
    folder = tmp_path_factory.mktemp("published")
    key = {"space": "tss", "hp": "200", "arch": range(0, 15_625, 5), "dataset": "cifar100", "split": "ori-test"}
    frame = pl.DataFrame(key, schema_overrides={"arch": pl.Int64})
    frame.with_columns(accuracy=pl.col("arch") % 997 / 10).write_parquet(folder / "table.parquet")
    ingest([folder / "table.parquet"], folder / "db")
    return folder / "db"


def _layers(chart: Any) -> list[pl.DataFrame]:
    """The data of each layer of a chart or of its panels, one after the other; once where layers share them."""
    found = []
    for panel in getattr(chart, "concat", [chart]):
        for part in getattr(panel, "layer", [panel]):
            values = getattr(part.data, "values", None) or getattr(panel.data, "values", None)
            found.append(pl.read_csv(io.StringIO(values)) if isinstance(values, str) else pl.DataFrame(values))
    return found


def _said(chart: Any) -> str:
    return json.dumps(chart.to_dict())


def test_what_is_not_said_is_the_longest_schedule_and_the_first_split_there_is(con: Any, published_db: Path) -> None:
    assert plot.measured(con, "tss", "cifar100") == Measured("cifar100", "x-valid", "200")
    assert plot.measured(con, "tss", "cifar10", hp="12") == Measured("cifar10", "ori-test", "12")
    assert plot.measured(con, "sss", "cifar100", "x-test") == Measured("cifar100", "x-test", "90")
    with natsdb.connect(published_db) as other:
        assert plot.measured(other, "tss", "cifar100") == Measured("cifar100", "ori-test", "200")
        with pytest.raises(NatsdbError, match="no accuracies of tss with the split 'x-valid'; there is ori-test"):
            plot.measured(other, "tss", "cifar100", "x-valid")
        with pytest.raises(NatsdbError, match="no accuracies of the space 'sss'"):
            plot.measured(other, "sss", "cifar100")


def test_titles_count_runs_and_of_published_means_none(con: Any) -> None:
    named = Measured("cifar10", "ori-test", "200")
    runs = con.sql("from final where space = 'tss' and dataset = 'cifar10' and split = 'ori-test' and hp = '200'").pl()
    assert f"70 of 15,625 architectures, {len(runs)} runs" in _said(plot.scatter(con, "tss", *named))
    with natsdb.connect(BUILTIN) as own:
        means = "15,625 architectures, means over runs"
        assert f"in front of {means}" in _said(plot.pareto(own, "tss", *named))
        assert means in _said(plot.rank(own, "tss", [named, named._replace(hp="12")]))
        valid = Measured("cifar10-valid", "x-valid", "200")
        assert "15,625 architectures, 39,419 runs" in _said(plot.pareto(own, "tss", *valid))


@pytest.mark.parametrize("cost", ["flops", "params", "latency", "train_seconds"])
def test_scatter_shows_every_architecture_and_the_front(con: Any, cost: str) -> None:
    chart = plot.scatter(con, "tss", "cifar100", "x-valid", "200", cost)
    cloud, front, *_ = _layers(chart)
    expected = con.sql(
        f"select {cost} as cost, accuracy from mean_final join mean_cost using (space, hp, arch, dataset) "
        "where space = 'tss' and dataset = 'cifar100' and split = 'x-valid' and hp = '200'"
    ).pl()
    assert cloud.sort(pl.all()).equals(expected.sort(pl.all()))
    pareto = con.sql(f"from pareto('cifar100', 'x-valid', '200', '{cost}')").pl()
    assert front["arch"].to_list() == pareto["arch"].to_list()
    assert "70 of 15,625 architectures" in _said(chart)
    assert "(synthetic)" in _said(chart)


def test_resnets_cell_and_the_largest_candidate_are_marked(published_db: Path, tmp_path: Path) -> None:
    names = {"|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|": "ResNet"}
    with natsdb.connect(published_db) as connection:
        held = connection.sql("select arch, arch_str from arch join mean_final using (space, arch)").pl()
        chart = plot.scatter(connection, "tss", "cifar100", "ori-test", "200")
    marked = {name for name in names.values() if f'"{name}' in _said(chart) or f",{name}" in _said(chart)}
    there = {names[text] for text in held["arch_str"] if text in names}
    assert marked == there


def test_costs_of_a_source_that_records_none_are_the_formulas(published_db: Path) -> None:
    with natsdb.connect(published_db) as connection:
        cloud = _layers(plot.scatter(connection, "tss", "cifar100", "ori-test", "200"))[0]
        expected = connection.sql(
            "select flops from arch_cost join mean_final using (space, arch, dataset) where dataset = 'cifar100'"
        ).pl()
        assert cloud["cost"].sort().to_list() == expected["flops"].sort().to_list()
        with pytest.raises(
            NatsdbError, match="no architecture of tss has an accuracy and latency of cifar100, ori-test"
        ):
            plot.scatter(connection, "tss", "cifar100", "ori-test", "200", "latency")


def test_a_front_names_its_architectures_as_far_as_there_is_room(published_db: Path) -> None:
    with natsdb.connect(published_db) as connection:
        line = _layers(plot.pareto(connection, "tss", "cifar100", "ori-test", "200"))[0]
        front = connection.sql("from pareto('cifar100', 'ori-test', '200', 'flops')").pl()
    assert line["arch"].to_list() == front["arch"].to_list()
    labelled = line.filter(pl.col("label").is_not_null())
    assert labelled["arch"].to_list() == labelled["label"].to_list()
    assert labelled["arch"][-1] == front["arch"][-1]


def test_ranks_are_places_and_the_title_says_both_correlations(con: Any) -> None:
    asked = [Measured("cifar100", "x-valid", hp) for hp in ("12", "200")]
    chart = plot.rank(con, "tss", asked)
    places = _layers(chart)[0]
    assert sorted(places["x"]) == sorted(places["y"]) == list(range(1, 71))
    _, spearman, kendall = con.sql("from rank_correlation('cifar100', '12', '200')").fetchall()[0]
    assert f"Spearman {spearman:.3f}, Kendall {kendall:.3f}" in _said(chart)
    best = con.sql(
        "select arch from leaderboard where space = 'tss' and dataset = 'cifar100' and split = 'x-valid' "
        "and hp = '12' and rank = 1"
    ).fetchall()[0]
    late = con.execute(
        "select rank from leaderboard where space = 'tss' and dataset = 'cifar100' and split = 'x-valid' "
        "and hp = '200' and arch = ?",
        best,
    ).fetchall()[0][0]
    assert places.filter(pl.col("x") == 1)["y"].to_list() == [late]


def test_many_places_are_counted_in_fields(published_db: Path) -> None:
    one = Measured("cifar100", "ori-test", "200")
    with natsdb.connect(published_db) as connection:
        fields = _layers(plot.rank(connection, "tss", [one, one]))[0]
    assert fields["archs"].sum() == 3125
    assert (fields["left"] - fields["low"]).abs().max() == 0  # the same ranking: all on the diagonal


def test_one_ranking_or_two_without_a_common_architecture_are_refused(con: Any) -> None:
    one = Measured("cifar100", "x-valid", "200")
    with pytest.raises(NatsdbError, match="one ranking is nothing to compare"):
        plot.rank(con, "tss", [one])
    with pytest.raises(NatsdbError, match="no two architectures of tss in common"):
        plot.rank(con, "tss", [one, Measured("cifar100", "x-valid", "01")])


def test_curves_show_each_epoch_of_each_run_and_split(con: Any) -> None:
    chart = plot.curves(con, "sss", 20, "cifar100", "90")
    rows = _layers(chart)[0]
    expected = con.sql(
        "select epoch, split, accuracy from metric "
        "where space = 'sss' and arch = 20 and dataset = 'cifar100' and hp = '90'"
    ).pl()
    mine = rows.select("epoch", "split", "accuracy").sort(pl.all())
    assert mine["accuracy"].to_list() == expected.sort(pl.all())["accuracy"].to_list()
    with pytest.raises(
        NatsdbError, match=r"there is no curve of sss 21 .* there are those of 0, 20, 40, .* and 62 more"
    ):
        plot.curves(con, "sss", 21, "cifar100", "90")


def test_a_last_epoch_is_no_curve(published_db: Path) -> None:
    with natsdb.connect(published_db) as connection, pytest.raises(NatsdbError, match="the last epoch alone is known"):
        plot.curves(connection, "tss", 0, "cifar100", "200")


@pytest.fixture(scope="module")
def scored(made_up_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The made-up database with a table of two measures, one of them with a meaning and a unit."""
    home = tmp_path_factory.mktemp("scored") / "db"
    shutil.copytree(made_up_db, home)
    archs = range(0, 1400, 20)
    columns = {"ms": [float(arch * 7919 % 1009) for arch in archs], "flipped": [-float(arch) for arch in archs]}
    table = pa.table({"space": ["tss"] * 70, "arch": pa.array(archs, pa.int32()), **columns})
    measures = (Measure("ms", "DOUBLE", "latency on a board; -1: none", "ms"), Measure("flipped", "DOUBLE"))
    keep_attached(home, Attached("mine", ("space", "arch"), measures, 0), table)
    return natsdb.connect(home)


@pytest.mark.parametrize("draw", [plot.scatter, plot.pareto])
def test_any_measure_is_a_cost_and_the_axis_says_what_it_is(scored: Any, draw: Any) -> None:
    chart = draw(scored, "tss", "cifar100", "x-valid", "200", "mine.ms")
    front = scored.sql("from pareto('cifar100', 'x-valid', '200', 'mine.ms')").pl()
    assert any(
        layer["cost"].to_list() == front["cost"].to_list() for layer in _layers(chart) if "cost" in layer.columns
    )
    assert '["latency on a board (ms)", "mine.ms"]' in _said(chart)
    assert '"mine.flipped"' in _said(draw(scored, "tss", "cifar100", "x-valid", "200", "mine.flipped"))
    with pytest.raises(NatsdbError, match=r"there is no measure mine\.mss"):
        draw(scored, "tss", "cifar100", "x-valid", "200", "mine.mss")


def test_bars_are_the_correlations_strongest_first(scored: Any) -> None:
    asked = [Measured("cifar100", "x-valid", "200"), Measured("cifar10-valid", "x-valid", "200")]
    chart = plot.correlations(scored, "tss", asked, "mine", 0.5)
    for panel, one in zip(chart.hconcat, asked, strict=True):
        wide, narrow, *figures = _layers(panel)
        for layer, top in ((wide, 1), (narrow, 0.5)):
            expected = scored.sql(
                f"select measure[6:] as measure, spearman from correlations('{one.dataset}', 'x-valid', '200', "
                f"top := {top}, of := 'mine')"
            ).pl()
            assert dict(layer.rows()) == pytest.approx(dict(expected.rows()))
        assert sorted(row[1] for layer in figures for row in layer.rows()) == pytest.approx(sorted(narrow["spearman"]))
    strength = {
        name: sum(
            abs(
                scored.sql(
                    f"select spearman from correlation('mine.{name}', '{one.dataset}', 'x-valid', '200')"
                ).fetchall()[0][0]
            )
            for one in asked
        )
        for name in ("ms", "flipped")
    }
    order = chart.to_dict()["hconcat"][0]["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert order == sorted(strength, key=lambda name: -strength[name])
    with pytest.raises(NatsdbError, match="no measure of yours ranks architectures of tss"):
        plot.correlations(scored, "tss", asked, "yours")


def test_a_measures_points_lie_at_their_ranks(scored: Any) -> None:
    chart = plot.correlation(scored, "tss", [Measured("cifar100", "x-valid", "200")], "mine.ms", 0.5)
    points = pl.read_csv(io.StringIO(chart.data.values))
    assert points["place"].to_list() == list(range(1, 36))
    _, spearman, kendall = scored.sql(
        "from correlation('mine.ms', 'cifar100', 'x-valid', '200', top := 0.5)"
    ).fetchall()[0]
    assert f"Spearman {spearman:.3f}, Kendall {kendall:.3f}" in _said(chart)
    assert "35 of 15,625 architectures, the best 50 %" in _said(chart)
    with pytest.raises(NatsdbError, match=r"no two architectures of sss have mine\.ms"):
        plot.correlation(scored, "sss", [Measured("cifar100", "x-valid", "90")], "mine.ms")


def test_every_picture_is_drawn_from_the_command_line(made_up_db: Path, tmp_path: Path) -> None:
    about = ["--space", "tss", "--dataset", "cifar100", "--db", str(made_up_db)]
    for command in (
        ["scatter", *about, "-o", "scatter.png"],
        ["pareto", *about, "--cost", "latency", "-o", "pareto.svg"],
        ["curves", *about, "--arch", "40", "-o", "curves.html"],
        ["correlation", *about, "--measure", "flops", "-o", "correlation.svg"],
        ["rank", *about, "--hp", "12,200", "-o", "rank.svg"],
    ):
        path = tmp_path / command[-1]
        done = CliRunner().invoke(app, ["plot", *command[:-1], str(path)])
        assert (done.exit_code, done.output) == (0, f"{path}\n"), done.output
        head = path.read_bytes()[:400]
        assert {".png": b"\x89PNG", ".svg": b"<svg", ".html": b"<!DOCTYPE html>"}[path.suffix] in head
    assert re.search(r"Spearman -?0\.\d{3}, Kendall", (tmp_path / "rank.svg").read_text())


def test_two_sources_are_compared_from_the_command_line(tmp_path: Path) -> None:
    collect(EMBEDDED / "runs", tmp_path / "db", source="a")
    collect(EMBEDDED / "runs", tmp_path / "db", source="b")
    options = ["--db", str(tmp_path / "db"), "--source", "a", "--with", "b", "-o", str(tmp_path / "a.svg")]
    done = CliRunner().invoke(app, ["plot", "compare", *options])
    assert done.exit_code == 0, done.output
    assert "37 of 15,625 architectures, Spearman 1.000" in (tmp_path / "a.svg").read_text()


def test_lines_of_many_searches_differ_in_colour_or_dashes(made_up_db: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(made_up_db, tmp_path / "db"))
    for number in range(19):
        keep_made_up_search(home, f"s{number}", f"search{number:02}", {0: [(100.0, 20), (300.0, 40)]})
    with natsdb.connect(home) as connection:
        drawn = plot.searches(connection, "tss", "test").to_dict()
    line = drawn["vconcat"][0]["hconcat"][0]["layer"][1]["encoding"]
    looks = zip(line["color"]["scale"]["range"], map(tuple, line["strokeDash"]["scale"]["range"]), strict=True)
    assert len(set(looks)) == 19
