/**
 * Rewriting of packets: one address and one port, of the packet itself or of a packet quoted by an ICMP error.
 *
 * What to write comes straight from the other direction's tuple in the flow record, so nothing is copied: a packet of
 * direction `dir` must leave looking like the inverse of the tuple of direction `!dir`.
 */
import * as netfilterModule from "../netfilter.ts";
import { patch } from "../packet/checksum.ts";
import * as ipv4Module from "../packet/ipv4.ts";
import type { Packet } from "../packet/packet.ts";
import * as sctpModule from "../packet/sctp.ts";
import * as tcpModule from "../packet/tcp.ts";
import { addressChange, addressOffset } from "./checksum.ts";
import type { Manip } from "./maniptype.ts";
import * as gre from "./proto/gre.ts";
import * as icmp from "./proto/icmp.ts";
import * as icmpv6 from "./proto/icmpv6.ts";
import * as sctp from "./proto/sctp.ts";
import * as tcp from "./proto/tcp.ts";
import * as udp from "./proto/udp.ts";

// Constants of this module, not imports: each new flow reads them (CONTRIBUTING.md).
const { GRE, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE } = netfilterModule;
const { IPV4_CHECKSUM } = ipv4Module;
const { SCTP_HEADER } = sctpModule;
const { TCP_HEADER } = tcpModule;

/**
 * Gives the packet whose IP header stands at `ip` and whose transport header of `protocol` stands at `l4` (-1 when it
 * is not there) the address at `address` in `words`, and `port`. False when the transport header is cut or unknown.
 */
export function manipPacket(
  p: Packet,
  ip: number,
  l4: number,
  protocol: number,
  manip: Manip,
  words: Int32Array,
  address: number,
  port: number,
): boolean {
  const change = addressChange(p, ip, manip, words, address);
  if (l4 >= 0 && !manipTransport(p, ip, l4, protocol, manip, change, port)) return false;
  const view = p.view, at = ip + addressOffset(p, manip);
  if (p.family === 4) {
    patch(view, ip + IPV4_CHECKSUM, change);
    view.setInt32(at, words[address]);
  } else {
    view.setInt32(at, words[address]);
    view.setInt32(at + 4, words[address + 1]);
    view.setInt32(at + 8, words[address + 2]);
    view.setInt32(at + 12, words[address + 3]);
  }
  return true;
}

/** `change` is what the address changes sums by. */
function manipTransport(
  p: Packet,
  ip: number,
  l4: number,
  protocol: number,
  manip: Manip,
  change: number,
  port: number,
): boolean {
  const header = headerOf(protocol);
  if (header !== 0) p.drawTogether(l4 + header);
  switch (protocol) {
    case TCP:
      return tcp.manipPacket(p, ip, l4, manip, change, port);
    case UDP:
    case UDPLITE:
      return udp.manipPacket(p, ip, l4, protocol, manip, change, port);
    case ICMP:
      return icmp.manipPacket(p, ip, l4, port);
    case ICMPV6:
      return icmpv6.manipPacket(p, ip, l4, change, port);
    case SCTP:
      return sctp.manipPacket(p, ip, l4, manip, port);
    case GRE:
      return gre.manipPacket(p, l4, manip, port);
    default:
      return true; // nothing known, nothing to do but the address
  }
}

/** Bytes of the transport header that Linux makes writable first; 0 for protocols that it leaves alone. */
function headerOf(protocol: number): number {
  switch (protocol) {
    case TCP:
      return TCP_HEADER;
    case SCTP:
      return SCTP_HEADER;
    case UDP:
    case UDPLITE:
    case ICMP:
    case ICMPV6:
    case GRE:
      return 8;
    default:
      return 0;
  }
}
