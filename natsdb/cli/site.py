"""Commands of the static page: site, serve."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from natsdb.cli.archives import DbOption, _progress

SqlOption = Annotated[
    bool, typer.Option("--sql/--no-sql", help="With DuckDB-WASM, which npm fetches once; or without SQL and curves.")
]


def site(
    out: Annotated[Path, typer.Argument(help="Folder to write; a site that is there is replaced.")],
    db: DbOption = None,
    sql: SqlOption = True,
) -> None:
    """Write a static page of the database: leaderboard, scatter, architectures, and SQL in the visitor's browser.

    Example: natsdb site public && natsdb serve public
    """
    from natsdb.site import write_site

    with _progress("") as progress:
        made = write_site(out, db, sql=sql, progress=progress)
    print(made)


def serve(
    site: Annotated[Path | None, typer.Argument(help="A site; one of the database is made if not given.")] = None,
    db: DbOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any that is free.")] = 8000,
    sql: SqlOption = True,
) -> None:
    """Show a site, or a database as one, to browsers on this machine, until ^C.

    Example: natsdb serve --db my-database
    """
    from natsdb.site import opened
    from natsdb.site.serve import server

    with opened(site, db, sql=sql) as (folder, databases), server(folder, port, databases) as running:
        print(f"http://127.0.0.1:{running.server_port}/ (^C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            running.serve_forever()
