"""The data from elsewhere into a database: official archives by name or address, published databases by URL."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from natsdb.ingest.archive.sources import Source, open_source
from natsdb.ingest.fanout import leave_if_starting
from natsdb.ingest.into_tables import ingest_opened
from natsdb.ingest.pull.fetch import fetch_archive, fetch_listed
from natsdb.ingest.pull.registry import DRIVE, OFFERS, Offer
from natsdb.ingest.pull.stream import ingest_as_it_comes
from natsdb.schema.errors import Damaged, Missing, NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.schema.spaces import SPACES
from natsdb.schema.tables import CATALOGUE
from natsdb.store.choice import OFFICIAL
from natsdb.store.locations import local, located
from natsdb.store.manifest import (
    NAME,
    PUBLISHED,
    Attached,
    Ingested,
    Manifest,
    Part,
    WeightsFile,
    with_ingested,
    with_parts,
    with_weights,
)
from natsdb.store.remote import remote_text
from natsdb.store.snapshot import open_snapshot, read_manifest
from natsdb.store.staging import STAGING, Staging, open_manifest, with_catalogue
from natsdb.store.writing import hold, only_writer, writing

Progress = Callable[[str, int, int, int], None]
# Files of a published database that are fetched at once.
_AT_ONCE = 8
# The file's name in an archive's address, after which a query may stand, as in ….tar?download=1.
_ARCHIVE = re.compile(r"[^/]*\.(?:tar|pbz2|pth)(?=$|[?#])")


@dataclass(frozen=True)
class Pulled:
    """What was pulled into `database`: bytes that came, and whether that changed it."""

    database: Path
    bytes: int
    changed: bool


def pull(
    what: str,
    database: str | os.PathLike[str] | None = None,
    *,
    only: Sequence[str] = (),
    replacing: bool = False,
    jobs: int | None = None,
    tell: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> Pulled:
    """Fetch data from elsewhere into a database; interrupted, the same call goes on with what came.

    Args:
        what: a name of the registry (tss, sss); the URL of a published database (hf://datasets/OWNER/NAME, https://…,
            s3://…), or of its manifest; the address of an official archive (….tar, ….pickle.pbz2, ….pth, gdrive:ID).
        database: folder of the database; the default one when None.
        only: of a published database these tables; those of the catalogue and `seed` come in any case.
        replacing: take what comes in the place of other rows of the same source.
        jobs: processes of an archive's ingest.
        tell: called with what is known beforehand: licence, size.
        progress: called now and then with (name, megabytes there, megabytes in all, kilobytes that came).

    Raises:
        Missing: there is no such name or table, or nothing at the URL.
        Damaged: what came is not what was published.
        NatsdbError: the server refuses or does not answer; the database holds other rows of the same source. The
            database is unchanged, and what came is kept.
    """
    leave_if_starting()
    home = local(database)
    on_drive = what.startswith(DRIVE) and what != DRIVE
    if what in OFFERS or on_drive or (_is_url(what) and _ARCHIVE.search(what)):
        if only:
            raise NatsdbError("an archive comes whole", where=what, remedy="leave --only out")
        return _pull_archive(what, home, replacing, jobs, tell, progress)
    if not _is_url(what):
        remedy = f"{did_you_mean(what, OFFERS)}, or give a URL: hf://datasets/OWNER/NAME, https://…, s3://…"
        raise Missing(f"nothing is known by the name {what!r}", remedy=remedy)
    return _pull_database(what, home, only, replacing, tell, progress)


def _is_url(what: str) -> bool:
    return isinstance(located(what), str)


def _offered(what: str) -> Offer | None:
    """What the registry knows by this name or address."""
    return OFFERS.get(what) or next((one for one in OFFERS.values() if what in one.addresses), None)


def _is_here(one: Ingested, key: str, offer: Offer | None) -> bool:
    """Whether what was ingested is what is asked for: from the same address; or of a known archive, as official rows,
    the file of that name, which has a digest, or all architectures in another form."""
    if not one.fingerprint:  # some of its tables only
        return False
    if offer is None or one.fingerprint == key:
        return one.fingerprint == key
    whole = one.kind != PUBLISHED and one.archs == SPACES[offer.name].size and one.space == offer.name
    return one.source == OFFICIAL and (one.name == offer.file or whole)


def _digest(what: str) -> str:
    return hashlib.sha256(what.encode()).hexdigest()[:12]


def _shown(url: str) -> str:
    """A URL as others may read it: without name and password, and what follows an archive's name, as a signature."""
    archive = _ARCHIVE.search(url)
    return re.sub(r"(?<=://)[^/@]*@", "", url[: archive.end()] if archive else url)


def _pull_archive(
    what: str,
    home: Path,
    replacing: bool,
    jobs: int | None,
    tell: Callable[[str], None],
    progress: Progress | None,
) -> Pulled:
    offer, named = _offered(what), _ARCHIVE.search(what)
    name = offer.file if offer else re.sub(r"[^\w.-]", "_", named[0] if named else what.removeprefix(DRIVE))
    for line in about(offer) if offer else [f"{what}: licence and size are not known beforehand"]:
        tell(line)
    key = f"pull-{_digest(offer.name if offer else what)}"
    if (
        not replacing
        and (home / NAME).exists()
        and any(_is_here(one, key, offer) for one in read_manifest(home).ingests)
    ):
        return Pulled(home, 0, False)
    folder = home / STAGING / key
    with writing(home):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    start: list[int] = []

    def came(there: int, total: int | None) -> None:
        if not start:
            start.append(there)
        if progress is not None:
            progress(f"{name}, MB", there // 1_000_000, (total or 0) // 1_000_000, (there - start[0]) // 1000)

    def fetch(stop: threading.Event | None = None) -> None:
        if path.exists():
            return
        for number, one in enumerate(addresses := offer.addresses if offer else (what,)):
            try:
                return fetch_archive(one, path, came, stop)
            except NatsdbError as error:
                if number == len(addresses) - 1:
                    raise
                tell(f"{error}; the next address is tried")

    def opened() -> Source:
        said = (offer.addresses[0], offer.licence, offer.citation) if offer else (_shown(what), "", "")
        return replace(open_source(path), fingerprint=key, said=said)

    try:
        with hold(folder / ".lock", "another process pulls this"), writing(home):
            if offer:
                changed = ingest_as_it_comes(fetch, path, offer.name, key, opened, home, replacing, jobs, progress)
            else:
                fetch()
                changed = ingest_opened([opened()], home, replace=replacing, jobs=jobs, progress=progress).changed
    except Damaged as error:
        if not str(error.where).startswith((str(path), name)):
            raise  # it is the database
        for left in (*folder.glob(f"{name}*"), *folder.glob("coming")):
            left.unlink()
        # What was read of it as it came.
        for staged in (home / STAGING).glob(f"{key}-rows*"):
            shutil.rmtree(staged, ignore_errors=True)
        said = f"what came is no whole archive ({error.what})"
        raise Damaged(said, where=error.where, remedy="it is removed: run the same command again") from error
    size = path.stat().st_size
    for left in folder.parent.glob(f"{key}*"):  # also rows of a try that asked otherwise
        shutil.rmtree(left, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()
    return Pulled(home, size, changed)


def about(offer: Offer) -> list[str]:
    """What is known of an archive beforehand, a line each."""
    size = f"{offer.bytes / 1e9:,.2f} GB" if offer.bytes else "not known before it comes"
    return [
        f"{offer.name}: {offer.what} ({offer.file})",
        f"licence: {offer.licence}",
        f"size: {size}; digest: {offer.digest}",
        f"from: {', '.join(offer.addresses)} ({f'verified {offer.verified}' if offer.verified else 'not verified'})",
    ]


def _pull_database(
    what: str, home: Path, only: Sequence[str], replacing: bool, tell: Callable[[str], None], progress: Progress | None
) -> Pulled:
    snapshot = open_snapshot(re.sub(rf"/{re.escape(NAME)}$", "", what))
    wanted = _only(snapshot.manifest, only)
    files = {part.path: part for part in wanted.parts} | {one.path: one for one in wanted.weights}
    total = sum(one.bytes for one in files.values())
    tell(f"{what}: {wanted.contents()}; version {wanted.version} of {wanted.when}")
    tell(f"licence: {_licence(str(snapshot.home))}")
    tell(f"size: {total / 1e6:,.1f} MB in {len(files):,} files")
    with only_writer(home), writing(home):
        before = open_manifest(home)
        after = _together(before, wanted, replacing, home)
        # By where it was said to be: of a data set that changes meanwhile what is the same is kept.
        staging = Staging(home, f"pull-{_digest(what)}")
        wanted_here = files.keys() & after.listed().keys()
        todo = [files[path] for path in sorted(wanted_here) if not _whole(staging.path(path), files[path].bytes)]
        count, alone = [0], threading.Lock()
        there = total - sum(one.bytes for one in todo)

        def came(size: int) -> None:
            with alone:
                count[0] += size
                if progress is not None:
                    megabytes = (there + count[0]) // 1_000_000
                    progress(f"{what}, MB", megabytes, max(1, total // 1_000_000), count[0] // 1000)

        stop = threading.Event()

        def fetch(one: Part | WeightsFile) -> None:
            fetch_listed(snapshot.path(one.path), staging.folder / one.path, one.bytes, one.sha256, came, stop)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                for fetched in [pool.submit(fetch, one) for one in todo]:
                    fetched.result()
            except BaseException:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        # With the data sets and schedules that came.
        after = with_catalogue(after, staging)
        if after.same_contents(before) and not todo:
            staging.clear()
            return Pulled(home, count[0], False)
        staging.publish(after, f"pull {_shown(what)}{f' --only {chr(44).join(only)}' if only else ''}")
    return Pulled(home, count[0], True)


def _whole(path: Path, size: int) -> bool:
    """Whether a file is there; one that was cut since is fetched again."""
    return path.exists() and path.stat().st_size == size


def _licence(url: str) -> str:
    """What the data card says; it is no part of the database."""
    with suppress(NatsdbError):
        found = re.search(r"\A---\n.*?^license: (.+?)$", remote_text(url, "README.md"), re.DOTALL | re.MULTILINE)
        if found:
            return found[1]
    return "not said"


def _only(manifest: Manifest, tables: Sequence[str]) -> Manifest:
    """The manifest with these tables only, all if none are named."""
    if not tables:
        return manifest
    known = manifest.tables()
    for name in tables:
        if name not in known:
            raise Missing(f"there is no table {name!r}", remedy=did_you_mean(name, known))
    kept = {*tables, *CATALOGUE, *(["seed"] if any(known[name].partitioned for name in tables) else [])}
    return replace(
        manifest,
        parts=tuple(part for part in manifest.parts if part.table in kept),
        attached=tuple(one for one in manifest.attached if one.name in kept),
        weights=(),
        # So that an archive whose curves are left out is read when it is asked for.
        ingests=tuple(replace(one, fingerprint="") for one in manifest.ingests),
    )


def _place(part: Part) -> tuple[str, str, str, str, int]:
    return part.table, part.source, part.space, part.hp, part.block


def _together(before: Manifest, pulled: Manifest, replacing: bool, home: Path) -> Manifest:
    """What a database holds and what was pulled. The catalogue is that of the database, if it has one.

    Raises:
        NatsdbError: both have rows of the same source and block, or an attached table of the same name, and others.
    """
    held = {_place(part): part for part in before.parts}
    new = [part for part in pulled.parts if part.table not in CATALOGUE or _place(part) not in held]
    others = [part for part in new if held.get(_place(part), part).path != part.path]
    if others and not replacing:
        first = others[0]
        raise NatsdbError(
            f"it holds other rows of {f'source {first.source!r}' if first.source else f'the table {first.table}'}",
            where=str(home),
            remedy="name another folder with --db, or take these in their place with --replace",
        )
    manifest = with_weights(with_parts(before, new), pulled.weights)
    read = {one.which for one in before.ingests}
    for one in pulled.ingests:
        if one.fingerprint or one.which not in read:
            manifest = with_ingested(manifest, one)
    names = {one.name for one in pulled.attached}
    return replace(
        manifest, attached=_by_name([*(t for t in before.attached if t.name not in names), *pulled.attached])
    )


def _by_name(tables: Iterable[Attached]) -> tuple[Attached, ...]:
    return tuple(sorted(tables, key=lambda one: one.name))
