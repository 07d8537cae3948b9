/**
 * What a packet has where a rule asks for something else: the second half of `--dport 22: it is 80`.
 *
 * One line per option, by the names that matches have; an option that is not listed gets a plain no.
 *
 * @module
 */
import { formatFlowTuple } from "./flows.ts";
import type { Conntrack } from "../conntrack/core.ts";
import {
  CT_EXPIRES,
  CT_MARK,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_WORDS,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_COUNTED,
  IPS_DST_NAT,
  IPS_EXPECTED,
  IPS_MASTER_HELPER_MASK,
  IPS_MASTER_HELPER_SHIFT,
  IPS_SEEN_REPLY,
  IPS_SRC_NAT,
} from "../conntrack/flow.ts";
import { hasSocket } from "../matches/owner.ts";
import { STATE_NAMES, stateBit } from "../matches/state.ts";
import { announcedMss } from "../matches/tcpmss.ts";
import { formatMoment } from "../matches/time.ts";
import { ctinfoDir, NO_CT, ORIGINAL } from "../netfilter.ts";
import { flagNames } from "../packet/format.ts";
import { ICMP_HEADER, icmpCode, icmpType } from "../packet/icmp.ts";
import { hopLimit, trafficClass } from "../packet/ipv6.ts";
import { tos, ttl } from "../packet/ipv4.ts";
import type { Packet } from "../packet/packet.ts";
import { TCP_HEADER, tcpFlags } from "../packet/tcp.ts";
import { hex } from "../tables/kinds.ts";
import { destinationText, sourceText } from "./ends.ts";

/** What is said of a packet; `value` is what the option asks for. */
type Found = (p: Packet, conntrack: Conntrack, value: unknown, invert: boolean) => string;

/** The packet's state as `-m state` names it. */
function stateName(p: Packet): string {
  const bit = stateBit(p);
  return STATE_NAMES.find((entry) => entry[1] === bit)?.[0] ?? "INVALID";
}

/** Says what stands at the place of one port. */
function port(offset: number): Found {
  return (p) => {
    if (p.fragmentOffset !== 0) return "it is a later fragment, without ports";
    return p.length - p.l4 < offset + 2 ? "the header is cut" : `it is ${p.view.getUint16(p.l4 + offset)}`;
  };
}

const bothPorts: Found = (p) => {
  if (p.fragmentOffset !== 0) return "it is a later fragment, without ports";
  if (p.length - p.l4 < 4) return "the header is cut";
  return `they are ${p.view.getUint16(p.l4)} and ${p.view.getUint16(p.l4 + 2)}`;
};

const icmp: Found = (p) => {
  if (p.fragmentOffset !== 0) return "it is a later fragment, without a type";
  return p.length - p.l4 < ICMP_HEADER ? "the header is cut" : `it is ${icmpType(p)}/${icmpCode(p)}`;
};

const flags: Found = (p) =>
  p.fragmentOffset !== 0 || p.length - p.l4 < TCP_HEADER
    ? "the header is cut"
    : `they are ${flagNames(tcpFlags(p))}`;

const bit: Found = (p, _c, _v, invert) =>
  p.length - p.l4 < TCP_HEADER ? "the header is cut" : invert ? "it is set" : "it is not set";

const hops: Found = (p) => `it is ${p.family === 4 ? ttl(p) : hopLimit(p)}`;
const service = (p: Packet) => p.family === 4 ? tos(p) : trafficClass(p);

/** What is said of a packet's flow, if it has one. */
function ofFlow(says: (c: Conntrack, ct: number, p: Packet) => string): Found {
  return (p, conntrack) => p.ct === NO_CT ? "it has no flow" : says(conntrack, p.ct, p);
}

const states: Found = (p, conntrack) => {
  const names = [stateName(p)];
  if (p.ct !== NO_CT) {
    const status = conntrack.flows.words[p.ct * FLOW_WORDS + CT_STATUS];
    if ((status & IPS_SRC_NAT) !== 0) names.push("SNAT");
    if ((status & IPS_DST_NAT) !== 0) names.push("DNAT");
  }
  return `it is ${names.join(",")}`;
};

const STATUS = [
  [IPS_EXPECTED, "EXPECTED"],
  [IPS_SEEN_REPLY, "SEEN_REPLY"],
  [IPS_ASSURED, "ASSURED"],
  [IPS_CONFIRMED, "CONFIRMED"],
] as const;

const status = ofFlow(({ flows }, ct) => {
  const bits = flows.words[ct * FLOW_WORDS + CT_STATUS];
  return `it is ${STATUS.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name).join(",") || "NONE"}`;
});

const expires = ofFlow(({ flows, clock }, ct) => {
  const w = flows.words, at = ct * FLOW_WORDS;
  if (w[at + CT_STATE] !== FLOW_CONFIRMED) return "it is 0, for the flow is new";
  return `it is ${Math.floor(Math.max(0, (w[at + CT_EXPIRES] - clock.now) | 0) / 1000)}`;
});

const tuple = ofFlow((conntrack, ct) => `the flow is ${formatFlowTuple(conntrack, ct)}`);

const helper = ofFlow(({ flows, helpers }, ct) => {
  const index = flows.words[ct * FLOW_WORDS + CT_STATUS] >>> IPS_MASTER_HELPER_SHIFT & IPS_MASTER_HELPER_MASK;
  return index === 0 ? "no helper has announced its flow" : `it is ${helpers[index - 1].name}`;
});

const set: Found = (p, _c, value, invert) => {
  const source = (value as { flags: readonly string[] }).flags[0] === "src";
  return `${source ? sourceText(p, false) : destinationText(p, false)} is ${invert ? "" : "not "}in it`;
};

/** Of a flow that is counted. */
const amount = ofFlow(({ flows }, ct) => {
  if ((flows.words[ct * FLOW_WORDS + CT_STATUS] & IPS_COUNTED) === 0) return "nobody has counted its flow";
  const f = flows.floats, at = flows.counters(ct);
  return `its flow has ${f[at]} packets, ${f[at + 1]} bytes in original direction, ` +
    `${f[at + 2]} packets, ${f[at + 3]} bytes in reply`;
});

const sent: Found = (p) =>
  hasSocket(p) ? "the router itself has sent it, for no user" : "it comes from no socket";

const inList: Found = (_p, _c, _v, invert) =>
  invert ? "its address is in the list" : "its address is not in the list, or not so often and so lately";
const inside: Found = (_p, _c, _v, invert) => invert ? "it is there" : "it is not there";
const routed: Found = () => "the way back says otherwise";
const routing: Found = () => "there is no such routing header";
const header: Found = () => "there is no such header";

const now: Found = (_p, { clock }) => `it is ${formatMoment(clock.wall)}`;

const FOUND: Readonly<Record<string, Readonly<Record<string, Found>>>> = {
  tcp: {
    sport: port(0),
    dport: port(2),
    tcpFlags: flags,
    tcpOption: (_p, _c, _v, invert) => invert ? "it is there" : "it is not there",
  },
  udp: { sport: port(0), dport: port(2) },
  sctp: { sport: port(0), dport: port(2) },
  multiport: { sports: port(0), dports: port(2), ports: bothPorts },
  state: { state: (p) => `it is ${stateName(p)}` },
  conntrack: {
    ctstate: states,
    ctstatus: status,
    ctexpire: expires,
    ctdir: ofFlow((_c, _ct, p) => `it is ${ctinfoDir(p.ctinfo) === ORIGINAL ? "ORIGINAL" : "REPLY"}`),
    ctproto: tuple,
    ctorigsrc: tuple,
    ctorigdst: tuple,
    ctreplsrc: tuple,
    ctrepldst: tuple,
    ctorigsrcport: tuple,
    ctorigdstport: tuple,
    ctreplsrcport: tuple,
    ctrepldstport: tuple,
  },
  connmark: {
    connmark: ofFlow(({ flows }, ct) => `it is ${hex(flows.words[ct * FLOW_WORDS + CT_MARK])}`),
  },
  connlabel: { connlabel: ofFlow(() => "its flow says otherwise") },
  helper: { helper },
  icmp: { icmpType: icmp },
  icmp6: { icmpv6Type: icmp },
  mark: { mark: (p) => `it is ${hex(p.mark)}` },
  ttl: { ttlEq: hops, ttlLt: hops, ttlGt: hops },
  hl: { hlEq: hops, hlLt: hops, hlGt: hops },
  length: { length: (p) => `it is ${p.length}` },
  dscp: { dscp: (p) => `it is ${hex(service(p) >> 2, 2)}` },
  ecn: { ecnTcpEce: bit, ecnTcpCwr: bit, ecnIpEct: (p) => `it is ${service(p) & 3}` },
  tos: { tos: (p) => `it is ${hex(service(p), 2)}` },
  iprange: {
    srcRange: (p) => `it is ${sourceText(p, false)}`,
    dstRange: (p) => `it is ${destinationText(p, false)}`,
  },
  addrtype: {
    srcType: (p) => `${sourceText(p, false)} is not`,
    dstType: (p) => `${destinationText(p, false)} is not`,
  },
  set: { matchSet: set },
  connlimit: { connlimitUpto: () => "there are more", connlimitAbove: () => "there are not so many" },
  connbytes: { connbytes: amount },
  quota: { quota: (_p, _c, _v, invert) => invert ? "it is not used up" : "it is used up" },
  limit: { limit: () => "that many have been" },
  hashlimit: { hashlimitUpto: () => "that many have been", hashlimitAbove: () => "fewer have been" },
  owner: { socketExists: sent, uidOwner: sent, gidOwner: sent },
  recent: { recentSet: () => "it is put there", rcheck: inList, update: inList, remove: inList },
  u32: { u32: (_p, _c, _v, invert) => invert ? "it holds" : "it does not hold" },
  string: { string: inside, hexString: inside },
  tcpmss: {
    mss: (p) => announcedMss(p) < 0 ? "none is announced" : `it is ${announcedMss(p)}`,
  },
  time: { timestart: now, timestop: now, monthdays: now, weekdays: now, datestart: now, datestop: now },
  rpfilter: { loose: routed, validmark: routed, acceptLocal: routed, rpInvert: routed },
  rt: { rtType: routing, rtSegsleft: routing, rtLen: routing },
  ah: { ahSpi: header, ahLen: header, ahRes: header },
  esp: { espSpi: (p) => p.length < p.l4 + 4 ? "the header is cut" : `it is ${p.view.getUint32(p.l4)}` },
  frag: {
    fragId: header,
    fragLen: header,
    fragRes: header,
    fragFirst: header,
    fragMore: header,
    fragLast: header,
  },
  hbh: { hbhLen: header, hbhOpts: header },
  dst: { dstLen: header, dstOpts: header },
  ipv6header: { ipv6Header: (_p, _c, _v, invert) => invert ? "it has them" : "it has others" },
  statistic: { mode: () => "this packet is not one of them" },
  function: { match: () => "it answered false" },
};

/** What the packet has where an option of a match asks for something else. */
export function foundInstead(
  match: string,
  option: string,
  p: Packet,
  conntrack: Conntrack,
  value: unknown,
  invert: boolean,
): string {
  return FOUND[match]?.[option]?.(p, conntrack, value, invert) ?? "it does not";
}
