/**
 * Connections by address: what `-m connlimit` counts (nf_conncount).
 *
 * ```
 *  heads ─▶ node ─▶ node            by hash of address and zone
 *            └─▶ entry ─▶ entry …   original tuples of its flows, the oldest first
 * ```
 *
 * An entry stands for a flow as long as the flow table has one of that tuple, and TCP has not closed it (TIME_WAIT,
 * CLOSE). Nobody tells the list of ends: who counts looks all entries of the node up, and takes out what is gone. As in
 * Linux a new flow does so once in a tick of 4 ms, and is put behind the others unlooked at in between; no look takes out
 * more than 65 entries. A flow that has been there before is sought in the list each time, so rules had better ask for
 * `--syn`. One that TCP has closed is not counted: where it was the only one, Linux drops what still comes of it.
 *
 * Limits: there is room for as many entries as for flows. When half of it has been used, entries whose node no packet
 * asks for any more are found by a hand that moves on with each new one; before, nobody sees a difference to Linux. Where
 * there is no room at all, the packet is dropped, as there.
 */
import type { Arena } from "../arena.ts";
import type { Conntrack } from "../conntrack/core.ts";
import { CT_ORIGINAL, CT_STATE, FLOW_CONFIRMED, FLOW_WORDS } from "../conntrack/flow.ts";
import { packetTuple } from "../conntrack/extract.ts";
import { STATE, TCP_CLOSE, TCP_TIME_WAIT } from "../conntrack/proto/tcp_window.ts";
import { copyTuple, newTuple, PROTO, SRC, TUPLE_WORDS, tupleEquals } from "../conntrack/tuple.ts";
import { NO_CT, TCP } from "../netfilter.ts";
import { type Packet, ZONE_FROM_MARK } from "../packet/packet.ts";

/** In the head: places ever used, the first that is free again, entries in use, where the hand stands. 0 is no place. */
const NODES = 0, FREE_NODE = 1, ENTRIES = 2, FREE_ENTRY = 3, HAND = 4, HEAD = 5;
/** Words of a node: address, zone and family, how many entries it has, when they were looked at, how many there were. */
const NODE_PROTO = 4, NODE_NEXT = 5, FIRST = 6, LAST = 7, COUNT = 8, LOOKED = 9, LEFT = 10, NODE = 11;
/** Words of an entry: its tuple, its node, its neighbours. */
const OWNER = TUPLE_WORDS, NEXT = OWNER + 1, BEFORE = OWNER + 2, ENTRY = OWNER + 3;
const MOST_HEADS = 1 << 16, FLOWS_PER_HEAD = 4;
/** Milliseconds per tick, as a shift. */
const TICK_SHIFT = 2;
/** What is taken out at one look, and put behind the others without one (CONNCOUNT_GC_MAX_NODES). */
const MOST = 64;
/** Places that the hand moves for each new entry. */
const STEPS = 2;
const ZONE_SHIFT = 16;

/** The connections that one rule counts. */
export class Conncount {
  readonly #conntrack: Conntrack;
  readonly #capacity: number;
  readonly #mask: number;
  readonly #head: Int32Array;
  readonly #heads: Int32Array;
  readonly #nodes: Int32Array;
  readonly #entries: Int32Array;
  /** Bytes of nodes and entries that are worth keeping. */
  readonly #usedNodes: Int32Array;
  readonly #usedEntries: Int32Array;
  readonly #tuple = newTuple();
  readonly #key = newTuple();
  readonly #gone = newTuple();

  constructor(conntrack: Conntrack, arena: Arena) {
    const capacity = this.#capacity = conntrack.flows.capacity;
    const heads = Math.min(MOST_HEADS, 2 ** Math.ceil(Math.log2(Math.max(1, capacity / FLOWS_PER_HEAD))));
    this.#conntrack = conntrack;
    this.#mask = heads - 1;
    const own = arena.named(`connlimit ${capacity}`),
      nodes = own.lazy("nodes"),
      entries = own.lazy("entries");
    this.#head = own.int32(HEAD);
    this.#heads = own.int32(heads);
    this.#usedNodes = nodes.changed ?? new Int32Array(1);
    this.#usedEntries = entries.changed ?? new Int32Array(1);
    this.#nodes = nodes.int32((capacity + 1) * NODE);
    this.#entries = entries.int32((capacity + 1) * ENTRY);
  }

  /**
   * Counts the packet's flow, and says how many there are now under `address`: four words, masked. 0: the packet is not
   * fit to be counted, or there is no room.
   */
  count(p: Packet, address: Int32Array): number {
    const conntrack = this.#conntrack, t = this.#tuple, key = this.#key;
    let ct = p.ct;
    if (ct === NO_CT) {
      if (!packetTuple(p, zoneOf(p), t)) return 0;
      const found = conntrack.find(t, 0);
      if (found >= 0) ct = found >> 1;
    }
    let confirmed = false, closed = false;
    if (ct !== NO_CT) {
      const w = conntrack.flows.words, at = ct * FLOW_WORDS;
      copyTuple(t, 0, w, at + CT_ORIGINAL);
      confirmed = w[at + CT_STATE] === FLOW_CONFIRMED;
      closed = confirmed && this.#closed(ct, t[PROTO] & 0xff);
    }
    for (let i = 0; i < 4; i++) key[SRC + i] = address[i];
    key[PROTO] = t[PROTO] >>> ZONE_SHIFT << ZONE_SHIFT | p.family << 8;
    return this.#count(confirmed, closed);
  }

  #count(confirmed: boolean, closed: boolean): number {
    const nodes = this.#nodes, tick = this.#conntrack.clock.now >>> TICK_SHIFT;
    const head = this.#conntrack.flows.hash(this.#key, 0) & this.#mask;
    const node = this.#find(head), at = node * NODE;
    if (node === 0) return closed ? 0 : this.#begin(head, tick);
    const fresh = nodes[at + LOOKED] === tick;
    let room = true;
    if (closed) {
      if (!fresh) this.#look(node, tick, false);
    } else if (
      !confirmed && fresh && nodes[at + COUNT] - nodes[at + LEFT] < MOST || !this.#look(node, tick, true)
    ) {
      room = this.#append(node);
    }
    const count = nodes[at + COUNT];
    if (count === 0) this.#forget(node);
    return room ? count : 0;
  }

  /** The node of `#key`. */
  #find(head: number): number {
    const nodes = this.#nodes, key = this.#key;
    let node = this.#heads[head];
    for (; node !== 0; node = nodes[node * NODE + NODE_NEXT]) {
      const at = node * NODE;
      if (
        nodes[at] === key[SRC] && nodes[at + NODE_PROTO] === key[PROTO] && nodes[at + 1] === key[SRC + 1] &&
        nodes[at + 2] === key[SRC + 2] && nodes[at + 3] === key[SRC + 3]
      ) break;
    }
    return node;
  }

  /** A new node, with the packet's flow: how many there are. */
  #begin(at: number, tick: number): number {
    const head = this.#head, nodes = this.#nodes, key = this.#key;
    if (head[FREE_NODE] === 0 && head[NODES] === this.#capacity) this.#sweep(MOST);
    let node = head[FREE_NODE];
    if (node !== 0) head[FREE_NODE] = nodes[node * NODE + NODE_NEXT];
    else if (head[NODES] < this.#capacity) {
      node = ++head[NODES];
      this.#usedNodes[0] = (node + 1) * NODE * 4;
    } else return 0;
    const n = node * NODE;
    for (let i = 0; i < 4; i++) nodes[n + i] = key[SRC + i];
    nodes[n + NODE_PROTO] = key[PROTO];
    nodes[n + FIRST] =
      nodes[n + LAST] =
      nodes[n + COUNT] =
      nodes[n + LEFT] =
        0;
    nodes[n + LOOKED] = tick;
    nodes[n + NODE_NEXT] = this.#heads[at];
    this.#heads[at] = node;
    if (this.#append(node)) return 1;
    this.#forget(node);
    return 0;
  }

  /**
   * Looks at a node's entries in their order, and takes out what has ended, or stops at the packet's own one if that is
   * sought: then true.
   */
  #look(node: number, tick: number, seek: boolean): boolean {
    const entries = this.#entries, nodes = this.#nodes, t = this.#tuple;
    let taken = 0;
    for (let entry = nodes[node * NODE + FIRST], next = 0; entry !== 0 && taken <= MOST; entry = next) {
      const at = entry * ENTRY, found = this.#conntrack.find(entries, at);
      next = entries[at + NEXT];
      if (seek && found >= 0 && tupleEquals(entries, at, t, 0)) return true;
      if (found >= 0 && !this.#closed(found >> 1, entries[at + PROTO] & 0xff)) continue;
      this.#remove(entry);
      taken++;
    }
    nodes[node * NODE + LOOKED] = tick;
    nodes[node * NODE + LEFT] = nodes[node * NODE + COUNT];
    return false;
  }

  /** TCP has nothing more to say in this flow. */
  #closed(ct: number, protocol: number): boolean {
    if (protocol !== TCP) return false;
    const state = this.#conntrack.flows.words[ct * FLOW_WORDS + STATE];
    return state === TCP_TIME_WAIT || state === TCP_CLOSE;
  }

  /** The packet's flow, behind the others. False without room. */
  #append(node: number): boolean {
    const head = this.#head, entries = this.#entries, nodes = this.#nodes;
    if (head[ENTRIES] > this.#capacity >> 1) {
      this.#sweep(head[FREE_ENTRY] === 0 && head[ENTRIES] === this.#capacity ? MOST : STEPS);
    }
    let entry = head[FREE_ENTRY];
    if (entry !== 0) head[FREE_ENTRY] = entries[entry * ENTRY + NEXT];
    else if (head[ENTRIES] < this.#capacity) {
      entry = ++head[ENTRIES];
      this.#usedEntries[0] = (entry + 1) * ENTRY * 4;
    } else return false;
    const at = entry * ENTRY, n = node * NODE, last = nodes[n + LAST];
    copyTuple(entries, at, this.#tuple, 0);
    entries[at + OWNER] = node;
    entries[at + NEXT] = 0;
    entries[at + BEFORE] = last;
    if (last === 0) nodes[n + FIRST] = entry;
    else entries[last * ENTRY + NEXT] = entry;
    nodes[n + LAST] = entry;
    nodes[n + COUNT]++;
    return true;
  }

  #remove(entry: number): void {
    const entries = this.#entries, nodes = this.#nodes, head = this.#head, at = entry * ENTRY;
    const n = entries[at + OWNER] * NODE, next = entries[at + NEXT], before = entries[at + BEFORE];
    if (before === 0) nodes[n + FIRST] = next;
    else entries[before * ENTRY + NEXT] = next;
    if (next === 0) nodes[n + LAST] = before;
    else entries[next * ENTRY + BEFORE] = before;
    nodes[n + COUNT]--;
    entries[at + OWNER] = 0;
    entries[at + NEXT] = head[FREE_ENTRY];
    head[FREE_ENTRY] = entry;
  }

  /** Moves the hand so many places on: whose flow has ended goes, and a node that has none left. */
  #sweep(steps: number): void {
    const head = this.#head, entries = this.#entries, nodes = this.#nodes;
    const tick = this.#conntrack.clock.now >>> TICK_SHIFT;
    for (let i = 0; i < steps && head[ENTRIES] !== 0; i++) {
      const entry = head[HAND] = head[HAND] < head[ENTRIES] ? head[HAND] + 1 : 1, at = entry * ENTRY;
      const node = entries[at + OWNER];
      // What came in this tick may be a flow that is not in the table yet.
      if (node === 0 || nodes[node * NODE + LOOKED] === tick) continue;
      const found = this.#conntrack.find(entries, at);
      if (found >= 0 && !this.#closed(found >> 1, entries[at + PROTO] & 0xff)) continue;
      this.#remove(entry);
      if (nodes[node * NODE + COUNT] === 0) this.#forget(node);
    }
  }

  /** Takes out a node without entries. */
  #forget(node: number): void {
    const nodes = this.#nodes, key = this.#gone, n = node * NODE, head = this.#head;
    for (let i = 0; i < 4; i++) key[SRC + i] = nodes[n + i];
    key[PROTO] = nodes[n + NODE_PROTO];
    const at = this.#conntrack.flows.hash(key, 0) & this.#mask;
    if (this.#heads[at] === node) this.#heads[at] = nodes[n + NODE_NEXT];
    else {
      let before = this.#heads[at];
      while (nodes[before * NODE + NODE_NEXT] !== node) before = nodes[before * NODE + NODE_NEXT];
      nodes[before * NODE + NODE_NEXT] = nodes[n + NODE_NEXT];
    }
    nodes[n + NODE_NEXT] = head[FREE_NODE];
    head[FREE_NODE] = node;
  }
}

/** The zone of a packet without a flow, which a rule of raw may have given it. */
function zoneOf({ template, mark }: Packet): number {
  if (template === null) return 0;
  return template.zoneOriginal === ZONE_FROM_MARK ? mark & 0xffff : template.zoneOriginal;
}
