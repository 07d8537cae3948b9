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
 * Overlap; two ends, or data behind the end; an empty fragment (IPv4); ECN bits that contradict each other (RFC 3168,
 * 5.3); a size over 65535. IPv4 cuts a fragment that does not end on 8 bytes though more follow; IPv6 lets such a
 * packet pass as it is, INVALID as every fragment, and forgets the rest (nf_ct_frag6_queue, EPROTO). A first IPv6
 * fragment without the whole of the headers passes in the same way, and the rest waits for it in vain.
 *
 * ## Limits
 *
 * net.ipv4.ipfrag_high_thresh and net.ipv6.ip6frag_high_thresh bytes each. At the limit new fragments are dropped until
 * time has made room; nothing waiting is evicted. Nothing here is on the path of unfragmented packets, so this is the
 * one place of the packet layer that allocates.
 */
import type { Clock } from "../clock.ts";
import { ACCEPT, ICMPV6, OUTPUT, Reason, STOLEN, TCP, UDP, type Verdict } from "../netfilter.ts";
import { Sysctl } from "../sysctl.ts";
import { DUPLICATE, FITS, type FragPeer, type FragQueue, type Piece } from "./fragqueue.ts";
import { BLOCK } from "./fragstore.ts";
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
  readonly #peers = new Map<number, FragPeer>();
  readonly #addresses4 = new Int32Array(2);
  /** Source, destination, and the interface where the destination's meaning depends on it. */
  readonly #addresses6 = new Int32Array(9);
  #slot: Packet | null = null;

  constructor(o: DefragOptions) {
    const sysctl = o.sysctl ?? new Sysctl();
    const seed = o.seed ?? 0;
    this.#clock = o.clock;
    this.#expired = o.expired;
    this.#ipv4 = new FragTable(
      sysctl.get("net.ipv4.ipfrag_high_thresh"),
      sysctl.get("net.ipv4.ipfrag_time") * 1000,
      seed,
    );
    this.#maxDistance = sysctl.get("net.ipv4.ipfrag_max_dist") || Infinity;
    this.#ipv6 = new FragTable(
      sysctl.get(
        o.tracking6 ? "net.netfilter.nf_conntrack_frag6_high_thresh" : "net.ipv6.ip6frag_high_thresh",
      ),
      sysctl.get(o.tracking6 ? "net.netfilter.nf_conntrack_frag6_timeout" : "net.ipv6.ip6frag_time") * 1000,
      seed,
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
    return table.oldest === null ? -1 : Math.max((table.oldest.expires - this.#clock.now) | 0, 0);
  }

  /** Forgets datagrams whose time is over. */
  sweep(): void {
    this.#sweep(this.#ipv4);
    this.#sweep(this.#ipv6);
  }

  #sweep(table: FragTable): void {
    for (let q = table.oldest; q !== null; q = table.oldest) {
      if (((this.#clock.now - q.expires) | 0) < 0) return;
      this.timeouts++;
      const report = q.firstIn && this.#expired !== undefined;
      if (report) {
        const p = this.#slot ??= new Packet();
        const first = q.runs[0];
        p.reset(q.inInterface, first.header + first.end);
        table.store.load(first.block, 0, p.length, p.bytes, 0);
        parseHeaders(p);
        p.reason = Reason["fragment-timeout"];
      }
      this.#kill(table, q);
      if (report) this.#expired!(this.#slot!);
    }
  }

  #kill(table: FragTable, q: FragQueue): void {
    table.kill(q);
    if (q.peer !== null && --q.peer.queues === 0) this.#peers.delete(q.peer.source);
  }

  #condemn(table: FragTable, q: FragQueue, p: Packet, reason: number): Verdict {
    this.#kill(table, q);
    return p.drop(reason);
  }

  /** Room for the fragment and a queue. One whose blocks would pass the limit is not begun. */
  #queue(
    table: FragTable,
    p: Packet,
    user: number,
    id: number,
    protocol: number,
    addresses: Int32Array,
  ): FragQueue | null {
    if (!table.store.hasRoom(1 + Math.ceil(p.length / BLOCK))) return null;
    return table.find(user, id, protocol, addresses, this.#clock.now);
  }

  /** ip_frag_queue. */
  #gather4(p: Packet, user: number): Verdict {
    const view = p.view;
    const table = this.#ipv4;
    const addresses = this.#addresses4;
    addresses[0] = view.getInt32(IPV4_SOURCE);
    addresses[1] = view.getInt32(IPV4_SOURCE + 4);
    const q = this.#queue(table, p, user, view.getUint16(IPV4_ID), p.protocol, addresses);
    if (q === null) return p.drop(FRAGMENT_MEMORY);
    this.#countArrival(table, q, addresses[0]);

    const offset = p.fragmentOffset;
    let end = offset + p.length - p.l4;
    if (!p.moreFragments) {
      if (end < q.length || (q.lastIn && end !== q.length)) {
        return this.#condemn(table, q, p, FRAGMENT_MALFORMED);
      }
      q.lastIn = true;
      q.length = end;
    } else {
      end &= ~7;
      if (end > q.length) {
        if (q.lastIn) return this.#condemn(table, q, p, FRAGMENT_MALFORMED);
        q.length = end;
      }
    }
    if (end <= offset) return this.#condemn(table, q, p, FRAGMENT_MALFORMED);
    const place = q.place(offset, end);
    if (place === DUPLICATE) return STOLEN;
    if (place !== FITS) return this.#condemn(table, q, p, FRAGMENT_OVERLAP);

    this.#add(table, q, p, offset, end, p.l4);
    q.ecn |= 1 << (view.getUint8(IPV4_TOS) & 3);
    const size = p.l4 + end - offset;
    if (size > q.maxSize) q.maxSize = size;
    if ((view.getUint16(IPV4_FRAGMENT) & IPV4_DF) !== 0 && size > q.maxDfSize) q.maxDfSize = size;
    return q.complete ? this.#assemble4(table, q, p) : STOLEN;
  }

  /** ip_frag_too_far: starts the queue over when its id has probably been used again. */
  #countArrival(table: FragTable, q: FragQueue, source: number): void {
    if (q.peer === null) {
      let peer = this.#peers.get(source);
      if (peer === undefined) this.#peers.set(source, peer = { source, arrivals: 0, queues: 0 });
      peer.queues++;
      q.peer = peer;
    }
    const before = q.arrival;
    q.arrival = ++q.peer.arrivals;
    if (q.empty || q.arrival - before <= this.#maxDistance) return;
    q.clear(table.store);
    table.refresh(q, this.#clock.now);
  }

  /** Keeps the fragment: all of it when it is the first, whose headers the whole will have, else the payload. */
  #add(table: FragTable, q: FragQueue, p: Packet, offset: number, end: number, header: number): void {
    const kept = offset === 0 ? header : 0;
    const piece: Piece = {
      offset,
      end,
      block: table.store.store(p.bytes, header - kept, header + end - offset),
      header: kept,
      next: null,
      runEnd: end,
    };
    q.add(piece);
    q.inInterface = p.inInterface;
    if (!p.checksumValid) q.checksumValid = false;
  }

  /** Writes the datagram into the packet: the first piece's headers without their last `cut` bytes, then all payload. */
  #assemble(table: FragTable, q: FragQueue, p: Packet, cut: number): void {
    const store = table.store;
    const first = q.runs[0];
    const header = first.header - cut;
    p.fragCount = 0;
    store.load(first.block, 0, header, p.bytes, 0);
    for (let i = 0; i < q.runs.length; i++) {
      for (let piece: Piece | null = q.runs[i]; piece !== null; piece = piece.next) {
        store.load(piece.block, piece.header, piece.end - piece.offset, p.bytes, header + piece.offset);
        p.fragEnds[p.fragCount++] = header + piece.end;
      }
    }
    p.length = header + q.length;
    p.gsoType = GSO_NONE;
    p.partialChecksum = false;
    p.checksumValid = q.checksumValid;
  }

  /** ip_frag_reasm. */
  #assemble4(table: FragTable, q: FragQueue, p: Packet): Verdict {
    const ecn = ECN_RESULT[q.ecn];
    if (ecn < 0) return this.#condemn(table, q, p, FRAGMENT_MALFORMED);
    if (q.runs[0].header + q.length > 65535) return this.#condemn(table, q, p, FRAGMENT_OVERSIZE);
    this.#assemble(table, q, p, 0);
    p.fragMaxSize = q.maxSize;
    p.fragDf = q.maxDfSize === q.maxSize;
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
    const table = this.#ipv6;
    const at = p.fragmentHeader;
    if (view.getUint16(ipv6.IPV6_PAYLOAD_LENGTH) === 0) return ACCEPT;
    if (firstFragmentCut(p, at)) return ACCEPT;
    if (at + ipv6.FRAGMENT_HEADER > p.length) return p.drop(FRAGMENT_MALFORMED);
    const addresses = this.#addresses6;
    for (let i = 0; i < 8; i++) addresses[i] = view.getInt32(ipv6.IPV6_SOURCE + 4 * i);
    addresses[8] = dependsOnInterface(addresses[4]) ? p.inInterface : 0;
    const id = view.getInt32(at + 4);
    const q = this.#queue(table, p, user, id, 0, addresses);
    if (q === null) return p.drop(FRAGMENT_MEMORY);

    const word = view.getUint16(at + 2);
    const header = at + ipv6.FRAGMENT_HEADER;
    const offset = word & ipv6.IPV6_OFFSET;
    const end = offset + p.length - header;
    if (end > 65535) return p.drop(FRAGMENT_OVERSIZE);
    if ((word & ipv6.IPV6_MF) === 0) {
      if (end < q.length || (q.lastIn && end !== q.length)) return p.drop(FRAGMENT_MALFORMED);
      q.lastIn = true;
      q.length = end;
    } else {
      if ((end & 7) !== 0) {
        this.#kill(table, q);
        return ACCEPT;
      }
      if (end > q.length) {
        if (q.lastIn) return p.drop(FRAGMENT_MALFORMED);
        q.length = end;
      }
    }
    if (end === offset) return p.drop(FRAGMENT_MALFORMED);
    const place = q.place(offset, end);
    if (place === DUPLICATE) return STOLEN;
    if (place !== FITS) return this.#condemn(table, q, p, FRAGMENT_OVERLAP);

    this.#add(table, q, p, offset, end, header);
    q.ecn |= 1 << ((view.getUint16(0) >> 4) & 3);
    const size = p.length - ipv6.IPV6_HEADER;
    if (size > q.maxSize) q.maxSize = size;
    if (offset === 0) q.nextAt = nextHeaderAt(p, at);
    return q.complete ? this.#assemble6(table, q, p, id) : STOLEN;
  }

  /** nf_ct_frag6_reasm: the fragment header goes, what stood before it stays. */
  #assemble6(table: FragTable, q: FragQueue, p: Packet, id: number): Verdict {
    const ecn = ECN_RESULT[q.ecn];
    if (ecn < 0) return this.#condemn(table, q, p, FRAGMENT_MALFORMED);
    const first = q.runs[0];
    const at = first.header - ipv6.FRAGMENT_HEADER;
    if (at - ipv6.IPV6_HEADER + q.length > 65535) return this.#condemn(table, q, p, FRAGMENT_OVERSIZE);
    this.#assemble(table, q, p, ipv6.FRAGMENT_HEADER);
    table.store.load(first.block, at, 1, p.bytes, q.nextAt);
    p.view.setUint16(ipv6.IPV6_PAYLOAD_LENGTH, p.length - ipv6.IPV6_HEADER);
    p.view.setUint16(0, p.view.getUint16(0) | (ecn << 4));
    p.fragMaxSize = ipv6.IPV6_HEADER + q.maxSize;
    p.fragDf = false;
    p.fragId = id;
    p.fragAt = at;
    parseHeaders(p);
    this.#kill(table, q);
    return ACCEPT;
  }
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
