"""A space and a data set of one's own, from an archive in the official form to SQL, handle and search."""

from __future__ import annotations

import bz2
import itertools
import math
import pickle
import random
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import natsdb
import synthetic
from archives import write_single
from natsdb import encodings
from natsdb.api import create
from natsdb.ingest import export, ingest, verify
from natsdb.schema import datasets, spaces
from natsdb.schema.datasets import DATASETS, DataSet, Split
from natsdb.schema.errors import NatsdbError
from natsdb.schema.space import Choices, Encoding, Space
from natsdb.schema.spaces import SPACES
from natsdb.search import Benchmark, read_trainings, run
from natsdb.store.snapshot import read_manifest

LAYERS = ("first", "second", "third")
KINDS = ("add", "max", "mix")


def _priced(height: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    heavy = np.array([sum(KINDS.index(kind) for kind in one) for one in TOY.every])
    return heavy * height**2 / 1e6, (heavy * 100 + classes) / 1e6


def _rotated(space: Space, choices: Choices, chance: Any) -> Choices:
    """The last layer comes first: an edit that no other space has."""
    return choices[-1:] + choices[:-1]


# Strings such as add-max-mix, 27 of them, the last one first.
TOY = Space(
    name="toy",
    title="pooling",
    about="ways to pool",
    positions=LAYERS,
    choices=KINDS,
    order=lambda: list(itertools.product(KINDS, repeat=3))[::-1],
    text="-".join,
    archive="toy-v1",
    pattern=r"(add|max|mix)(-(add|max|mix)){2}",
    hps=("01", "12"),
    costs=_priced,
    config=lambda text, classes: {"arch_str": text, "class_num": classes},
    canonical=lambda: [arch if arch else 0 for arch in range(27)],
    mutated=_rotated,
    references={"all the same": "max-max-max"},
    budgets={"digits": 70.0},
    encodings={"initials": Encoding("the last layer first", "[amx]{3}", form="{2}{1}{0}", words=("a", "m", "x"))},
)
DIGITS = DataSet(
    "digits",
    "digits",
    10,
    8,
    {
        "train": Split(1_000, "digits to learn from"),
        "x-valid": Split(300, "one half of the others"),
        "x-test": Split(300, "the other half"),
        "ori-test": Split(600, "the others"),
    },
    (1.0, 2.0, 3.0),
    (4.0, 5.0, 6.0),
    budget=90.0,
)


@pytest.fixture(scope="module")
def registered() -> Iterator[None]:
    spaces.register(TOY)
    datasets.register(DIGITS)
    yield
    del SPACES["toy"], DATASETS["digits"]
    datasets.searched.cache_clear()


def _accuracy(arch: int, split: str, epoch: int) -> float:
    return {"train": 50.0, "x-valid": 40.0, "x-test": 35.0, "ori-test": 37.5}[split] + arch + epoch / 4


def _record(arch: int) -> dict[str, Any]:
    """An architecture's record: two runs at hp 12, one at hp 01; of these two the second is 0.5 percent better."""
    found = {}
    for hp, epochs, seeds in (("01", 1, (777,)), ("12", 12, (777, 888))):
        results = {}
        for seed in seeds:
            more = 0.5 * (seed == 888)
            evals = [(split, epoch) for split in list(DIGITS.splits)[1:] for epoch in range(epochs)]
            results["digits", seed] = {
                "name": "digits",
                "train_acc1es": {epoch: _accuracy(arch, "train", epoch) + more for epoch in range(epochs)},
                "train_acc5es": dict.fromkeys(range(epochs), 99.0),
                "train_losses": dict.fromkeys(range(epochs), 1.0 + arch / 100),
                "train_times": dict.fromkeys(range(epochs), 2.0),
                "arch_config": TOY.config(TOY.strings[arch], 10),
                "params": np.float64(1.5),
                "flop": 2.5,
                "seed": f"{seed:04d}",
                "epochs": epochs,
                "latency": [np.float64(0.01)],
                "eval_names": list(DIGITS.splits)[1:],
                "eval_acc1es": {f"{split}@{epoch}": _accuracy(arch, split, epoch) + more for split, epoch in evals},
                "eval_times": {f"{split}@{epoch}": 1.0 for split, epoch in evals},
                "eval_losses": {f"{split}@{epoch}": 2.0 for split, epoch in evals},
                "net_state_dict": None,
            }
        found[hp] = {
            "arch_index": arch,
            "arch_str": TOY.strings[arch],
            "all_results": results,
            "dataset_seed": {"digits": list(seeds)},
            "clear_net_done": True,
        }
    return found


@pytest.fixture(scope="module")
def archive(registered: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "toy-simple"
    folder.mkdir()
    for arch in range(27):
        (folder / f"{arch:06d}.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(_record(arch), protocol=4)))
    return folder


@pytest.fixture(scope="module")
def home(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the archive, with a search. Read only."""
    home = tmp_path_factory.mktemp("toy-db") / "db"
    ingest([archive], home)
    done = run("regularized_ea", "toy", db=home, runs=4, jobs=1, options={"ea_population": 2})
    assert [(one.dataset, one.runs, one.held) for one in done.reports] == [("digits", 4, 27)]
    return home


def test_every_form_of_its_archive_is_known_by_its_strings(archive: Path, home: Path, tmp_path: Path) -> None:
    assert {part.space for part in read_manifest(home).parts if part.table == "metric"} == {"toy"}
    assert (verify(archive, home).records, verify(archive, home).count) == (27, 0)
    made = export(tmp_path / "back", "toy", home)
    names = [f"{arch:06d}.pickle.pbz2" for arch in range(27)]
    for name in names:
        ours, theirs = (pickle.loads(bz2.decompress((folder / name).read_bytes())) for folder in (made, archive))
        assert repr(ours) == repr(theirs)
    single = write_single(tmp_path, "toy", {arch: _record(arch) for arch in range(27)})
    assert ingest([single], tmp_path / "single").archs == 27
    assert export(tmp_path / "one", "toy", home, single=True).name.startswith("toy-v1-")


def test_sql_answers_for_it(home: Path) -> None:
    best = natsdb.query("from best('digits', 'x-test', '12', k := 2, space := 'toy')", home).to_dicts()
    assert [(row["arch"], row["accuracy"], row["arch_str"]) for row in best] == [
        (26, 35 + 26 + 11 / 4 + 0.25, "add-add-add"),
        (25, 35 + 25 + 11 / 4 + 0.25, "add-add-max"),
    ]
    assert best[0]["coverage"] == "27 of 27"
    board = natsdb.query("from leaderboard where hp = '01' and split = 'ori-test' order by rank", home)
    assert board["arch"].to_list() == list(range(26, -1, -1))
    mean = natsdb.query("from mean_final where arch = 3 and hp = '12' and split = 'x-valid'", home).row(0, named=True)
    assert (mean["accuracy"], mean["seeds"], mean["dataset"]) == (40 + 3 + 11 / 4 + 0.25, 2, "digits")
    one = natsdb.query("from more_info('toy', 3, 'digits', '12')", home).row(0, named=True)
    assert (one["test-accuracy"], one["valtest-accuracy"]) == (35 + 3 + 3, 37.5 + 3 + 3)
    cost = natsdb.query("from arch_cost where space = 'toy' and arch = 0 and dataset = 'digits'", home).row(0)
    assert cost == ("toy", 0, "digits", 6 * 64 / 1e6, 610 / 1e6)
    assert natsdb.query("select images from dataset where dataset = 'digits' and split = 'x-test'", home).item() == 300
    neighbours = natsdb.query("select arch_str from neighbours('toy', 26) order by all", home)["arch_str"].to_list()
    assert neighbours == ["add-add-max", "add-add-mix", "add-max-add", "add-mix-add", "max-add-add", "mix-add-add"]
    spearman = natsdb.query("select spearman from rank_correlation('digits', '01', '12', space := 'toy')", home).item()
    assert spearman == pytest.approx(1)


def test_the_search_s_table_has_columns_of_its_own(home: Path) -> None:
    rows = {row["label"]: row for row in natsdb.query("from search_table where space = 'toy'", home).to_dicts()}
    assert list(rows) == ["regularized_ea ea_population: 2", "all the same", "optimal", "mean of the space"]
    assert rows["all the same"]["digits_valid"] == f"{40 + 13 + 3:.2f}"
    assert rows["optimal"]["digits_test"] == f"{35 + 26 + 3:.2f}"
    assert rows["optimal"]["digits_both"] == f"{37.5 + 26 + 3:.2f}"
    assert rows["optimal"]["cifar10_valid"] is None
    assert rows["optimal"]["coverage"] == "27 of 27"


def test_a_search_edits_it_by_its_own_rule_and_budget(home: Path) -> None:
    runs = natsdb.query("from search_run order by run", home)
    assert runs["budget"].to_list() == [70.0] * 4
    steps = natsdb.query("select run, arch from search_step order by run, step", home)
    for _, archs in steps.group_by("run"):
        texts = [TOY.strings[arch].split("-") for arch in archs["arch"]]
        for child in texts[2:]:
            assert child[1:] + child[:1] in texts
    answers = read_trainings("toy", "digits", "12", home)
    benchmark = Benchmark(answers, 1e9, random.Random(0))
    assert (benchmark.positions, benchmark.values) == (3, 3)
    assert benchmark.query((0, 0, 0))[2] in answers.accuracy[11][52:54]
    assert benchmark.query("add-add-add")[:2] == (26, 11)
    assert benchmark.spent == 2 * (2.0 * 12 + 1.0)


def test_a_handle_answers_as_those_of_the_official_spaces(home: Path) -> None:
    api = create(home, "toy", fast_mode=True, verbose=False)
    assert (len(api), api.search_space_name, api.full_train_epochs) == (27, "pooling", 12)
    assert api.query_index_by_arch("max-max-max") == 13
    info = api.get_more_info(3, "digits", hp="12", is_random=False)
    assert info["valid-accuracy"] == statistics.fmean([40 + 3 + 11 / 4, 40 + 3 + 11 / 4 + 0.5])
    assert info["test-accuracy"] == 35 + 3 + 3
    accuracy, latency, seconds, used = api.simulate_train_eval(3, "digits", hp="01")
    assert (accuracy, latency, seconds, used) == (43.0, 0.01, 3.0, 3.0)
    assert api.find_best("digits", "test", hp="12") == (26, 35 + 26 + 3)
    assert api.get_net_config(0, "digits") == {"arch_str": "mix-mix-mix", "class_num": 10, "num_classes": 10}
    assert "digits" in api.query_info_str_by_arch(3)
    again = pickle.loads(pickle.dumps(api))
    assert again.get_more_info(3, "digits", hp="12", is_random=False) == info


def test_a_database_that_was_written_before_takes_it(made_up: dict[str, Path], archive: Path, tmp_path: Path) -> None:
    before = {name: SPACES.pop(name) for name in ["toy"]}, {name: DATASETS.pop(name) for name in ["digits"]}
    datasets.searched.cache_clear()
    ingest([made_up["sss"]], tmp_path / "db", source="synthetic", jobs=1)
    count = "select (select count(*) from arch), (select count(*) from arch_cost), (select count(*) from dataset)"
    assert natsdb.query(count, tmp_path / "db").row(0) == (48_393, 4 * 48_393, 13)
    spaces.register(before[0]["toy"])
    datasets.register(before[1]["digits"])
    ingest([archive], tmp_path / "db")
    assert natsdb.query(count, tmp_path / "db").row(0) == (48_420, 5 * 48_420, 17)
    # Who knows nothing of it leaves it there, and may add another space.
    del SPACES["toy"]
    spaces.register(replace(TOY, name="other"))
    try:
        synthetic.write_folder(tmp_path / "tss", "tss", [7])
        ingest([tmp_path / "tss"], tmp_path / "db", source="more")
    finally:
        del SPACES["other"]
        spaces.register(TOY)
    assert natsdb.query(count, tmp_path / "db").row(0) == (48_447, 5 * 48_447, 17)
    named = natsdb.query("select distinct space from arch order by space", tmp_path / "db")["space"].to_list()
    assert named == ["other", "sss", "toy", "tss"]
    assert natsdb.query("select count(*) from arch_cost where space = 'toy'", tmp_path / "db").item() == 27 * 5


def test_its_encodings_are_read_in_python_and_in_sql(home: Path) -> None:
    every = encodings.text_of("toy", range(27), "initials")
    assert every[TOY.index["add-max-mix"]] == "xma"
    assert encodings.index_of("toy", every).tolist() == list(range(27))
    assert (
        natsdb.query("select text from encoding where encoding = 'initials' order by arch", home)["text"].to_list()
        == every
    )
    asked = "select count(*) from encoding where arch_of(space, text, encoding) = arch and space = 'toy'"
    assert natsdb.query(asked, home).item() == 3 * 27
    assert natsdb.query("select arch_of('toy', 'xma'), arch_of('toy', 'add-max-mix')", home).row(0) == (
        TOY.index["add-max-mix"],
        TOY.index["add-max-mix"],
    )


def test_what_cannot_be_registered_is_said(registered: None) -> None:
    with pytest.raises(NatsdbError, match="there is a space 'tss' already; give it another name"):
        spaces.register(replace(TOY, name="tss"))
    with pytest.raises(NatsdbError, match="there is no schedule '13'; choose 01, 12, 90 or 200"):
        spaces.register(replace(TOY, name="b", hps=("12", "13", "14")))
    with pytest.raises(NatsdbError, match="columns of cifar100 are named cifar100; give it another short name"):
        datasets.register(DataSet("mine", "cifar100", 10, 8, {}, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    for changed, said in (
        ({"hps": ()}, "the space b has no schedule; choose 01, 12, 90 or 200"),
        ({"order": lambda: [KINDS]}, "the `order` of b is not each of its 27 architectures once"),
        ({"order": lambda: [*TOY.every, KINDS]}, "the `order` of b is not each of its 27 architectures once"),
        ({"pattern": "add.*"}, "the pattern of b does not match its 'mix-mix-mix'"),
        ({"pattern": ".*"}, r"the pattern of b matches '\|.*' of tss; let a pattern match the strings of one space"),
        ({"text": "+".join, "pattern": r"[a-z+]*|\d+(:\d+)+"}, "the pattern of b matches '8:8:8:8:8' of sss"),
        (
            {"text": ":".join, "choices": tuple("123"), "order": None, "pattern": "(1|2|3)(:.){2}"},
            "the pattern of sss matches '1:1:1' of b",
        ),
        ({"text": "/".join, "pattern": ".*/.*", "budgets": {"digits": math.nan}}, "the budget nan of digits is no num"),
    ):
        with pytest.raises(NatsdbError, match=said):
            spaces.register(replace(TOY, name="b", **changed))
    plain = TOY.encodings["initials"]
    for name, wrong in (
        ("string", plain),
        ("b", replace(plain, words=("a", "m"))),
        ("b", replace(plain, form="{0}{1}")),
        ("b", replace(plain, text="".join)),
        ("b", replace(plain, form="")),
    ):
        with pytest.raises(NatsdbError, match=f"the encoding '{name}' of b has neither a function `text` nor a form"):
            spaces.register(replace(TOY, name="b", text="/".join, pattern=".*/.*", encodings={name: wrong}))
    for other, said in (
        (replace(DIGITS, name="b", short='b"c'), "'b\"c' cannot be in names of columns; give it letters"),
        (replace(DIGITS, name="b", short="b", budget=0), "the budget 0 of b is no number of seconds above 0"),
        (replace(DIGITS, name="b", short="b", budget="long"), "the budget 'long' of b is no number of seconds"),
        (
            replace(DIGITS, name="b", short="b", twin="c"),
            "there is no data set 'c' with a split x-valid to be the twin",
        ),
        (replace(DIGITS, name="b", short="b", twin="cifar10"), "there is no data set 'cifar10' with a split x-valid"),
    ):
        with pytest.raises(NatsdbError, match=said):
            datasets.register(other)
    assert "b" not in SPACES
    assert "b" not in DATASETS
    try:
        assert repr(datasets.register(replace(DIGITS, name="b", short="b", budget=np.float64(70))).budget) == "70.0"
        same = replace(TOY, name="b", text="/".join, pattern="[a-z/]*", budgets={"digits": np.int64(7)})
        assert spaces.register(same) is spaces.register(same)
        assert repr(same.budgets) == "{'digits': 7.0}"
    finally:
        for named in (SPACES, DATASETS):
            named.pop("b", None)
        datasets.searched.cache_clear()
    with pytest.raises(NatsdbError, match="there is no space 'x'; choose tss, sss or toy"):
        spaces.space_of("x")


def test_a_process_that_does_not_know_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database brings its data sets; of a space the manifest has no code, so that it must be registered."""
    ask = "from more_info('toy', 3, 'digits', '12')"
    expected = natsdb.query(ask, home)
    with monkeypatch.context() as patch:
        patch.delitem(DATASETS, "digits")
        datasets.searched.cache_clear()
        assert natsdb.query(ask, home).equals(expected)
        assert datasets.to_plain(DATASETS["digits"]) == datasets.to_plain(DIGITS)
    datasets.searched.cache_clear()
    monkeypatch.delitem(SPACES, "toy")
    with pytest.raises(NatsdbError, match="it holds the space 'toy', which is not registered in this process; import"):
        natsdb.query("from leaderboard", home)
