/**
 * Which packets the fast path takes a closer look at: whole TCP and UDP packets right behind an IP header without options
 * or extensions, with sound headers, that may be forwarded.
 */
import { newTuple } from "../conntrack/tuple.ts";
import * as tupleModule from "../conntrack/tuple.ts";
import type { Family } from "../netfilter.ts";
import * as netfilterModule from "../netfilter.ts";
import { fold } from "../packet/checksum.ts";
import * as ipv4Module from "../packet/ipv4.ts";
import * as ipv6Module from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import * as packetModule from "../packet/packet.ts";
import * as tcpModule from "../packet/tcp.ts";
import * as udpModule from "../packet/udp.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const { DST, PORTS, PROTO, SRC } = tupleModule;
const { TCP, UDP } = netfilterModule;
const { IPV4_HEADER } = ipv4Module;
const { IPV6_HEADER, IPV6_SOURCE } = ipv6Module;
const { GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 } = packetModule;
const { TCP_HEADER, TCP_OFFSET } = tcpModule;
const { UDP_HEADER } = udpModule;

/** One per family: six words of an IPv4 tuple are always zero. */
const tuple4 = newTuple(), tuple6 = newTuple();

/**
 * The tuple of such a packet, in zone 0; its structure fields and `length` are then as `parse` would leave them. Null for
 * whatever is odd: `parse` says what is wrong with it. Addresses are not judged: whoever knows the packet's flow
 * has seen a packet with the same ones pass. The tuple is good until the next packet.
 */
export function plainTuple(p: Packet): Int32Array | null {
  const { view } = p, first = view.getInt32(0);
  if (first >>> 24 !== 0x45) return first >>> 28 === 6 ? plainTuple6(p) : null;
  const length = first & 0xffff;
  if (p.length < IPV4_HEADER + UDP_HEADER || length > p.length) return null;
  const fragment = view.getInt32(4),
    hop = view.getInt32(8),
    source = view.getInt32(12),
    to = view.getInt32(16);
  if ((fragment & 0x3fff) !== 0 || hop >>> 25 === 0) return null;
  const sum = (first & 0xffff) + (first >>> 16) + (fragment & 0xffff) + (fragment >>> 16) +
    (hop & 0xffff) + (hop >>> 16) + (source & 0xffff) + (source >>> 16) + (to & 0xffff) + (to >>> 16);
  if (fold(sum) !== 0xffff) return null;
  tuple4[SRC] = source;
  tuple4[DST] = to;
  return withPorts(p, tuple4, 4, (hop >>> 16) & 0xff, IPV4_HEADER, length);
}

function plainTuple6(p: Packet): Int32Array | null {
  const { view } = p, hop = view.getInt32(4), length = IPV6_HEADER + (hop >>> 16);
  if (p.length < IPV6_HEADER + UDP_HEADER || length > p.length || (hop & 0xfe) === 0) return null;
  for (let i = 0; i < 8; i++) tuple6[i] = view.getInt32(IPV6_SOURCE + 4 * i);
  return withPorts(p, tuple6, 6, (hop >>> 8) & 0xff, IPV6_HEADER, length);
}

/** The tuple with what stands in the transport header, if that is there. Only then the packet is touched. */
function withPorts(
  p: Packet,
  t: Int32Array,
  family: Family,
  protocol: number,
  l4: number,
  length: number,
): Int32Array | null {
  if (protocol === TCP) {
    if (length < l4 + TCP_HEADER) return null;
    // A match that finds the options cut drops the packet, wherever it stands among a rule's conditions.
    const header = (p.view.getUint8(l4 + TCP_OFFSET) & 0xf0) >> 2;
    if (header < TCP_HEADER || length < l4 + header) return null;
  } else if (protocol !== UDP || length < l4 + UDP_HEADER) return null;
  if (p.gsoType !== GSO_NONE && !isOffload(p, family, protocol)) return null;
  p.family = family;
  p.length = length;
  p.protocol = protocol;
  p.l4 = l4;
  t[PORTS] = p.view.getInt32(l4);
  t[PROTO] = (family << 8) | protocol;
  return t;
}

/** The virtio-net header fits the packet, as `parse` asks for. */
function isOffload(p: Packet, family: Family, protocol: number): boolean {
  if (p.gsoSize === 0) return false;
  if (protocol === UDP) return p.gsoType === GSO_UDP_L4;
  return p.gsoType === (family === 4 ? GSO_TCPV4 : GSO_TCPV6);
}
