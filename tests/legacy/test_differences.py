"""The intended differences to the official package: each line of docs/legacy.md, and that there it is otherwise."""

from __future__ import annotations

import bz2
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import nats_bench
import pytest

import archives
from natsdb import NatsdbError, api
from natsdb.api import genotype_utils

_NO_DIFFERENCES = {"test_each_difference_is_in_the_docs", "test_other_cells_are_the_same"}


def test_a_database_counts_as_loaded_in_fast_mode(official: dict[str, Path], real_db: Path) -> None:
    theirs = nats_bench.create(str(official["tss"]), "tss", fast_mode=True, verbose=False)
    mine = api.create(str(real_db), "tss", fast_mode=True, verbose=False)
    assert (theirs.evaluated_indexes, list(theirs.arch2infos_dict)) == (set(), [])
    assert (mine.evaluated_indexes, list(mine.arch2infos_dict)) == ({0, 11}, [0, 11])
    assert repr(mine) == "NATStopology(2/15625 architectures, fast_mode=True, file=db)"
    assert mine.find_best("cifar10", "valid")[0] in (0, 11)  # the official one would look for all 15,625 files


def test_an_architecture_that_is_not_there(official: dict[str, Path], real_db: Path) -> None:
    theirs = nats_bench.create(str(official["tss"]), "tss", fast_mode=True, verbose=False)
    mine = api.create(str(real_db), "tss", fast_mode=True, verbose=False)
    with pytest.raises(AssertionError, match="invalid data path"):
        theirs.get_more_info(1, "cifar10")
    with pytest.raises(ValueError, match=r"Did not find 1 from arch2infos_dict\."):
        mine.get_more_info(1, "cifar10")
    with pytest.raises(NatsdbError, match="no results of architecture 1; it has those of 2 architectures of tss"):
        mine.reload(str(real_db), 1)


def test_show_of_all(official: dict[str, Path], real_db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = nats_bench.create(str(official["tss"]), "tss", fast_mode=True, verbose=False)
    theirs.get_more_info(0, "cifar10")
    with pytest.raises(KeyError):
        theirs.show()
    mine = api.create(str(real_db), "tss", fast_mode=True, verbose=False)
    mine.show(11)
    of_11 = capsys.readouterr().out.rpartition("architecture! ----------\n")[2].partition("\n")[2]
    mine.show()
    assert of_11 in capsys.readouterr().out


def test_all_cells(capsys: pytest.CaptureFixture[str]) -> None:
    from nats_bench.genotype_utils import TopologyStructure

    with pytest.raises(NameError):
        TopologyStructure.gen_all(["a", "b"], 3, False)
    cells = genotype_utils.TopologyStructure.gen_all(["a", "b"], 3, False)
    assert [cell.tostr() for cell in cells[:3]] == ["|a~0|+|a~0|a~1|", "|a~0|+|a~0|b~1|", "|a~0|+|b~0|a~1|"]
    assert len(cells) == len({cell.tostr() for cell in cells}) == 2**3
    assert genotype_utils.TopologyStructure.gen_all(("a",), 2, True) == [[(("a", 0),)]]


def test_pickle_load_builds_benchmark_files_only(tmp_path: Path) -> None:
    api.pickle_save({"numbers": [1, 2.5]}, tmp_path / "plain")
    assert api.pickle_load(tmp_path / "plain") == nats_bench.pickle_load(tmp_path / "plain") == {"numbers": [1, 2.5]}
    (tmp_path / "path.pbz2").write_bytes(bz2.compress(pickle.dumps(tmp_path)))
    assert nats_bench.pickle_load(tmp_path / "path") == tmp_path
    with pytest.raises(NatsdbError, match="which no official file uses"):
        api.pickle_load(tmp_path / "path")


def test_paths_and_tars_are_taken(official: dict[str, Path], real_db: Path) -> None:
    with pytest.raises(ValueError, match="must be a dict or archive_dir must be set"):
        nats_bench.create(official["tss"], "tss", True, False)
    assert len(api.create(official["tss"], "tss", True, False)) == len(api.create(real_db, "tss")) == 15625


def test_what_a_first_look_up_says(
    official: dict[str, Path], real_db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = nats_bench.create(str(official["tss"]), "tss", fast_mode=True, verbose=False)
    mine = api.create(str(real_db), "tss", fast_mode=True, verbose=False)
    said = []
    for handle in (theirs, theirs, mine):
        handle.verbose = True
        handle.get_net_config(11, "cifar10")
        said.append([line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()])
    first, second, own = said
    assert first[1:] == [f"Call clear_params with archive_root={official['tss']} and index=11"]
    assert own == second
    assert own[1:] == ["Call _prepare_info with index=11 skip because it is in arch2infos_dict"]


def test_a_single_file_whose_name_has_other_digits(real_records: Any, tmp_path: Path) -> None:
    path = archives.write_single(tmp_path, "sss", {11: real_records["sss", 11]})
    wrong = path.rename(path.with_name("NATS-sss-v1_0-00000.pickle.pbz2"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs = nats_bench.create(str(wrong), "sss", verbose=False)
    with pytest.warns(
        UserWarning, match=r"-00000\.pickle\.pbz2: its MD5 ends in .*, its name says 00000; it is read all"
    ):
        mine = api.create(str(wrong), "sss", verbose=False)
    asked = (11, "cifar10", 5, "90", False)
    assert mine.get_more_info(*asked) == theirs.get_more_info(*asked)
    wrong.write_bytes(bz2.compress(bz2.decompress(wrong.read_bytes())[:-50]))
    with pytest.warns(UserWarning, match="its MD5 ends in"), pytest.raises(NatsdbError, match=re.escape(f"{wrong}: ")):
        api.create(str(wrong), "sss", verbose=False)


def test_each_difference_is_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "legacy.md").read_text("utf-8")
    listed = {line.rpartition("`")[0].rpartition("`")[2] for line in text.splitlines() if line.startswith("| ")}
    named = {name for name in listed if name.startswith("test_")}
    tests = {name for name, value in globals().items() if name.startswith("test_") and callable(value)}
    # Which rows of a database count has tests of its own.
    others = re.findall(
        r"^def (test_\w+)", Path(__file__).with_name("test_which_runs_count.py").read_text("utf-8"), re.M
    )
    assert named - set(others) == tests - _NO_DIFFERENCES


def test_other_cells_are_the_same(real_pair: Any) -> None:
    from nats_bench.genotype_utils import TopologyStructure

    from outcomes import outcome

    others = ("|a~0|+|b~1|", "|a~0|+|b~1|+|c~0|", "|b~0|a~0|", "x", "|none~0|")
    for text in (*real_pair("tss")[0].meta_archs[:200], *others):
        for call in (
            lambda kind, text=text: kind.str2structure(text).tostr(),
            lambda kind, text=text: kind.str2structure(kind.str2structure(text)).tostr(),
            lambda kind, text=text: kind.str2fullstructure(text, "d").tostr(),
            lambda kind, text=text: [kind.str2structure(text).to_unique_str(zero) for zero in (True, False, None)],
            lambda kind, text=text: kind.str2structure(text).check_valid(),
            lambda kind, text=text: kind.str2structure(text).check_valid_op(["none", "skip_connect"]),
            lambda kind, text=text: kind.str2structure(text).tolist("none"),
            lambda kind, text=text: kind.str2structure(text).tolist(None),
            lambda kind, text=text: repr(kind.str2structure(text)),
            lambda kind, text=text: [kind.str2structure(text).node(n) for n in range(1, 3)],
            lambda kind, text=text: (len(kind.str2structure(text)), kind.str2structure(text)[0]),
            lambda kind, text=text: kind.str2structure(text).node(0),
            lambda kind, text=text: kind([text]),
            lambda kind, text=text: kind([[(text, 3)]]),
            lambda kind, text=text: kind([[text]]),
            lambda kind, text=text: kind([[]]),
            lambda kind, text=text: kind(text),
            lambda kind, text=text: kind.str2structure(3),
            lambda kind, text=text: kind.str2fullstructure(3),
        ):
            theirs = outcome(lambda call=call: call(TopologyStructure))  # type: ignore[misc]
            mine = outcome(lambda call=call: call(genotype_utils.TopologyStructure))  # type: ignore[misc]
            assert mine == theirs
