"""Fixtures of the page's tests: a site of the embedded runs, served."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import natsdb
from databases import keep_made_up_search
from made_once import made_once
from natsdb.ingest import collect
from natsdb.schema.errors import NatsdbError
from natsdb.site import write_site
from natsdb.site.serve import server
from natsdb.site.vendor import ARROW, DUCKDB, tarball
from natsdb.store.locations import EMBEDDED


@pytest.fixture(scope="session")
def embedded_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the embedded runs: 37 topologies and 29 sizes at hp 12. Read only."""
    return made_once(tmp_path_factory, "embedded", lambda folder: collect(EMBEDDED / "runs", folder / "db")) / "db"


@pytest.fixture(scope="session")
def searched_db(embedded_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with three made-up searches with a budget, one that trained until it was enough, and one of shared
    weights, on CIFAR-10. Read only."""
    home = Path(shutil.copytree(embedded_db, tmp_path_factory.mktemp("searched") / "db"))
    archs = natsdb.query("select arch from full_accuracy where space = 'tss' order by accuracy", home)["arch"].to_list()
    for number, name in enumerate(("first", "second", "third")):
        steps = {
            run: [(at * 20_000.0, archs[9 * number + 2 * place + run]) for place, at in enumerate((0.01, 0.2, 1.0))]
            for run in range(4)
        }
        keep_made_up_search(home, name, name, steps, dataset="cifar10", budget=20_000.0)
    trained = {run: [(100.0, archs[0]), (7_000.0 + run, archs[5])] for run in range(4)}
    keep_made_up_search(
        home, "trained", "a_trained", trained, dataset="cifar10", budget=None, provenance='{"trained": 777}'
    )
    keep_made_up_search(
        home, "shared", "gdas", {0: [(9.0, archs[0]), (18.0, archs[-1])]}, dataset="cifar10", budget=None, hp=None
    )
    return home


@pytest.fixture(scope="session")
def searched_site(searched_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of searches, without SQL. Read only."""
    return write_site(tmp_path_factory.mktemp("searches") / "site", searched_db, sql=False)


@pytest.fixture(scope="session")
def searched_address(searched_site: Path) -> Iterator[str]:
    """Address of the site of searches."""
    yield from _served(searched_site)


@pytest.fixture(scope="session")
def plain_site(embedded_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site without SQL. Read only."""
    return write_site(tmp_path_factory.mktemp("plain") / "site", embedded_db, sql=False)


@pytest.fixture(scope="session")
def sql_site(embedded_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with SQL. Read only."""
    try:
        tarball(DUCKDB)
        tarball(ARROW)
    except NatsdbError as error:
        pytest.skip(f"no DuckDB-WASM: {error}")
    return write_site(tmp_path_factory.mktemp("sql") / "site", embedded_db)


def _served(site: Path) -> Iterator[str]:
    with server(site, 0) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def plain_address(plain_site: Path) -> Iterator[str]:
    """Address of the site without SQL."""
    yield from _served(plain_site)


@pytest.fixture(scope="session")
def sql_address(sql_site: Path) -> Iterator[str]:
    """Address of the site with SQL."""
    yield from _served(sql_site)
