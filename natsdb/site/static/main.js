// Which page is shown: #/ the leaderboard, #/searches, #/sql, #/tss/1462 an architecture.

import { showArch } from "./arch.js";
import { byId } from "./dom.js";
import { showExplore } from "./explore.js";
import { showSearches } from "./searches.js";
import { index } from "./site.js";
import { showSql } from "./sql.js";

const PAGES = ["explore", "arch", "searches", "sql"];
const TITLES = { searches: "Searches – natsdb", sql: "SQL – natsdb", explore: "natsdb" };

function open(page) {
  for (const id of PAGES) byId(id).hidden = id !== page;
  for (const link of document.querySelectorAll("nav a")) {
    const current = link.hash === (page === "explore" ? "#/" : `#/${page}`);
    current ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
}

async function route(first = false) {
  const path = location.hash.replace(/^#\/?/, "");
  const found = path.match(/^(tss|sss)\/(\d+)$/);
  const page = found ? "arch" : path in TITLES ? path : "explore";
  open(page);
  document.title = found ? `${found[1]} ${found[2]} – natsdb` : TITLES[page];
  try {
    if (found) await showArch(found[1], Number(found[2]));
    else if (page === "searches") await showSearches();
    else if (page === "sql") await showSql();
    else await showExplore();
  } catch (error) {
    say(`The page cannot be shown: ${error.message}`);
  }
  if (!first) {
    byId("main").focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function say(text) {
  byId("note").hidden = false;
  byId("note").textContent = text;
}

byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
byId("goto").addEventListener("submit", (event) => {
  event.preventDefault();
  const found = byId("goto-text").value.trim().match(/^(?:(tss|sss)[\s/]*)?(\d+)$/i);
  if (found) location.hash = `#/${(found[1] ?? "tss").toLowerCase()}/${Number(found[2])}`;
  else say("An architecture is named by space and index, as tss/1462.");
});
addEventListener("hashchange", () => route());

index().then((site) => {
  if (site.sources.includes("synthetic")) say("Rows of source synthetic are generated, not measured.");
  document.querySelector('nav a[href="#/sql"]').hidden = !site.sql;
  document.querySelector('nav a[href="#/searches"]').hidden = !site.searches;
}, () => {});
route(true);
