/** What conntrack and NAT say of packets: which flow, why that relation to it, what it is bound to. */
import type { Conntrack } from "../conntrack/core.ts";
import { EXPECT_BUSY, EXPECT_EXISTS, EXPECT_FULL, EXPECT_OK } from "../conntrack/expect.ts";
import { packetTuple } from "../conntrack/extract.ts";
import {
  CT_HELPER,
  CT_MASTER,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_UNCONFIRMED,
  FLOW_WORDS,
  IPS_NAT_DONE_MASK,
  IPS_SEEN_REPLY,
} from "../conntrack/flow.ts";
import { END, MAXEND, SEEN_WORDS, TCP_SEEN } from "../conntrack/proto/tcp_window.ts";
import { newTuple } from "../conntrack/tuple.ts";
import type { Nat } from "../nat/core.ts";
import {
  ACCEPT,
  DROP,
  ESTABLISHED_REPLY,
  HOOK_NAMES,
  NEW,
  NO_CT,
  REASONS,
  RELATED,
  RELATED_REPLY,
  TCP,
  UNTRACKED,
} from "../netfilter.ts";
import { isIcmp } from "../packet/icmp.ts";
import type { Packet } from "../packet/packet.ts";
import { ACK, SYN, tcpAckSeq, tcpFlags, tcpHeaderOk, tcpSeq } from "../packet/tcp.ts";
import { natFields } from "./changes.ts";
import type { ConntrackStep, Step } from "./explanation.ts";
import { flowLine, formatFlowTuple } from "./flows.ts";
import { numbersOf, payloadText } from "./said.ts";
import { watch } from "./watch.ts";

/** Takes a step of a packet. */
export type Tell = (p: Packet, step: Step) => void;

/** What tracking says of an INVALID packet, in more words. */
const INVALID: Readonly<Record<string, string>> = {
  "invalid new": "no flow has its addresses and ports, and it cannot begin one",
  "no flow": "no flow has the addresses and ports of the packet that it quotes",
  "no tuple": "the packet that it quotes cannot be read",
};

/** Why an expectation was not made. */
const NOT_EXPECTED: Readonly<Record<number, string>> = {
  [EXPECT_BUSY]: "another flow expects the same",
  [EXPECT_FULL]: "it expects as many as it may",
  [EXPECT_EXISTS]: "it is expected already, otherwise",
};

/** Tells of tracking: which flow, at PREROUTING and OUTPUT. */
export function watchConntrack(conntrack: Conntrack, tell: Tell): void {
  const tuple = newTuple();
  let odd = "";
  watch(conntrack, "invalid", (invalid) => (p, why) => {
    odd = why;
    return invalid(p, why);
  });
  watch(conntrack, "in", (judge) => (p) => {
    odd = "";
    const attached = p.ct !== NO_CT, exempt = !attached && p.ctinfo === UNTRACKED;
    const met = attached || exempt ? -1 : flowOf(conntrack, p, tuple);
    const verdict = judge(p), judged = relation(conntrack, p, { verdict, attached, exempt, met, odd });
    tell(p, { stage: "conntrack", hook: HOOK_NAMES[p.hook], ...judged });
    return verdict;
  });
}

/** What is known of how a packet was judged. */
interface Judged {
  readonly verdict: number;
  /** It was given its flow before, or was exempt. */
  readonly attached: boolean;
  readonly exempt: boolean;
  /** The flow and direction that its addresses and ports name, or −1. */
  readonly met: number;
  /** What tracking has found odd. */
  readonly odd: string;
}

type Relation = Pick<ConntrackStep, "state" | "why" | "flow">;

function relation(conntrack: Conntrack, p: Packet, o: Judged): Relation {
  if (o.verdict === DROP) return { state: "DROP", why: "there is no room for its flow", flow: null };
  if (o.exempt) return { state: "UNTRACKED", why: "a rule of raw exempts it", flow: null };
  if (p.ct !== NO_CT) return tracked(conntrack, p, o);
  if (p.ctinfo === UNTRACKED) {
    return { state: "UNTRACKED", why: "neighbour discovery is never tracked", flow: null };
  }
  const why = (INVALID[o.odd] ?? (o.odd || "nothing is known to track it by")) + bound(conntrack, p, o);
  return { state: "INVALID", why, flow: o.met < 0 ? null : line(conntrack, o.met >> 1) };
}

/** Of a packet that has a flow. */
function tracked(conntrack: Conntrack, p: Packet, { attached, odd }: Judged): Relation {
  const w = conntrack.flows.words, at = p.ct * FLOW_WORDS, flow = line(conntrack, p.ct);
  const related = p.ctinfo === RELATED || p.ctinfo === RELATED_REPLY;
  const state = related ? "RELATED" : p.ctinfo === NEW ? "NEW" : "ESTABLISHED";
  if (attached) return { state, why: "it belongs to the flow of the packet that it answers", flow };
  const expected = conntrack.flows.aside(p.ct, CT_MASTER) !== 0;
  if (related && isIcmp(p) && !expected) {
    return { state, why: `it is an error about ${formatFlowTuple(conntrack, p.ct)}`, flow };
  }
  if (w[at + CT_STATE] !== FLOW_UNCONFIRMED) {
    const why = p.ctinfo === ESTABLISHED_REPLY
      ? "it is in the reply direction of a flow"
      : (w[at + CT_STATUS] & IPS_SEEN_REPLY) !== 0
      ? "it is in the original direction of a flow that was answered"
      : "its flow has not been answered yet";
    return { state, why: odd === "" ? why : `${why}; ${odd}`, flow };
  }
  const reader = w[at + CT_HELPER], master = expected ? conntrack.master(p.ct) : -1;
  const reads = reader === 0 ? "" : `; helper ${conntrack.helpers[reader - 1].name} will read it`;
  let why = "no flow has its addresses and ports";
  if (master >= 0) {
    const by = w[master * FLOW_WORDS + CT_HELPER];
    const name = by === 0 ? "a helper" : `helper ${conntrack.helpers[by - 1].name}`;
    why = `${name} of ${formatFlowTuple(conntrack, master)} has announced it`;
  } else if (p.protocol === TCP && tcpHeaderOk(p) && (tcpFlags(p) & (SYN | ACK)) !== SYN) {
    why += ": it is taken up in the middle (nf_conntrack_tcp_loose)";
  }
  return { state, why: why + reads, flow };
}

/** The flow and direction that a packet's addresses and ports name, `ct << 1 | dir`, without touching it; −1 for none. */
function flowOf(conntrack: Conntrack, p: Packet, t: Int32Array): number {
  if (isIcmp(p) || p.template !== null || !packetTuple(p, 0, t)) return -1;
  const found = conntrack.flows.findHashed(conntrack.flows.hash(t, 0), t, 0);
  return found < 0 || conntrack.expired(found >> 1) ? -1 : found;
}

/** Which number of a segment its flow does not allow, and which it would. */
function bound({ flows }: Conntrack, p: Packet, { met, odd }: Judged): string {
  if (met < 0 || p.protocol !== TCP || !odd.endsWith("is over upper bound")) return "";
  const w = flows.words, at = flows.proto(met >> 1) + TCP_SEEN;
  const sender = at + (met & 1) * SEEN_WORDS, receiver = at + (1 - (met & 1)) * SEEN_WORDS;
  return odd.startsWith("SEQ")
    ? `: it is ${tcpSeq(p) >>> 0}, and the flow's other side takes up to ${w[sender + MAXEND] >>> 0}`
    : `: it is ${tcpAckSeq(p) >>> 0}, and up to ${w[receiver + END] >>> 0} was sent`;
}

/** A flow's line, null before it is in the table. */
function line(conntrack: Conntrack, ct: number): string | null {
  return conntrack.flows.words[ct * FLOW_WORDS + CT_STATE] === FLOW_CONFIRMED
    ? flowLine(conntrack, ct)
    : null;
}

/** Tells of the last stage of INPUT and POSTROUTING: the helper, adjusted numbers, a flow that is published. */
export function watchConfirm(conntrack: Conntrack, tell: Tell): void {
  let expects: string[] = [];
  watch(conntrack, "expectRelated", (expect) => (exp) => {
    const text = conntrack.describeExpect(exp), result = expect(exp);
    expects.push(result === EXPECT_OK ? text : `not ${text}: ${NOT_EXPECTED[result] ?? "it may not"}`);
    return result;
  });
  watch(conntrack, "confirm", (confirm) => (p) => {
    const ct = p.ct;
    if (ct === NO_CT) return confirm(p);
    const w = conntrack.flows.words, at = ct * FLOW_WORDS, hook = HOOK_NAMES[p.hook];
    const helper = w[at + CT_HELPER], isNew = w[at + CT_STATE] === FLOW_UNCONFIRMED;
    const read = helper === 0 ? "" : payloadText(p), numbers = numbersOf(p);
    expects = [];
    const verdict = confirm(p), says = (says: string) => tell(p, { stage: "confirm", hook, says });
    if (helper !== 0 && (read !== "" || expects.length > 0)) {
      const now = payloadText(p), wrote = now === read ? null : now;
      tell(p, { stage: "helper", hook, helper: conntrack.helpers[helper - 1].name, read, wrote, expects });
    }
    const adjusted = numbersOf(p);
    if (adjusted !== numbers) says(`${numbers} → ${adjusted}`);
    if (verdict === DROP) says(`it ends here: ${REASONS[p.reason]}`);
    else if (p.ct !== ct) says("the flow was in the table already, begun by another packet");
    else if (isNew && w[at + CT_STATE] === FLOW_CONFIRMED) {
      says(`the flow is in the table: ${flowLine(conntrack, ct)}`);
    }
    return verdict;
  });
}

/** Tells of translation. */
export function watchNat(nat: Nat, conntrack: Conntrack, tell: Tell): void {
  watch(nat, "manip", (manip) => (p) => {
    if (p.ct === NO_CT) return manip(p);
    const w = conntrack.flows.words, at = p.ct * FLOW_WORDS, done = w[at + CT_STATUS] & IPS_NAT_DONE_MASK;
    const before = natFields(p), verdict = manip(p), hook = HOOK_NAMES[p.hook];
    const says = (says: string) => tell(p, { stage: "nat", hook, says });
    if (verdict !== ACCEPT) {
      // Its rules have told already what they did.
      if (p.reason !== 0 && !REASONS[p.reason].startsWith("rule-")) {
        says(`it cannot be bound: ${REASONS[p.reason]}`);
      }
      return verdict;
    }
    const after = natFields(p);
    const changed = before.flatMap(([name, value], i) =>
      after[i][1] === value ? [] : [`${name} ${value} → ${after[i][1]}`]
    );
    if (changed.length === 0) return verdict;
    const now = p.ct !== NO_CT && (w[at + CT_STATUS] & IPS_NAT_DONE_MASK) !== done;
    says(`${changed.join(", ")}${now ? "" : ", as its flow is bound"}`);
    return verdict;
  });
}
