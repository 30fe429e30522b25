"""`natsdb publish`: a folder that the loaders of the Hugging Face Hub and of Croissant read, with the same numbers."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest
from typer.testing import CliRunner

import archives
import natsdb
from databases import contents, flip_in_page
from natsdb.api import create
from natsdb.cli import app
from natsdb.ingest import ingest, verify
from natsdb.ingest.hub.card import held_tables
from natsdb.ingest.hub.publish import publish
from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.schema.tables import SEARCH_TABLES, TABLES
from natsdb.search import search
from natsdb.store.check import check
from natsdb.store.snapshot import read_manifest


@pytest.fixture(scope="module")
def folder(made_up_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published folder of made-up rows. Read only."""
    return publish(tmp_path_factory.mktemp("hub") / "nats", made_up_db, repo="someone/nats")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))


def _tables(folder: Path) -> list[str]:
    return held_tables(read_manifest(folder))


def test_published_files_hold_every_row_and_bit_of_the_tables(folder: Path, made_up_db: Path) -> None:
    assert set(_tables(folder)) == set(TABLES) - set(SEARCH_TABLES)
    with natsdb.connect(made_up_db, unlocked=True) as connection:
        for name in _tables(folder):
            key = ", ".join(TABLES[name].key)
            # As text a float is the shortest that reads back as the same bits.
            both = [
                connection.execute(f"select columns(*)::varchar from {source} order by {key}").fetchall()
                for source in (name, f"read_parquet('{folder}/{name}/**/*.parquet', hive_partitioning = false)")
            ]
            assert both[0] == both[1]
            assert len(both[0]) > 0


def test_searches_are_published_with_their_steps(made_up_db: Path, tmp_path: Path) -> None:
    shutil.copytree(made_up_db, tmp_path / "db")
    for seed in (1, 2):
        asked = {"runs": 2, "budget": 2000, "seed": seed, "jobs": 1, "objectives": "accuracy,params"}
        search("random", "sss", "cifar10", tmp_path / "db", **asked)
    out = publish(tmp_path / "out", tmp_path / "db")
    for name in SEARCH_TABLES:
        expected = natsdb.scan(name, tmp_path / "db").collect()
        assert len(expected["search"].unique()) == 2
        key = list(TABLES[name].key)
        found = pl.read_parquet(f"{out}/{name}/**/*.parquet")
        assert found.sort(key).equals(expected.sort(key))
    assert "or of a search on them" in (out / "README.md").read_text(encoding="utf-8")


def test_the_loader_of_the_hub_reads_files_and_configurations(folder: Path, made_up_db: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the loader of the Hub is not installed")
    files = sorted(str(path) for path in (folder / "final").glob("**/*.parquet"))
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "one"))
    key = list(TABLES["final"].key)
    expected = natsdb.scan("final", made_up_db).collect().sort(key)
    assert loaded.column_names == expected.columns
    assert pl.from_arrow(loaded.data.table).sort(key).equals(expected)
    assert datasets.get_dataset_default_config_name(str(folder)) == "final"
    assert datasets.get_dataset_config_names(str(folder)) == _tables(folder)
    by_name = datasets.load_dataset(str(folder), "arch", split="train", cache_dir=str(tmp_path / "two"))
    assert len(by_name) == 48_393


def test_croissant_metadata_is_valid_and_yields_records(folder: Path, made_up_db: Path) -> None:
    croissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    loaded = croissant.Dataset(jsonld=folder / "croissant.json")
    assert not list(loaded.metadata.issues.errors)
    assert not list(loaded.metadata.issues.warnings)
    assert [one.name for one in loaded.metadata.record_sets] == _tables(folder)
    records = list(loaded.records("cost"))
    expected = natsdb.query("select * from cost", made_up_db)
    assert len(records) == len(expected)
    seconds = {record["cost/train_seconds"] for record in records}
    assert seconds == set(expected["train_seconds"])


def test_croissant_has_the_fields_that_version_1_1_requires(folder: Path) -> None:
    data = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))
    assert data["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    for name in (
        "@context",
        "@type",
        "conformsTo",
        "description",
        "license",
        "name",
        "url",
        "creator",
        "datePublished",
    ):
        assert data[name]
    fields = {field["@id"] for records in data["recordSet"] for field in records["field"]}
    assert {f"{name}/{column.name}" for name in _tables(folder) for column in TABLES[name].columns} == fields
    for one in data["distribution"]:
        if one["@type"] == "cr:FileObject":
            content = (folder / one["contentUrl"]).read_bytes()
            assert one["sha256"] == hashlib.sha256(content).hexdigest()
            assert one["contentSize"] == f"{len(content)} B"


def test_checksums_name_every_file(folder: Path) -> None:
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(files) == {*sums, "SHA256SUMS"}
    assert {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in sums} == sums


def test_the_card_says_licence_citation_columns_and_that_rows_are_generated(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    head = card.split("---\n")[1]
    assert "license: mit\n" in head
    assert "- config_name: final\n  data_files: final/**/*.parquet\n  default: true\n" in head
    assert "- synthetic\n" in head
    assert "**Not measurements.** Rows of source `synthetic` are generated" in card
    assert "doi     = {10.1109/TPAMI.2021.3054824}" in card
    for name in _tables(folder):
        for column in TABLES[name].columns:
            assert f"| `{column.name}` | {column.type} | " in card
    assert "seconds of training an epoch" in card
    assert 'load_dataset("someone/nats", "final"' in card


def test_a_card_of_official_rows_names_their_files_and_no_folders(real_db: Path, tmp_path: Path) -> None:
    card = (publish(tmp_path / "out", real_db) / "README.md").read_text(encoding="utf-8")
    assert "| official | tss | 200 | 2 | 24 | 9,630 |" in card
    assert "NATS-tss-v1_0-3ffb9-simple" in card
    assert "generated, not" not in card
    assert str(real_db.parent) not in card
    assert "/official" not in card


def test_published_twice_the_data_are_the_same_bytes(folder: Path, made_up_db: Path, tmp_path: Path) -> None:
    again = publish(tmp_path / "again", made_up_db, jobs=2)
    assert contents(again) == contents(folder)


def test_an_interrupted_publication_goes_on_with_the_files_that_are_done(made_up_db: Path, tmp_path: Path) -> None:
    calls = 0

    def interrupt(*_: object) -> None:
        nonlocal calls
        calls += 1
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        publish(out, made_up_db, progress=interrupt)
    assert calls == 1
    assert not out.exists()
    (part,) = tmp_path.glob(".out-*.part")
    done = {path: path.stat().st_mtime_ns for path in part.rglob("*.parquet")}
    assert len(done) > 1
    publish(out, made_up_db)
    assert not part.exists()
    assert {path: (out / path.relative_to(part)).stat().st_mtime_ns for path in done} == done
    assert not list(out.rglob("*.tmp"))


def test_a_damaged_file_of_an_interrupted_publication_is_named(folder: Path, made_up_db: Path, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        publish(out, made_up_db, progress=interrupt)
    (unfinished,) = tmp_path.glob(".out-*.part")
    shutil.rmtree(unfinished)
    shutil.copytree(folder, unfinished)  # as if it had been interrupted at the end
    path = next(unfinished.glob("seed/**/*.parquet"))
    flip_in_page(path, "arch")
    with pytest.raises(Damaged, match=rf"{path.name}: the file is damaged .*; remove it, .* makes it again"):
        publish(out, made_up_db)
    path.unlink()
    publish(out, made_up_db)
    assert (out / path.relative_to(unfinished)).read_bytes() == (folder / path.relative_to(unfinished)).read_bytes()


def test_a_published_folder_is_a_database(
    folder: Path, made_up_db: Path, made_up: dict[str, Path], tmp_path: Path
) -> None:
    for question in (
        "from best('cifar100', 'x-test', '200')",
        "from curve('sss', 40, 'cifar10', '90')",
        "select * from metric order by all",
    ):
        assert natsdb.query(question, folder).equals(natsdb.query(question, made_up_db))
    assert natsdb.scan("final", folder).collect().equals(natsdb.scan("final", made_up_db).collect())
    assert natsdb.info(folder).contents == natsdb.info(made_up_db).contents
    assert not check(folder).findings
    # The facade reads rows by their place in a block's file.
    asked = [("cifar10", {"hp": "90", "is_random": 777}), ("ImageNet16-120", {"hp": "01", "iepoch": 0})]
    ours, theirs = (create(home, "sss", verbose=False) for home in (folder, made_up_db))
    for dataset, options in asked:
        assert ours.get_more_info(40, dataset, **options) == theirs.get_more_info(40, dataset, **options)
    assert verify(made_up["tss"], folder, name="synthetic").count == 0
    # A copy of it is written like any database, and published again: the same files.
    shutil.copytree(folder, tmp_path / "copy")
    archives.write_folder(tmp_path / "more", "sss", [21], jobs=1)
    ingest([tmp_path / "more"], tmp_path / "copy", source="synthetic")
    assert natsdb.query("select count(distinct arch) from seed where space = 'sss'", tmp_path / "copy").item() == 71
    again = publish(tmp_path / "again", folder)
    assert contents(again) == contents(folder)


def test_attached_tables_are_published(made_up_db: Path, tmp_path: Path) -> None:
    shutil.copytree(made_up_db, tmp_path / "db")
    rows = pl.DataFrame({"arch": [0, 20], "latency": [1.5, 2.5]})
    natsdb.attach(rows, "phone", tmp_path / "db", space="tss", key="arch", partial=True, licence="CC-BY-4.0")
    out = publish(tmp_path / "out", tmp_path / "db")
    ask = "select arch, latency from phone where space = 'tss' order by arch"
    assert natsdb.query(ask, out).rows() == [(0, 1.5), (20, 2.5)]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "- config_name: phone\n  data_files: attached/phone/**/*.parquet\n" in card
    assert "licence: CC-BY-4.0" in card


def test_trained_weights_are_published_with_their_digests(tmp_path: Path) -> None:
    archives.write_full_folder(tmp_path / "full", "sss", [20, 40])
    ingest([tmp_path / "full"], tmp_path / "db", weights=True)
    out = publish(tmp_path / "out", tmp_path / "db")
    found = sorted(path.relative_to(out).as_posix() for path in out.glob("weights/*/*/*"))
    listed = read_manifest(tmp_path / "db").weights
    assert found == [one.path for one in listed]
    sums = dict(reversed(line.split("  ")) for line in (out / "SHA256SUMS").read_text().splitlines())
    assert all(sums[one.path] == one.sha256 for one in listed)
    assert "Trained weights of 2 architectures are in `weights/`" in (out / "README.md").read_text()
    damaged = tmp_path / "db" / listed[0].path
    data = bytearray(damaged.read_bytes())
    damaged.unlink()
    data[-1] ^= 1
    damaged.write_bytes(data)
    with pytest.raises(Damaged, match=r"\.safetensors: the file is damaged"):
        publish(tmp_path / "again", tmp_path / "db")


def test_a_folder_that_is_there_and_a_bad_name_are_refused(made_up_db: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NatsdbError, match="there is something already; name a new folder"):
        publish(tmp_path, made_up_db)
    with pytest.raises(NatsdbError, match="is no name at the Hub; give OWNER/NAME"):
        publish(tmp_path / "new", made_up_db, repo="https://huggingface.co/x")
    assert (tmp_path / "file").read_text() == "mine"


def test_publish_from_the_command_line(made_up_db: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["publish", str(tmp_path / "out"), "--db", str(made_up_db)])
    assert (result.exit_code, result.stdout.strip()) == (0, str(tmp_path / "out"))
    assert "its card says so" in result.stderr
    shutil.rmtree(tmp_path / "out")
    assert "Example: natsdb publish" in CliRunner().invoke(app, ["publish", "--help"]).stdout


def test_the_cards_sql_runs_on_the_folder(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    statement = re.search(r"```sql\n(.*?)```", card, flags=re.DOTALL)[1]  # type: ignore[index]
    local = statement.replace("hf://datasets/someone/nats", str(folder))
    assert len(duckdb.sql(local).fetchall()) == 10
