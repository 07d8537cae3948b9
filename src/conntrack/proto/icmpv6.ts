/** ICMPv6 queries (RFC 4443, RFC 4620); see `icmp.ts`. */
import * as icmpModule from "../../packet/icmp.ts";
import type { Packet } from "../../packet/packet.ts";
import type { Sysctl } from "../../sysctl.ts";
import { CT_ORIGINAL, FLOW_WORDS } from "../flow.ts";
import { TRACKED, type Tracker } from "../tracker.ts";
import { PORTS } from "../tuple.ts";
export { print, printTuple, tuple } from "./icmp.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const { ICMPV6_ECHO_REQUEST, ICMPV6_NI_QUERY } = icmpModule;

/** The one timeout, in milliseconds. */
export function timeouts(sysctl: Sysctl): Int32Array {
  return Int32Array.of(sysctl.get("net.netfilter.nf_conntrack_icmpv6_timeout") * 1000);
}

/** A query or its answer. */
export function packet(t: Tracker, p: Packet, ct: number, ctinfo: number, defaults: Int32Array): number {
  if (p.family !== 6) return t.invalid(p, "wrong family");
  const type = (t.flows.words[ct * FLOW_WORDS + CT_ORIGINAL + PORTS] >> 8) & 0xff;
  if (type !== ICMPV6_ECHO_REQUEST && type !== ICMPV6_NI_QUERY) return t.invalid(p, "not a query");
  t.refreshAcct(ct, ctinfo, p, t.timeouts(ct, defaults)[0]);
  return TRACKED;
}
