/**
 * ICMP errors about translated flows: the quoted packet is turned back into what its sender sent, the error itself
 * goes where the sender is (RFC 5508, REQ-4 and REQ-5; nf_nat_icmp_reply_translation).
 *
 * An error that travels in direction `dir` quotes a packet of direction `!dir`, so the quoted packet gets the addresses
 * of that direction's tuple as it stands, by the opposite manip, and the error those of its inverse.
 */
import {
  CT_ORIGINAL,
  CT_REPLY,
  CT_STATUS,
  IPS_DST_NAT,
  IPS_NAT_DONE_MASK,
  IPS_NAT_MASK,
  IPS_SRC_NAT,
} from "../conntrack/flow.ts";
import { DST, PORTS, PROTO, SRC } from "../conntrack/tuple.ts";
import { ICMP, ICMPV6, ORIGINAL } from "../netfilter.ts";
import { sum16, verifyTransport, writeTransportChecksum } from "../packet/checksum.ts";
import { ICMP_CHECKSUM, ICMP_HEADER, ICMP_REDIRECT, ICMPV6_REDIRECT } from "../packet/icmp.ts";
import { IPV4_HEADER } from "../packet/ipv4.ts";
import {
  extensionLength,
  FRAGMENT,
  IPV6_HEADER,
  IPV6_NEXT_HEADER,
  IPV6_OFFSET,
  isExtensionHeader,
  NO_NEXT,
} from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { manipPacket } from "./manip.ts";
import { type Manip, MANIP_DST, MANIP_SRC } from "./maniptype.ts";

/**
 * Translates an ICMP error that belongs to the flow whose record begins at word `at`. False when the packet must die:
 * its checksum is wrong, it redirects a translated flow, or it is too short for what it claims to be.
 */
export function icmpReplyTranslation(
  p: Packet,
  words: Int32Array,
  at: number,
  dir: number,
  manip: Manip,
): boolean {
  const inner = p.l4 + ICMP_HEADER, status = words[at + CT_STATUS];
  if (inner + (p.family === 4 ? IPV4_HEADER : IPV6_HEADER) > p.length) return false;
  if (!verifyTransport(p)) return false;
  if (p.bytes[p.l4] === (p.family === 4 ? ICMP_REDIRECT : ICMPV6_REDIRECT)) {
    // It names the router's own neighbours, which mean nothing on the other side.
    if ((status & IPS_NAT_DONE_MASK) !== IPS_NAT_DONE_MASK || (status & IPS_NAT_MASK) !== 0) return false;
  }
  if ((status & manipStatus(manip, dir)) === 0) return true;

  const other = at + (dir === ORIGINAL ? CT_REPLY : CT_ORIGINAL);
  const protocol = words[other + PROTO] & 0xff;
  const opposite: Manip = manip === MANIP_SRC ? MANIP_DST : MANIP_SRC;
  const l4 = p.family === 4 ? inner + ((p.bytes[inner] & 0x0f) << 2) : upperLayer(p, inner);
  // An ICMP identifier stands where the source port stands, in both directions.
  const source = opposite === MANIP_SRC || protocol === ICMP || protocol === ICMPV6;
  const port = source ? words[other + PORTS] >>> 16 : words[other + PORTS] & 0xffff;
  const address = other + (opposite === MANIP_SRC ? SRC : DST);
  if (!manipPacket(p, inner, l4, protocol, opposite, words, address, port)) return false;

  if (!p.partialChecksum) {
    if (p.family === 4) {
      p.view.setUint16(p.l4 + ICMP_CHECKSUM, 0);
      p.view.setUint16(p.l4 + ICMP_CHECKSUM, ~sum16(p.view, p.l4, p.length) & 0xffff);
    } else {
      writeTransportChecksum(p);
    }
  }
  const outer = other + (manip === MANIP_SRC ? DST : SRC);
  return manipPacket(p, 0, p.l4, p.protocol, manip, words, outer, 0);
}

/** The IPS_*_NAT bit that says whether a hook's manip applies to packets of a direction. */
export function manipStatus(manip: Manip, dir: number): number {
  return manip === dir ? IPS_SRC_NAT : IPS_DST_NAT;
}

/** Offset of the upper-layer header behind the IPv6 header at `ip`, -1 when a later fragment or a cut hides it. */
function upperLayer(p: Packet, ip: number): number {
  const view = p.view;
  let next = p.bytes[ip + IPV6_NEXT_HEADER], at = ip + IPV6_HEADER;
  while (isExtensionHeader(next)) {
    if (next === NO_NEXT || at + 8 > p.length) return -1;
    if (next === FRAGMENT && (view.getUint16(at + 2) & IPV6_OFFSET) !== 0) return -1;
    const length = extensionLength(view, at, next);
    next = p.bytes[at];
    at += length;
  }
  return at;
}
