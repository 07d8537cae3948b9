/**
 * One packet: a buffer, what has been learnt about it, and what the router has decided about it.
 *
 * There is one `Packet` per place where packets live (the slots that a device is read into, the slots for what Weir makes
 * and for pieces), reused for every packet, so nothing is allocated on the packet path.
 *
 * The buffer begins with a virtio-net header (10 bytes, as IFF_VNET_HDR devices read and write it) and the IP header
 * always stands right behind it. `bytes` and `view` begin at the IP header: offset 0 is the IP header's first byte,
 * `l4` the transport header's, `length` the first byte past the packet. `raw` is the whole buffer, for read and write.
 *
 * Bytes are the truth. Addresses and ports are read from them when they are needed, never cached, so NAT has one
 * place to change. The parsed fields below describe structure only, and each says when it is valid.
 */
import {
  type CtInfo,
  DROP,
  type Family,
  type Hook,
  NO_CT,
  PREROUTING,
  UNTRACKED,
  type Verdict,
} from "../netfilter.ts";

/** Length of struct virtio_net_hdr, which precedes every packet in its buffer. */
export const VNET_HDR_LENGTH = 10;
/** Largest IP packet (RFC 791, 3.1), and what an offloaded device hands over at once. */
export const MAX_PACKET = 65535;
/** Bytes in a packet's buffer: header, packet, and room for a helper that lengthens the payload before it is judged. */
export const BUFFER_SIZE = 68 * 1024;
/** Most fragments that a datagram can have: every 8 bytes one. */
const MAX_FRAGMENTS = 8192;

/** `gsoType`: not offloaded (VIRTIO_NET_HDR_GSO_NONE). */
export const GSO_NONE = 0;
/** TCP over IPv4 segments (VIRTIO_NET_HDR_GSO_TCPV4). */
export const GSO_TCPV4 = 1;
/** TCP over IPv6 segments (VIRTIO_NET_HDR_GSO_TCPV6). */
export const GSO_TCPV6 = 4;
/** UDP datagrams of equal size, IPv4 or IPv6 (VIRTIO_NET_HDR_GSO_UDP_L4). */
export const GSO_UDP_L4 = 5;
/** Flag within the type byte: the TCP segments carry ECN CWR (VIRTIO_NET_HDR_GSO_ECN). */
export const GSO_ECN = 0x80;

/** Instead of a zone's number: what the packet's mark says (`--zone mark`), its lower 16 bits. */
export const ZONE_FROM_MARK = -1;

/** What a `-j CT` rule or `ct` setting asks of the flow that the packet is about to start. Compiled once. */
export interface CtTemplate {
  /** Zone for lookups in the original and in the reply direction, 0 by default; ZONE_FROM_MARK: the packet's mark. */
  readonly zoneOriginal: number;
  readonly zoneReply: number;
  /** Index of the helper in `Conntrack.helpers`, or -1. */
  readonly helper: number;
  /** The number in `Conntrack.ruleTexts` of the rule that gives the helper. */
  readonly rule: number;
  /** Per-flow timeout policy (`--timeout`): index + 1 into `Conntrack.timeoutPolicies`, 0 for none. */
  readonly timeoutPolicy: number;
  /** Event mask (`--ctevents`, in the upper half `--expevents`), -1 for all. */
  readonly events: number;
  /** One word: its own mark, that rules of raw set and see; no flow gets it. */
  readonly mark: Int32Array;
}

/** The packet in hand. */
export class Packet {
  /** Where the IP header begins in the memory that the buffer is part of: what `blockSum` counts from. */
  readonly header: number;
  /** The whole buffer, virtio-net header first: what read and write of a device see. */
  readonly raw: Uint8Array<ArrayBuffer>;
  /** The virtio-net header, five 16-bit fields of the machine's byte order. */
  readonly vnet: Uint16Array<ArrayBuffer>;
  /** Bytes from the IP header on. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same bytes for reading and writing numbers. */
  readonly view: DataView<ArrayBuffer>;
  /** Sums long stretches of `buffer` (`block_sum.ts`), or null. */
  readonly blockSum: ((from: number, to: number) => number) | null;

  /** Where the buffer stands in the process's memory: noted by whoever drives devices, and read by nobody else. */
  place: object | null = null;

  /** Length of the IP packet in bytes. Valid from receive on; padding behind the IP total length is cut by `parse`. */
  length = 0;

  // ── offload, from the virtio-net header; valid from receive on ──────────────────────────────────────────────
  /** GSO_*, without GSO_ECN. */
  gsoType = 0;
  /** Payload bytes of each segment on the wire; 0 when `gsoType` is GSO_NONE. */
  gsoSize = 0;
  /** GSO_ECN as received, or 0. */
  gsoEcn = 0;
  /**
   * The transport checksum field holds only the folded pseudo-header sum and the device completes it
   * (VIRTIO_NET_HDR_F_NEEDS_CSUM, CHECKSUM_PARTIAL): never verify it, update it as a pseudo-header sum.
   */
  partialChecksum = false;
  /** The device has verified the checksum (VIRTIO_NET_HDR_F_DATA_VALID, CHECKSUM_UNNECESSARY). */
  checksumValid = false;
  /** It was computed here and found right; nobody looks again (skb_csum_unnecessary). */
  checksumVerified = false;

  // ── structure; valid after `parse` returned 0 ───────────────────────────────────────────────────────────────
  family: Family = 4;
  /** The upper-layer protocol: IPv4 protocol field, or the last next-header after IPv6 extension headers. */
  protocol = 0;
  /** Offset of the upper-layer header: IPv4 header length, or the end of the IPv6 extension headers. */
  l4 = 0;
  /** Fragment offset in bytes; not 0 means that there is no upper-layer header at `l4`. */
  fragmentOffset = 0;
  moreFragments = false;
  /** Offset of the (first) IPv6 fragment header, or 0 when there is none; it stands there for atomic fragments too. */
  fragmentHeader = 0;
  /**
   * The IPv6 extension headers run past the packet's end, so `protocol` is NO_NEXT (59) and `l4` is `length`. Such a
   * packet is forwarded all the same; conntrack calls it INVALID, as it does every IPv6 packet of protocol 59, and a
   * rule that asks for a protocol drops it (hotdrop).
   */
  headerChainCut = false;
  /** Where a Parameter Problem should point when `parse` or `checkOptions` refused the packet with bad-option, else −1. */
  errorPointer = -1;
  /**
   * Size of the largest fragment this datagram was gathered from, or 0 (IPCB frag_max_size). It leaves in fragments
   * no larger than that.
   */
  fragMaxSize = 0;
  /** A helper has written more into it than stood there. */
  grown = false;
  /** The largest of the fragments it was gathered from had DF set (IPSKB_FRAG_PMTU). */
  fragDf = false;
  /** Where the IPv6 fragment header stood that it was gathered by, or 0. */
  fragAt = 0;
  /** Identification of the IPv6 fragments it was gathered from, for those that it leaves in. */
  fragId = 0;
  /**
   * Where the fragments that it was gathered from end, as offsets in the packet, so that it can leave in the same
   * pieces as Linux's list of fragments does; `fragCount` of them, 0 when it is in one piece. Packets that Weir makes
   * are in pieces from the beginning when they are long (`makePieces`). Whoever lengthens, shortens or rewrites the
   * payload sets `fragCount` to 0, as Linux linearizes the packet then.
   */
  readonly fragEnds: Int32Array = new Int32Array(MAX_FRAGMENTS);
  fragCount = 0;

  // ── what the router knows and has decided; valid from receive on ────────────────────────────────────────────
  /** Index of the interface it came in by; 0 for packets that Weir made itself. */
  inInterface = 0;
  /** Index of the interface it leaves by; 0 until routed. */
  outInterface = 0;
  /** Of a segment that Weir made itself: Linux would have sent it through a socket (skb->sk). */
  socket = false;
  /** The hook that it is in. */
  hook: Hook = PREROUTING;
  /** Packet mark, an unsigned 32-bit number kept as int32. */
  mark = 0;
  /** The flow's handle, or NO_CT. */
  ct = NO_CT;
  /** Relation to the flow; beside NO_CT it can be UNTRACKED, or NEW while the packet is in raw with a template. */
  ctinfo: CtInfo = 0;
  /** Set by raw's CT target for the flow that this packet may start. */
  template: CtTemplate | null = null;
  /** A match found the packet unfit for judgement: the table drops it (xt_action_param.hotdrop). */
  hotdrop = false;
  /** Why it died: an index into REASONS, 0 while it lives. */
  reason = 0;

  /** `buffer` has BUFFER_SIZE bytes from byte `at` on; `at` is even. */
  constructor(
    buffer: ArrayBuffer = new ArrayBuffer(BUFFER_SIZE),
    blockSum: ((from: number, to: number) => number) | null = null,
    at = 0,
  ) {
    this.header = at + VNET_HDR_LENGTH;
    this.raw = new Uint8Array(buffer, at, BUFFER_SIZE);
    this.vnet = new Uint16Array(buffer, at, VNET_HDR_LENGTH / 2);
    this.bytes = new Uint8Array(buffer, this.header, BUFFER_SIZE - VNET_HDR_LENGTH);
    this.view = new DataView(buffer, this.header, BUFFER_SIZE - VNET_HDR_LENGTH);
    this.blockSum = blockSum;
  }

  /** Makes the record ready for the next packet: everything that is not overwritten by receive. */
  reset(inInterface: number, length: number): void {
    this.length = length;
    this.gsoType = GSO_NONE;
    this.gsoSize = 0;
    this.gsoEcn = 0;
    this.partialChecksum = false;
    this.checksumValid = false;
    this.checksumVerified = false;
    this.fragmentOffset = 0;
    this.moreFragments = false;
    this.fragmentHeader = 0;
    this.headerChainCut = false;
    this.errorPointer = -1;
    this.fragMaxSize = 0;
    this.grown = false;
    this.fragDf = false;
    this.fragId = 0;
    this.fragAt = 0;
    this.fragCount = 0;
    this.inInterface = inInterface;
    this.outInterface = 0;
    this.socket = false;
    this.hook = PREROUTING;
    this.mark = 0;
    this.ct = NO_CT;
    this.ctinfo = 0;
    this.template = null;
    this.hotdrop = false;
    this.reason = 0;
  }

  /**
   * Linux draws the bytes up to `end` into one piece before it looks at them in place or writes there
   * (skb_ensure_writable). A datagram whose first fragment ended before leaves in other pieces than it came in.
   */
  drawTogether(end: number): void {
    if (this.fragCount !== 0 && this.fragEnds[0] < end && end <= this.length) this.fragCount = 0;
  }

  /**
   * Takes over from `p` all but bytes, length and offload: for a segment or fragment of it, which is in the same flow,
   * on the same way. Whoever writes the bytes sets the structure fields where they differ.
   */
  inherit(p: Packet): void {
    this.reset(p.inInterface, 0);
    this.family = p.family;
    this.protocol = p.protocol;
    this.l4 = p.l4;
    this.fragmentOffset = p.fragmentOffset;
    this.moreFragments = p.moreFragments;
    this.fragmentHeader = p.fragmentHeader;
    this.headerChainCut = p.headerChainCut;
    this.outInterface = p.outInterface;
    this.hook = p.hook;
    this.mark = p.mark;
    this.ct = p.ct;
    this.ctinfo = p.ctinfo;
    this.template = p.template;
  }

  /** Ends the packet: `return p.drop(Reason["no-route"])`. The first reason stays. */
  drop(reason: number): Verdict {
    if (this.reason === 0) this.reason = reason;
    return DROP;
  }

  /** True when raw exempted the packet from tracking. */
  get untracked(): boolean {
    return this.ct === NO_CT && this.ctinfo === UNTRACKED;
  }
}
