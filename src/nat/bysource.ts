/**
 * Which flows of one source address and port exist, so that a second flow of the same socket leaves by the same
 * public address and port (nf_nat_bysource; RFC 4787, REQ-1).
 *
 * ```
 *  index    [ hash | handle + 1 of its newest flow ] …      one entry for each source; see `hash_index.ts`
 *  records  newest ─▶ … ─▶ oldest                           links ride in the flows' records
 * ```
 *
 * The hash is over family, protocol, source address, source port and zone of the original tuple. A flow is in it from
 * the moment its source is bound (IPS_SRC_NAT_DONE) until its record goes, also while it is not yet confirmed. Newest
 * first, as in the kernel. A source that is new, as most are, touches no other flow's record.
 */
import type { Arena } from "../arena.ts";
import type { Random } from "../clock.ts";
import * as flowModule from "../conntrack/flow.ts";
import { HashIndex } from "../conntrack/hash_index.ts";
import type { FlowTable } from "../conntrack/table.ts";
import * as tupleModule from "../conntrack/tuple.ts";

// Constants of this module, not imports: each new flow reads them (CONTRIBUTING.md).
const { CT_BYSOURCE_NEXT, CT_BYSOURCE_PREV, CT_ORIGINAL, CT_STATUS, FLOW_WORDS, IPS_SRC_NAT_DONE } =
  flowModule;
const { PORTS, PROTO } = tupleModule;

/** The index of flows by their original source. */
export class BySource {
  readonly #flows: FlowTable;
  readonly #index: HashIndex;
  readonly #seed: number;
  /** Pairs of hash and handle + 1, between `adopt` and `rebuild`. */
  #adopted: Int32Array | null = null;
  #adoptedWords = 0;
  /** What `touch` has read. */
  readonly #touched = new Int32Array(1);

  constructor(flows: FlowTable, random: Random, arena: Arena) {
    this.#flows = flows;
    const shared = arena.int32(1), seed = random.next();
    if (arena.fresh) shared[0] = seed;
    this.#seed = shared[0];
    this.#index = new HashIndex(flows.capacity, arena);
  }

  /** Fetches the place of a tuple's source into the cache, for `first` and `add` (see `FlowTable.touch`). */
  touch(t: Int32Array, at: number): void {
    this.#touched[0] = this.#index.slots[this.#index.home(this.#hash(t, at, t[at + PROTO]))];
  }

  /**
   * Handle + 1 of the newest flow that may have the source of a tuple, 0 for none; go on with CT_BYSOURCE_NEXT.
   * `proto` is the PROTO word to look for: the zone may differ between the directions of a flow.
   */
  first(t: Int32Array, at: number, proto: number): number {
    const index = this.#index;
    return index.slots[index.find(this.#hash(t, at, proto)) + 1];
  }

  /** True when flow `ct` comes from the source of a tuple, by the same protocol and in the same zone. */
  sameSource(ct: number, t: Int32Array, at: number, proto: number): boolean {
    const w = this.#flows.words, o = ct * FLOW_WORDS + CT_ORIGINAL;
    return w[o] === t[at] && (w[o + PORTS] >>> 16) === (t[at + PORTS] >>> 16) && w[o + PROTO] === proto &&
      w[o + 1] === t[at + 1] && w[o + 2] === t[at + 2] && w[o + 3] === t[at + 3];
  }

  /** Adds a flow whose source has just been bound. */
  add(ct: number): void {
    const w = this.#flows.words, at = ct * FLOW_WORDS, index = this.#index;
    const hash = this.#hash(w, at + CT_ORIGINAL, w[at + CT_ORIGINAL + PROTO]), slot = index.find(hash);
    const next = index.slots[slot + 1];
    w[at + CT_BYSOURCE_NEXT] = next;
    w[at + CT_BYSOURCE_PREV] = 0;
    if (next === 0) return index.add(hash, ct + 1);
    w[(next - 1) * FLOW_WORDS + CT_BYSOURCE_PREV] = ct + 1;
    index.slots[slot + 1] = ct + 1;
  }

  /** Takes out a flow that is in. */
  remove(ct: number): void {
    const w = this.#flows.words, at = ct * FLOW_WORDS;
    const next = w[at + CT_BYSOURCE_NEXT], prev = w[at + CT_BYSOURCE_PREV];
    w[at + CT_BYSOURCE_NEXT] = w[at + CT_BYSOURCE_PREV] = 0;
    if (next !== 0) w[(next - 1) * FLOW_WORDS + CT_BYSOURCE_PREV] = prev;
    if (prev !== 0) {
      w[(prev - 1) * FLOW_WORDS + CT_BYSOURCE_NEXT] = next;
      return;
    }
    const index = this.#index, hash = this.#hash(w, at + CT_ORIGINAL, w[at + CT_ORIGINAL + PROTO]);
    if (next === 0) index.remove(hash, ct + 1);
    else index.slots[index.find(hash) + 1] = next;
  }

  /** After a restart, before `rebuild`: a flow whose source was bound. Links of the old process are void. */
  adopt(ct: number): void {
    const w = this.#flows.words, at = ct * FLOW_WORDS;
    // What is not written need not be brought back to memory.
    if (w[at + CT_BYSOURCE_NEXT] !== 0) w[at + CT_BYSOURCE_NEXT] = 0;
    if (w[at + CT_BYSOURCE_PREV] !== 0) w[at + CT_BYSOURCE_PREV] = 0;
    if ((w[at + CT_STATUS] & IPS_SRC_NAT_DONE) === 0) return;
    this.#adopted ??= new Int32Array(this.#flows.capacity * 2);
    this.#adopted[this.#adoptedWords++] = this.#hash(w, at + CT_ORIGINAL, w[at + CT_ORIGINAL + PROTO]);
    this.#adopted[this.#adoptedWords++] = ct + 1;
  }

  /** The index and the chains of what was adopted. */
  rebuild(): void {
    if (this.#adopted === null) return;
    const w = this.#flows.words;
    this.#index.fill(this.#adopted, this.#adoptedWords / 2, (there, value) => {
      w[(value - 1) * FLOW_WORDS + CT_BYSOURCE_NEXT] = there;
      w[(there - 1) * FLOW_WORDS + CT_BYSOURCE_PREV] = value;
      return value;
    });
    this.#adopted = null;
    this.#adoptedWords = 0;
  }

  #hash(t: Int32Array, at: number, proto: number): number {
    let h = this.#seed;
    h = Math.imul(h ^ t[at], 0x21f0aaad);
    h = Math.imul(h ^ (h >>> 15) ^ t[at + 1], 0x735a2d97);
    h = Math.imul(h ^ (h >>> 15) ^ t[at + 2], 0x21f0aaad);
    h = Math.imul(h ^ (h >>> 15) ^ t[at + 3], 0x735a2d97);
    h = Math.imul(h ^ (h >>> 15) ^ (t[at + PORTS] >>> 16), 0x21f0aaad);
    h = Math.imul(h ^ (h >>> 15) ^ proto, 0x735a2d97);
    return h ^ (h >>> 15);
  }
}
