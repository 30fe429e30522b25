"""An official tar becomes rows as it comes: a block of architectures is ingested when the last record of it is there.

What comes is looked at by another name of the same file, which it keeps when it is whole. Where a file has one name
only, or the records lie in another order, all of it is ingested at the end: the same files come of it.
"""

from __future__ import annotations

import os
import re
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path, PurePosixPath

from natsdb.ingest.archive.sources import Entry, Source
from natsdb.ingest.blocks import Job
from natsdb.ingest.into_tables import Progress, add_sources, before_records, stage_source
from natsdb.schema.spaces import SPACES
from natsdb.schema.tables import BLOCK
from natsdb.store.choice import OFFICIAL
from natsdb.store.staging import Staging, with_catalogue
from natsdb.store.writing import only_writer, writing

_RECORD = re.compile(r"(\d{6})\.pickle\.pbz2")


def ingest_as_it_comes(
    fetch: Callable[[threading.Event], None],
    path: Path,
    space: str,
    fingerprint: str,
    opened: Callable[[], Source],
    home: Path,
    replace: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> bool:
    """Ingest a tar of a space while it is fetched, all or nothing.

    Args:
        fetch: called in a thread, it fetches the file to `path`, and stops when the event is set; what came so far is
            beside it as NAME….part.
        opened: what the file is, when all of it is there; its fingerprint is known beforehand.
        replace, progress: as of `natsdb.ingest.ingest`; progress of what is ingested when all is there.

    Returns:
        Whether the database is another.

    Raises:
        NatsdbError: as `fetch` does, or the archive is damaged or contradicts the database, which is unchanged.
    """
    with only_writer(home), writing(home):
        before = before_records(home, OFFICIAL)
        staging = Staging(home, f"{fingerprint}-rows{'-replacing' if replace else ''}")
        manifest = with_catalogue(before, staging)
        job = Job(str(staging.folder), OFFICIAL, space, replace=replace, keep_going=False, weights=False)
        coming, done, stop = Coming(path), 0, threading.Event()
        with ThreadPoolExecutor(1) as pool:
            fetching = pool.submit(fetch, stop)
            try:
                while wait([fetching], timeout=0.2).not_done:
                    entries = coming.whole_blocks(space)
                    if len(entries) > done:
                        done = len(entries)
                        part = Source("tar", space, path.name, tuple(entries), fingerprint, str(path))
                        stage_source(part, job, staging, manifest, jobs, None)
                fetching.result()
            finally:
                stop.set()
        return add_sources([opened()], job, staging, before, manifest, f"pull {space}", jobs, progress).changed


class Coming:
    """The records of a tar that is being written, as far as they are there."""

    def __init__(self, path: Path) -> None:
        self._path, self._link, self._at = path, path.with_name("coming"), 0
        self._by_block: dict[int, list[Entry]] = {}

    def whole_blocks(self, space: str) -> list[Entry]:
        """Records of the blocks of which all are there, in order; none where the file has no second name."""
        with suppress(OSError, tarfile.HeaderError):
            self._look()
        entries = []
        for number, block in sorted(self._by_block.items()):
            if len(block) == records_of(space, number):
                entries += sorted(block, key=lambda entry: entry.arch)
        return entries

    def _look(self) -> None:
        part = next(self._path.parent.glob(f"{self._path.name}*.part"), None)
        if part is None:
            return
        if not (self._link.exists() and os.path.samefile(self._link, part)):
            self._link.unlink(missing_ok=True)
            os.link(part, self._link)
            self._at, self._by_block = 0, {}
        size = part.stat().st_size
        with self._link.open("rb") as file:
            while self._at + 512 <= size:
                file.seek(self._at)
                header = file.read(512)
                if not header.strip(b"\0"):
                    return  # the end
                member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
                end = self._at + 512 + -(-member.size // 512) * 512
                if end > size:
                    return
                found = _RECORD.fullmatch(PurePosixPath(member.name).name)
                if found and member.isreg():
                    where = f"{self._path.name}:{member.name}"
                    one = Entry(int(found[1]), where, (str(self._link),), self._at + 512, member.size)
                    self._by_block.setdefault(one.arch // BLOCK, []).append(one)
                self._at = end


def records_of(space: str, block: int) -> int:
    """How many architectures a block of a space has."""
    return min(BLOCK, SPACES[space].size - block * BLOCK)
