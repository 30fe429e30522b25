"""Bad input: one sentence with file, key and remedy, exit code 1, and nothing published."""

from __future__ import annotations

import bz2
import io
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import tarfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import archives
import natsdb
from databases import relist
from natsdb import api
from natsdb.cli import app
from natsdb.ingest import ingest, verify
from natsdb.ingest.archive import unpickle
from natsdb.ingest.archive.records import _stretches
from natsdb.ingest.archive.sources import _Joined, open_source
from natsdb.schema.errors import Damaged, Missing, NatsdbError

BAD = "000020.pickle.pbz2"


def _refused(sources: list[Path], home: Path) -> str:
    """The sentence with which a source is refused; the database is not there afterwards."""
    result = CliRunner().invoke(app, ["ingest", *map(str, sources), "--db", str(home)])
    assert result.exit_code == 1
    assert not (home / "natsdb.json").exists()
    assert result.stderr.startswith("natsdb: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_a_truncated_file(few: Path, tmp_path: Path) -> None:
    data = (few / BAD).read_bytes()
    (few / BAD).write_bytes(data[: len(data) // 2])
    message = _refused([few], tmp_path / "db")
    assert BAD in message
    assert "truncated" in message
    assert "download the file again" in message


def test_a_flipped_bit(few: Path, tmp_path: Path) -> None:
    data = bytearray((few / BAD).read_bytes())
    data[len(data) // 2] ^= 4
    (few / BAD).write_bytes(data)
    assert BAD in _refused([few], tmp_path / "db")


def test_an_error_without_words_is_said_by_its_kind() -> None:
    for error, said in (
        (MemoryError(), "MemoryError"),
        (EOFError("it ends\nhere"), "it ends"),
        (OSError("400, message:\n  no gzip\n  at all"), "400, message: no gzip"),
    ):
        assert f"x.pbz2: the pickle cannot be read ({said}); " in str(unpickle.damaged("x.pbz2", error))


def test_an_empty_file(few: Path, tmp_path: Path) -> None:
    (few / BAD).write_bytes(b"")
    assert BAD in _refused([few], tmp_path / "db")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda run: run["eval_losses"].update({"x-test@3": "low"}), "eval_losses: expected a number, found str 'low'"),
        (lambda run: run["train_losses"].update({3: None}), "train_losses: expected a number"),
        (lambda run: run["train_losses"].pop(3), "train_losses: expected epochs 0 to 11"),
        (lambda run: run["eval_acc1es"].pop("x-test@3"), "eval_losses: it has other epochs"),
        (lambda run: run["eval_acc1es"].update({"z-test@3": 1.0}), "eval_acc1es['z-test@3']"),
        (lambda run: run["eval_times"].update({"x-test@99": 1.0}), "the run has only 12 epochs"),
        (lambda run: run.update(seed="0889"), "seed: '0889' is not the seed of the key"),
        (lambda run: run.update(seed=" 888"), "seed: ' 888' is not the seed of the key"),
        (lambda run: run.update(seed=888.0), "seed: 888.0 is not the seed of the key"),
        (lambda run: run.update(epochs="12"), "epochs: expected a number of epochs"),
        (lambda run: run.update(epochs=0), "epochs: expected a number of epochs, found 0"),
        (lambda run: run.update(epochs=1 << 15), "epochs: expected a number of epochs, found 32768"),
        (lambda run: run.update(name="cifar10"), "name: 'cifar10' is not the data set of the key"),
        (lambda run: run.update(latency=1.0), "latency: expected a list of numbers"),
        (lambda run: run.pop("flop"), "fields missing or unknown: flop"),
        (lambda run: run.update(train_acc1es=[1.0]), "train_acc1es: expected a dictionary of epochs, found list"),
        (lambda run: run.update(params=True), "params: expected a number, found bool"),
        (lambda run: run.update(seed=np.int64(888)), f"seed: {np.int64(888)!r} is not the seed of the key"),
        (lambda run: run.update(seed="eight"), "seed: 'eight' is not the seed of the key"),
        (lambda run: run.update(arch_config=["C"]), "arch_config: expected a dictionary of texts and whole numbers"),
        (lambda run: run["arch_config"].update(C=1.5), "arch_config: expected a dictionary of texts and whole numbers"),
    ],
)
def test_a_wrong_field_is_named(
    few: Path, tmp_path: Path, rewritten: Any, change: Callable[[Any], None], key: str
) -> None:
    rewritten(few / BAD, lambda record: change(record["12"]["all_results"]["cifar100", 888]))
    message = _refused([few], tmp_path / "db")
    assert f"few/{BAD}: key 12.all_results[('cifar100', 888)]" in message
    assert key in message


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda record: record["12"].update(arch_index=21), "12.arch_index: 21 is not the architecture's index 20"),
        (lambda record: record["12"].update(arch_str="8:8:8:8:8"), "12.arch_str: '8:8:8:8:8' is not architecture 20"),
        (lambda record: record.update({"012": record["12"]}), "key '012': an hp is a number of epochs"),
        (lambda record: record["12"]["dataset_seed"]["cifar10"].append(1), "12.dataset_seed: it lists other runs"),
        (lambda record: record["12"].pop("clear_net_done"), "12: fields missing or unknown: clear_net_done"),
        (lambda record: record["12"].update(all_results={}), "12.all_results: expected a dictionary of runs"),
    ],
)
def test_a_wrong_record_is_named(
    few: Path, tmp_path: Path, rewritten: Any, change: Callable[[Any], None], key: str
) -> None:
    rewritten(few / BAD, change)
    assert key in _refused([few], tmp_path / "db")


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("form", ["folder", "file", "single"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(few: Path, tmp_path: Path, form: str) -> None:
    mark = tmp_path / "ran"
    if form == "single":
        source = archives.write_single(tmp_path, "sss", {0: archives.record("sss", 0), 1: _Evil(mark)})
    else:
        (few / BAD).write_bytes(bz2.compress(pickle.dumps(_Evil(mark), protocol=4)))
        source = few if form == "folder" else few / BAD
    assert "system, which no official file uses" in _refused([source], tmp_path / "db")
    assert not mark.exists()


def test_numpy_names_that_official_files_use_admit_nothing_else(few: Path, tmp_path: Path) -> None:
    import numpy as np

    (few / BAD).write_bytes(bz2.compress(pickle.dumps(OrderedDict(x=np.str_("text")), protocol=4)))
    assert "NumPy type" in _refused([few], tmp_path / "db")
    (few / BAD).write_bytes(bz2.compress(pickle.dumps(OrderedDict(x=np.zeros(3)), protocol=4)))
    assert "_reconstruct, which no official file uses" in _refused([few], tmp_path / "db")


def test_an_index_outside_the_space(few: Path, tmp_path: Path) -> None:
    (few / BAD).rename(few / "032768.pickle.pbz2")
    assert "index 32768 is outside the space sss" in _refused([few], tmp_path / "db")


@pytest.mark.parametrize("index", [32_768, -1])
def test_an_index_outside_the_space_in_a_single_file(tmp_path: Path, index: int) -> None:
    records = {arch: archives.record("sss", arch) for arch in (0, 1)}
    source = archives.write_single(tmp_path / "single", "sss", {0: records[0], index: records[1]})
    message = _refused([source], tmp_path / "db")
    assert f"{source.name}: the pickle cannot be read (index {index} is outside the space sss)" in message


def test_an_architecture_that_is_there_twice(few: Path, tmp_path: Path) -> None:
    shutil.copy(few / BAD, few / "20.pickle.pbz2")
    message = _refused([few], tmp_path / "db")
    assert "architecture 20 is there twice" in message


@pytest.mark.parametrize("member", ["../000020.pickle.pbz2", "/000020.pickle.pbz2", "few/../../000020.pickle.pbz2"])
def test_a_tar_member_outside_its_folder(few: Path, tmp_path: Path, member: str) -> None:
    path = archives.write_tar(few, tmp_path / "a.tar")
    with tarfile.open(path, "a") as archive:
        header = tarfile.TarInfo(member)
        header.size = 5
        archive.addfile(header, io.BytesIO(b"12345"))
    assert "would leave the archive's folder" in _refused([path], tmp_path / "db")


def test_files_read_as_one_are_read_whole(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_bytes(path.name.encode() * 5)
    with _Joined(tuple(map(str, paths))) as joined:
        assert (joined.read(3), joined.read(), joined.read()) == (b"aaa", b"aabbbbb", b"")


def test_a_truncated_tar_and_a_missing_chunk(few: Path, tmp_path: Path) -> None:
    path = archives.write_tar(few, tmp_path / "a.tar")
    data = path.read_bytes()
    without_end = -(-len(data.rstrip(b"\0")) // 512) * 512
    for cut in (without_end, len(data) // 2, len(data) // 2 - 7, 700):
        path.write_bytes(data[:cut])
        assert "a.tar" in _refused([path], tmp_path / "db")
    path.write_bytes(data)
    archives.split_file(path, 3, "abc")[1].unlink()
    assert "a.tarb is missing" in _refused([tmp_path / "a.tara"], tmp_path / "db")


def test_a_tar_with_a_damaged_header_or_end(few: Path, tmp_path: Path) -> None:
    path = archives.write_tar(few, tmp_path / "a.tar")
    with tarfile.open(path, "a") as archive:
        archive.addfile(tarfile.TarInfo("last"))  # its header is all of it: empty blocks follow
        last = archive.offset - 512
    data = path.read_bytes()
    for at, said in ((last, f"a damaged header at byte {last}"), (len(data) - 1, "truncated or damaged")):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        assert said in _refused([path], tmp_path / "db")
    # Two empty blocks are end enough, and nothing but these is looked at.
    with tarfile.open(path, "w") as archive:
        archive.add(few, "few")
        whole = tarfile.TarInfo("last")
        whole.size = 512
        archive.addfile(whole, io.BytesIO(b"x" * 512))
        end = archive.offset
    path.write_bytes(path.read_bytes()[:end].ljust(end + 1024, b"\0"))
    assert [entry.arch for entry in open_source(str(path)).entries] == [0, 20, 40]


def test_the_space_is_that_of_the_first_record_among_twenty_that_can_be_read(few: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for arch in range(20):
        (folder / f"{arch:06d}.pickle.pbz2").write_bytes(b"damaged")
    shutil.copy(few / BAD, folder / "000020.pickle.pbz2")
    assert "000000.pickle.pbz2" in _refused([folder], tmp_path / "db")
    (folder / "000000.pickle.pbz2").unlink()
    assert open_source(str(folder)).space == "sss"


def test_sources_that_are_nothing_of_ours(tmp_path: Path, official: dict[str, Path]) -> None:
    (tmp_path / "empty").mkdir()
    assert "there is no record" in _refused([tmp_path / "empty"], tmp_path / "db")
    assert "no such file" in _refused([tmp_path / "nowhere"], tmp_path / "db")
    (tmp_path / "text").write_text("hello")
    assert "no official form" in _refused([tmp_path / "text"], tmp_path / "db")
    assert "it holds no records" in _refused([official["tss"] / "meta.pickle.pbz2"], tmp_path / "db")


def test_a_single_file_whose_md5_is_not_the_one_in_its_name(tmp_path: Path) -> None:
    path = archives.write_single(tmp_path, "sss", {0: archives.record("sss", 0)})
    wrong = path.rename(path.with_name("NATS-sss-v1_0-00000.pickle.pbz2"))
    assert "its name says 00000" in _refused([wrong], tmp_path / "db")


def test_a_damaged_single_file(tmp_path: Path) -> None:
    path = archives.write_single(tmp_path, "sss", {n: archives.record("sss", n) for n in range(3)}, name_md5=False)
    data = path.read_bytes()
    late = len(data) * 9 // 10
    # At the end, in what is read to tell what it is, and behind that.
    for damaged in (
        data[: len(data) // 2],
        data[:-20],
        data[:5000] + b"\x00" + data[5001:],
        data[:late] + bytes([data[late] ^ 0xFF]) + data[late + 1 :],
    ):
        path.write_bytes(damaged)
        assert f"{path.name}: the bz2 data is " in _refused([path], tmp_path / "db")


def test_keep_going_ingests_the_rest_and_lists_what_it_left_out(few: Path, tmp_path: Path) -> None:
    (few / BAD).write_bytes(b"BZh9 not really")
    result = CliRunner().invoke(app, ["ingest", str(few), "--db", str(tmp_path / "db"), "--keep-going"])
    assert result.exit_code == 1
    assert "1 records left out" in result.stderr
    assert BAD in result.stderr
    assert "2 architectures" in result.stdout
    with pytest.raises(Damaged, match=BAD):
        verify(few, tmp_path / "db")
    result = CliRunner().invoke(app, ["verify", str(few), "--db", str(tmp_path / "db"), "--keep-going"])
    assert result.exit_code == 1
    assert "1 records that cannot be read" in result.stderr
    assert re.match(r"2 records, \d\d,\d{3} numbers: all equal, bit for bit", result.stdout)
    (few / BAD).unlink()
    assert verify(few, tmp_path / "db").count == 0


def test_verify_says_when_the_database_has_no_rows_to_compare(few: Path, tmp_path: Path) -> None:
    """One sentence, and not a difference for each record."""
    ingest([few], tmp_path / "db", source="mine")
    with pytest.raises(Missing, match=r"db: there are no rows of source 'official', space '\wss'; there is mine"):
        verify(few, tmp_path / "db")
    assert verify(few, tmp_path / "db", name="mine").count == 0


def _mutations(data: bytes, count: int, seed: int) -> Any:
    draw = random.Random(seed)
    for number in range(count):
        place = draw.randrange(len(data))
        if number % 3 == 0:
            yield data[:place]
        else:
            flipped = bytearray(data)
            flipped[place] ^= 1 << draw.randrange(8)
            yield bytes(flipped)


def _mutation_loop(tmp_path: Path, count: int, level: str) -> None:
    """Damaged files are refused; what is not refused has the very rows of the original."""
    folder = tmp_path / "mutated"
    folder.mkdir()
    record = archives.record("sss", 20)
    for hp in ("12", "90"):
        del record[hp]
    plain = pickle.dumps(record, protocol=4)
    original = bz2.compress(plain)
    home = tmp_path / "db"
    path = folder / BAD
    path.write_bytes(original)
    ingest([folder], home)
    refused = 0
    for mutated in _mutations(original if level == "file" else plain, count, seed=count):
        path.write_bytes(mutated if level == "file" else bz2.compress(mutated))
        # Against the database of the original: other rows are a contradiction.
        try:
            changed = ingest([folder], home).changed
        except NatsdbError:
            refused += 1
        else:
            assert not changed
    assert refused > count * 0.8


def test_mutated_files_are_refused(tmp_path: Path) -> None:
    _mutation_loop(tmp_path, 60, "file")


def test_mutated_pickles_are_refused_or_harmless(tmp_path: Path) -> None:
    _mutation_loop(tmp_path, 60, "pickle")


@pytest.mark.slow
@pytest.mark.parametrize("level", ["file", "pickle"])
def test_a_thousand_mutations(tmp_path: Path, level: str) -> None:
    _mutation_loop(tmp_path, 1000, level)


@pytest.mark.parametrize("column", ["arch", "dataset", "seed", "split", "epoch"])
def test_keys_that_contradict_the_table_seed_are_found(
    official: dict[str, Path], real_db: Path, tmp_path: Path, column: str
) -> None:
    home = tmp_path / "db"
    shutil.copytree(real_db, home)
    path = next((home / "metric").glob("*/space=sss/hp=12/*/*.parquet"))
    rows = pq.ParquetFile(path).read()
    # The keys of the first and the last row change places: as many of each are there.
    values = rows[column].to_pylist()
    values[0], values[-1] = values[-1], values[0]
    field = rows.schema.field(column)
    changed = rows.set_column(rows.schema.get_field_index(column), field, pa.array(values, field.type))
    pq.write_table(changed, path, row_group_size=len(rows))
    relist(home)
    with pytest.raises(NatsdbError, match=f"its column {column} is not what the table seed says; ingest the sources"):
        verify(official["sss"], home)


@pytest.mark.parametrize("table", ["metric", "final", "cost"])
def test_missing_rows_are_found(real_db: Path, tmp_path: Path, table: str) -> None:
    home = tmp_path / "db"
    shutil.copytree(real_db, home)
    path = next((home / table).glob("*/space=sss/hp=12/*/*.parquet"))
    rows = pq.ParquetFile(path).read()
    pq.write_table(rows.slice(0, len(rows) - 1), path)
    for ask in (lambda: api.create(str(home), "sss", verbose=False), lambda: natsdb.connect(home)):
        with pytest.raises(Damaged, match=rf"{path.name}: the file has [\d,]+ bytes and not .*natsdb check"):
            ask()


def test_a_script_without_its_guard_is_told_so(few: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    text = f"""
from natsdb.ingest import ingest
from natsdb.schema.errors import NatsdbError
try:
    ingest([{str(few)!r}], {str(tmp_path / "db")!r}, jobs=2, source=SOURCE)
except NatsdbError as error:
    print(error)
"""
    # Two blocks, so that there is work for two processes.
    shutil.copy(archives.write_folder(tmp_path / "more", "sss", [1500]) / "001500.pickle.pbz2", few)
    script.write_text(text.replace("SOURCE", "'official'"))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith('the script has no guard `if __name__ == "__main__":`')
    assert done.stdout.endswith("put what the script does below that guard, or say jobs=1\n")
    assert done.stderr == ""
    assert not (tmp_path / "db" / "natsdb.json").exists()
    # Guarded, it works.
    guarded = text.replace("SOURCE", "'official'").replace("\ntry:", "\nif __name__ == '__main__':\n  try:")
    script.write_text(guarded.replace("\n    ing", "\n      ing").replace("\nexcept", "\n  except"))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")
    assert verify(few, tmp_path / "db").count == 0


@pytest.mark.parametrize("form", ["folder", "file", "single"])
def test_several_bz2_streams_in_a_file(few: Path, tmp_path: Path, form: str) -> None:
    source = few
    if form == "single":
        records = {n: archives.record("sss", n) for n in range(3)}
        source = archives.write_single(tmp_path, "sss", records, name_md5=False)
    elif form == "file":
        source = few / BAD
    for path in [source] if source.is_file() else sorted(few.glob("*.pbz2")):
        data = bz2.decompress(path.read_bytes())
        size = -(-len(data) // 5)
        # The first stream of the single file ends within what is looked at to tell the forms apart.
        path.write_bytes(b"".join(bz2.compress(data[n * size : (n + 1) * size]) for n in range(5)))
    ingest([source], tmp_path / "db")
    assert verify(source, tmp_path / "db").count == 0
    path = source if source.is_file() else few / BAD
    if form != "single":
        path.write_bytes(path.read_bytes() + b"more")
        assert "there are bytes after the end of the bz2 data" in _refused([source], tmp_path / "other")
        path.write_bytes(path.read_bytes()[:-40])
        assert "the bz2 data is" in _refused([source], tmp_path / "other")


def test_epochs_that_follow_each_other_are_one_stretch() -> None:
    keys = ("x-valid@0", "x-valid@1", "ori-test@0", "ori-test@1", "ori-test@3")
    assert _stretches(keys, 4, "") == [["x-valid", 0, 2], ["ori-test", 0, 2], ["ori-test", 3, 4]]
