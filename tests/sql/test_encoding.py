"""The view `encoding` and the macro `arch_of` against the same in Python."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import natsdb
from natsdb import encodings
from natsdb.connection import Connection
from natsdb.schema.encodings import encodings_of, texts
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES

IN_SQL = {"tss": ["digits", "genotype", "index", "naslib", "string"], "sss": ["channels", "index", "string"]}


@pytest.fixture(scope="module")
def con(real_db: Path) -> Connection:
    return natsdb.connect(real_db)


def test_encoding_has_all_texts_but_canonical_ones(con: Connection) -> None:
    for space, names in IN_SQL.items():
        assert names == sorted(encodings_of(SPACES[space]).keys() - {"canonical"})
        rows = con.sql("select * from encoding where space = ? order by encoding, arch", params=[space]).pl()
        assert rows.columns == ["space", "arch", "encoding", "text"]
        assert rows["encoding"].unique(maintain_order=True).to_list() == names
        assert rows["text"].to_list() == [text for name in names for text in texts(SPACES[space], name)]
        assert rows["arch"].to_list() == list(range(SPACES[space].size)) * len(names)


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_arch_of_finds_every_text_of_every_encoding(real_db: Path, space: str) -> None:
    size, names = SPACES[space].size, IN_SQL[space]
    written = pl.DataFrame({name: texts(SPACES[space], name) for name in names}).with_row_index("expected")
    asked = [f"arch_of('{space}', {name}, '{name}') = expected" for name in names]
    asked += [f"arch_of(space, {name}) = expected" for name in names if name != "digits"]
    counted = ", ".join(f"count(*) filter ({one})" for one in asked)
    found = natsdb.query(f"select {counted} from (select *, '{space}' as space from written)", real_db, written=written)
    assert set(found.row(0)) == {size}


def test_arch_of_may_stand_in_the_condition_of_a_join(real_db: Path) -> None:
    mine = pl.DataFrame({"net": texts(SPACES["tss"], "naslib"), "score": range(15_625)})
    joined = (
        "select sum((score = arch)::int), count(*) from mine join arch on space = 'tss' and arch = arch_of('tss', net)"
    )
    assert natsdb.query(joined, real_db, mine=mine).row(0) == (15_625, 15_625)


def test_arch_of_reads_spellings_as_python_does(con: Connection) -> None:
    for space, text, encoding in (
        ("tss", "(4,0, 3,1,4,3)", None),
        ("tss", "[4, 0, 3, 1, 4, 3]", None),
        ("tss", "(4, 0, 3, 1, 4, 3)", "digits"),
        ("tss", "403143", "naslib"),
        ("tss", "403143", "digits"),
        ("tss", "444444", None),
        ("tss", '[[["none",0]],[["none",0],["none",1]],[["none",0],["none",1],["skip_connect",2]]]', None),
        ("tss", "15624", None),
        ("sss", "32767", None),
        ("sss", "(8,8,8, 8,16)", None),
        ("sss", "64:8:8:8:64", "string"),
    ):
        found = con.sql("select arch_of(?, ?, ?)", params=[space, text, encoding]).fetchall()
        assert found == [(encodings.index_of(space, text, encoding),)]


def test_arch_of_answers_null_for_what_is_none_and_refuses_what_may_be_two(con: Connection) -> None:
    for given in ("'tss', 'x'", "'tss', '15625'", "'tss', null", "'tss', '8:8:8:8:8'", "'nb101', '1'", "'tss', '011'"):
        assert con.sql(f"select arch_of({given})").fetchall() == [(None,)]
    assert con.sql("select arch_of('tss', '11', encoding := 'naslib')").fetchall() == [(None,)]
    assert con.sql("select arch_of('sss', '[8, 8, 8, 8, 9]')").fetchall() == [(None,)]
    with pytest.raises(
        NatsdbError, match="403143 may stand for several architectures of tss: name the encoding, as in"
    ):
        con.sql("select arch_of('tss', '403143')").fetchall()
