"""Files behind a URL, by fsspec (s3fs, aiohttp): in ranges of bytes, tried again where a failure may pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import fsspec
import tenacity

from natsdb.schema.errors import Missing, NatsdbError

# Seconds to wait before each further try.
_WAITS = (0.2, 0.6, 2.0)
_GONE = "the file that the manifest lists is not there"

Result = TypeVar("Result")


def remote_text(url: str, name: str) -> str:
    """A small text file of a database behind a URL.

    Raises:
        Missing: it is not there.
        NatsdbError: the server does not answer, or refuses.
    """
    where = f"{url}/{name}"
    data: bytes = tried(
        lambda: _file_system(url.partition("://")[0], url).cat_file(where), where, "there is no natsdb database here"
    )
    return data.decode()


def remote_bytes(url: str, start: int, end: int) -> bytes:
    """Bytes of a listed file behind a URL, from `start` to before `end`.

    Raises:
        NatsdbError: the server does not answer, or not with all of this range, however often it is asked.
    """

    def get() -> bytes:
        got: bytes = _file_system(url.partition("://")[0]).cat_file(url, start=start, end=end)
        if len(got) > end - start:
            raise NatsdbError(
                "the server sends whole files and no ranges of bytes",
                where=url,
                remedy="use a server that does, or copy the database first",
            )
        if len(got) < end - start:
            raise ConnectionError(f"{len(got)} of {end - start} bytes came")
        return got

    return tried(get, url, _GONE)


def remote_size(url: str) -> int:
    """Bytes of a listed file behind a URL.

    Raises:
        NatsdbError: the server does not answer, or does not say.
    """
    found = tried(lambda: _file_system(url.partition("://")[0]).info(url)["size"], url, _GONE)
    if found is None:
        raise NatsdbError("the server does not say how large the file is", where=url, remedy="copy the database first")
    return int(found)


def tried(get: Callable[[], Result], where: str, absent: str) -> Result:
    """What `get` returns, tried again after failures that may pass.

    Raises:
        Missing: there is no such file (`absent` says what that means).
        NatsdbError: what `get` raises, or what its last failure was.
    """
    tries = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(len(_WAITS) + 1),
        wait=tenacity.wait_chain(*map(tenacity.wait_fixed, _WAITS)),
        retry=tenacity.retry_if_exception(_may_pass),
        reraise=True,
    )
    try:
        return tries(get)
    except NatsdbError:
        raise
    except FileNotFoundError:
        raise Missing(absent, where=where, remedy="check the address") from None
    except PermissionError as error:
        remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        raise NatsdbError(f"access is denied ({error})", where=where, remedy=remedy) from error
    # Each of fsspec's libraries has errors of its own for a connection that is cut or not made.
    except Exception as error:
        said = f"{str(error) or type(error).__name__}; asked {tries.statistics.get('attempt_number', 1)} times"
        raise NatsdbError(
            f"it cannot be read ({said})", where=where, remedy="check the address and try again"
        ) from error


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, (NatsdbError, FileNotFoundError, PermissionError)) or not isinstance(error, Exception):
        return False
    # Of a server's refusals only "too many requests" passes.
    status = getattr(error, "status", 500)
    return bool(status >= 500 or status == 429)


@cache
def _file_system(scheme: str, url: str = "") -> Any:
    options: dict[str, Any] = {}
    try:
        if scheme.startswith("http"):
            import aiohttp

            # fsspec's own limit is five minutes in all.
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
            options = {"client_kwargs": {"timeout": timeout}}
        return fsspec.filesystem(scheme, skip_instance_cache=True, **options)
    except ImportError as error:
        raise NatsdbError(
            f"{error.name or error} is not installed",
            where=url or scheme,
            remedy="install it with `pip install 'natsdb[remote]'`",
        ) from error
