"""What notebooks need beside the database that comes with natsdb: a folder to write to, small runs, pictures.

01, 02, 03, 04 and 06 ask the built-in database, so their outputs are the same on every machine. 05 trains, on pictures
of CIFAR-10 where `$NATSDB_TEST_DATA` names a folder that has them in `images`; its runs are compared, and an old script
in 02 is tried, with those that `natsdb train` made before: 37 topologies and 29 sizes, 12 epochs on 2,000 images
(natsdb/embedded/README.md).
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from natsdb.ingest import collect
from natsdb.store.locations import EMBEDDED

# Goes when the notebook's kernel does.
_FOLDER = TemporaryDirectory(prefix="natsdb-")
HERE = Path(_FOLDER.name)


def real(kind: str, pattern: str = "*") -> list[Path]:
    """Real files of a kind (images), none where they are absent."""
    named = os.environ.get("NATSDB_TEST_DATA")
    return sorted((Path(named) / kind).glob(pattern)) if named else []


def embedded() -> Path:
    """A database of the 66 small runs."""
    return collect(EMBEDDED / "runs", HERE / "embedded").database
