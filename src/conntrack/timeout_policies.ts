/**
 * Timeouts that rules give to flows (`-j CT --timeout`), by number: a flow's record holds the number, so it means the
 * same for as long as the flow lives, whatever becomes of the rule.
 *
 * A policy with a name is that of its name, and what the configuration says of it now holds for its flows, too; timeouts
 * written in a rule are known by what they say.
 *
 * Limits: 1023 of them.
 */

/** An entry: USED, protocol, seconds by the tracker's state (0: the default), the name's 32 bytes. */
const ENTRY_WORDS = 32, USED = 0, PROTOCOL = 1, SECONDS = 2, MOST_SECONDS = 16, NAME = 20;
const NAME_BYTES = 32;
/** Most policies. */
const MOST = 1023;
/** Values of USED: nobody's; of flows only; rules give it. */
const FREE = 0, KEPT = 1, GIVEN = 2;

/** A policy that has a name. */
export interface NamedPolicy {
  readonly name: string;
  readonly protocol: number;
  readonly seconds: ArrayLike<number>;
}

/** Policies by number, from 1, over memory of their own or of the state file. */
export class TimeoutPolicies {
  static readonly BYTES = MOST * ENTRY_WORDS * 4;

  #words: Int32Array<ArrayBuffer> | null;

  constructor(buffer?: ArrayBuffer, byteOffset = 0) {
    this.#words = buffer === undefined ? null : new Int32Array(buffer, byteOffset, TimeoutPolicies.BYTES / 4);
  }

  /** Numbers go from 1 to this. */
  get count(): number {
    const w = this.#words;
    let count = MOST;
    while (count > 0 && (w === null || w[(count - 1) * ENTRY_WORDS + USED] === FREE)) count--;
    return count;
  }

  /** The number of a policy that a rule gives. */
  give(seconds: ArrayLike<number>, protocol: number, name = ""): number {
    const w = this.#words ??= new Int32Array(TimeoutPolicies.BYTES / 4),
      entry = entryOf(seconds, protocol, name);
    let free = -1;
    for (let i = 0; i < MOST; i++) {
      const at = i * ENTRY_WORDS;
      if (w[at + USED] === FREE) {
        if (free < 0) free = i;
      } else if (isSame(w, at, entry, name !== "")) {
        w.set(entry, at);
        return i + 1;
      }
    }
    if (free < 0) throw new RangeError(`rules give more than ${MOST} different timeouts`);
    w.set(entry, free * ENTRY_WORDS);
    return free + 1;
  }

  /** What a number stands for; null for nothing. */
  get(number: number): { readonly protocol: number; readonly seconds: Int32Array } | null {
    const w = this.#words, at = (number - 1) * ENTRY_WORDS;
    if (w === null || number < 1 || number > MOST || w[at + USED] === FREE) return null;
    return { protocol: w[at + PROTOCOL], seconds: w.slice(at + SECONDS, at + SECONDS + MOST_SECONDS) };
  }

  /**
   * Numbers that a predecessor has given, and those of flows, go on meaning the same; of policies with names only those
   * that are still there, with what they say now.
   */
  adopt(before: TimeoutPolicies, used: ReadonlySet<number>, named: readonly NamedPolicy[]): void {
    const from = before.#words;
    if (from === null) return;
    const w = this.#words ??= new Int32Array(TimeoutPolicies.BYTES / 4);
    for (let i = 0; i < MOST; i++) {
      const at = i * ENTRY_WORDS;
      if (from[at + USED] === FREE || from[at + USED] !== GIVEN && !used.has(i + 1)) continue;
      const entry = from.slice(at, at + ENTRY_WORDS);
      if (entry[NAME] !== 0) {
        const now = named.find((policy) =>
          isSame(entryOf(policy.seconds, policy.protocol, policy.name), 0, entry, true)
        );
        if (now === undefined) continue;
        entry.set(entryOf(now.seconds, now.protocol, now.name));
      }
      entry[USED] = KEPT;
      w.set(entry, at);
    }
  }
}

function entryOf(seconds: ArrayLike<number>, protocol: number, name: string): Int32Array {
  const entry = new Int32Array(ENTRY_WORDS);
  entry[USED] = GIVEN;
  entry[PROTOCOL] = protocol;
  for (let i = 0; i < Math.min(seconds.length, MOST_SECONDS); i++) entry[SECONDS + i] = seconds[i];
  const bytes = new Uint8Array(entry.buffer, NAME * 4, NAME_BYTES - 1);
  new TextEncoder().encodeInto(name, bytes);
  return entry;
}

/** The same protocol and name; without a name the same seconds. */
function isSame(w: Int32Array, at: number, entry: Int32Array, hasName: boolean): boolean {
  if (w[at + PROTOCOL] !== entry[PROTOCOL]) return false;
  for (let i = NAME; i < NAME + NAME_BYTES / 4; i++) if (w[at + i] !== entry[i]) return false;
  for (let i = SECONDS; !hasName && i < SECONDS + MOST_SECONDS; i++) if (w[at + i] !== entry[i]) return false;
  return true;
}
