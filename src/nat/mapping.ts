/**
 * Mappings as RFC 4787 knows them, for routers that are asked to keep them (`weir.nat_endpoint_independent`): one
 * endpoint inside (address and port, or ICMP identifier) is one endpoint outside, whoever is talked to.
 *
 * ```
 *   inside 10.0.0.2:5000 ◀──── mapping ────▶ 203.0.113.1:5000 outside
 *                                 ▲
 *   flows to 198.51.100.7:53, 198.51.100.9:3478, from 198.51.100.11:40000 …: each holds the mapping that it uses
 * ```
 *
 * Linux has no such thing: there a mapping is what a flow's two tuples say, and only the pair of both ends is unique.
 *
 * Life-cycle: the first flow of an inside endpoint makes the mapping when its source is bound, also when nothing is
 * translated, so that the router's own sockets count; a flow that comes in to the outside endpoint holds it too. It
 * ends with its last flow. Mappings are not in the state file: after a restart they are made again from the flows.
 *
 * Limits: protocols without ports have none. The interface of a mapping that SNAT made is forgotten by a restart.
 */
import type { Arena } from "../arena.ts";
import type { Random } from "../clock.ts";
import {
  CT_NAT_INTERFACE,
  CT_ORIGINAL,
  CT_REPLY,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_WORDS,
  IPS_MAPPED,
  IPS_SRC_NAT_DONE,
} from "../conntrack/flow.ts";
import type { FlowTable } from "../conntrack/table.ts";
import { DST, PORTS, PROTO, SRC } from "../conntrack/tuple.ts";
import { ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";

/** Words of a record: two endpoints, each address, port, and the tuple's PROTO word; and the rest. */
const INNER = 0, OUTER = 6, COUNT = 12, INTERFACE = 13, NEXT_INNER = 14, NEXT_OUTER = 15, WORDS = 16;
/** Within an endpoint. */
const PORT = 4, KIND = 5;
/** How a flow holds a mapping: by its source, or by its destination, which another flow's mapping gave it. */
const BY_SOURCE = 0, BY_DESTINATION = 1;

/** What the arena has beside the records: the hash's seed; records ever used; the first free one, + 1. */
const SEED = 0, HIGH = 1, FREE = 2, SHARED_WORDS = 3;

/** True for protocols whose flows have ports or identifiers to map. */
export function isMapped(protocol: number): boolean {
  switch (protocol) {
    case TCP:
    case UDP:
    case UDPLITE:
    case SCTP:
    case ICMP:
    case ICMPV6:
      return true;
    default:
      return false;
  }
}

/** The mappings of one router. A mapping is its handle, a small integer. */
export class Mappings {
  readonly #flows: FlowTable;
  readonly #words: Int32Array;
  /** Handle + 1 of the mapping that a flow holds in each way. */
  readonly #held: Int32Array;
  /** Handle + 1 of the first mapping of each chain. */
  readonly #inner: Int32Array;
  readonly #outer: Int32Array;
  readonly #mask: number;
  readonly #seed: number;
  readonly #end = new Int32Array(6);
  /** Free records hang together by NEXT_INNER. */
  readonly #shared: Int32Array;

  constructor(flows: FlowTable, random: Random, arena: Arena) {
    let size = 1024;
    while (size < flows.capacity) size *= 2;
    this.#flows = flows;
    this.#words = arena.int32(flows.capacity * 2 * WORDS);
    this.#held = arena.int32(flows.capacity * 2);
    this.#inner = arena.int32(size);
    this.#outer = arena.int32(size);
    this.#mask = size - 1;
    const shared = this.#shared = arena.int32(SHARED_WORDS), seed = random.next();
    if (arena.fresh) shared[SEED] = seed;
    this.#seed = shared[SEED];
  }

  /** The first mapping of the source of a tuple, −1 for none. `kind`: the flow's PROTO word. */
  ofSource(tuple: Int32Array, at: number, kind: number): number {
    const end = this.#source(tuple, at, kind);
    return this.#follow(this.#inner[this.#bucket(end)], INNER, NEXT_INNER, end);
  }

  /** The next mapping of the same inside endpoint: one endpoint may have several outside addresses. */
  next(mapping: number): number {
    const w = this.#words, at = mapping * WORDS, end = this.#end;
    for (let i = 0; i < 6; i++) end[i] = w[at + INNER + i];
    return this.#follow(w[at + NEXT_INNER], INNER, NEXT_INNER, end);
  }

  /** The mapping that a packet with this tuple is addressed to, −1 for none. */
  ofDestination(tuple: Int32Array, at: number): number {
    const end = this.#end;
    for (let i = 0; i < 4; i++) end[i] = tuple[at + DST + i];
    end[PORT] = portOf(tuple, at, false);
    end[KIND] = tuple[at + PROTO];
    return this.#follow(this.#outer[this.#bucket(end)], OUTER, NEXT_OUTER, end);
  }

  /**
   * True when the source of `tuple`, as flow `ct` would have it outside, is another inside endpoint's
   * (RFC 4787, REQ-3: no port overloading).
   */
  occupied(tuple: Int32Array, ct: number): boolean {
    const flow = this.#flows.words, w = this.#words, own = ct * FLOW_WORDS;
    if (!isMapped(tuple[PROTO] & 0xff)) return false;
    const end = this.#source(tuple, 0, flow[own + CT_REPLY + PROTO]);
    const found = this.#follow(this.#outer[this.#bucket(end)], OUTER, NEXT_OUTER, end);
    if (found < 0) return false;
    const inner = found * WORDS + INNER,
      source = this.#source(flow, own + CT_ORIGINAL, flow[own + CT_ORIGINAL + PROTO]);
    for (let i = 0; i < 6; i++) if (w[inner + i] !== source[i]) return true;
    return false;
  }

  /** A flow's source has been bound: it holds the mapping that its tuples show. */
  bind(ct: number): void {
    const w = this.#flows.words, at = ct * FLOW_WORDS;
    if (!isMapped(w[at + CT_ORIGINAL + PROTO] & 0xff) || this.#held[ct * 2 + BY_SOURCE] !== 0) return;
    const mapping = this.#make(
      w,
      at + CT_ORIGINAL + SRC,
      portOf(w, at + CT_ORIGINAL, true),
      w[at + CT_ORIGINAL + PROTO],
      w,
      at + CT_REPLY + DST,
      portOf(w, at + CT_REPLY, false),
      w[at + CT_REPLY + PROTO],
    );
    this.#hold(ct, BY_SOURCE, mapping);
  }

  /** A flow's destination is what a mapping says: it holds that mapping (IPS_MAPPED). */
  join(ct: number, mapping: number): void {
    this.#hold(ct, BY_DESTINATION, mapping);
  }

  /** The mapping that gave a flow its destination, −1 for none. */
  joined(ct: number): number {
    return this.#held[ct * 2 + BY_DESTINATION] - 1;
  }

  /** A flow is gone: what nobody holds any more ends. */
  leave(ct: number): void {
    this.#letGo(ct * 2 + BY_SOURCE);
    this.#letGo(ct * 2 + BY_DESTINATION);
  }

  /** Notes by which interface a flow's mapping leaves; the first one counts. */
  leavesBy(ct: number, interfaceIndex: number): void {
    const mapping = this.#held[ct * 2 + BY_SOURCE] - 1;
    if (mapping < 0) return;
    const at = mapping * WORDS + INTERFACE;
    if (this.#words[at] === 0) this.#words[at] = interfaceIndex;
  }

  /** Interface that lies outside of a mapping, 0 when it is not known. */
  interfaceOf(mapping: number): number {
    return this.#words[mapping * WORDS + INTERFACE];
  }

  /** True when inside and outside differ. */
  translates(mapping: number): boolean {
    const w = this.#words, at = mapping * WORDS;
    for (let i = 0; i <= PORT; i++) if (w[at + INNER + i] !== w[at + OUTER + i]) return true;
    return false;
  }

  /** The words that `innerAt` and `outerAt` point into: four of an address, then the port. */
  get words(): Int32Array {
    return this.#words;
  }
  innerAt(mapping: number): number {
    return mapping * WORDS + INNER;
  }
  outerAt(mapping: number): number {
    return mapping * WORDS + OUTER;
  }

  /** After a restart: the mappings of all flows in the table. */
  rebuild(): void {
    const flows = this.#flows, w = flows.words;
    this.#inner.fill(0);
    this.#outer.fill(0);
    this.#held.fill(0);
    this.#shared[HIGH] = this.#shared[FREE] = 0;
    for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) {
      const at = ct * FLOW_WORDS, status = w[at + CT_STATUS];
      if (w[at + CT_STATE] !== FLOW_CONFIRMED || (status & IPS_SRC_NAT_DONE) === 0) continue;
      this.bind(ct);
      this.leavesBy(ct, w[at + CT_NAT_INTERFACE]);
      if ((status & IPS_MAPPED) === 0) continue;
      this.#hold(
        ct,
        BY_DESTINATION,
        this.#make(
          w,
          at + CT_REPLY + SRC,
          portOf(w, at + CT_REPLY, true),
          w[at + CT_REPLY + PROTO],
          w,
          at + CT_ORIGINAL + DST,
          portOf(w, at + CT_ORIGINAL, false),
          w[at + CT_ORIGINAL + PROTO],
        ),
      );
    }
  }

  /** Scratch: the endpoint that a tuple's source is. */
  #source(tuple: Int32Array, at: number, kind: number): Int32Array {
    const end = this.#end;
    for (let i = 0; i < 4; i++) end[i] = tuple[at + SRC + i];
    end[PORT] = portOf(tuple, at, true);
    end[KIND] = kind;
    return end;
  }

  /** The mapping of two endpoints, made if there is none yet; the end inside may have others. */
  #make(
    a: Int32Array,
    inner: number,
    innerPort: number,
    innerKind: number,
    b: Int32Array,
    outer: number,
    outerPort: number,
    outerKind: number,
  ): number {
    const w = this.#words, end = this.#end;
    for (let i = 0; i < 4; i++) end[i] = a[inner + i];
    end[PORT] = innerPort;
    end[KIND] = innerKind;
    const innerBucket = this.#bucket(end);
    for (let link = this.#inner[innerBucket]; link !== 0; link = w[(link - 1) * WORDS + NEXT_INNER]) {
      const at = (link - 1) * WORDS;
      if (
        equal(w, at + INNER, end) && w[at + OUTER] === b[outer] && w[at + OUTER + 1] === b[outer + 1] &&
        w[at + OUTER + 2] === b[outer + 2] && w[at + OUTER + 3] === b[outer + 3] &&
        w[at + OUTER + PORT] === outerPort && w[at + OUTER + KIND] === outerKind
      ) return link - 1;
    }
    const shared = this.#shared, free = shared[FREE];
    const mapping = free !== 0 ? free - 1 : shared[HIGH]++;
    const at = mapping * WORDS;
    if (free !== 0) shared[FREE] = w[at + NEXT_INNER];
    for (let i = 0; i < 6; i++) w[at + INNER + i] = end[i];
    for (let i = 0; i < 4; i++) w[at + OUTER + i] = end[i] = b[outer + i];
    w[at + OUTER + PORT] = end[PORT] = outerPort;
    w[at + OUTER + KIND] = end[KIND] = outerKind;
    const outerBucket = this.#bucket(end);
    w[at + COUNT] = w[at + INTERFACE] = 0;
    w[at + NEXT_INNER] = this.#inner[innerBucket];
    w[at + NEXT_OUTER] = this.#outer[outerBucket];
    this.#inner[innerBucket] = this.#outer[outerBucket] = mapping + 1;
    return mapping;
  }

  #hold(ct: number, how: number, mapping: number): void {
    this.#held[ct * 2 + how] = mapping + 1;
    this.#words[mapping * WORDS + COUNT]++;
  }

  #letGo(place: number): void {
    const mapping = this.#held[place] - 1;
    if (mapping < 0) return;
    this.#held[place] = 0;
    const w = this.#words, at = mapping * WORDS;
    if (--w[at + COUNT] !== 0) return;
    this.#unlink(this.#inner, INNER, NEXT_INNER, mapping);
    this.#unlink(this.#outer, OUTER, NEXT_OUTER, mapping);
    w[at + NEXT_INNER] = this.#shared[FREE];
    this.#shared[FREE] = mapping + 1;
  }

  #unlink(heads: Int32Array, which: number, next: number, mapping: number): void {
    const w = this.#words, at = mapping * WORDS, end = this.#end;
    for (let i = 0; i < 6; i++) end[i] = w[at + which + i];
    const bucket = this.#bucket(end);
    let link = heads[bucket];
    if (link === mapping + 1) {
      heads[bucket] = w[at + next];
      return;
    }
    while (w[(link - 1) * WORDS + next] !== mapping + 1) link = w[(link - 1) * WORDS + next];
    w[(link - 1) * WORDS + next] = w[at + next];
  }

  /** The first mapping with this endpoint from a link of a chain on, −1 for none. */
  #follow(link: number, which: number, next: number, end: Int32Array): number {
    const w = this.#words;
    for (; link !== 0; link = w[(link - 1) * WORDS + next]) {
      if (equal(w, (link - 1) * WORDS + which, end)) return link - 1;
    }
    return -1;
  }

  #bucket(end: Int32Array): number {
    let h = this.#seed;
    for (let i = 0; i < 6; i++) {
      h = Math.imul(h ^ (h >>> 15) ^ end[i], (i & 1) === 0 ? 0x21f0aaad : 0x735a2d97);
    }
    return (h ^ (h >>> 15)) & this.#mask;
  }
}

function equal(w: Int32Array, at: number, end: Int32Array): boolean {
  for (let i = 0; i < 6; i++) if (w[at + i] !== end[i]) return false;
  return true;
}

/** The port of a tuple's source or destination; an ICMP identifier is both. */
function portOf(tuple: Int32Array, at: number, source: boolean): number {
  const protocol = tuple[at + PROTO] & 0xff;
  if (source || protocol === ICMP || protocol === ICMPV6) return tuple[at + PORTS] >>> 16;
  return tuple[at + PORTS] & 0xffff;
}
