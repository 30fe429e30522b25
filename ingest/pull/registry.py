"""What `natsdb pull` knows by name, in one table."""

from __future__ import annotations

from dataclasses import dataclass

from natsdb.ingest.hub.card import CITATION

# The scheme of files on Google Drive, of which only the identifier is public.
DRIVE = "gdrive:"


@dataclass(frozen=True)
class Offer:
    """An archive that can be had: addresses in order of preference; `file`, its name; bytes, None where nobody says;
    `digest`, as far as one is published; `verified`, the day on which it was last fetched and found whole, if ever."""

    name: str
    what: str
    file: str
    addresses: tuple[str, ...]
    bytes: int | None
    digest: str
    licence: str
    citation: str
    verified: str = ""


def _simple(name: str, what: str, file: str, drive: str) -> Offer:
    single = file.rpartition("-")[2]
    return Offer(
        name,
        f"{what}: the official archive, a record an architecture",
        f"{file}-simple.tar",
        (f"{DRIVE}{drive}",),
        None,
        f"none of the tar is published; {single} in its name is of the single file; every record has a CRC",
        "MIT, as the benchmark's authors published it",
        CITATION,
    )


OFFERS = {
    offer.name: offer
    for offer in (
        _simple("tss", "all 15,625 cell topologies", "NATS-tss-v1_0-3ffb9", "17_saCsj_krKjlCBLOJEpNtzPXArMCqxU"),
        _simple("sss", "all 32,768 channel sizes", "NATS-sss-v1_0-50262", "1scOMTUwcQhAMa_IMedp9lTzwmgqHLGgA"),
    )
}
