"""Files behind a URL, by fsspec (s3fs, aiohttp): in ranges of bytes, tried again where a failure may pass.

A data set of the Hugging Face Hub is read from the addresses that the Hub serves its files at: huggingface_hub's file
system for fsspec lists a file's folder before it reads a range of it. `$HF_ENDPOINT` names another Hub, `$HF_TOKEN` or
`hf auth login` who asks.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import fsspec

from natsdb.schema.errors import Missing, NatsdbError, Stopped, said_by

# Seconds to wait before each further try.
WAITS = (0.2, 0.6, 2.0)
_GONE = "the file that the manifest lists is not there"

Result = TypeVar("Result")


def remote_text(url: str, name: str) -> str:
    """A small text file of a database behind a URL.

    Raises:
        Missing: it is not there.
        NatsdbError: the server does not answer, or refuses.
    """
    where = f"{url}/{name}"
    data: bytes = tried(lambda: file_system(url).cat_file(address(where)), where, "there is no natsdb database here")
    return data.decode(errors="replace")  # what is no text is no manifest either, which its reader says


def hub_name(url: str) -> tuple[str, str, str] | None:
    """Of hf://datasets/OWNER/NAME[@REVISION][/FILE] OWNER/NAME, the revision (main by default) and the file; None for
    other URLs.

    Raises:
        NatsdbError: it is of the Hub, and names no data set.
    """
    if not url.startswith("hf://"):
        return None
    found = re.fullmatch(r"hf://datasets/([\w.-]+/[\w.-]+)(?:@([^/]+))?(?:/(.*))?", url)
    if found is None:
        raise NatsdbError("this is no data set of the Hub", where=url, remedy="write hf://datasets/OWNER/NAME")
    return found[1], found[2] or "main", found[3] or ""


def hub_endpoint() -> str:
    """The Hub's address."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def address(url: str) -> str:
    """Where a file behind a URL is fetched: for one at the Hub, its https address; else the URL."""
    named = hub_name(url)
    if named is None:
        return url
    repo, revision, file = named
    return f"{hub_endpoint()}/datasets/{repo}/resolve/{quote(revision, safe='')}/{quote(file, safe='/=')}"


def pinned(url: str) -> str:
    """A URL that stands for the same files whatever is published there: of the Hub, that of a commit.

    Raises:
        Missing: the Hub has no such data set, or not this revision of it.
        NatsdbError: it does not answer, or refuses.
    """
    named = hub_name(url)
    if named is None:
        return url
    repo, revision, folder = named
    ask = f"{hub_endpoint()}/api/datasets/{repo}/revision/{quote(revision, safe='')}"
    answer = tried(lambda: file_system(url).cat_file(ask), url, "the Hub has no such data set, or shows it to others")
    return f"hf://datasets/{repo}@{json.loads(answer)['sha']}" + (f"/{folder}" if folder else "")


def remote_bytes(url: str, start: int, end: int, stop: threading.Event | None = None) -> bytes:
    """Bytes of a listed file behind a URL, from `start` to before `end`.

    Args:
        stop: when it is set, the request is given up.

    Raises:
        NatsdbError: the server does not answer, or not with all of this range, however often it is asked.
        Stopped: `stop` was set before all of it came.
    """

    def get() -> bytes:
        files = file_system(url)
        if stop is None:
            got: bytes = files.cat_file(address(url), start=start, end=end)
        else:
            got = _unless(stop, files._cat_file(address(url), start=start, end=end), files.loop)
        if len(got) > end - start:
            raise NatsdbError(
                "the server sends whole files and no ranges of bytes",
                where=url,
                remedy="use a server that does, or copy the database first",
            )
        if len(got) < end - start:
            raise ConnectionError(f"{len(got)} of {end - start} bytes came")
        return got

    return tried(get, url, _GONE, stop=stop)


def _unless(stop: threading.Event, asking: Coroutine[Any, Any, Result], loop: asyncio.AbstractEventLoop) -> Result:
    """What a request on fsspec's loop returns, which is given up when `stop` is set."""
    future = asyncio.run_coroutine_threadsafe(asking, loop)
    while not stop.is_set():
        if wait([future], timeout=0.1).done:
            return future.result()
    future.cancel()
    raise Stopped


def remote_size(url: str) -> int:
    """Bytes of a listed file behind a URL.

    Raises:
        NatsdbError: the server does not answer, or does not say.
    """
    found = tried(lambda: file_system(url).info(address(url))["size"], url, _GONE)
    if found is None:
        raise NatsdbError("the server does not say how large the file is", where=url, remedy="copy the database first")
    return int(found)


def tried(
    get: Callable[[], Result],
    where: str,
    absent: str,
    failed: str = "it cannot be read",
    stop: threading.Event | None = None,
) -> Result:
    """What `get` returns, tried again after failures that may pass; `failed` says what did not succeed.

    Args:
        stop: when it is set, no time is waited between tries.

    Raises:
        Missing: there is no such file (`absent` says what that means).
        NatsdbError: what `get` raises, or what its last failure was.
    """
    import tenacity

    tries = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(len(WAITS) + 1),
        wait=tenacity.wait_chain(*map(tenacity.wait_fixed, WAITS)),
        retry=tenacity.retry_if_exception(may_pass),
        reraise=True,
        sleep=tenacity.sleep_using_event(stop) if stop is not None else tenacity.nap.sleep,
    )
    try:
        return tries(get)
    except (NatsdbError, Stopped):
        raise
    except FileNotFoundError:
        raise Missing(absent, where=where, remedy="check the address") from None
    except PermissionError as error:
        raise _denied(error, where) from error
    # Each of fsspec's libraries has errors of its own for a connection that is cut or not made.
    except Exception as error:
        if getattr(error, "status", None) in (401, 403):
            raise _denied(error, where) from error
        said = f"{said_by(error)}; asked {tries.statistics.get('attempt_number', 1)} times"
        raise NatsdbError(f"{failed} ({said})", where=where, remedy="check the address and try again") from error


def _denied(error: Exception, where: str) -> NatsdbError:
    remedies = {"s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE", "hf": "set HF_TOKEN"}
    remedy = remedies.get(where.partition(":")[0], "check the address")
    return NatsdbError(f"access is denied ({getattr(error, 'message', error)})", where=where, remedy=remedy)


def may_pass(error: BaseException) -> bool:
    """Whether it is worth while to ask again."""
    if isinstance(error, (NatsdbError, Stopped, FileNotFoundError, PermissionError)) or not isinstance(
        error, Exception
    ):
        return False
    # Of a server's refusals only "too many requests" passes.
    status = getattr(error, "status", 500)
    return bool(status >= 500 or status == 429)


def file_system(url: str) -> Any:
    """fsspec's file system for a URL; of the Hub, that for its https addresses.

    Raises:
        NatsdbError: the extra `remote` is not installed.
    """
    scheme = url.partition("://")[0]
    try:
        return _file_system(scheme, hub_token() if scheme == "hf" else "")
    except ImportError as error:
        raise NatsdbError(
            f"{error.name or error} is not installed",
            where=url,
            remedy="install it with `pip install 'natsdb[remote]'`",
        ) from error


def hub_token() -> str:
    """The token that the Hub knows the user by, empty where there is none."""
    given = os.environ.get("HF_TOKEN", "").strip()
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    if not given:
        with suppress(OSError, ValueError):
            given = Path(os.environ.get("HF_TOKEN_PATH") or home / "token").read_text(encoding="utf-8").strip()
    return given


@cache
def _file_system(scheme: str, token: str) -> Any:
    options: dict[str, Any] = {}
    if scheme != "s3":
        import aiohttp

        # fsspec's own limit is five minutes in all. A redirect to another host gets no token.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        options = {"client_kwargs": {"timeout": timeout, "headers": headers}}
    return fsspec.filesystem("https" if scheme == "hf" else scheme, skip_instance_cache=True, **options)
