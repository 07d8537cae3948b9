/**
 * Reassembly before conntrack (nf_defrag_ipv4, nf_defrag_ipv6): rules and NAT see whole datagrams only.
 *
 * ## Life-cycle
 *
 * A fragment's bytes are copied into the store of its family and the packet is STOLEN. The fragment that completes a
 * datagram goes on as the datagram: its packet gets the first fragment's header and everybody's payload. Where the
 * pieces ended, the largest size and DF are noted in the packet, so that `fragment` can send it on as it came. A
 * datagram that stays incomplete is forgotten after net.ipv4.ipfrag_time or net.ipv6.ip6frag_time (where IPv6 is
 * tracked: net.netfilter.nf_conntrack_frag6_timeout), counted from its first arrival.
 *
 * ## What condemns a datagram
 *
 * Overlap; ECN bits that contradict each other (RFC 3168, 5.3); a size over 65535; in IPv4 also two ends, data behind
 * the end, and an empty fragment. In IPv6 such a fragment is dropped alone, and the rest goes on waiting. IPv4 cuts a
 * fragment that does not end on 8 bytes though more follow; IPv6 lets such a packet pass as it is, INVALID as every
 * fragment, and forgets the rest (nf_ct_frag6_queue, EPROTO). A first IPv6 fragment without the whole of the headers
 * passes in the same way, and the rest waits for it in vain.
 *
 * ## Limits
 *
 * net.ipv4.ipfrag_high_thresh and net.ipv6.ip6frag_high_thresh bytes each, 1 GiB at most. At the limit new fragments are
 * dropped until time has made room; nothing waiting is evicted.
 */
import { type Arena, HeapArena } from "../arena.ts";
import type { Clock } from "../clock.ts";
import { ACCEPT, ICMPV6, OUTPUT, Reason, STOLEN, TCP, UDP, type Verdict } from "../netfilter.ts";
import { Sysctl } from "../sysctl.ts";
import { FragPeers } from "./fragpeers.ts";
import {
  add,
  clear,
  DUPLICATE,
  FITS,
  isComplete,
  isEmpty,
  place,
  Q_ARRIVAL,
  Q_ECN,
  Q_EXPIRES,
  Q_FIRST_IN,
  Q_IN_INTERFACE,
  Q_LAST_IN,
  Q_LENGTH,
  Q_MAX_DF_SIZE,
  Q_MAX_SIZE,
  Q_NEXT_AT,
  Q_PEER,
  Q_RUNS,
  Q_UNVERIFIED,
} from "./fragqueue.ts";
import {
  BLOCK,
  PIECE_END,
  PIECE_HEADER,
  PIECE_NEXT,
  PIECE_OFFSET,
  PIECE_WORDS,
  RUN_NEXT,
} from "./fragstore.ts";
import { FragTable } from "./fragtable.ts";
import {
  IPV4_DF,
  IPV4_FRAGMENT,
  IPV4_ID,
  IPV4_SOURCE,
  IPV4_TOS,
  IPV4_TOTAL_LENGTH,
  writeHeaderChecksum,
} from "./ipv4.ts";
import * as ipv6 from "./ipv6.ts";
import { GSO_NONE, Packet } from "./packet.ts";
import { isFragment, parseHeaders } from "./parse.ts";

const FRAGMENT_OVERLAP = Reason["fragment-overlap"];
const FRAGMENT_OVERSIZE = Reason["fragment-oversize"];
const FRAGMENT_MEMORY = Reason["fragment-memory"];
const FRAGMENT_MALFORMED = Reason["fragment-malformed"];

/**
 * What the ECN bits of the whole become, by the set of values seen in the parts (RFC 3168, 5.3): bits to set, or −1 for
 * a mixture that no honest path produces. Bit n of the index: value n was seen.
 */
const ECN_RESULT = Int8Array.from({ length: 16 }, (_, seen) => {
  const notEct = (seen & 1) !== 0;
  const ce = (seen & 8) !== 0;
  if (notEct && seen !== 1) return -1;
  return ce && seen !== 8 ? 3 : 0;
});

/** What a `Defrag` needs. */
export interface DefragOptions {
  readonly clock: Clock;
  readonly sysctl?: Sysctl;
  /** IPv6 is tracked: it is conntrack that gathers, by its own knobs. */
  readonly tracking6?: boolean;
  /** A random number, against senders who aim at one hash bucket. */
  readonly seed?: number;
  /** Where the fragments wait. */
  readonly arena?: Arena;
  /**
   * Called by `sweep` for a datagram that timed out after its first fragment had come: `p` holds that fragment. Linux
   * answers with "fragment reassembly time exceeded", in IPv4 only when the destination is its own address. The packet
   * is reused for the next call.
   */
  readonly expired?: (p: Packet) => void;
}

/** Gathers fragments into datagrams. */
export class Defrag {
  /** Datagrams that timed out. */
  timeouts = 0;
  readonly #clock: Clock;
  readonly #expired: ((p: Packet) => void) | undefined;
  readonly #ipv4: FragTable;
  readonly #ipv6: FragTable;
  /**
   * net.ipv4.ipfrag_max_dist: when a source has sent this many other fragments since, the 16-bit id has probably gone
   * round, and what waits belongs to an older datagram.
   */
  readonly #maxDistance: number;
  readonly #peers: FragPeers;
  readonly #addresses4 = new Int32Array(2);
  /** Source, destination, and the interface where the destination's meaning depends on it. */
  readonly #addresses6 = new Int32Array(9);
  #slot: Packet | null = null;

  constructor(o: DefragOptions) {
    const sysctl = o.sysctl ?? new Sysctl();
    const { seed = 0, arena = new HeapArena() } = o;
    this.#clock = o.clock;
    this.#expired = o.expired;
    this.#ipv4 = new FragTable(
      sysctl.get("net.ipv4.ipfrag_high_thresh"),
      sysctl.get("net.ipv4.ipfrag_time") * 1000,
      seed,
      arena,
    );
    this.#peers = new FragPeers(this.#ipv4.store.limit, seed, arena);
    this.#maxDistance = sysctl.get("net.ipv4.ipfrag_max_dist") || Infinity;
    this.#ipv6 = new FragTable(
      sysctl.get(
        o.tracking6 ? "net.netfilter.nf_conntrack_frag6_high_thresh" : "net.ipv6.ip6frag_high_thresh",
      ),
      sysctl.get(o.tracking6 ? "net.netfilter.nf_conntrack_frag6_timeout" : "net.ipv6.ip6frag_time") * 1000,
      seed,
      arena,
    );
  }

  /** Datagrams that wait for fragments. */
  get pending(): number {
    return this.#ipv4.count + this.#ipv6.count;
  }
  /** Bytes that waiting fragments hold. */
  get memory(): number {
    return (this.#ipv4.store.used + this.#ipv6.store.used) * BLOCK;
  }

  /**
   * ACCEPT: the packet is whole, or has just become so. STOLEN: it was kept, or repeats what is kept. DROP: it, and
   * perhaps all that waited with it, is lost for `p.reason`. Packets of different `user`s (conntrack zones), and those
   * in PREROUTING and OUTPUT, never join.
   */
  gather(p: Packet, user = 0): Verdict {
    if (!isFragment(p)) return ACCEPT;
    const key = (user << 1) | (p.hook === OUTPUT ? 1 : 0);
    return p.family === 4 ? this.#gather4(p, key) : this.#gather6(p, key);
  }

  /** Milliseconds until `sweep` has work, 0 when it has, −1 when nothing waits. */
  get nextTimeout(): number {
    const a = this.#left(this.#ipv4), b = this.#left(this.#ipv6);
    return a < 0 || (b >= 0 && b < a) ? b : a;
  }

  #left(table: FragTable): number {
    const q = table.oldest;
    return q === 0 ? -1 : Math.max((table.store.words[q + Q_EXPIRES] - this.#clock.now) | 0, 0);
  }

  /** Forgets datagrams whose time is over. */
  sweep(): void {
    this.#sweep(this.#ipv4);
    this.#sweep(this.#ipv6);
  }

  #sweep(table: FragTable): void {
    const w = table.store.words, pieces = table.store.pieces;
    for (let q = table.oldest; q !== 0; q = table.oldest) {
      if (((this.#clock.now - w[q + Q_EXPIRES]) | 0) < 0) return;
      this.timeouts++;
      const report = w[q + Q_FIRST_IN] !== 0 && this.#expired !== undefined;
      if (report) {
        const p = this.#slot ??= new Packet();
        const first = w[q + Q_RUNS], at = first * PIECE_WORDS;
        p.reset(w[q + Q_IN_INTERFACE], pieces[at + PIECE_HEADER] + pieces[at + PIECE_END]);
        table.store.load(first, 0, p.length, p.view, 0);
        parseHeaders(p);
        p.reason = Reason["fragment-timeout"];
      }
      this.#kill(table, q);
      if (report) this.#expired!(this.#slot!);
    }
  }

  #kill(table: FragTable, q: number): void {
    const peer = table.store.words[q + Q_PEER];
    table.kill(q);
    if (peer !== 0) this.#peers.release(peer);
  }

  #condemn(table: FragTable, q: number, p: Packet, reason: number): Verdict {
    this.#kill(table, q);
    return p.drop(reason);
  }

  /**
   * The packet's queue, if there is room for a queue and the fragment; else 0. One whose blocks would pass the limit is
   * not begun.
   */
  #queue(
    table: FragTable,
    p: Packet,
    user: number,
    id: number,
    protocol: number,
    addresses: Int32Array,
  ): number {
    if (!table.store.hasRoom(1 + Math.ceil(p.length / BLOCK))) return 0;
    return table.find(user, id, protocol, addresses, this.#clock.now);
  }

  /** ip_frag_queue. */
  #gather4(p: Packet, user: number): Verdict {
    const view = p.view;
    const table = this.#ipv4, w = table.store.words;
    const addresses = this.#addresses4;
    addresses[0] = view.getInt32(IPV4_SOURCE);
    addresses[1] = view.getInt32(IPV4_SOURCE + 4);
    const q = this.#queue(table, p, user, view.getUint16(IPV4_ID), p.protocol, addresses);
    if (q === 0) return p.drop(FRAGMENT_MEMORY);
    this.#countArrival(table, q, addresses[0]);

    const offset = p.fragmentOffset;
    let end = offset + p.length - p.l4;
    if (!p.moreFragments) {
      if (end < w[q + Q_LENGTH] || (w[q + Q_LAST_IN] !== 0 && end !== w[q + Q_LENGTH])) {
        return this.#condemn(table, q, p, FRAGMENT_MALFORMED);
      }
      w[q + Q_LAST_IN] = 1;
      w[q + Q_LENGTH] = end;
    } else {
      end &= ~7;
      if (end > w[q + Q_LENGTH]) {
        if (w[q + Q_LAST_IN] !== 0) return this.#condemn(table, q, p, FRAGMENT_MALFORMED);
        w[q + Q_LENGTH] = end;
      }
    }
    if (end <= offset) return this.#condemn(table, q, p, FRAGMENT_MALFORMED);
    const fit = place(table.store, q, offset, end);
    if (fit === DUPLICATE) return STOLEN;
    if (fit !== FITS) return this.#condemn(table, q, p, FRAGMENT_OVERLAP);

    this.#add(table, q, p, offset, end, p.l4);
    w[q + Q_ECN] |= 1 << (view.getUint8(IPV4_TOS) & 3);
    const size = p.l4 + end - offset;
    if (size > w[q + Q_MAX_SIZE]) w[q + Q_MAX_SIZE] = size;
    if ((view.getUint16(IPV4_FRAGMENT) & IPV4_DF) !== 0 && size > w[q + Q_MAX_DF_SIZE]) {
      w[q + Q_MAX_DF_SIZE] = size;
    }
    return isComplete(table.store, q) ? this.#assemble4(table, q, p) : STOLEN;
  }

  /** ip_frag_too_far: starts the queue over when its id has probably been used again. */
  #countArrival(table: FragTable, q: number, source: number): void {
    const w = table.store.words;
    if (w[q + Q_PEER] === 0) w[q + Q_PEER] = this.#peers.hold(source);
    const before = w[q + Q_ARRIVAL], now = this.#peers.count(w[q + Q_PEER]);
    w[q + Q_ARRIVAL] = now;
    if (isEmpty(table.store, q) || ((now - before) | 0) <= this.#maxDistance) return;
    clear(table.store, q);
    table.refresh(q, this.#clock.now);
  }

  /** Keeps the fragment: all of it when it is the first, whose headers the whole will have, else the payload. */
  #add(table: FragTable, q: number, p: Packet, offset: number, end: number, header: number): void {
    const { store } = table, w = store.words, kept = offset === 0 ? header : 0;
    add(store, q, store.store(p.view, header - kept, header + end - offset), offset, end, kept);
    w[q + Q_IN_INTERFACE] = p.inInterface;
    if (!p.checksumValid) w[q + Q_UNVERIFIED] = 1;
  }

  /** Writes the datagram into the packet: the first piece's headers without their last `cut` bytes, then all payload. */
  #assemble(table: FragTable, q: number, p: Packet, cut: number): void {
    const { store } = table, { words: w, pieces } = store;
    const header = firstHeader(table, q) - cut;
    p.fragCount = 0;
    store.load(w[q + Q_RUNS], 0, header, p.view, 0);
    for (let run = w[q + Q_RUNS]; run !== 0; run = pieces[run * PIECE_WORDS + RUN_NEXT]) {
      for (let piece = run; piece !== 0; piece = pieces[piece * PIECE_WORDS + PIECE_NEXT]) {
        const at = piece * PIECE_WORDS, offset = pieces[at + PIECE_OFFSET], end = pieces[at + PIECE_END];
        store.load(piece, pieces[at + PIECE_HEADER], end - offset, p.view, header + offset);
        p.fragEnds[p.fragCount++] = header + end;
      }
    }
    p.length = header + w[q + Q_LENGTH];
    p.gsoType = GSO_NONE;
    p.partialChecksum = false;
    p.checksumValid = w[q + Q_UNVERIFIED] === 0;
  }

  /** ip_frag_reasm. */
  #assemble4(table: FragTable, q: number, p: Packet): Verdict {
    const w = table.store.words, ecn = ECN_RESULT[w[q + Q_ECN]];
    if (ecn < 0) return this.#condemn(table, q, p, FRAGMENT_MALFORMED);
    if (firstHeader(table, q) + w[q + Q_LENGTH] > 65535) {
      return this.#condemn(table, q, p, FRAGMENT_OVERSIZE);
    }
    this.#assemble(table, q, p, 0);
    p.fragMaxSize = w[q + Q_MAX_SIZE];
    p.fragDf = w[q + Q_MAX_DF_SIZE] === w[q + Q_MAX_SIZE];
    p.view.setUint16(IPV4_TOTAL_LENGTH, p.length);
    p.view.setUint16(IPV4_FRAGMENT, p.fragDf ? IPV4_DF : 0);
    p.bytes[IPV4_TOS] |= ecn;
    writeHeaderChecksum(p);
    parseHeaders(p);
    this.#kill(table, q);
    return ACCEPT;
  }

  /** nf_ct_frag6_gather and nf_ct_frag6_queue. */
  #gather6(p: Packet, user: number): Verdict {
    const view = p.view;
    const table = this.#ipv6, w = table.store.words;
    const at = p.fragmentHeader;
    if (view.getUint16(ipv6.IPV6_PAYLOAD_LENGTH) === 0) return ACCEPT;
    if (firstFragmentCut(p, at)) return ACCEPT;
    if (at + ipv6.FRAGMENT_HEADER > p.length) return p.drop(FRAGMENT_MALFORMED);
    const addresses = this.#addresses6;
    for (let i = 0; i < 8; i++) addresses[i] = view.getInt32(ipv6.IPV6_SOURCE + 4 * i);
    addresses[8] = dependsOnInterface(addresses[4]) ? p.inInterface : 0;
    const id = view.getInt32(at + 4);
    const q = this.#queue(table, p, user, id, 0, addresses);
    if (q === 0) return p.drop(FRAGMENT_MEMORY);

    const word = view.getUint16(at + 2);
    const header = at + ipv6.FRAGMENT_HEADER;
    const offset = word & ipv6.IPV6_OFFSET;
    const end = offset + p.length - header;
    if (end > 65535) return p.drop(FRAGMENT_OVERSIZE);
    if ((word & ipv6.IPV6_MF) === 0) {
      if (end < w[q + Q_LENGTH] || (w[q + Q_LAST_IN] !== 0 && end !== w[q + Q_LENGTH])) {
        return p.drop(FRAGMENT_MALFORMED);
      }
      w[q + Q_LAST_IN] = 1;
      w[q + Q_LENGTH] = end;
    } else {
      if ((end & 7) !== 0) {
        this.#kill(table, q);
        return ACCEPT;
      }
      if (end > w[q + Q_LENGTH]) {
        if (w[q + Q_LAST_IN] !== 0) return p.drop(FRAGMENT_MALFORMED);
        w[q + Q_LENGTH] = end;
      }
    }
    if (end === offset) return p.drop(FRAGMENT_MALFORMED);
    const fit = place(table.store, q, offset, end);
    if (fit === DUPLICATE) return STOLEN;
    if (fit !== FITS) return this.#condemn(table, q, p, FRAGMENT_OVERLAP);

    this.#add(table, q, p, offset, end, header);
    w[q + Q_ECN] |= 1 << ((view.getUint16(0) >> 4) & 3);
    const size = p.length - ipv6.IPV6_HEADER;
    if (size > w[q + Q_MAX_SIZE]) w[q + Q_MAX_SIZE] = size;
    if (offset === 0) w[q + Q_NEXT_AT] = nextHeaderAt(p, at);
    return isComplete(table.store, q) ? this.#assemble6(table, q, p, id) : STOLEN;
  }

  /** nf_ct_frag6_reasm: the fragment header goes, what stood before it stays. */
  #assemble6(table: FragTable, q: number, p: Packet, id: number): Verdict {
    const w = table.store.words, ecn = ECN_RESULT[w[q + Q_ECN]];
    if (ecn < 0) return this.#condemn(table, q, p, FRAGMENT_MALFORMED);
    const at = firstHeader(table, q) - ipv6.FRAGMENT_HEADER;
    if (at - ipv6.IPV6_HEADER + w[q + Q_LENGTH] > 65535) return this.#condemn(table, q, p, FRAGMENT_OVERSIZE);
    this.#assemble(table, q, p, ipv6.FRAGMENT_HEADER);
    table.store.load(w[q + Q_RUNS], at, 1, p.view, w[q + Q_NEXT_AT]);
    p.view.setUint16(ipv6.IPV6_PAYLOAD_LENGTH, p.length - ipv6.IPV6_HEADER);
    p.view.setUint16(0, p.view.getUint16(0) | (ecn << 4));
    p.fragMaxSize = ipv6.IPV6_HEADER + w[q + Q_MAX_SIZE];
    p.fragDf = false;
    p.fragId = id;
    p.fragAt = at;
    parseHeaders(p);
    this.#kill(table, q);
    return ACCEPT;
  }
}

/** Bytes of the first piece's headers, which the whole will have. */
function firstHeader(table: FragTable, q: number): number {
  const { words, pieces } = table.store;
  return pieces[words[q + Q_RUNS] * PIECE_WORDS + PIECE_HEADER];
}

/** True for link-local and multicast destinations, which mean something else on every link. */
function dependsOnInterface(word: number): boolean {
  return (word >>> 24) === 0xff || (word >>> 22) === 0x3fa;
}

/**
 * The field of an IPv6 fragment that makes it fit no datagram, for the parameter problem that its receiver sends, or
 * -1: it would reach beyond 65535 bytes, or is not the last and does not end on eight (RFC 8200, 4.5).
 */
export function misfitAt(p: Packet): number {
  const at = p.fragmentHeader, word = p.view.getUint16(at + 2);
  const end = (word & ipv6.IPV6_OFFSET) + p.length - at - ipv6.FRAGMENT_HEADER;
  if (end > 65535) return at + 2;
  return (word & ipv6.IPV6_MF) !== 0 && (end & 7) !== 0 ? ipv6.IPV6_PAYLOAD_LENGTH : -1;
}

/** Offset of the next-header byte that announces the fragment header at `header`. */
function nextHeaderAt(p: Packet, header: number): number {
  let nextAt = ipv6.IPV6_NEXT_HEADER;
  let at = ipv6.IPV6_HEADER;
  while (at < header) {
    const length = ipv6.extensionLength(p.view, at, p.view.getUint8(nextAt));
    nextAt = at;
    at += length;
  }
  return nextAt;
}

/**
 * True for a first fragment that does not hold all headers up to the upper layer's (RFC 8200, 4.5;
 * ipv6frag_thdr_truncated): nobody could judge it. A chain that cannot be followed at all is left for others to judge.
 */
export function firstFragmentCut(p: Packet, header: number): boolean {
  const view = p.view;
  let next = ipv6.FRAGMENT;
  let at = header;
  while (ipv6.isExtensionHeader(next)) {
    if (next === ipv6.NO_NEXT || at + 2 > p.length) return false;
    if (next === ipv6.FRAGMENT) {
      if (at + 4 > p.length || (view.getUint16(at + 2) & ipv6.IPV6_OFFSET) !== 0) return false;
    }
    const length = ipv6.extensionLength(view, at, next);
    next = view.getUint8(at);
    at += length;
  }
  const needed = next === TCP ? 20 : next === UDP || next === ICMPV6 ? 8 : 1;
  return at + needed > p.length;
}
