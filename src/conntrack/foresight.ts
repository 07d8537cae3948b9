/**
 * What packets will need of the indices, fetched before anybody asks for it.
 *
 * Overview: among many flows each look into an index is a wait for memory. A first packet takes three: for its own tuple,
 * for that of the answers, and for its source, which NAT asks for. One after the other they were half of what it cost
 * more than a later packet. Asked for together they take no longer than one. The same holds for flows that end.
 *
 * Where the answers will be looked for is a guess: NAT does with this flow what it did with the latest. Whether that was
 * right shows when somebody needs the hash of a tuple; a wrong guess has cost a hash.
 *
 * It is asked when the lookup before has found nothing: who begins flows often begins several, and packets of flows
 * that are there lose nothing. Nothing here is state: what is fetched is read once more by whoever needs it.
 *
 * Packets of flows that are there have a wait for the place in the index, and one for the record. When several packets
 * have been read before the first is routed, they are announced, and `fetch` has the places of all of them and then the
 * records of all: 191 ns a packet among 1,000,000 flows instead of 536.
 */
import * as flowModule from "./flow.ts";
import type { FlowTable } from "./table.ts";
import { copyTuple, invertTuple, newTuple, tupleEquals } from "./tuple.ts";
import * as tupleModule from "./tuple.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const { CT_ORIGINAL, CT_REPLY, FLOW_WORDS } = flowModule;
const { DST, PROTO, TUPLE_WORDS } = tupleModule;

/** Packets that are announced at most. */
const TOGETHER = 64;
/** Zone of a tuple in its last word. */
const ZONE_SHIFT = 16, NOT_ZONE = 0xffff;

/** Fetches what belongs to the flow whose original tuple stands at `at` in `t`. */
export type TouchFn = (t: Int32Array, at: number) => void;

/** See the head of this file. */
export class Foresight {
  /** The last lookup found nothing. */
  newcomers = false;
  /** What `fetch` has found: `ct << 1 | dir` for each packet that was announced, or -1. */
  readonly found: Int32Array = new Int32Array(TOGETHER);
  readonly #flows: FlowTable;
  #touchFn: TouchFn | null = null;
  /** What the answers will look like, and the hash of that. */
  readonly #reply = newTuple();
  #hash = 0;
  /** The answers' tuple of the latest flow, and whether NAT has sent them elsewhere. */
  readonly #latest = newTuple();
  #moved = false;

  /** Packets that wait for their turn: how many, their tuples, and the hashes of these. */
  readonly #tuples = new Int32Array(TOGETHER * TUPLE_WORDS);
  readonly #hashes = new Int32Array(TOGETHER);
  #announced = 0;
  /** Which of them comes next. */
  #next = 0;

  constructor(flows: FlowTable) {
    this.#flows = flows;
  }

  /** Another index that is asked for new flows and for flows that end. */
  register(fn: TouchFn): void {
    this.#touchFn = fn;
  }

  /** A packet may begin a flow of this tuple, whose hash is known. */
  begin(hash: number, t: Int32Array, zoneReply: number): void {
    const flows = this.#flows, reply = this.#reply, latest = this.#latest;
    if (!invertTuple(reply, 0, t, 0)) return;
    reply[PROTO] = (reply[PROTO] & NOT_ZONE) | (zoneReply << ZONE_SHIFT);
    if (this.#moved) {
      reply[DST] = latest[DST];
      reply[DST + 1] = latest[DST + 1];
      reply[DST + 2] = latest[DST + 2];
      reply[DST + 3] = latest[DST + 3];
    }
    const hashReply = this.#hash = flows.hash(reply, 0);
    // Nothing stands between these: a processor looks only so far ahead.
    flows.touch(hash);
    flows.touch(hashReply);
    if (this.#touchFn !== null) this.#touchFn(t, 0);
  }

  /** Packets are announced anew. */
  clear(): void {
    this.#announced = this.#next = 0;
  }

  /** A packet with this tuple, in zone 0, will be looked up soon. */
  announce(t: Int32Array): void {
    const n = this.#announced;
    if (n === TOGETHER) return;
    this.#announced = n + 1;
    copyTuple(this.#tuples, n * TUPLE_WORDS, t, 0);
    this.#hashes[n] = this.#flows.hash(t, 0);
  }

  /** Fetches what the packets will need that were announced: how many of them; `found` says what flows they may be of. */
  fetch(): number {
    this.#flows.fetch(this.#hashes, this.found, this.#announced);
    return this.#announced;
  }

  /** The hash of a packet's tuple; those that were announced come in that order. */
  hash(t: Int32Array): number {
    for (let n = this.#next; n < this.#announced; n++) {
      if (!tupleEquals(t, 0, this.#tuples, n * TUPLE_WORDS)) continue;
      this.#next = n + 1;
      return this.#hashes[n];
    }
    return this.#flows.hash(t, 0);
  }

  /** The first `count` flows in `due` are going to be deleted; `hashes` has those of both tuples of each. */
  end(due: Int32Array, hashes: Int32Array, count: number): void {
    const flows = this.#flows;
    for (let i = 0; i < 2 * count; i++) flows.touch(hashes[i]);
    if (this.#touchFn === null) return;
    for (let i = 0; i < count; i++) this.#touchFn(flows.words, due[i] * FLOW_WORDS + CT_ORIGINAL);
  }

  /** The hash of what answers look like. */
  hashReply(t: Int32Array, at: number): number {
    return tupleEquals(t, at, this.#reply, 0) ? this.#hash : this.#flows.hash(t, at);
  }

  /** A flow has been put into the table; `at` is where its record begins. */
  note(w: Int32Array, at: number): void {
    copyTuple(this.#latest, 0, w, at + CT_REPLY);
    this.#moved = w[at + CT_REPLY + DST] !== w[at + CT_ORIGINAL] ||
      w[at + CT_REPLY + DST + 3] !== w[at + CT_ORIGINAL + 3];
  }
}
