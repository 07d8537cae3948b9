/**
 * What the REJECT target answers with (nf_reject_ipv4, nf_reject_ipv6): an ICMP error or a TCP reset, and only to
 * packets whose checksum is right, so that nobody is told about a connection that a broken packet names.
 */
import { AH, ESP, GRE, INPUT, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { pseudoSum, sum16, verifyTransport } from "../packet/checksum.ts";
import { ICMP_DEST_UNREACH, ICMPV6_DEST_UNREACH } from "../packet/icmp.ts";
import { IPV4_HEADER } from "../packet/ipv4.ts";
import type { Packet } from "../packet/packet.ts";
import type { IcmpErrors } from "./icmp_error.ts";
import type { TcpResets } from "./tcp_reset.ts";

export class Reject {
  readonly #errors: IcmpErrors;
  readonly #resets: TcpResets;

  constructor(o: { errors: IcmpErrors; resets: TcpResets }) {
    this.#errors = o.errors;
    this.#resets = o.resets;
  }

  /** Makes the reset that answers `p` in `out`; false if there is none to send. */
  tcpReset(out: Packet, p: Packet): boolean {
    // What conntrack found out is forgotten when a packet is forwarded (skb_forward_csum); what its device said is not.
    const verified = p.partialChecksum || p.checksumValid || p.checksumVerified && p.hook === INPUT;
    return (verified || headerSumOk(p)) && this.#resets.reject(out, p);
  }

  /** Makes the destination unreachable message of this code in `out`; false if there is none to send. */
  unreachable(out: Packet, p: Packet, code: number): boolean {
    if (!checksumOk(p)) return false;
    return this.#errors.make(out, p, p.family === 4 ? ICMP_DEST_UNREACH : ICMPV6_DEST_UNREACH, code, 0);
  }
}

/**
 * nf_reject_verify_csum and what follows: protocols with other safeguards, or with none, pass; all others are summed as
 * if they had a checksum over everything. So a protocol that Linux does not know is hardly ever answered.
 */
function checksumOk(p: Packet): boolean {
  if (p.fragmentOffset !== 0) return false;
  if (p.family === 6 && (p.headerChainCut || p.l4 >= p.length)) return false;
  if (p.partialChecksum || p.checksumValid || p.checksumVerified) return true;
  switch (p.protocol) {
    case AH:
    case ESP:
    case SCTP:
    case UDPLITE:
    case GRE:
      return true;
    case TCP:
    case UDP:
      return headerSumOk(p) && verifyTransport(p);
  }
  if (!headerSumOk(p)) return false;
  const pseudo = p.family === 4 ? 0 : pseudoSum(p, p.protocol, p.length - p.l4);
  const sum = sum16(p.view, p.l4, p.length, pseudo);
  // In IPv4, without a pseudo header, nothing is as good as a checksum.
  return sum === 0xffff || p.family === 4 && sum === 0;
}

/**
 * In IPv4 Linux sums the header along with the rest. It is wrong when the router has just written its address or the
 * time into an option.
 */
function headerSumOk(p: Packet): boolean {
  return p.family === 6 || p.l4 === IPV4_HEADER || sum16(p.view, 0, p.l4) === 0xffff;
}
