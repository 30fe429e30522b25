"""Files from elsewhere, each kept as far as it came: a database's in ranges (fsspec), others by gdown."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from natsdb.ingest.pull.registry import DRIVE
from natsdb.schema.errors import Damaged, NatsdbError, said_by
from natsdb.store import remote
from natsdb.store.damage import sha256_of
from natsdb.store.writing import sync_folder

# Bytes of a request: so much is lost by a cut, or when it is stopped. After a cut it is a quarter; it grows as long as
# a request takes less than some seconds.
_MOST, _FIRST, _LEAST = 1 << 22, 1 << 18, 1 << 14
_SECONDS = 2.0
# So often in a row nothing may come.
_PATIENCE = 5
AGAIN = "run the same command again: what came is kept"


def fetch_listed(
    url: str, target: Path, size: int, sha256: str, came: Callable[[int], None], stop: threading.Event
) -> None:
    """Fetch a file whose size and digest are known, whole or not at all; what came of it before is gone on with.

    Args:
        came: called with the bytes that each request brought.
        stop: when it is set, no more is fetched.

    Raises:
        Stopped: `stop` was set before all of it came.
        Damaged: its bytes are others than those that were published.
        NatsdbError: the server does not answer, or refuses.
        OSError: it cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    failed, step = 0, _FIRST
    with part.open("ab") as file:
        while (at := file.tell()) < size:
            asked = time.monotonic()
            try:
                got = remote.remote_bytes(url, at, min(at + step, size), stop)
            except NatsdbError as error:
                failed += 1
                if error.__cause__ is None or not remote.may_pass(error.__cause__):
                    raise
                if failed == _PATIENCE:
                    raise NatsdbError(error.what, where=url, remedy=AGAIN) from error
                step = max(_LEAST, step // 4)
                continue
            quick = time.monotonic() - asked < _SECONDS
            failed, step = 0, min(_MOST, 2 * step) if quick else max(_LEAST, step // 2)
            file.write(got)
            came(len(got))
        file.flush()
        os.fsync(file.fileno())
    if sha256 and sha256_of(part) != sha256:
        part.unlink()
        what = "its bytes are others than those that were published"
        raise Damaged(what, where=url, remedy="run the same command again; if it is so again, tell who published it")
    os.replace(part, target)
    sync_folder(target.parent)


def fetch_archive(
    address: str, target: Path, came: Callable[[int, int | None], None], stop: threading.Event | None = None
) -> None:
    """Fetch a file of Google Drive (gdrive:ID) or of any server; what came of it before is gone on with.

    Args:
        came: called with the bytes that are there and those that there are in all, if that is known.
        stop: when it is set, no more is fetched.

    Raises:
        NatsdbError: gdown is not installed; a quota is exceeded or the server refuses; it is cut again and again.
        OSError: it cannot be written.
    """
    try:
        import gdown
        import requests
        from gdown.exceptions import DownloadError, FileURLRetrievalError
    except ImportError as error:
        what = f"{error.name or error} is not installed"
        raise NatsdbError(what, where=address, remedy="install it with `pip install 'natsdb[pull]'`") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    of = {"id": address.removeprefix(DRIVE)} if address.startswith(DRIVE) else {"url": address}
    failed, had = 0, _came_of(target)
    while True:
        try:
            gdown.download(
                **of,
                output=str(target),
                quiet=True,
                resume=True,
                use_cookies=False,
                timeout=30,
                progress=came,
                cancel=stop,
            )
            return
        except FileURLRetrievalError as error:
            # gdown puts what the page says between sentences of its own.
            page = re.search(r"file url:(.*?)You may still", str(error), re.DOTALL)
            said = " ".join((page[1] if page else str(error)).split()).rstrip(".")
            what = f"Google Drive does not give it out ({said})"
            raise NatsdbError(what, where=address, remedy="try again tomorrow, or see `natsdb pull --list`") from error
        except (DownloadError, requests.RequestException) as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            if "requested byte range" in str(error):  # a server that sends whole files: from the start
                _remove_part(target)
            failed = 0 if _came_of(target) > had else failed + 1
            had = _came_of(target)
            refused = status is not None and 400 <= status < 500 and status != 429
            if failed == _PATIENCE or refused:
                said = said_by(error).rstrip(".")
                remedy = "the server does not give it out: look whether the address is right" if refused else AGAIN
                raise NatsdbError(f"it did not come whole ({said})", where=address, remedy=remedy) from error
            (stop or threading.Event()).wait(remote.WAITS[min(failed, len(remote.WAITS) - 1)] if failed else 0)


def _came_of(target: Path) -> int:
    """Bytes that there are of a file that gdown did not finish."""
    return sum(path.stat().st_size for path in target.parent.glob(f"{target.name}*.part"))


def _remove_part(target: Path) -> None:
    for path in target.parent.glob(f"{target.name}*.part"):
        path.unlink()
