"""A published folder goes to the Hugging Face Hub or into a bucket: only what differs, the manifest last.

Files of tables are named after their contents, so in a bucket one that has its name and size is the same file; the Hub
says the SHA-256 of each. What the manifest that was there lists and the new one does not is removed at the end: loaders
that go by folders would read it too. At the Hub all of it is one commit.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from natsdb.ingest.hub.publish import BESIDE_DATA
from natsdb.schema.errors import Missing, NatsdbError, said_by
from natsdb.store.locations import located
from natsdb.store.manifest import NAME, Manifest, parse_manifest
from natsdb.store.remote import file_system, hub_endpoint, hub_name, hub_token, remote_text, tried
from natsdb.store.snapshot import read_manifest

Progress = Callable[[str, int, int, int], None]
# Files that are brought to the Hub together.
_TOGETHER = 16
_NO_BUCKET, _NOT_SENT = "there is no such bucket", "it cannot be written"


def upload(folder: Path, to: str, progress: Progress | None = None) -> int:
    """Bring a published folder to hf://datasets/OWNER/NAME, or to a folder of a bucket (s3://…).

    Args:
        progress: called with (name, files done, files in all, kilobytes sent).

    Returns:
        How many files were sent.

    Raises:
        NatsdbError: it is no published folder, the server refuses or does not answer, or the URL cannot be written to;
            what is there stays as it was, and the same call goes on.
    """
    manifest = read_manifest(folder)
    absent = next((name for name in BESIDE_DATA if not (folder / name).exists()), None)
    if absent is not None:
        raise Missing(f"it is no published folder ({absent} is not there)", where=str(folder), remedy="name a new one")
    url = located(to)
    if not isinstance(url, str) or url.startswith("http"):
        raise NatsdbError("nothing can be sent there", where=to, remedy="give hf://datasets/OWNER/NAME or s3://…")
    with _sending(url):
        return (_to_hub if hub_name(url) else _to_bucket)(folder, url, manifest, progress)


def _to_bucket(folder: Path, url: str, manifest: Manifest, progress: Progress | None) -> int:
    files = file_system(url)
    held = tried(lambda: files.find(url, detail=True, refresh=True), url, _NO_BUCKET)
    root = files._strip_protocol(url)
    there = {name.removeprefix(f"{root}/"): one["size"] for name, one in held.items()}
    before = _before(url) if NAME in there else Manifest()
    data = [path for path, size in manifest.listed().items() if there.get(path) != size]
    sent = 0
    every = [*data, *_other(folder, url, there)]
    for done, path in enumerate(every):
        _say(progress, url, done, len(every), sent)
        tried(partial(files.put_file, str(folder / path), f"{url}/{path}"), f"{url}/{path}", _NO_BUCKET, _NOT_SENT)
        sent += (folder / path).stat().st_size
    for path in before.listed().keys() - manifest.listed().keys():
        if path in there:
            tried(partial(files.rm_file, f"{url}/{path}"), f"{url}/{path}", _NO_BUCKET, _NOT_SENT)
    _say(progress, url, len(every), len(every), sent)
    return len(every)


def _to_hub(folder: Path, url: str, manifest: Manifest, progress: Progress | None) -> int:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    named = hub_name(url)
    assert named is not None
    repo, revision, inside = named
    if inside:
        raise NatsdbError("a data set of the Hub is one database", where=url, remedy="write hf://datasets/OWNER/NAME")
    hub = HfApi(endpoint=hub_endpoint(), token=hub_token() or None)
    options: dict[str, Any] = {"repo_id": repo, "repo_type": "dataset", "revision": revision}
    hub.create_repo(repo, repo_type="dataset", exist_ok=True)
    there = {one.path: one for one in hub.list_repo_tree(recursive=True, **options) if hasattr(one, "size")}
    before = _before(url) if NAME in there else Manifest()
    known = {part.path: part.sha256 for part in manifest.parts} | {one.path: one.sha256 for one in manifest.weights}
    data = [
        CommitOperationAdd(path, folder / path)
        for path, sha256 in known.items()
        if path not in there or there[path].lfs is None or there[path].lfs.sha256 != sha256
    ]
    sent = 0
    for first in range(0, len(data), _TOGETHER):
        _say(progress, url, first, len(data) + 1, sent)
        some = data[first : first + _TOGETHER]
        shown = not are_progress_bars_disabled()
        disable_progress_bars()  # a bar a file, beside ours
        try:
            hub.preupload_lfs_files(additions=some, **options)
        finally:
            if shown:
                enable_progress_bars()
        sent += sum(one.upload_info.size for one in some)
    _say(progress, url, len(data), len(data) + 1, sent)
    small = [CommitOperationAdd(name, folder / name) for name in _other(folder, url, there)]
    gone = [
        CommitOperationDelete(path)
        for path in sorted(before.listed().keys() - manifest.listed().keys())
        if path in there
    ]
    if not data and not small and not gone:
        return 0
    message = f"version {manifest.version} of the database, {manifest.when}"
    hub.create_commit(operations=[*data, *small, *gone], commit_message=message, **options)
    return len(data) + len(small)


def _before(url: str) -> Manifest:
    return parse_manifest(remote_text(url, NAME), f"{url}/{NAME}")


def _other(folder: Path, url: str, there: Container[str]) -> list[str]:
    """The files beside the data that are not there, or not the same there; the manifest last."""
    return [
        name
        for name in (*BESIDE_DATA, NAME)
        if name not in there or remote_text(url, name) != (folder / name).read_text(encoding="utf-8")
    ]


def _say(progress: Progress | None, url: str, done: int, total: int, sent: int) -> None:
    if progress is not None:
        progress(url, done, total, sent // 1000)


@contextmanager
def _sending(url: str) -> Iterator[None]:
    """What the libraries that send raise in here is one sentence.

    Raises:
        NatsdbError: it was not sent.
    """
    try:
        yield
    except NatsdbError:
        raise
    except ImportError as error:
        what = f"{error.name or error} is not installed"
        raise NatsdbError(what, where=url, remedy="install it with `pip install 'natsdb[pull]'`") from error
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        remedy = "run the same command again: what was sent is not sent twice"
        if status in (401, 403):
            remedy = "set HF_TOKEN, or `hf auth login`, to a token that may write there"
        raise NatsdbError(f"it was not sent ({said_by(error)})", where=url, remedy=remedy) from error
