"""Full archives: rows as ever, trained weights as safetensors where they are asked for."""

from __future__ import annotations

import bz2
import hashlib
import io
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import archives
import natsdb
from databases import contents, weights_path
from natsdb import api
from natsdb.ingest import ingest
from natsdb.ingest.archive.unpickle import OfTorch, _storage_header
from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.schema.spaces import SPACES
from natsdb.store.snapshot import read_manifest
from natsdb.store.versions import drop, vacuum


@pytest.fixture(scope="module", params=sorted(SPACES))
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A space, and a full archive of three of its architectures."""
    folder = tmp_path_factory.mktemp("full") / f"NATS-{request.param}-full"
    return request.param, archives.write_full_folder(folder, request.param, [0, 20, 40])


def test_rows_of_a_full_archive_are_those_of_the_simple_one(
    full: tuple[str, Path], made_up: dict[str, Path], tmp_path: Path
) -> None:
    space, folder = full
    simple = tmp_path / "simple"
    archives.write_folder(simple, space, [0, 20, 40])
    ingest([folder], tmp_path / "full")
    ingest([simple], tmp_path / "expected")
    mine, theirs = (
        {path: data for path, data in contents(tmp_path / name).items() if not path.startswith(("seed/", "natsdb"))}
        for name in ("full", "expected")
    )
    assert mine == theirs
    assert not (tmp_path / "full" / "weights").exists()


def test_weights_are_kept_bit_for_bit_when_asked_for(full: tuple[str, Path], tmp_path: Path) -> None:
    space, folder = full
    home = tmp_path / "db"
    ingest([folder], home)
    assert natsdb.query("select count(*) from seed where weights", home).item() == 0
    assert ingest([folder], home, weights=True).changed  # the rows are there, the weights are new
    assert natsdb.query("select count(*) from seed where not weights", home).item() == 0
    for arch in (0, 20, 40):
        found = load_file(weights_path(home, "official", space, arch))
        expected = {
            f"{hp}/{dataset}/{seed}/{name}": values
            for hp, result in archives.record(space, arch).items()
            for dataset, seed in result["all_results"]
            for name, values in archives.weights_of(arch, hp, dataset, seed).items()
        }
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert found[name].dtype == values.dtype
            assert np.array_equal(found[name], values)
    assert not ingest([folder], home, weights=True).changed


def test_weights_of_other_schedules_join_those_that_are_there(tmp_path: Path) -> None:
    archives.write_full_folder(tmp_path / "short", "sss", [20], ["01", "12"])
    archives.write_full_folder(tmp_path / "long", "sss", [20], ["90"])
    archives.write_full_folder(tmp_path / "all", "sss", [20])
    home = tmp_path / "db"
    ingest([tmp_path / "short"], home, weights=True)
    with natsdb.connect(home) as connection:
        first = api.create(str(home), "sss", verbose=False)
        ingest([tmp_path / "long"], home, weights=True)
        assert connection.execute("select count(distinct hp) from seed where weights").fetchall() == [(2,)]
    ingest([tmp_path / "all"], tmp_path / "at once", weights=True)
    paths = [weights_path(folder, "official", "sss", 20) for folder in (home, tmp_path / "at once")]
    mine, theirs = map(load_file, paths)
    assert mine.keys() == theirs.keys()
    assert {name.split("/")[0] for name in mine} == {"01", "12", "90"}
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
    # Every run of which the tables say so has its weights, through the facade, in the network's order.
    handle = api.create(str(home), "sss", verbose=False)
    for hp, dataset, seed in natsdb.query("select hp, dataset, seed from seed where weights", home).rows():
        state = handle.get_net_param(20, dataset, seed, hp=hp)
        expected = archives.weights_of(20, hp, dataset, seed)
        assert list(state) == list(expected)
    # A handle that was open before keeps its version's.
    assert list(first.get_net_param(20, "cifar10", None, hp="12"))


def test_weights_are_listed_with_their_digests_and_dropped_with_their_rows(
    full: tuple[str, Path], tmp_path: Path
) -> None:
    _, folder = full
    home = tmp_path / "db"
    ingest([folder], home, weights=True)
    listed = read_manifest(home).weights
    assert [one.arch for one in listed] == [0, 20, 40]
    for one in listed:
        assert hashlib.sha256((home / one.path).read_bytes()).hexdigest() == one.sha256
        assert (home / one.path).stat().st_size == one.bytes
    drop("official", home)
    assert not read_manifest(home).weights
    vacuum(home, keep=0)
    assert not list(home.rglob("*.safetensors"))


def test_a_storage_that_runs_code_is_refused(full: tuple[str, Path], tmp_path: Path) -> None:
    _, folder = full
    data = bz2.decompress((folder / "000020.pickle.pbz2").read_bytes())
    # The legacy stream of a storage is a pickle inside the pickle: another name of the same length there.
    evil = data.replace(b"ctorch\nFloatStorage\n", b"cbuiltins\n__import__\n"[:19] + b"\n")
    assert evil != data
    copy = tmp_path / "evil"
    copy.mkdir()
    (copy / "000020.pickle.pbz2").write_bytes(bz2.compress(evil))
    with pytest.raises(NatsdbError, match="which no official file uses"):
        ingest([copy], tmp_path / "db", weights=True)


def test_damaged_weights_are_left_out_like_other_damage_when_asked(full: tuple[str, Path], tmp_path: Path) -> None:
    _, folder = full
    copy, home = tmp_path / "copy", tmp_path / "db"
    shutil.copytree(folder, copy)
    data = bz2.decompress((copy / "000020.pickle.pbz2").read_bytes())
    other = data.replace(b"ctorch\nFloatStorage\n", b"ctorch\nLongStorage\n\n"[:20])
    assert other != data
    (copy / "000020.pickle.pbz2").write_bytes(bz2.compress(other))
    with pytest.raises(Damaged, match=r"000020\.pickle\.pbz2: "):
        ingest([copy], home, weights=True)
    report = ingest([copy], home, weights=True, keep_going=True)
    assert [where.partition(".")[0] for where, _ in report.failures] == ["copy/000020"]
    assert {one.arch for one in read_manifest(home).weights} == {0, 40}
    assert natsdb.query("select distinct arch from seed order by arch", home)["arch"].to_list() == [0, 40]
    assert ingest([folder], home, weights=True).archs == 3  # the damaged one again, and now whole
    assert {one.arch for one in read_manifest(home).weights} == {0, 20, 40}


def test_weights_that_cannot_be_merged_are_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    archives.write_full_folder(tmp_path / "short", "sss", [20, 40], ["12"])
    archives.write_full_folder(tmp_path / "long", "sss", [20, 40], ["90"])
    home = tmp_path / "db"
    ingest([tmp_path / "short"], home, weights=True)
    held = weights_path(home, "official", "sss", 20)
    held.write_bytes(b"\xff" * held.stat().st_size)
    report = ingest([tmp_path / "long"], home, weights=True, keep_going=True)
    ((where, what),) = report.failures
    assert where == str(held)
    assert "the weights cannot be read" in what
    assert "natsdb repair SOURCE" in what
    assert natsdb.query("select arch, hp from seed where weights group by all order by all", home).rows() == [
        (20, "12"),
        (40, "12"),
        (40, "90"),
    ]


@pytest.mark.parametrize(
    "header",
    [
        ("module", np.dtype("f4"), "0", "cpu", 3),
        ("storage", "float", "0", "cpu", 3),
        ("storage", np.dtype("f4"), 0, "cpu", 3),
        ("storage", np.dtype("f4"), "0", "cpu", 3.0),
    ],
)
def test_a_strange_header_of_a_storage_is_refused(header: tuple[object, ...]) -> None:
    with pytest.raises(pickle.UnpicklingError, match="a tensor storage has an unexpected header"):
        _storage_header(header)


@pytest.mark.parametrize(("module", "name"), [("torch", "load"), ("numpy", "FloatStorage")])
def test_of_torch_s_names_a_file_asks_for_storages_alone(module: str, name: str) -> None:
    assert OfTorch(io.BytesIO(b"ctorch\nFloatStorage\n."), lambda key: b"").load() == np.dtype("f4")
    with pytest.raises(pickle.UnpicklingError, match=rf"{module}\.{name}"):
        OfTorch(io.BytesIO(f"c{module}\n{name}\n.".encode()), lambda key: b"").load()


@pytest.mark.parametrize("shape", [(99, 3, 3, 3), (1, 99, 3, 3)])
def test_a_tensor_that_reaches_past_its_storage_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    folder = tmp_path / "full"
    original = archives._Tensor.__reduce__
    try:
        archives._Tensor.__reduce__ = (
            lambda self: (  # type: ignore[method-assign]
                original(self)[0],
                (*original(self)[1][:2], shape, (27, 9, 3, 1), False, original(self)[1][5]),
            )
        )
        archives.write_full_folder(folder, "sss", [20])
    finally:
        archives._Tensor.__reduce__ = original  # type: ignore[method-assign]
    with pytest.raises(NatsdbError, match="a tensor reaches past its storage"):
        ingest([folder], tmp_path / "db", weights=True)


def test_real_torch_reads_the_made_up_weights(full: tuple[str, Path]) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: the made-up tensors are not compared with it")
    _, folder = full
    state = pickle.loads(bz2.decompress((folder / "000020.pickle.pbz2").read_bytes()))["12"]["all_results"]
    ((dataset, seed), run) = next(iter(state.items()))
    for name, values in archives.weights_of(20, "12", dataset, seed).items():
        assert torch.equal(run["net_state_dict"][name], torch.from_numpy(values))
