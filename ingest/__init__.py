"""Official files in and out: archives become Parquet tables, bit for bit, and tables archives again."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from natsdb.ingest.archive.export import export
    from natsdb.ingest.archive.verify import verify
    from natsdb.ingest.into_tables import ingest
    from natsdb.ingest.report import IngestReport, Verified
    from natsdb.ingest.trained import collect

__all__ = ["IngestReport", "Verified", "collect", "export", "ingest", "verify"]

# Who asks a handle of `natsdb.api` one question needs the reader of records and nothing of the rest.
_MODULES = {
    "IngestReport": "report",
    "Verified": "report",
    "collect": "trained",
    "export": "archive.export",
    "ingest": "into_tables",
    "verify": "archive.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
