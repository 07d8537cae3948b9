/** UDP (RFC 768) and UDP-Lite (RFC 3828), as nf_conntrack_proto_udp tracks them. */
import * as netfilterModule from "../../netfilter.ts";
import { verifyTransport } from "../../packet/checksum.ts";
import type { Packet } from "../../packet/packet.ts";
import { udpHeaderOk, udpliteHeaderOk } from "../../packet/udp.ts";
import * as udpModule from "../../packet/udp.ts";
import type { Sysctl } from "../../sysctl.ts";
import * as flowModule from "../flow.ts";
import { assure, type Tracker } from "../tracker.ts";
import * as trackerModule from "../tracker.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const { PREROUTING } = netfilterModule;
const { UDP_HEADER } = udpModule;
const { CT_PROTO, CT_STATUS, FLOW_WORDS, IPS_CONFIRMED, IPS_SEEN_REPLY } = flowModule;
const { TRACKED } = trackerModule;
export { printTuple, tuple } from "./ports.ts";

/** Indices of the timeouts, also in a policy. */
const UDP_UNREPLIED = 0, UDP_REPLIED = 1;
/** When traffic both ways makes it a stream: clock milliseconds. */
const UDP_STREAM = CT_PROTO;
/** A query and its answers are over within this; what goes on is a stream. */
const STREAM_AFTER = 2000;

/** Timeouts in milliseconds. */
export function timeouts(sysctl: Sysctl): Int32Array {
  return Int32Array.of(
    sysctl.get("net.netfilter.nf_conntrack_udp_timeout") * 1000,
    sysctl.get("net.netfilter.nf_conntrack_udp_timeout_stream") * 1000,
  );
}

/** A UDP packet of a flow. */
export function packet(t: Tracker, p: Packet, ct: number, ctinfo: number, defaults: Int32Array): number {
  if (!udpHeaderOk(p)) {
    return t.invalid(p, p.length - p.l4 < UDP_HEADER ? "short packet" : "truncated/malformed packet");
  }
  if (t.checksum && p.hook === PREROUTING && !verifyTransport(p)) return t.invalid(p, "bad checksum");

  const timeouts = t.timeouts(ct, defaults);
  const w = t.flows.words, at = ct * FLOW_WORDS, status = w[at + CT_STATUS];
  if ((status & IPS_CONFIRMED) === 0) w[at + UDP_STREAM] = (t.clock.now + STREAM_AFTER) | 0;
  if ((status & IPS_SEEN_REPLY) === 0) {
    t.refreshAcct(ct, ctinfo, p, timeouts[UDP_UNREPLIED]);
  } else if (((w[at + UDP_STREAM] - t.clock.now) | 0) < 0) {
    t.refreshAcct(ct, ctinfo, p, timeouts[UDP_REPLIED]);
    assure(t, ct, status);
  } else {
    t.refreshAcct(ct, ctinfo, p, timeouts[UDP_UNREPLIED]);
  }
  return TRACKED;
}

/** A UDP-Lite packet of a flow. It is ASSURED without waiting, and its checksum is mandatory (RFC 3828, 3.1). */
export function litePacket(
  t: Tracker,
  p: Packet,
  ct: number,
  ctinfo: number,
  defaults: Int32Array,
): number {
  if (!udpliteHeaderOk(p)) return t.invalid(p, "invalid checksum coverage");
  if (t.checksum && p.hook === PREROUTING && !verifyTransport(p)) return t.invalid(p, "bad checksum");

  const timeouts = t.timeouts(ct, defaults);
  const status = t.flows.words[ct * FLOW_WORDS + CT_STATUS];
  if ((status & IPS_SEEN_REPLY) === 0) {
    t.refreshAcct(ct, ctinfo, p, timeouts[UDP_UNREPLIED]);
  } else {
    t.refreshAcct(ct, ctinfo, p, timeouts[UDP_REPLIED]);
    assure(t, ct, status);
  }
  return TRACKED;
}

/** UDP has no state to show. */
export function print(): string {
  return "";
}
