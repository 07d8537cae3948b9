/** Packets from what people say of them, with right lengths and checksums. */
import { type Family, GRE, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { type Address, writeAddress } from "../packet/address.ts";
import { writeTransportChecksum } from "../packet/checksum.ts";
import { IPV4_DESTINATION, IPV4_HEADER, IPV4_SOURCE, writeHeaderChecksum } from "../packet/ipv4.ts";
import { IPV6_DESTINATION, IPV6_HEADER, IPV6_SOURCE } from "../packet/ipv6.ts";
import { Packet } from "../packet/packet.ts";
import { SCTP_HEADER } from "../packet/sctp.ts";
import { TCP_HEADER } from "../packet/tcp.ts";
import { UDP_HEADER } from "../packet/udp.ts";

/** A packet to be made. Each protocol takes of it what it has. */
export interface PacketParts {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  readonly sport: number;
  readonly dport: number;
  /** TCP. */
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly window: number;
  /** ICMP: `rest` is the word behind the checksum. */
  readonly type: number;
  readonly code: number;
  readonly rest: number;
  /** SCTP. */
  readonly vtag: number;
  readonly ttl: number;
  readonly tos: number;
  readonly ident: number;
  readonly dontFragment: boolean;
  readonly payload: Uint8Array;
}

const ICMP_HEADER = 8, GRE_HEADER = 4;

/** Bytes of the transport header that `buildPacket` writes. */
export function headerLength(protocol: number): number {
  switch (protocol) {
    case TCP:
      return TCP_HEADER;
    case UDP:
    case UDPLITE:
      return UDP_HEADER;
    case ICMP:
    case ICMPV6:
      return ICMP_HEADER;
    case SCTP:
      return SCTP_HEADER;
    case GRE:
      return GRE_HEADER;
    default:
      return 0;
  }
}

/** The whole IP packet. */
export function buildPacket(o: PacketParts): Uint8Array<ArrayBuffer> {
  const family: Family = o.source.family, ipv4 = family === 4;
  const p = new Packet(), { view, bytes } = p;
  const l4 = ipv4 ? IPV4_HEADER : IPV6_HEADER;
  const length = l4 + headerLength(o.protocol) + o.payload.length;
  if (ipv4) {
    view.setUint16(0, 0x4500 | o.tos);
    view.setUint16(2, length);
    view.setUint16(4, o.ident);
    view.setUint16(6, o.dontFragment ? 0x4000 : 0);
    view.setUint16(8, o.ttl << 8 | o.protocol);
  } else {
    view.setInt32(0, 0x60000000 | o.tos << 20);
    view.setUint16(4, length - l4);
    view.setUint16(6, o.protocol << 8 | o.ttl);
  }
  writeAddress(view, family, ipv4 ? IPV4_SOURCE : IPV6_SOURCE, o.source.words);
  writeAddress(view, family, ipv4 ? IPV4_DESTINATION : IPV6_DESTINATION, o.destination.words);
  writeTransport(view, l4, length - l4, o);
  bytes.set(o.payload, length - o.payload.length);

  p.reset(0, length);
  p.family = family;
  p.protocol = o.protocol;
  p.l4 = l4;
  if (ipv4) writeHeaderChecksum(p);
  writeTransportChecksum(p);
  return bytes.slice(0, length);
}

function writeTransport(view: DataView, at: number, length: number, o: PacketParts): void {
  if (o.protocol === ICMP || o.protocol === ICMPV6) {
    view.setUint8(at, o.type);
    view.setUint8(at + 1, o.code);
    view.setInt32(at + 4, o.rest);
    return;
  }
  if (o.protocol === GRE || headerLength(o.protocol) === 0) return;
  view.setUint16(at, o.sport);
  view.setUint16(at + 2, o.dport);
  if (o.protocol === TCP) {
    view.setInt32(at + 4, o.seq);
    view.setInt32(at + 8, o.ack);
    view.setUint16(at + 12, TCP_HEADER / 4 << 12 | o.flags);
    view.setUint16(at + 14, o.window);
  } else if (o.protocol === SCTP) {
    view.setInt32(at + 4, o.vtag);
  } else {
    view.setUint16(at + 4, length);
    view.setUint16(at + 6, 0xffff); // not 0, which asks for no checksum
  }
}
