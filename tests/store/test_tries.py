"""What is behind a URL is asked for again where that may help, and errors say what does; locks are not waited for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from natsdb.schema.errors import Missing, NatsdbError, NotWritable, Stopped
from natsdb.store import remote
from natsdb.store.remote import file_system, hub_name, hub_token, may_pass, tried
from natsdb.store.writing import hold, only_writer


class Refused(Exception):
    """A server's answer, as aiohttp raises it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


@pytest.mark.parametrize(
    ("error", "said", "times"),
    [
        (Refused(400), r"it cannot be read \(status 400; asked 1 times\)", 1),
        (Refused(401), r"access is denied \(status 401\).* set HF_TOKEN", 1),
        (Refused(402), r"it cannot be read \(status 402; asked 1 times\)", 1),
        (Refused(403), r"access is denied \(status 403\)", 1),
        (Refused(429), r"it cannot be read \(status 429; asked 3 times\)", 3),
        (Refused(499), r"it cannot be read \(status 499; asked 1 times\)", 1),
        (Refused(500), r"it cannot be read \(status 500; asked 3 times\)", 3),
        (ConnectionError(), r"it cannot be read \(ConnectionError; asked 3 times\)", 3),
        (FileNotFoundError(), "it is not there; check the address", 1),
        (PermissionError("no"), r"access is denied \(no\)", 1),
        (NatsdbError("it is wrong"), "^hf://x: it is wrong|^it is wrong", 1),
    ],
    ids=lambda one: f"{type(one).__name__} {one}" if isinstance(one, Exception) else "",
)
def test_what_may_pass_is_tried_again_and_what_helps_is_said(
    error: Exception, said: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "WAITS", (0, 0))
    asked = []

    def get() -> None:
        asked.append(1)
        raise error

    with pytest.raises(NatsdbError, match=said) as found:
        tried(get, "hf://x", "it is not there")
    assert isinstance(found.value, Missing) == isinstance(error, FileNotFoundError)
    assert len(asked) == times


def test_an_answer_after_a_failure_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WAITS", (0, 0))
    answers = iter([Refused(503), 7])

    def get() -> int:
        one = next(answers)
        if isinstance(one, Exception):
            raise one
        return one

    assert tried(get, "hf://x", "") == 7
    assert not may_pass(Stopped())
    assert not may_pass(KeyboardInterrupt())


def test_names_at_the_hub_and_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_name("hf://datasets/me/nats") == ("me/nats", "main", "")
    assert hub_name("hf://datasets/me/nats@v1") == ("me/nats", "v1", "")
    assert hub_name("hf://datasets/me/nats/a/b") == ("me/nats", "main", "a/b")
    assert hub_name("https://example.org/datasets/me/nats") is None
    for name in ("HF_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert hub_token() == ""
    (tmp_path / "token").write_text("of home\n")
    (tmp_path / "other").write_text("of path\n")
    assert hub_token() == "of home"
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "other"))
    assert hub_token() == "of path"
    monkeypatch.setenv("HF_TOKEN", " of the environment ")
    assert hub_token() == "of the environment"
    monkeypatch.undo()
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
    (tmp_path / ".cache" / "huggingface" / "token").write_text("of the cache")
    assert hub_token() == "of the cache"


def test_only_the_hub_is_told_the_users_token(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp", reason="the extra `remote` is not installed")
    monkeypatch.setenv("HF_TOKEN", "secret")
    told = [file_system(url).client_kwargs["headers"] for url in ("hf://datasets/me/nats", "https://example.org/nats")]
    assert told == [{"Authorization": "Bearer secret"}, {}]


def test_folders_above_a_new_database_are_made(tmp_path: Path) -> None:
    """The user's data directory, where a database lies by default, may not be there yet."""
    for _ in range(2):
        with only_writer(tmp_path / "share" / "natsdb"):
            assert (tmp_path / "share" / "natsdb").is_dir()


def test_a_lock_that_another_holds_is_not_waited_for(tmp_path: Path) -> None:
    told: list[str] = []

    def other() -> None:
        try:
            with hold(tmp_path / ".lock", "another has it"):
                told.append("it got it")
        except NotWritable as error:
            told.append(error.what)

    with hold(tmp_path / ".lock", "nobody has it"):
        thread = threading.Thread(target=other, daemon=True)
        thread.start()
        thread.join(20)
        assert told == ["another has it"]
