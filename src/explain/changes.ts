/** What differs between two packets, one phrase for each thing. */
import { ICMP, ICMPV6, TCP } from "../netfilter.ts";
import { ICMP_HEADER, icmpId, icmpType, isIcmp } from "../packet/icmp.ts";
import { tos, ttl } from "../packet/ipv4.ts";
import { hopLimit, trafficClass } from "../packet/ipv6.ts";
import { Packet } from "../packet/packet.ts";
import { parse } from "../packet/parse.ts";
import { tcpAckSeq, tcpFlags, tcpHeaderLength, tcpHeaderOk, tcpSeq } from "../packet/tcp.ts";
import { destinationText, sourceText } from "./ends.ts";

const before = new Packet(), after = new Packet();

/** `source 192.0.2.2:1000 → 198.51.100.1:1000`, `ttl 64 → 63`, … Empty for packets that cannot be read. */
export function changesBetween(came: Uint8Array, left: Uint8Array): string[] {
  if (!load(before, came) || !load(after, left) || before.family !== after.family) return [];
  const fields = fieldsOf(before), now = new Map(fieldsOf(after));
  const changes = fields.flatMap(([name, value]) => {
    const other = now.get(name);
    return other === undefined || other === value ? [] : [`${name} ${value} → ${other}`];
  });
  const piece = after.fragmentOffset !== 0 || after.moreFragments;
  if (!piece && payload(before) !== payload(after)) {
    changes.push(isIcmp(before) && !isQuery(before) ? "what it quotes" : "payload");
  }
  return changes;
}

/** Addresses, ports and identifier: what NAT changes. */
export function natFields(p: Packet): [string, string][] {
  const fields: [string, string][] = [["source", sourceText(p)], ["destination", destinationText(p)]];
  if (isQuery(p)) fields.push(["id", String(icmpId(p))]);
  return fields;
}

function load(p: Packet, bytes: Uint8Array): boolean {
  p.bytes.set(bytes);
  p.reset(0, bytes.length);
  return parse(p) === 0;
}

function fieldsOf(p: Packet): [string, string][] {
  const fields = natFields(p);
  fields.push(p.family === 4 ? ["ttl", String(ttl(p))] : ["hop limit", String(hopLimit(p))]);
  fields.push(["tos", `0x${(p.family === 4 ? tos(p) : trafficClass(p)).toString(16).padStart(2, "0")}`]);
  if (p.protocol === TCP && tcpHeaderOk(p)) {
    fields.push(["seq", String(tcpSeq(p) >>> 0)]);
    if ((tcpFlags(p) & 0x10) !== 0) fields.push(["ack", String(tcpAckSeq(p) >>> 0)]);
    fields.push(["TCP options", hexOf(p, p.l4 + 20, p.l4 + tcpHeaderLength(p))]);
  }
  return fields;
}

function isQuery(p: Packet): boolean {
  if (p.fragmentOffset !== 0 || p.length - p.l4 < ICMP_HEADER) return false;
  const type = icmpType(p);
  return p.protocol === ICMP
    ? [0, 8, 13, 14].includes(type)
    : p.protocol === ICMPV6 && (type === 128 || type === 129);
}

function payload(p: Packet): string {
  if (p.protocol === TCP && tcpHeaderOk(p)) return hexOf(p, p.l4 + tcpHeaderLength(p), p.length);
  return hexOf(p, Math.min(p.l4 + 8, p.length), p.length);
}

function hexOf(p: Packet, from: number, to: number): string {
  return p.bytes.subarray(from, Math.max(from, to)).toHex() || "none";
}
