/** What packets say beyond their addresses, for people. */
import { TCP, UDP } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { tcpAckSeq, tcpHeaderOk, tcpPayload, tcpSeq } from "../packet/tcp.ts";

/** Most characters of a payload that are shown. */
const SHOWN = 72;

/** What a TCP or UDP packet carries, for people. */
export function payloadText(p: Packet): string {
  if (p.fragmentOffset !== 0) return "";
  const at = p.protocol === TCP ? tcpHeaderOk(p) ? tcpPayload(p) : p.length : p.l4 + 8;
  if (p.protocol !== TCP && p.protocol !== UDP) return "";
  let text = "";
  for (const byte of p.bytes.subarray(at, Math.min(p.length, at + SHOWN))) {
    text += byte === 13
      ? "\\r"
      : byte === 10
      ? "\\n"
      : byte >= 32 && byte < 127
      ? String.fromCharCode(byte)
      : ".";
  }
  return p.length > at + SHOWN ? `${text}…` : text;
}

/** The first bytes of what may be no packet at all. */
export function hexStart(p: Packet): string {
  const shown = p.bytes.subarray(0, Math.min(p.length, 24)).toHex();
  return p.length > 24 ? `${shown}…` : shown;
}

/** TCP's numbers, for those who adjust them. */
export function numbersOf(p: Packet): string {
  if (p.protocol !== TCP || !tcpHeaderOk(p)) return "";
  return `seq ${tcpSeq(p) >>> 0} ack ${tcpAckSeq(p) >>> 0}`;
}
