/**
 * What forwarding and NAT write into a plain packet, in one step: addresses, ports, hop limit, checksums.
 *
 * One sum follows all changes of a header. It comes out with the same bits as change after change would: a checksum that
 * has been patched is never 0xffff, an unfinished sum never 0, and what lies between is decided by the sum alone.
 */
import * as tupleModule from "../conntrack/tuple.ts";
import * as netfilterModule from "../netfilter.ts";
import { change32, fold, update } from "../packet/checksum.ts";
import * as checksumModule from "../packet/checksum.ts";
import * as ipv4Module from "../packet/ipv4.ts";
import * as ipv6Module from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import * as tcpModule from "../packet/tcp.ts";
import * as udpModule from "../packet/udp.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const { DST, PORTS, SRC } = tupleModule;
const { TCP } = netfilterModule;
const { MANGLED_ZERO } = checksumModule;
const { IPV4_CHECKSUM, IPV4_DESTINATION, IPV4_SOURCE, IPV4_TTL } = ipv4Module;
const { IPV6_DESTINATION, IPV6_HOP_LIMIT, IPV6_SOURCE } = ipv6Module;
const { TCP_CHECKSUM } = tcpModule;
const { UDP_CHECKSUM } = udpModule;

/** What the sum over an IPv4 header changes by when the TTL falls by one: −0x0100. */
const ONE_HOP = 0xfeff;

/** One hop less. */
export function hop(p: Packet): void {
  const view = p.view;
  if (p.family === 4) {
    view.setUint8(IPV4_TTL, view.getUint8(IPV4_TTL) - 1);
    view.setUint16(IPV4_CHECKSUM, update(view.getUint16(IPV4_CHECKSUM), ONE_HOP));
  } else view.setUint8(IPV6_HOP_LIMIT, view.getUint8(IPV6_HOP_LIMIT) - 1);
}

/**
 * One hop less, and the addresses and ports of the answer to the tuple at `other` in `w`, that of the flow's other
 * direction, instead of those in `t`, the packet's own.
 */
export function translate(p: Packet, t: Int32Array, w: Int32Array, other: number): void {
  const view = p.view, l4 = p.l4;
  let change = 0;
  if (p.family === 4) {
    const source = w[other + DST], destination = w[other + SRC];
    change = change32(t[SRC], source) + change32(t[DST], destination);
    view.setInt32(IPV4_SOURCE, source);
    view.setInt32(IPV4_DESTINATION, destination);
    view.setUint8(IPV4_TTL, view.getUint8(IPV4_TTL) - 1);
    view.setUint16(IPV4_CHECKSUM, update(view.getUint16(IPV4_CHECKSUM), change + ONE_HOP));
  } else change = translate6(p, t, w, other);
  const swapped = w[other + PORTS], ports = (swapped << 16) | (swapped >>> 16);
  view.setInt32(l4, ports);
  const tcp = p.protocol === TCP,
    field = l4 + (tcp ? TCP_CHECKSUM : UDP_CHECKSUM),
    old = view.getUint16(field);
  if (old === 0 && !tcp) return; // no checksum
  let sum: number;
  if (p.partialChecksum) sum = fold(old + change);
  else {
    sum = update(old, change + change32(t[PORTS], ports));
    if (sum === 0 && !tcp) sum = MANGLED_ZERO;
  }
  view.setUint16(field, sum);
}

/** The IPv6 header; returns what sums change by. */
function translate6(p: Packet, t: Int32Array, w: Int32Array, other: number): number {
  const view = p.view;
  let change = 0;
  for (let i = 0; i < 4; i++) {
    const source = w[other + DST + i], destination = w[other + SRC + i];
    change += change32(t[SRC + i], source) + change32(t[DST + i], destination);
    view.setInt32(IPV6_SOURCE + 4 * i, source);
    view.setInt32(IPV6_DESTINATION + 4 * i, destination);
  }
  view.setUint8(IPV6_HOP_LIMIT, view.getUint8(IPV6_HOP_LIMIT) - 1);
  return change;
}
