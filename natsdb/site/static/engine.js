// DuckDB-WASM with the database's views and macros; loaded when the first question is asked.

let connection = null;

/** Answer to a statement: names of columns, and rows as objects. Throws DuckDB's error. */
export async function ask(statement) {
  connection ??= start().catch((error) => {
    connection = null;
    throw error;
  });
  const table = await (await connection).query(statement);
  return { columns: table.schema.fields.map((field) => field.name), rows: table.toArray().map((row) => row.toJSON()) };
}

async function start() {
  const duckdb = await import("./vendor/duckdb-browser.mjs");
  const here = (path) => new URL(path, document.baseURI).href;
  const db = new duckdb.AsyncDuckDB(new duckdb.VoidLogger(), new Worker(here("vendor/duckdb-browser-eh.worker.js")));
  await db.instantiate(here("vendor/duckdb-eh.wasm"));
  // JavaScript has one kind of number: counts and sums come as it.
  await db.open({ query: { castBigIntToDouble: true, castDecimalToDouble: true } });
  const opened = await db.connect();
  const answer = await fetch("data/views.sql");
  if (!answer.ok) throw new Error(`data/views.sql: the server says ${answer.status}`);
  const views = await answer.text();
  // A file that DuckDB-WASM knows by name costs a request when it is read; one that is named by its address, one for each
  // view that lists it: 2,800 at full scale.
  const files = new Set(Array.from(views.matchAll(/'(db\/[^']*)'/g), (found) => found[1]));
  for (const file of files) await db.registerFileURL(file, here(encodeURI(file)), duckdb.DuckDBDataProtocol.HTTP, false);
  for (const view of views.split("\n;\n")) await opened.query(view);
  return opened;
}
