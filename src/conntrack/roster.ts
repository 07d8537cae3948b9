/**
 * The helpers of a router as anybody sees them: what each is called and serves, whether it is loaded, and what it has
 * done. It stands in the state file, so another process reads it without asking, and a router that was killed goes on
 * with it.
 *
 * Limits: 64 helpers; of one with more than 16 ports the first 16 are told.
 */
import type { ConntrackHelper } from "./helper.ts";

/** Most helpers of one router. */
export const MOST_HELPERS = 64;

/** What is counted of each helper. */
export const HELPER_COUNTS = ["opened", "refused", "failed", "blind"] as const;
/** Expectations made; refused by the helper's limits; failures contained; flows whose payload it can no longer read. */
export const HELPER_OPENED = 0, HELPER_REFUSED = 1, HELPER_FAILED = 2, HELPER_BLIND = 3;

/** An entry: FLAG_* bits, protocol, families, how many ports, the name's 16 bytes, the ports, what it reads. */
const ENTRY_WORDS = 32;
const FLAGS = 0, PROTOCOL = 1, FAMILIES = 2, PORT_COUNT = 3, NAME = 4, PORTS = 8, READING = 24;
const NAME_BYTES = 16, MOST_PORTS = 16;
const FLAG_LISTED = 1, FLAG_LOADED = 2, FLAG_AUTO = 4, FLAG_RECORDS = 8;
const COUNTS = (MOST_HELPERS * ENTRY_WORDS) * 4;

/** One helper, for people. */
export interface HelperEntry {
  readonly name: string;
  readonly protocol: number;
  readonly families: readonly (4 | 6)[];
  readonly ports: readonly number[];
  /** It serves its ports by itself; otherwise rules give it its flows. */
  readonly autoAssign: boolean;
  /** Of its pinholes the announcing bytes are kept (`record`). */
  readonly records: boolean;
  readonly loaded: boolean;
  /** By HELPER_*. */
  readonly counts: readonly number[];
}

/** The roster, over memory of its own or of the state file. */
export class HelperRoster {
  static readonly BYTES = COUNTS + MOST_HELPERS * HELPER_COUNTS.length * 8;

  /** What helpers did: `counts[index * HELPER_COUNTS.length + HELPER_OPENED]`. */
  readonly counts: Float64Array<ArrayBuffer>;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #bytes: Uint8Array<ArrayBuffer>;

  /** `byteOffset` is a multiple of 8. */
  constructor(buffer: ArrayBuffer, readonly byteOffset: number) {
    this.#words = new Int32Array(buffer, byteOffset, COUNTS / 4);
    this.#bytes = new Uint8Array(buffer, byteOffset, COUNTS);
    this.counts = new Float64Array(buffer, byteOffset + COUNTS, MOST_HELPERS * HELPER_COUNTS.length);
  }

  /** One of these helpers, in memory of its own. */
  static of(helpers: readonly ConntrackHelper[]): HelperRoster {
    const roster = new HelperRoster(new ArrayBuffer(HelperRoster.BYTES), 0);
    roster.list(helpers, false);
    return roster;
  }

  /**
   * Enters the helpers, by their index in the configuration; `goesOn`: those that were unloaded stay so. One without a
   * name only keeps a place free.
   */
  list(helpers: readonly ConntrackHelper[], goesOn: boolean): void {
    if (helpers.length > MOST_HELPERS) {
      throw new RangeError(`${helpers.length} helpers, of ${MOST_HELPERS} at most`);
    }
    const w = this.#words;
    for (let i = 0; i < MOST_HELPERS; i++) {
      const at = i * ENTRY_WORDS, helper = helpers[i];
      const unloaded = goesOn && (w[at + FLAGS] & (FLAG_LISTED | FLAG_LOADED)) === FLAG_LISTED;
      w.fill(0, at, at + ENTRY_WORDS);
      if (helper === undefined || helper.name === "") continue;
      const ports = helper.ports.slice(0, MOST_PORTS), name = this.#name(i);
      w[at + PROTOCOL] = helper.protocol;
      for (const family of helper.families) w[at + FAMILIES] |= 1 << family;
      w[at + PORT_COUNT] = ports.length;
      w.set(ports, at + PORTS);
      new TextEncoder().encodeInto(helper.name, name.subarray(0, NAME_BYTES - 1));
      w[at + FLAGS] = FLAG_LISTED | (unloaded ? 0 : FLAG_LOADED) | (helper.autoAssign ? FLAG_AUTO : 0) |
        (helper.limits?.record === true ? FLAG_RECORDS : 0);
    }
  }

  /** Helpers by their index; where none is listed there is one without a name. */
  get entries(): HelperEntry[] {
    const entries: HelperEntry[] = [];
    let count = MOST_HELPERS;
    while (count > 0 && (this.#words[(count - 1) * ENTRY_WORDS + FLAGS] & FLAG_LISTED) === 0) count--;
    for (let i = 0; i < count; i++) {
      const at = i * ENTRY_WORDS, e = this.#words.slice(at, at + ENTRY_WORDS), flags = e[FLAGS];
      const name = this.#name(i).slice(), end = name.indexOf(0), first = i * HELPER_COUNTS.length;
      entries.push({
        name: new TextDecoder().decode(name.subarray(0, end < 0 ? NAME_BYTES : end)),
        protocol: e[PROTOCOL],
        families: ([4, 6] as const).filter((family) => (e[FAMILIES] & (1 << family)) !== 0),
        ports: Array.from(e.subarray(PORTS, PORTS + Math.min(e[PORT_COUNT], MOST_PORTS))),
        autoAssign: (flags & FLAG_AUTO) !== 0,
        records: (flags & FLAG_RECORDS) !== 0,
        loaded: (flags & FLAG_LOADED) !== 0,
        counts: Array.from(this.counts.subarray(first, first + HELPER_COUNTS.length)),
      });
    }
    return entries;
  }

  /** False once a helper has been unloaded: flows are not given to it. */
  isLoaded(index: number): boolean {
    return (this.#words[index * ENTRY_WORDS + FLAGS] & FLAG_LOADED) !== 0;
  }

  setLoaded(index: number, loaded: boolean): void {
    const at = index * ENTRY_WORDS + FLAGS;
    this.#words[at] = loaded ? this.#words[at] | FLAG_LOADED : this.#words[at] & ~FLAG_LOADED;
  }

  /** A helper begins to read a packet of a flow, or has read it: −1. */
  setReading(index: number, ct: number): void {
    this.#words[index * ENTRY_WORDS + READING] = ct + 1;
  }

  /** The flow of which a helper reads a packet at this moment, −1 when it reads none. */
  reading(index: number): number {
    return this.#words[index * ENTRY_WORDS + READING] - 1;
  }

  /** True if both list the same helper at an index. */
  #agrees(before: HelperRoster, index: number): boolean {
    const at = index * ENTRY_WORDS, w = this.#words, v = before.#words;
    if ((w[at + FLAGS] & v[at + FLAGS] & FLAG_LISTED) === 0 || w[at + PROTOCOL] !== v[at + PROTOCOL]) {
      return false;
    }
    for (let i = at + NAME; i < at + NAME + NAME_BYTES / 4; i++) if (w[i] !== v[i]) return false;
    return true;
  }

  /** Helpers that were listed before have done what they have done, and stay unloaded when they were. */
  adopt(before: HelperRoster): void {
    for (let i = 0; i < MOST_HELPERS; i++) {
      if (!this.#agrees(before, i)) continue;
      const from = i * HELPER_COUNTS.length;
      this.counts.set(before.counts.subarray(from, from + HELPER_COUNTS.length), from);
      if (!before.isLoaded(i)) this.setLoaded(i, false);
    }
  }

  /** Indices of helpers that were listed before and are not any more. */
  gone(before: HelperRoster): number[] {
    const gone: number[] = [];
    for (let i = 0; i < MOST_HELPERS; i++) {
      if ((before.#words[i * ENTRY_WORDS + FLAGS] & FLAG_LISTED) !== 0 && !this.#agrees(before, i)) {
        gone.push(i);
      }
    }
    return gone;
  }

  #name(index: number): Uint8Array<ArrayBuffer> {
    const at = (index * ENTRY_WORDS + NAME) * 4;
    return this.#bytes.subarray(at, at + NAME_BYTES);
  }
}
