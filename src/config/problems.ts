/**
 * Mistakes of a configuration: collected while it is checked, reported all at once.
 *
 * @module
 */

/** One mistake: where it stands, and what to do about it. */
export interface Problem {
  /** `tables.filter.FORWARD.rules[3].dport`, or `iptables:12:8` for line and column of a text. */
  readonly path: string;
  /** One sentence; with what to write instead, where that can be known. */
  readonly message: string;
}

/** A configuration that cannot be used. */
export class ConfigError extends Error {
  override name = "ConfigError";

  /** All mistakes that were found, in the order of the configuration. */
  constructor(readonly problems: readonly Problem[]) {
    const lines = problems.map(({ path, message }) => `  ${path}: ${message}`);
    super(`${problems.length === 1 ? "1 mistake" : `${problems.length} mistakes`}:\n${lines.join("\n")}`);
  }
}

/** A growing list of mistakes. */
export class Problems {
  readonly list: Problem[] = [];
  readonly #known = new Set<string>();

  /** Adds one, unless it is there. */
  add(path: string, message: string): void {
    const key = `${path}\n${message}`;
    if (this.#known.has(key)) return;
    this.#known.add(key);
    this.list.push({ path, message });
  }

  /** Adds those of others whose place has none yet: a rule for both families is read twice, and wrong once. */
  addNew(others: Problems): void {
    const known = new Set(this.list.map((p) => p.path));
    for (const { path, message } of others.list) if (!known.has(path)) this.add(path, message);
  }

  /** Adds one for each key of an object that is not known, with the nearest known one. False when there was one. */
  unknownKeys(path: string, object: object, known: readonly string[]): boolean {
    let fine = true;
    for (const key of Object.keys(object)) {
      if (known.includes(key)) continue;
      fine = false;
      this.add(child(path, key), `is not known here; ${suggest(key, known)}`);
    }
    return fine;
  }
}

/** The path of something within something. */
export function child(path: string, key: string | number): string {
  if (typeof key === "number") return `${path}[${key}]`;
  const name = /^[A-Za-z_$][\w$]*$/.test(key) ? key : JSON.stringify(key);
  if (path === "") return name;
  return name === key ? `${path}.${name}` : `${path}[${name}]`;
}

/** "did you mean …?", or the whole list when nothing is near. */
export function suggest(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  return near === null ? `known are ${known.join(", ")}` : `did you mean ${near}?`;
}

/** The known word that takes the fewest changes to write, if they are few. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = changes(word.toLowerCase(), candidate.toLowerCase());
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** Letters to insert, leave out, replace or exchange with their neighbour (optimal string alignment). */
function changes(a: string, b: string): number {
  let before: number[] = [], last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j], before[j - 2] + 1);
      }
    }
    before = last;
    last = row;
  }
  return last[b.length];
}

/** True for `{ … }`, not for arrays, null or class instances such as dates. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
