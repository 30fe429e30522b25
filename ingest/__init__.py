"""Official files in: every form of the archive becomes Parquet tables, bit for bit, once."""

from natsdb.ingest.ingest import Report, ingest

__all__ = ["Report", "ingest"]
