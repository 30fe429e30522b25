"""What the page shows of searches, as JSON: one file, `data/searches.json`, by space.

    table      the view search_table, without columns that are empty
    regrets    by data set, role and label: mean regret over runs, at 12 moments
    curves     the same of accuracies, over simulated time or the epochs of a search
    ranks      by data set (and `all`), role and label: mean rank at 12 moments; regret, area, its mean rank at the last
    searches   every search: what was asked, how long it took, where it ran, what it found most often

Accuracies, regrets and ranks are rounded to 4 decimals, seconds to whole ones, below 1,000 to hundredths: searches that
train may take a few in all, and the first moment is 1/100 of that.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from natsdb.schema.datasets import searched

FILE = "searches.json"
# Of the 150 moments of a trajectory every third: 40 kB for 12 algorithms.
_EVERY = 3

_ONCE = """
create or replace temp table regrets_once as
select space, dataset, role, label, foremost, search, run, budget, moment, seconds, regret, area
from search_regret
"""

_ROUNDED = "case when seconds < 1000 then round(seconds, 2) else round(seconds) end"

_REGRETS = f"""
select
    dataset, role, label, list({_ROUNDED} order by moment) as seconds,
    list(round(regret, 4) order by moment) as regret
from (
    select dataset, role, label, moment, avg(seconds) as seconds, avg(regret) as regret
    from regrets_once
    where space = $space and foremost and search in (select search from search_about where hp is not null)
    group by all
)
group by all
order by all
"""

_TRAJECTORIES = f"""
select
    dataset, role, label, hp is not null as timed,
    list(case when hp is null then moment else {_ROUNDED} end order by moment) as at,
    list(round(accuracy, 4) order by moment) as accuracy
from trajectory
where
    space = $space and (hp is null or moment % $every = 0) and not isnan(accuracy)
    and search in (select search from search_about where foremost)
group by all
order by all
"""

_RANKS = """
select
    dataset, role, label, any_value(runs) as runs, any_value(searches) as searches,
    list(round(mean_rank, 4) order by moment) as mean_rank, round(max_by(regret, moment), 4) as regret,
    round(max_by(area, moment), 4) as area, round(max_by(area_rank, moment), 4) as area_rank
from ranked_searches('regrets_once')
where space = $space
group by all
order by all
"""

_SEARCHES = """
select
    about.search, about.label, about.algorithm, about.dataset, about.hp, about.options, about.budget, about.seed,
    about.runs, round(about.steps, 1) as steps, round(about.seconds) as seconds, run.provenance, found.found
from search_about as about
inner join (select search, any_value(provenance) as provenance from search_run group by search) as run
    on run.search = about.search
inner join (
    select search, list([arch, times] order by times desc, arch)[:5] as found
    from (select search, arch, count(*) as times from search_run group by all)
    group by search
) as found on found.search = about.search
where about.space = $space
order by list_position($datasets, about.dataset), about.label, about.search
"""


def write_searches(folder: Path, connection: Any) -> bool:
    """Write `searches.json` into a folder, if the database holds searches; gives whether it does.

    Raises:
        NatsdbError: a file of the database is damaged.
    """
    spaces = [row[0] for row in connection.execute("select distinct space from search_run order by 1 desc").fetchall()]
    if not spaces:
        return False
    # Regrets take a second of 3,600 runs, and ranks are made of them.
    connection.execute(_ONCE)
    text = json.dumps({space: _of(connection, space) for space in spaces}, separators=(",", ":"))
    (folder / FILE).write_text(text + "\n", encoding="utf-8")
    return True


def _of(connection: Any, space: str) -> dict[str, Any]:
    table = connection.sql(
        "select * exclude (space) from search_table where space = $space", params={"space": space}
    ).pl()
    names = [column.name for column in table if column.null_count() < len(column)]

    def asked(query: str, **more: Any) -> list[dict[str, Any]]:
        return list(connection.sql(query, params={"space": space, **more}).pl().to_dicts())

    return {
        "table": {"columns": names, "rows": [list(row) for row in table.select(names).rows()]},
        "regrets": asked(_REGRETS),
        "curves": asked(_TRAJECTORIES, every=_EVERY),
        "ranks": asked(_RANKS),
        "searches": asked(_SEARCHES, datasets=list(searched())),
    }
