"""The tables under Ray Data: the document's example gives DuckDB's numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Ray asks for it when it is imported: nothing is sent out.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'natsdb[ray]'")
pytest.importorskip("pandas", reason="ray.data needs pandas: pip install 'natsdb[ray]'")

import natsdb  # noqa: E402

DOCUMENT = Path(__file__).parents[2] / "docs" / "from-afar.md"


@pytest.fixture
def _node() -> Iterator[None]:
    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=80_000_000, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    # Some kB of rows: two hundred partitions, as by default, would take half a minute.
    context.default_hash_shuffle_parallelism = 2
    context.enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("_node")
def test_ray_data_gives_the_numbers_of_duckdb(made_up_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATSDB_HOME", str(made_up_db))
    example = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)[1]  # type: ignore[index]
    names: dict[str, Any] = {}
    exec(example, names)
    mine = [tuple(row) for row in names["best"].itertuples(index=False)]
    theirs = natsdb.query("select arch, accuracy from best('cifar100', 'x-test', '200')", made_up_db).rows()
    assert [arch for arch, _ in mine] == [arch for arch, _ in theirs]
    assert [accuracy for _, accuracy in mine] == pytest.approx([accuracy for _, accuracy in theirs], rel=1e-12)
    assert len(mine) == 10
    held = natsdb.query("select count(*) from final where hp = '01'", made_up_db).item()
    assert names["rows"].filter(expr=names["col"]("hp") == "01").count() == held > 0
