// What lies in data/: the index, architectures, points, runs and searches. Each file is fetched once.

const fetched = new Map();

function json(path) {
  if (!fetched.has(path)) {
    const answer = fetch(path).then((response) => {
      if (!response.ok) throw new Error(`${path}: the server says ${response.status}`);
      return response.json();
    });
    answer.catch(() => fetched.delete(path));
    fetched.set(path, answer);
  }
  return fetched.get(path);
}

export const index = () => json("data/site.json");
export const searches = () => json("data/searches.json");
export const points = (file) => json(`data/points/${file}`);

/** A measure's values by architecture, for a data set's file of it. */
export async function measured(file) {
  const { arch, value } = await json(`data/measures/${file}`);
  return new Map(value.map((number, n) => [arch ? arch[n] : n, number]));
}

/** A function from an architecture's index to its operations or channels, as a list. */
export async function parts(space) {
  const { count, names, digits } = await json(`data/archs/${space}.json`);
  const width = digits.length / count;
  const list = (arch) => Array.from(digits.slice(arch * width, (arch + 1) * width), (digit) => names[digit]);
  return { count, list };
}

/** The official string of an architecture's parts. */
export function archString(space, list) {
  if (space === "sss") return list.join(":");
  const edge = (n, from) => `${list[n]}~${from}`;
  return `|${edge(0, 0)}|+|${edge(1, 0)}|${edge(2, 1)}|+|${edge(3, 0)}|${edge(4, 1)}|${edge(5, 2)}|`;
}

/** An architecture's record: string, canonical index, costs by formula, last accuracies of its runs. */
export async function record(space, arch) {
  const { group } = await index();
  return (await json(`data/runs/${space}/${Math.floor(arch / group)}.json`))[arch % group];
}
