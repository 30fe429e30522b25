"""The databases that the notebooks ask, made of the data at hand; they go when the notebook's kernel does.

`$NATSDB_TEST_DATA` may name a folder of real files: `published/*.parquet`, accuracies of all topologies (docs/search.md
says where they come from), `official/*`, archives or parts of them, `images`, pictures of CIFAR-10. Without it, the
runs that natsdb brings along serve: 37 topologies and 29 sizes, 12 epochs on 2,000 images (natsdb/embedded/README.md).
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from natsdb.ingest import collect, ingest
from natsdb.store.locations import EMBEDDED

_FOLDER = TemporaryDirectory(prefix="natsdb-")
HERE = Path(_FOLDER.name)


def real(kind: str, pattern: str = "*") -> list[Path]:
    """Real files of a kind (published, official, images), none where they are absent."""
    named = os.environ.get("NATSDB_TEST_DATA")
    return sorted((Path(named) / kind).glob(pattern)) if named else []


def published_or_embedded(name: str = "db") -> Path:
    """A database of the published accuracies of all topologies; of the embedded runs where they are absent."""
    tables = real("published", "*.parquet")
    return ingest(tables, HERE / name).database if tables else embedded(name)


def embedded(name: str = "db") -> Path:
    """A database of the runs that natsdb brings along."""
    return collect(EMBEDDED / "runs", HERE / name).database
