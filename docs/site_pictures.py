"""The pictures of the page in docs/publish.md and docs/search.md, by headless Chromium.

python docs/site_pictures.py [DATABASE]     # writes docs/site.png, site-narrow.png; of a DATABASE site-searches.png
"""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from natsdb.site import opened
from natsdb.site.serve import server
from natsdb.store.locations import BUILTIN

HERE = Path(__file__).parent
# By picture: page, what is there when it is drawn, width and height in pixels.
LEADERBOARD = {
    "site.png": ("#/", "#board tbody tr", 1200, 860),
    "site-narrow.png": ("#/", "#board tbody tr", 400, 1150),
}
SEARCHES = {"site-searches.png": ("#/searches", "#searches-shown svg", 1200, 1060)}


def draw(database: Path, pictures: dict[str, tuple[str, str, int, int]]) -> None:
    """Write pictures of a database's page."""
    with (
        opened(None, database) as (folder, databases),
        server(folder, 0, databases) as running,
        sync_playwright() as playwright,
    ):
        threading.Thread(target=running.serve_forever, daemon=True).start()
        # The sandbox does not work for root, and the page is ours.
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (page, ready, width, height) in pictures.items():
            tab = browser.new_page(viewport={"width": width, "height": height})
            tab.goto(f"http://127.0.0.1:{running.server_port}/{page}")
            tab.locator(ready).first.wait_for(timeout=60_000)
            tab.screenshot(path=HERE / name)
            print(HERE / name)
        browser.close()
        running.shutdown()


if __name__ == "__main__":
    draw(BUILTIN, LEADERBOARD)
    for database in sys.argv[1:]:
        draw(Path(database), SEARCHES)
