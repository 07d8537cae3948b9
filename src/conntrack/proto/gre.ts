/**
 * GRE as nf_conntrack_proto_gre tracks it: version 1 (PPTP, RFC 2637) by its call id, which a PPTP helper would tie to
 * the other side's; version 0 (RFC 2784) by addresses alone.
 */
import type { Packet } from "../../packet/packet.ts";
import type { Sysctl } from "../../sysctl.ts";
import { CT_STATUS, FLOW_WORDS, IPS_SEEN_REPLY } from "../flow.ts";
import { assure, TRACKED, type Tracker } from "../tracker.ts";
import { PORTS } from "../tuple.ts";

/** Indices of the timeouts, also in a policy. */
const GRE_UNREPLIED = 0, GRE_REPLIED = 1;
/** What version 1 carries (RFC 2637, 4.1). */
const GRE_PROTO_PPP = 0x880b;

/** Timeouts in milliseconds. */
export function timeouts(sysctl: Sysctl): Int32Array {
  return Int32Array.of(
    sysctl.get("net.netfilter.nf_conntrack_gre_timeout") * 1000,
    sysctl.get("net.netfilter.nf_conntrack_gre_timeout_stream") * 1000,
  );
}

/** The call id is the destination key. The source key belongs to PPTP's helper and is 0 without one. */
export function tuple(view: DataView, l4: number, end: number, t: Int32Array, at: number): boolean {
  t[at + PORTS] = 0;
  if (l4 + 4 > end || (view.getUint8(l4 + 1) & 7) !== 1) return true;
  if (l4 + 8 > end) return true;
  if (view.getUint16(l4 + 2) !== GRE_PROTO_PPP) return false;
  t[at + PORTS] = view.getUint16(l4 + 6);
  return true;
}

/** A packet of a flow. */
export function packet(t: Tracker, p: Packet, ct: number, ctinfo: number, defaults: Int32Array): number {
  const timeouts = t.timeouts(ct, defaults);
  const status = t.flows.words[ct * FLOW_WORDS + CT_STATUS];
  if ((status & IPS_SEEN_REPLY) === 0) {
    t.refreshAcct(ct, ctinfo, p, timeouts[GRE_UNREPLIED]);
  } else {
    t.refreshAcct(ct, ctinfo, p, timeouts[GRE_REPLIED]);
    assure(t, ct, status);
  }
  return TRACKED;
}

/** `srckey=0x0 dstkey=0x1a2b `, as conntrack prints them. */
export function printTuple(t: Int32Array, at: number): string {
  return `srckey=0x${(t[at + PORTS] >>> 16).toString(16)} dstkey=0x${(t[at + PORTS] & 0xffff).toString(16)} `;
}

/** No state. */
export function print(): string {
  return "";
}
