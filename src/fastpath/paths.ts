/**
 * Paths: what was done to a packet and under which conditions, each different one kept once.
 *
 * A path is a number, 16 bits, so that a flow's two directions find room in one word. Flows that are treated alike share
 * one, and there are few of them. When numbers are used up all are forgotten, and flows find theirs anew.
 *
 * ```
 *  words     [ conditions, what to do, link of the hash chain ] …    one cache line per path
 *  rows      places in the router's rule counters, path by path
 *  guards    for the few paths that have some: what has to be asked of each packet, and the answers
 * ```
 */
import type { Packet } from "../packet/packet.ts";
import type { Match } from "../tables/extension.ts";
import type { Recorder } from "../tables/recorder.ts";

/** Words of a path. */
export const PATH_WORDS = 16;
/** Conditions: the interface that the packet comes from, the flow's status under a mask, the flow's mark. */
export const PATH_IN = 0, PATH_STATUS = 1, PATH_MARK = 2;
/** What to do: the interface to leave by, the longest packet it takes, the counters that go up, PATH_* bits. */
export const PATH_OUT = 3, PATH_MTU = 4, PATH_ROWS = 5, PATH_ROWS_END = 6, PATH_FLAGS = 7;
/** Packets and bytes that the rule counters do not know of yet. */
export const PATH_PACKETS = 8, PATH_BYTES = 9;
const HASH = 10, NEXT = 11, CONDITIONS = PATH_FLAGS + 1;

/** Bits of PATH_FLAGS: the flow's addresses and ports are rewritten; there are guards. */
export const PATH_NAT = 1, PATH_GUARDED = 2;

/** No path, and none yet but a packet that might have made one. No packet fulfils their conditions. */
export const PATH_NONE = 0, PATH_SEEN = 1;
const FIRST = 2, MOST = 1 << 16, NO_INTERFACE = -1;

/** What must be asked of each packet of a path. */
interface Guards {
  readonly matches: readonly Match[];
  readonly answers: readonly boolean[];
}

/** Hash chains. */
const CHAINS = 1 << 10;

/** The paths of one router. */
export class Paths {
  /** `words[path * PATH_WORDS + PATH_IN]` */
  words: Int32Array = new Int32Array(64 * PATH_WORDS);
  /** `rows[words[at + PATH_ROWS]] …` */
  rows: Int32Array = new Int32Array(1024);

  readonly #guards: (Guards | undefined)[] = [];
  readonly #chains = new Int32Array(CHAINS);
  readonly #wanted = new Int32Array(CONDITIONS);
  #count = FIRST;
  #rowCount = 0;
  /** Where the paths stand whose packets are not yet counted. */
  #touched: Int32Array = new Int32Array(64);
  #touchedCount = 0;

  constructor() {
    for (let path = 0; path < FIRST; path++) this.words[path * PATH_WORDS + PATH_IN] = NO_INTERFACE;
  }

  /** How many there are. */
  get size(): number {
    return this.#count - FIRST;
  }

  /** Nothing is known any more: who holds a number must forget it. */
  clear(): void {
    this.#count = FIRST;
    this.#rowCount = 0;
    this.#chains.fill(0);
    this.#guards.length = 0;
  }

  /** The number of the path that the recorder has seen, under these conditions; 0 when there is no room for it. */
  intern(
    iface: number,
    status: number,
    mark: number,
    out: number,
    mtu: number,
    flags: number,
    r: Recorder,
  ): number {
    const wanted = this.#wanted;
    wanted[PATH_IN] = iface;
    wanted[PATH_STATUS] = status;
    wanted[PATH_MARK] = mark;
    wanted[PATH_OUT] = out;
    wanted[PATH_MTU] = mtu;
    wanted[PATH_ROWS_END] = r.rowCount; // their number, until the path has a place
    wanted[PATH_FLAGS] = flags | (r.guardCount > 0 ? PATH_GUARDED : 0);
    let hash = 0;
    for (let i = 0; i < CONDITIONS; i++) hash = Math.imul(hash ^ wanted[i], 0x9e3779b1) ^ (hash >>> 15);
    for (let i = 0; i < r.rowCount; i++) hash = Math.imul(hash ^ r.rows[i], 0x9e3779b1) ^ (hash >>> 15);
    const chain = hash >>> 22;
    for (let path = this.#chains[chain]; path !== 0; path = this.words[path * PATH_WORDS + NEXT]) {
      if (this.#is(path, hash, wanted, r)) return path;
    }
    return this.#add(chain, hash, wanted, r);
  }

  #is(path: number, hash: number, wanted: Int32Array, r: Recorder): boolean {
    const w = this.words, at = path * PATH_WORDS, from = w[at + PATH_ROWS];
    if (w[at + HASH] !== hash || w[at + PATH_ROWS_END] - from !== r.rowCount) return false;
    for (let i = 0; i < PATH_ROWS; i++) if (w[at + i] !== wanted[i]) return false;
    if (w[at + PATH_FLAGS] !== wanted[PATH_FLAGS]) return false;
    for (let i = 0; i < r.rowCount; i++) if (this.rows[from + i] !== r.rows[i]) return false;
    const guards = this.#guards[path];
    if (guards === undefined) return r.guardCount === 0;
    if (guards.matches.length !== r.guardCount) return false;
    for (let i = 0; i < r.guardCount; i++) {
      if (guards.matches[i] !== r.guards[i] || guards.answers[i] !== (r.answers[i] !== 0)) return false;
    }
    return true;
  }

  #add(chain: number, hash: number, wanted: Int32Array, r: Recorder): number {
    const path = this.#count;
    if (path === MOST) return 0;
    this.#count++;
    this.words = grown(this.words, (path + 1) * PATH_WORDS);
    this.rows = grown(this.rows, this.#rowCount + r.rowCount);
    const w = this.words, at = path * PATH_WORDS;
    for (let i = 0; i < CONDITIONS; i++) w[at + i] = wanted[i];
    w[at + PATH_PACKETS] = w[at + PATH_BYTES] = 0;
    w[at + HASH] = hash;
    w[at + NEXT] = this.#chains[chain];
    this.#chains[chain] = path;
    w[at + PATH_ROWS] = this.#rowCount;
    w[at + PATH_ROWS_END] = this.#rowCount + r.rowCount;
    for (let i = 0; i < r.rowCount; i++) this.rows[this.#rowCount++] = r.rows[i];
    this.#guards[path] = r.guardCount === 0 ? undefined : {
      matches: r.guards.slice(0, r.guardCount),
      answers: Array.from(r.answers.subarray(0, r.guardCount), (answer) => answer !== 0),
    };
    return path;
  }

  /** The path at `at` in `words` has counted its first packet since the rule counters were brought up to date. */
  touched(at: number): void {
    this.#touched = grown(this.#touched, this.#touchedCount + 1);
    this.#touched[this.#touchedCount++] = at;
  }

  /** Brings the rule counters up to date, and returns how many packets there were. */
  settle(counters: Float64Array): number {
    const w = this.words, rows = this.rows, touched = this.#touched;
    let sum = 0;
    for (let i = 0; i < this.#touchedCount; i++) {
      const at = touched[i], packets = w[at + PATH_PACKETS], bytes = w[at + PATH_BYTES];
      for (let row = w[at + PATH_ROWS], end = w[at + PATH_ROWS_END]; row < end; row++) {
        counters[rows[row]] += packets;
        counters[rows[row] + 1] += bytes;
      }
      w[at + PATH_PACKETS] = w[at + PATH_BYTES] = 0;
      sum += packets;
    }
    this.#touchedCount = 0;
    return sum;
  }

  /** True if a packet, as it arrives, gives the answers that the path was recorded with. */
  passes(path: number, p: Packet): boolean {
    const { matches, answers } = this.#guards[path]!;
    for (let i = 0; i < matches.length; i++) {
      const answer = matches[i].match(p);
      if (p.hotdrop) {
        p.hotdrop = false;
        return false;
      }
      if (answer !== answers[i]) return false;
    }
    return true;
  }
}

/** The same words, with room for `length` of them. */
function grown(words: Int32Array, length: number): Int32Array {
  if (length <= words.length) return words;
  const larger = new Int32Array(Math.max(length, words.length * 2));
  larger.set(words);
  return larger;
}
