/**
 * ICMP and ICMPv6 queries (RFC 792, RFC 4443), as nf_conntrack_proto_icmp and _icmpv6 track them. The identifier plays
 * the ports' part in both directions; answers differ from queries by their type. Errors are `icmp_error.ts`'s.
 */
import * as icmpModule from "../../packet/icmp.ts";
import type { Packet } from "../../packet/packet.ts";
import type { Sysctl } from "../../sysctl.ts";
import { CT_ORIGINAL, FLOW_WORDS } from "../flow.ts";
import { TRACKED, type Tracker } from "../tracker.ts";
import { PORTS } from "../tuple.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const { ICMP_ADDRESS, ICMP_ECHO, ICMP_INFO_REQUEST, ICMP_TIMESTAMP } = icmpModule;

/** The one timeout, in milliseconds. */
export function timeouts(sysctl: Sysctl): Int32Array {
  return Int32Array.of(sysctl.get("net.netfilter.nf_conntrack_icmp_timeout") * 1000);
}

/** The identifier, type and code. All eight bytes of the header must be there. */
export function tuple(view: DataView, l4: number, end: number, t: Int32Array, at: number): boolean {
  if (l4 + 8 > end) return false;
  t[at + PORTS] = (view.getUint16(l4 + 4) << 16) | view.getUint16(l4);
  return true;
}

/** A query or its answer. The flow outlives its first answer, so that duplicates belong to it too. */
export function packet(t: Tracker, p: Packet, ct: number, ctinfo: number, defaults: Int32Array): number {
  if (p.family !== 4) return t.invalid(p, "wrong family");
  switch ((t.flows.words[ct * FLOW_WORDS + CT_ORIGINAL + PORTS] >> 8) & 0xff) {
    case ICMP_ECHO:
    case ICMP_TIMESTAMP:
    case ICMP_INFO_REQUEST:
    case ICMP_ADDRESS:
      t.refreshAcct(ct, ctinfo, p, t.timeouts(ct, defaults)[0]);
      return TRACKED;
    default:
      return t.invalid(p, "not a query");
  }
}

/** `type=8 code=0 id=7 `, as conntrack prints them, for ICMPv6 too. */
export function printTuple(t: Int32Array, at: number): string {
  const word = t[at + PORTS];
  return `type=${(word >> 8) & 0xff} code=${word & 0xff} id=${word >>> 16} `;
}

/** No state. */
export function print(): string {
  return "";
}
