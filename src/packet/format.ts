/** A packet as one line for people: traces, test failures, `weir explain`. Not for the packet path: it makes strings. */
import { AH, DCCP, ESP, GRE, ICMP, ICMPV6, IGMP, REASONS, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { formatAddress, readAddress } from "./address.ts";
import { ICMP_HEADER, icmpCode, icmpId, icmpSeq, icmpType, isIcmp } from "./icmp.ts";
import { ident, IPV4_DESTINATION, IPV4_SOURCE } from "./ipv4.ts";
import { FRAGMENT_HEADER, IPV6_DESTINATION, IPV6_SOURCE } from "./ipv6.ts";
import { GSO_NONE, type Packet } from "./packet.ts";
import * as tcp from "./tcp.ts";
import { UDP_HEADER } from "./udp.ts";

const NAMES = new Map<number, string>([
  [ICMP, "ICMP"],
  [IGMP, "IGMP"],
  [TCP, "TCP"],
  [UDP, "UDP"],
  [DCCP, "DCCP"],
  [GRE, "GRE"],
  [ESP, "ESP"],
  [AH, "AH"],
  [ICMPV6, "ICMPv6"],
  [SCTP, "SCTP"],
  [UDPLITE, "UDPLite"],
]);

/** The name of an IP protocol, `proto N` for the nameless. */
function protocolName(protocol: number): string {
  return NAMES.get(protocol) ?? `proto ${protocol}`;
}

const FLAGS: readonly (readonly [number, string])[] = [
  [tcp.SYN, "SYN"],
  [tcp.FIN, "FIN"],
  [tcp.RST, "RST"],
  [tcp.PSH, "PSH"],
  [tcp.ACK, "ACK"],
  [tcp.URG, "URG"],
  [tcp.ECE, "ECE"],
  [tcp.CWR, "CWR"],
];

/** TCP flags by name, `none` without any. */
export function flagNames(flags: number): string {
  return FLAGS.filter(([bit]) => flags & bit).map(([, name]) => name).join(",") || "none";
}

const ICMP_TYPES = new Map<number, string>([
  [0, "echo reply"],
  [3, "unreachable"],
  [4, "source quench"],
  [5, "redirect"],
  [8, "echo request"],
  [11, "time exceeded"],
  [12, "parameter problem"],
  [13, "timestamp request"],
  [14, "timestamp reply"],
]);
const ICMPV6_TYPES = new Map<number, string>([
  [1, "unreachable"],
  [2, "packet too big"],
  [3, "time exceeded"],
  [4, "parameter problem"],
  [128, "echo request"],
  [129, "echo reply"],
  [133, "router solicitation"],
  [134, "router advertisement"],
  [135, "neighbour solicitation"],
  [136, "neighbour advertisement"],
  [137, "redirect"],
]);

/** True for protocols whose header begins with two ports. */
function hasPorts(protocol: number): boolean {
  return protocol === TCP || protocol === UDP || protocol === UDPLITE || protocol === SCTP ||
    protocol === DCCP;
}

/**
 * One line about a parsed packet, such as `IPv4 192.0.2.2:40000 > 198.51.100.7:80 TCP SYN seq 1 win 64240 len 0`.
 *
 * `len` is the payload behind the transport header.
 */
export function describe(p: Packet): string {
  const view = p.view;
  const words = new Int32Array(4);
  const name = (at: number, port: number): string => {
    readAddress(view, p.family, at, words);
    const text = formatAddress(p.family, words);
    if (port < 0) return text;
    return p.family === 4 ? `${text}:${port}` : `[${text}]:${port}`;
  };
  const rest = p.length - p.l4;
  const ports = p.fragmentOffset === 0 && rest >= 4 && hasPorts(p.protocol);
  const source = name(p.family === 4 ? IPV4_SOURCE : IPV6_SOURCE, ports ? view.getUint16(p.l4) : -1);
  const target = name(
    p.family === 4 ? IPV4_DESTINATION : IPV6_DESTINATION,
    ports ? view.getUint16(p.l4 + 2) : -1,
  );
  let text = `IPv${p.family} ${source} > ${target} ${protocolName(p.protocol)}`;
  if (p.headerChainCut) text += " (headers cut)";
  if (p.fragmentOffset === 0) text += describeTransport(p, rest);
  else text += ` len ${rest}`;
  if (p.fragmentOffset !== 0 || p.moreFragments) {
    const cut = p.family === 6 && p.fragmentHeader + FRAGMENT_HEADER > p.length;
    const id = p.family === 4 ? ident(p) : cut ? "?" : view.getUint32(p.fragmentHeader + 4);
    text += ` frag ${id}:${p.fragmentOffset}${p.moreFragments ? "+" : ""}`;
  }
  if (p.gsoType !== GSO_NONE) text += ` gso ${p.gsoSize}`;
  if (p.reason !== 0) text += ` (${REASONS[p.reason]})`;
  return text;
}

function describeTransport(p: Packet, rest: number): string {
  if (p.protocol === TCP && tcp.tcpHeaderOk(p)) {
    const flags = tcp.tcpFlags(p);
    const ack = flags & tcp.ACK ? ` ack ${tcp.tcpAckSeq(p) >>> 0}` : "";
    return ` ${flagNames(flags)} seq ${tcp.tcpSeq(p) >>> 0}${ack} win ${tcp.tcpWindow(p)} len ${
      rest - tcp.tcpHeaderLength(p)
    }`;
  }
  if ((p.protocol === UDP || p.protocol === UDPLITE) && rest >= UDP_HEADER) {
    return ` len ${rest - UDP_HEADER}`;
  }
  if (isIcmp(p) && rest >= ICMP_HEADER) {
    const type = icmpType(p);
    const known = (p.family === 4 ? ICMP_TYPES : ICMPV6_TYPES).get(type);
    const query = p.family === 4
      ? type === 0 || type === 8 || type === 13 || type === 14
      : type === 128 || type === 129;
    const what = known === undefined ? ` type ${type} code ${icmpCode(p)}` : ` ${known}`;
    const detail = query
      ? ` id ${icmpId(p)} seq ${icmpSeq(p)}`
      : known === undefined
      ? ""
      : ` code ${icmpCode(p)}`;
    return `${what}${detail} len ${rest - ICMP_HEADER}`;
  }
  return hasPorts(p.protocol) && (p.protocol === TCP || rest < UDP_HEADER)
    ? ` (cut) len ${rest}`
    : ` len ${rest}`;
}
