"""Fixtures that all tests share: the real files, and databases made of them."""

from __future__ import annotations

import bz2
import importlib.util
import os
import pickle
import shutil
import sys
import types
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import archives
from made_once import made_once
from natsdb.ingest import ingest
from natsdb.schema import catalogue
from natsdb.schema.datasets import DATASETS
from natsdb.schema.spaces import SPACES
from natsdb.store import staging
from natsdb.store.manifest import Part

# Several processes test at once: each of them, and each that they start, computes with one thread.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read when Ray is imported, whichever test does it first; the first of these makes it stay on the loopback device.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

DATA = Path(os.environ.get("NATSDB_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real benchmark files."""
    if not DATA.is_dir():
        pytest.skip(f"the real benchmark files are not at {DATA}: set NATSDB_TEST_DATA")
    return DATA


@pytest.fixture(scope="session", autouse=True)
def _quickly() -> Iterator[None]:
    """Computes and compresses the catalogue's tables once for each set of spaces, data sets and schedules, not for each
    database; and no file waits for the disk, since no test pulls the plug."""
    compute, write = catalogue.catalogue_tables, staging.write_part
    computed: dict[Any, dict[str, Any]] = {}
    written: dict[int, tuple[Part, bytes]] = {}

    def tables(used: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
        used = frozenset(used)
        key = (used, frozenset(SPACES.items()), frozenset(DATASETS.items()))
        if key not in computed:
            computed[key] = compute(used)
        return dict(computed[key])

    def file(table: Any, folder: Path, part: Part) -> Part:
        if not any(table is one for of in computed.values() for one in of.values()):
            return write(table, folder, part)
        if id(table) not in written:
            made = write(table, folder, part)
            written[id(table)] = made, (folder / made.path).read_bytes()
        made, data = written[id(table)]
        (folder / made.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / made.path).write_bytes(data)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "catalogue_tables", tables)
        patch.setattr(staging, "write_part", file)
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without natsdb's own database, which else shows its rows where a database has none."""
    monkeypatch.setattr("natsdb.store.snapshot.BUILTIN", tmp_path / "none")


@pytest.fixture(scope="session")
def official(test_data: Path) -> dict[str, Path]:
    """The real archive folders by space: architectures 0 and 11, and the complete meta file."""
    return {space: test_data / "official" / name for space, name in archives.FOLDERS.items()}


@pytest.fixture(scope="session")
def official_201() -> types.ModuleType:
    """The package nas-bench-201; it imports torch, which opening a dictionary does not need."""
    missing = "torch" not in sys.modules and importlib.util.find_spec("torch") is None
    if missing:
        sys.modules["torch"] = types.ModuleType("torch")
    try:
        return importlib.import_module("nas_201_api")
    finally:
        if missing:
            del sys.modules["torch"]


@pytest.fixture(scope="session")
def real_records(official: dict[str, Path]) -> dict[tuple[str, int], Any]:
    """The real records by (space, architecture), unpickled."""
    return {
        (space, arch): pickle.loads(bz2.decompress((folder / f"{arch:06d}.pickle.pbz2").read_bytes()))
        for space, folder in official.items()
        for arch in (0, 11)
    }


@pytest.fixture(scope="session")
def real_db(official: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the real files of both spaces. Read only."""
    return made_once(tmp_path_factory, "real", lambda folder: ingest(list(official.values()), folder / "db")) / "db"


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Made-up archive folders of 70 architectures of each space. Read only."""

    def make(folder: Path) -> None:
        for space, name in archives.FOLDERS.items():
            archives.write_folder(folder / name, space, range(0, 1400, 20))

    folder = made_once(tmp_path_factory, "made-up", make)
    return {space: folder / name for space, name in archives.FOLDERS.items()}


@pytest.fixture(scope="session")
def made_up_db(made_up: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the made-up archives. Read only."""

    def make(folder: Path) -> None:
        ingest(list(made_up.values()), folder / "db", source="synthetic", jobs=1)

    return made_once(tmp_path_factory, "made-up-db", make) / "db"


@pytest.fixture
def few(made_up: dict[str, Path], tmp_path: Path) -> Path:
    """A made-up folder of three sizes, to be damaged at will."""
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(made_up["sss"].glob("0*.pbz2"))[:3]:
        shutil.copy(path, folder / path.name)
    return folder


@pytest.fixture
def rewritten() -> Callable[[Path, Callable[[Any], None]], None]:
    """A function that changes the record in a file."""

    def rewrite(path: Path, change: Callable[[Any], None]) -> None:
        record = pickle.loads(bz2.decompress(path.read_bytes()))
        change(record)
        path.write_bytes(bz2.compress(pickle.dumps(record, protocol=4)))

    return rewrite


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder in an empty bucket of an S3 server, with the usual variables set."""
    pytest.importorskip("s3fs", reason="the extra `remote` is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    import boto3

    from natsdb.store import remote

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    remote._file_system.cache_clear()  # it would ask the server of another test
    urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", b"").close()  # what other tests put there
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield "s3://bucket/nats"
    server.stop()
