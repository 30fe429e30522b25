"""Official files in and out: archives become Parquet tables, bit for bit, and tables archives again."""

from natsdb.ingest.archive.export import export
from natsdb.ingest.archive.verify import Verified, verify
from natsdb.ingest.collect import collect
from natsdb.ingest.ingest import ingest
from natsdb.ingest.report import IngestReport

__all__ = ["IngestReport", "Verified", "collect", "export", "ingest", "verify"]
