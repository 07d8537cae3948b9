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
  COUNTERS,
  CT_EXPIRES,
  CT_HELPER,
  CT_ID,
  CT_LABELS,
  CT_MARK,
  CT_PROTO,
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

/** What more a line shows (`conntrack -o`). */
export interface ListOptions {
  /** The family and its number before each flow (`-o extended`). */
  extended?: boolean;
  /** The flow's id (`-o id`). */
  id?: boolean;
  /** When it began, and ended (`-o ktimestamp`): writes seconds since 1970 as ctime(3) does. */
  ktimestamp?: (seconds: number) => string;
  /** Its labels (`-o labels`), by name; one without a name is its number. */
  labels?: ReadonlyMap<number, string>;
}

/** What is known of a flow, in the table or from an event. */
export interface FlowFacts {
  /** Both tuples: words, and where they begin there. */
  readonly words: Int32Array;
  readonly original: number;
  readonly reply: number;
  /** IPS_* bits. */
  readonly status: number;
  /** Seconds that are left. */
  readonly timeout: number | null;
  /** The protocol's state, a number. */
  readonly state: number | null;
  /** Packets and bytes of both directions. */
  readonly counters: Float64Array | null;
  readonly mark: number | null;
  /** Seconds since 1970: when it was confirmed, 0 if nobody has noted it; when it ended, and if not, now. */
  readonly start: number;
  readonly stop: number | null;
  readonly now: number;
  readonly helper: string | null;
  readonly use: number | null;
  readonly id: number;
  readonly labels: Int32Array | null;
}

/** What is known of an expectation. */
export interface ExpectFacts {
  /** Its tuple, its mask (`EXP_MASK`) and its master's tuple: words, and where they begin there. */
  readonly words: Int32Array;
  readonly tuple: number;
  readonly mask: number;
  readonly masterWords: Int32Array;
  readonly master: number;
  readonly timeout: number;
  readonly flags: number;
  readonly class: number;
  readonly helper: string | null;
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

/** A flow's line, without line end. */
export function flowText(f: FlowFacts, options: ListOptions = {}): string {
  const { words: w, original, reply, status, counters } = f, protocol = tupleProtocol(w, original);
  let s = "";
  if (options.extended) s += tupleFamily(w, original) === 4 ? "ipv4     2 " : "ipv6     10 ";
  s += `${protocolName(protocol).padEnd(8)} ${protocol} `;
  if (f.timeout !== null) s += `${f.timeout} `;
  if (f.state !== null) s += stateName(protocol, f.state);

  const zone = tupleZone(w, original), zoneReply = tupleZone(w, reply);
  s += tuple(w, original);
  if (zone !== zoneReply && zone !== 0) s += `zone-orig=${zone} `;
  if (counters !== null) s += `packets=${counters[0]} bytes=${counters[1]} `;
  if ((status & IPS_SEEN_REPLY) === 0) s += "[UNREPLIED] ";
  s += tuple(w, reply);
  if (zone !== zoneReply && zoneReply !== 0) s += `zone-reply=${zoneReply} `;
  if (counters !== null) s += `packets=${counters[2]} bytes=${counters[3]} `;
  if ((status & IPS_ASSURED) !== 0) s += "[ASSURED] ";
  if (f.mark !== null) s += `mark=${f.mark >>> 0} `;
  if (zone === zoneReply && zone !== 0) s += `zone=${zone} `;
  if (f.start !== 0) {
    s += `delta-time=${Math.max(0, (f.stop ?? f.now) - f.start)} `;
    const { ktimestamp } = options;
    if (ktimestamp !== undefined) {
      s += `[start=${ktimestamp(f.start)}] `;
      if (f.stop !== null) s += `[stop=${ktimestamp(f.stop)}] `;
    }
  }
  if (f.helper !== null) s += `helper=${f.helper} `;
  if (f.use !== null) s += `use=${f.use} `;
  if (options.id) s += `id=${f.id >>> 0} `;
  if (options.labels !== undefined && f.labels !== null) s += labels(f.labels, options.labels);
  return s.trimEnd();
}

/** The state's name and a blank; nothing where there are no states. */
function stateName(protocol: number, state: number): string {
  return protocol === TCP ? printTcp(state) : protocol === SCTP ? printSctp(state) : "";
}

/** Those that are set: `labels=web,40 `. */
function labels(words: Int32Array, names: ReadonlyMap<number, string>): string {
  const set: string[] = [];
  for (let i = 0; i < 128; i++) {
    if ((words[i >> 5] >>> (i & 31) & 1) !== 0) set.push(names.get(i) ?? String(i));
  }
  return set.length === 0 ? "" : `labels=${set.join(",")} `;
}

/**
 * The line of a flow in the table. `use` is the number of references that the kernel would count: one of the table and
 * one of each child.
 */
export function formatFlow(conntrack: Conntrack, ct: number, use = 1, options: ListOptions = {}): string {
  const { flows, clock } = conntrack, w = flows.words, at = ct * FLOW_WORDS;
  const status = w[at + CT_STATUS], helper = w[at + CT_HELPER], first = flows.counters(ct);
  return flowText({
    words: w,
    original: tupleAt(ct, ORIGINAL),
    reply: tupleAt(ct, REPLY),
    status,
    timeout: seconds(w[at + CT_EXPIRES], clock.now),
    state: w[at + CT_PROTO],
    counters: (status & IPS_COUNTED) === 0 ? null : flows.floats.subarray(first, first + COUNTERS),
    mark: w[at + CT_MARK],
    start: flows.aside(ct, CT_START) >>> 0,
    stop: null,
    now: Math.floor(clock.wall),
    helper: helper === 0 ? null : `${conntrack.helpers[helper - 1]?.name}`,
    use,
    id: w[at + CT_ID],
    labels: options.labels === undefined
      ? null
      : Int32Array.of(0, 1, 2, 3).map((i) => flows.aside(ct, CT_LABELS + i)),
  }, options);
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
export function expectText(f: ExpectFacts): string {
  const { words: w, tuple: at, flags } = f, family: Family = tupleFamily(w, at);
  // The destination's mask is always full; it is not kept.
  const mask = new Int32Array(TUPLE_WORDS);
  mask.set(w.subarray(f.mask, f.mask + 4), SRC);
  mask.fill(-1, DST, DST + (family === 4 ? 1 : 4));
  mask[PORTS] = w[f.mask + 4];
  mask[PROTO] = w[at + PROTO];
  let s = `${f.timeout} proto=${tupleProtocol(w, at)} ` + tuple(w, at) + tuple(mask, 0, "mask-") +
    tuple(f.masterWords, f.master, "master-");

  const zone = tupleZone(w, at);
  if (zone !== 0) s += `zone=${zone} `;
  const names: string[] = [];
  if ((flags & EXPECT_PERMANENT) !== 0) names.push("PERMANENT");
  if ((flags & EXPECT_INACTIVE) !== 0) names.push("INACTIVE");
  if ((flags & EXPECT_USERSPACE) !== 0) names.push("USERSPACE");
  if (names.length !== 0) s += names.join(",") + " ";
  s += `class=${f.class} `;
  if (f.helper !== null) s += `helper=${f.helper} `;
  return s.trimEnd();
}

/** The line of an expectation in the table. */
export function formatExpect(conntrack: Conntrack, exp: number): string {
  const e = conntrack.expects.words, at = exp * EXP_WORDS, w = conntrack.flows.words;
  const master = e[at + EXP_MASTER] - 1, helper = w[master * FLOW_WORDS + CT_HELPER];
  return expectText({
    words: e,
    tuple: at + EXP_TUPLE,
    mask: at + EXP_MASK,
    masterWords: w,
    master: tupleAt(master, ORIGINAL),
    timeout: seconds(e[at + EXP_EXPIRES], conntrack.clock.now),
    flags: e[at + EXP_FLAGS],
    class: e[at + EXP_CLASS],
    helper: helper === 0 ? null : `${conntrack.helpers[helper - 1]?.name}`,
  });
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
