"""Official files in and out: archives become Parquet tables, bit for bit, and tables archives again."""

from natsdb.ingest.collect import collect
from natsdb.ingest.export import export
from natsdb.ingest.ingest import Report, ingest
from natsdb.ingest.verify import Verified, verify

__all__ = ["Report", "Verified", "collect", "export", "ingest", "verify"]
