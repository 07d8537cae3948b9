/**
 * Flows and expectations as `conntrack -L` and `conntrack -L expect` of conntrack-tools 1.4.7 print them, byte for
 * byte: each field followed by a blank, the last blank cut off.
 */
import {
  DCCP,
  type Family,
  GRE,
  ICMP,
  ICMPV6,
  ORIGINAL,
  REPLY,
  SCTP,
  TCP,
  UDP,
  UDPLITE,
} from "../netfilter.ts";
import { formatAddress } from "../packet/address.ts";
import type { Conntrack } from "./core.ts";
import {
  EXP_CLASS,
  EXP_EXPIRES,
  EXP_FLAGS,
  EXP_ID,
  EXP_LINKED,
  EXP_MASK,
  EXP_MASTER,
  EXP_STATE,
  EXP_TUPLE,
  EXP_WORDS,
  EXPECT_INACTIVE,
  EXPECT_PERMANENT,
  EXPECT_USERSPACE,
} from "./expect.ts";
import {
  CT_EXPIRES,
  CT_HELPER,
  CT_ID,
  CT_MARK,
  CT_START,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_WORDS,
  IPS_ASSURED,
  IPS_COUNTED,
  IPS_SEEN_REPLY,
  tupleAt,
} from "./flow.ts";
import { printTuple as printGre } from "./proto/gre.ts";
import { printTuple as printIcmp } from "./proto/icmp.ts";
import { printTuple as printPorts } from "./proto/ports.ts";
import { print as printSctp } from "./proto/sctp.ts";
import { print as printTcp } from "./proto/tcp.ts";
import { DST, PORTS, PROTO, SRC, TUPLE_WORDS, tupleFamily, tupleProtocol, tupleZone } from "./tuple.ts";

/** What more a listing shows (`conntrack -o`). */
export interface ListOptions {
  /** The family and its number before each flow (`-o extended`). */
  extended?: boolean;
  /** The flow's id (`-o id`). */
  id?: boolean;
}

/** The name of a protocol, as libnetfilter_conntrack knows it. */
export function protocolName(protocol: number): string {
  switch (protocol) {
    case ICMP:
      return "icmp";
    case TCP:
      return "tcp";
    case UDP:
      return "udp";
    case DCCP:
      return "dccp";
    case GRE:
      return "gre";
    case ICMPV6:
      return "icmpv6";
    case SCTP:
      return "sctp";
    case UDPLITE:
      return "udplite";
    default:
      return "unknown";
  }
}

function ports(t: Int32Array, at: number): string {
  switch (tupleProtocol(t, at)) {
    case TCP:
    case UDP:
    case UDPLITE:
    case SCTP:
    case DCCP:
      return printPorts(t, at);
    case ICMP:
    case ICMPV6:
      return printIcmp(t, at);
    case GRE:
      return printGre(t, at);
    default:
      return "";
  }
}

/** `src=… dst=… sport=… dport=… `, names with a prefix. */
function tuple(t: Int32Array, at: number, prefix = ""): string {
  const family = tupleFamily(t, at);
  return `${prefix}src=${formatAddress(family, t, at + SRC)} ${prefix}dst=${
    formatAddress(family, t, at + DST)
  } ` +
    ports(t, at);
}

function seconds(expires: number, now: number): number {
  return Math.max(0, Math.floor(((expires - now) | 0) / 1000));
}

/**
 * A flow's line, without line end. `use` is the number of references that the kernel would count: one of the table and
 * one of each child.
 */
export function formatFlow(conntrack: Conntrack, ct: number, use = 1, options: ListOptions = {}): string {
  const w = conntrack.flows.words, at = ct * FLOW_WORDS;
  const original = tupleAt(ct, ORIGINAL), reply = tupleAt(ct, REPLY);
  const protocol = tupleProtocol(w, original), status = w[at + CT_STATUS];
  let s = "";
  if (options.extended) s += tupleFamily(w, original) === 4 ? "ipv4     2 " : "ipv6     10 ";
  s += `${protocolName(protocol).padEnd(8)} ${protocol} ${seconds(w[at + CT_EXPIRES], conntrack.clock.now)} `;
  if (protocol === TCP) s += printTcp(w, at);
  else if (protocol === SCTP) s += printSctp(w, at);

  const zone = tupleZone(w, original), zoneReply = tupleZone(w, reply);
  s += tuple(w, original);
  if (zone !== zoneReply && zone !== 0) s += `zone-orig=${zone} `;
  s += counters(conntrack, ct, ORIGINAL);
  if ((status & IPS_SEEN_REPLY) === 0) s += "[UNREPLIED] ";
  s += tuple(w, reply);
  if (zone !== zoneReply && zoneReply !== 0) s += `zone-reply=${zoneReply} `;
  s += counters(conntrack, ct, REPLY);
  if ((status & IPS_ASSURED) !== 0) s += "[ASSURED] ";
  s += `mark=${w[at + CT_MARK] >>> 0} `;
  if (zone === zoneReply && zone !== 0) s += `zone=${zone} `;
  const start = conntrack.flows.aside(ct, CT_START) >>> 0;
  if (start !== 0) s += `delta-time=${Math.max(0, Math.floor(conntrack.clock.wall) - start)} `;
  if (w[at + CT_HELPER] !== 0) s += `helper=${conntrack.helpers[w[at + CT_HELPER] - 1]?.name} `;
  s += `use=${use}`;
  if (options.id) s += ` id=${w[at + CT_ID] >>> 0}`;
  return s;
}

function counters({ flows }: Conntrack, ct: number, dir: number): string {
  if ((flows.words[ct * FLOW_WORDS + CT_STATUS] & IPS_COUNTED) === 0) return "";
  const f = flows.floats, first = flows.counters(ct) + dir * 2;
  return `packets=${f[first]} bytes=${f[first + 1]} `;
}

/**
 * Lines of `conntrack -L`: flows in the table whose time is not over, those that `isMeant` or all. The table may be
 * another process's, which goes on while it is read: a record that has gone to another flow under the reader's eyes is
 * of neither.
 */
export function listFlows(
  conntrack: Conntrack,
  options: ListOptions = {},
  isMeant: (ct: number) => boolean = () => true,
): string[] {
  const { flows } = conntrack, w = flows.words;
  const children = new Map<number, number>();
  for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) {
    if (w[ct * FLOW_WORDS + CT_STATE] !== FLOW_CONFIRMED) continue;
    const master = conntrack.master(ct);
    if (master >= 0) children.set(master, (children.get(master) ?? 0) + 1);
  }
  const out: string[] = [];
  for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) {
    if (w[ct * FLOW_WORDS + CT_STATE] !== FLOW_CONFIRMED || conntrack.expired(ct) || !isMeant(ct)) continue;
    const id = w[ct * FLOW_WORDS + CT_ID];
    const line = formatFlow(conntrack, ct, 1 + (children.get(ct) ?? 0), options);
    if (w[ct * FLOW_WORDS + CT_ID] === id && w[ct * FLOW_WORDS + CT_STATE] === FLOW_CONFIRMED) out.push(line);
  }
  return out;
}

/** An expectation's line, without line end. */
export function formatExpect(conntrack: Conntrack, exp: number): string {
  const e = conntrack.expects.words, at = exp * EXP_WORDS, w = conntrack.flows.words;
  const family: Family = tupleFamily(e, at + EXP_TUPLE);
  const master = e[at + EXP_MASTER] - 1, original = tupleAt(master, ORIGINAL);
  const flags = e[at + EXP_FLAGS], helper = w[master * FLOW_WORDS + CT_HELPER];
  let s = `${seconds(e[at + EXP_EXPIRES], conntrack.clock.now)} `;
  s += `proto=${tupleProtocol(e, at + EXP_TUPLE)} ` + tuple(e, at + EXP_TUPLE);

  // The destination's mask is always full; it is not kept.
  const mask = new Int32Array(TUPLE_WORDS);
  mask.set(e.subarray(at + EXP_MASK, at + EXP_MASK + 4), SRC);
  mask.fill(-1, DST, DST + (family === 4 ? 1 : 4));
  mask[PORTS] = e[at + EXP_MASK + 4];
  mask[PROTO] = e[at + EXP_TUPLE + PROTO];
  s += tuple(mask, 0, "mask-") + tuple(w, original, "master-");

  const zone = tupleZone(e, at + EXP_TUPLE);
  if (zone !== 0) s += `zone=${zone} `;
  const names: string[] = [];
  if ((flags & EXPECT_PERMANENT) !== 0) names.push("PERMANENT");
  if ((flags & EXPECT_INACTIVE) !== 0) names.push("INACTIVE");
  if ((flags & EXPECT_USERSPACE) !== 0) names.push("USERSPACE");
  if (names.length !== 0) s += names.join(",") + " ";
  s += `class=${e[at + EXP_CLASS]} `;
  if (helper !== 0) s += `helper=${conntrack.helpers[helper - 1]?.name} `;
  return s.trimEnd();
}

/** Lines of `conntrack -L expect`; see `listFlows`. */
export function listExpects(conntrack: Conntrack): string[] {
  const e = conntrack.expects.words, out: string[] = [];
  for (let exp = 0; exp < conntrack.expects.high; exp++) {
    const at = exp * EXP_WORDS;
    if ((e[at + EXP_STATE] & EXP_LINKED) === 0) continue;
    const id = e[at + EXP_ID];
    if (((e[at + EXP_EXPIRES] - conntrack.clock.now) | 0) <= 0 || e[at + EXP_MASTER] === 0) continue;
    const line = formatExpect(conntrack, exp);
    if (e[at + EXP_ID] === id && (e[at + EXP_STATE] & EXP_LINKED) !== 0) out.push(line);
  }
  return out;
}
