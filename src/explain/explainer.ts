/**
 * A router that says how each packet went. It is the router that `run` would make of the same configuration, over plain
 * memory and with a clock that stands until it is moved; who explains only looks on.
 *
 * ```
 *  send ─▶ Router.receive ─▶ hooks ─▶ tables        TellingWalk      each rule, as it is asked
 *                              ├────▶ conntrack     watch(in)        which flow, and why
 *                              ├────▶ nat           watch(manip)     from what to what
 *                              ├────▶ routing       watch(input)     which route
 *                              └────▶ …             → steps of the packet's way
 * ```
 *
 * How: a table walks by a `WalkRecorder` where one is attached, and everything else is one object of one router, whose
 * methods can be looked on at (`watch`). So nothing of this is on the path of a router that does not explain. The fast
 * path is off here, since it goes by what it remembers of other packets; its answers are those of the slow one.
 *
 * A packet that the router makes (REJECT, ICMP errors, resets, redirects, echo replies) goes through OUTPUT and
 * POSTROUTING before the packet that caused it is done: `#ways` is the stack of both.
 */
import type { ValidConfig } from "../config/valid.ts";
import { packetTuple } from "../conntrack/extract.ts";
import { EXPECT_BUSY, EXPECT_EXISTS, EXPECT_FULL, EXPECT_OK } from "../conntrack/expect.ts";
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
import { newTuple } from "../conntrack/tuple.ts";
import {
  ACCEPT,
  DROP,
  ESTABLISHED_REPLY,
  HOOK_NAMES,
  NEW,
  NO_CT,
  type ReasonName,
  REASONS,
  RELATED,
  RELATED_REPLY,
  STOLEN,
  TCP,
  UDP,
  UNTRACKED,
} from "../netfilter.ts";
import { readAddress } from "../packet/address.ts";
import { describe } from "../packet/format.ts";
import { isIcmp } from "../packet/icmp.ts";
import { ttl } from "../packet/ipv4.ts";
import { hopLimit } from "../packet/ipv6.ts";
import { Packet } from "../packet/packet.ts";
import { parse, parseHeaders } from "../packet/parse.ts";
import { ACK, SYN, tcpAckSeq, tcpFlags, tcpHeaderOk, tcpPayload, tcpSeq } from "../packet/tcp.ts";
import { VirtualRouter } from "../replay/virtual.ts";
import { FORWARD_DROP, FORWARD_ERROR } from "../routing/forward.ts";
import { ROUTE_FORWARD, ROUTE_LOCAL } from "../routing/route.ts";
import { TABLE_NAMES } from "../tables/extension.ts";
import { changesBetween, natFields } from "./changes.ts";
import { destinationText } from "./ends.ts";
import type { Explanation, Outcome, RulePlace, Sent, Step, TableStep, Way } from "./explanation.ts";
import { flowLine, formatFlowTuple } from "./flows.ts";
import { RouteTexts } from "./routes.ts";
import { TellingWalk } from "./walk.ts";
import { watch } from "./watch.ts";

/** How to make one. */
export interface ExplainerOptions {
  /** Where chance begins. Default 1. */
  readonly seed?: number;
  /** Takes lines of the LOG target and of conntrack. */
  readonly log?: (line: string) => void;
}

/** The way of a packet that is still on it. */
class Going {
  readonly packet: string;
  readonly came: Uint8Array<ArrayBuffer>;
  readonly steps: Step[] = [];
  readonly left: { interface: string; packet: string }[] = [];
  outcome: Outcome | null = null;
  reason: ReasonName | null = null;
  changes: string[] = [];
  /** The last text about its route, so that a second look that finds the same says nothing. */
  route = "";

  constructor(p: Packet, packet = describe(p)) {
    this.packet = packet;
    this.came = p.bytes.slice(0, p.length);
  }

  /** What is known when it is over. */
  way(): Way {
    return {
      packet: this.packet,
      steps: this.steps.map((step) => ({ ...step })), // an answer's way is made now
      outcome: this.outcome ?? "delivered",
      reason: this.reason,
      by: this.outcome === "dropped" ? this.#by() : null,
      left: this.left,
      changes: this.changes,
    };
  }

  /** The rule of the last table, when that has ended it. */
  #by(): RulePlace | null {
    const table = this.steps.findLast((step) => step.stage === "table");
    const rule = table?.rules.at(-1);
    if (table?.verdict !== "DROP" || rule === undefined) return null;
    return { place: rule.place, text: rule.text };
  }
}

/** Reasons to refuse a packet whose headers can be read all the same. */
const READABLE: readonly string[] = [
  "bad-header-checksum",
  "bad-option",
  "martian-source",
  "martian-destination",
];

/** Why an expectation was not made. */
const NOT_EXPECTED: Readonly<Record<number, string>> = {
  [EXPECT_BUSY]: "another flow expects the same",
  [EXPECT_FULL]: "it expects as many as it may",
  [EXPECT_EXISTS]: "it is expected already, otherwise",
};

/** What tracking says of an INVALID packet, in more words. */
const INVALID: Readonly<Record<string, string>> = {
  "invalid new": "no flow has its addresses and ports, and it cannot begin one",
  "no flow": "no flow has the addresses and ports of the packet that it quotes",
  "no tuple": "the packet that it quotes cannot be read",
};

/** A router that explains. */
export class Explainer {
  readonly virtual: VirtualRouter;
  readonly #config: ValidConfig;
  readonly #routes: RouteTexts;
  /** The packet that came, and on top of it those that the router makes meanwhile. */
  #ways: Going[] = [];
  #sent: Sent[] = [];
  /** Makers on the stack: who makes by another's help says why. */
  #making = 0;
  #invalid = "";
  /** Of the helper that is reading. */
  #expects: string[] | null = null;
  readonly #tuple = newTuple();
  readonly #words = new Int32Array(4);

  constructor(config: ValidConfig, o: ExplainerOptions = {}) {
    this.#config = { ...config, sysctl: config.sysctl.with("weir.fastpath", 0) };
    this.#routes = new RouteTexts(config);
    const host = config.host;
    this.virtual = new VirtualRouter(this.#config, {
      seed: o.seed,
      log: (line) => {
        this.#ways.at(-1)?.steps.push({ stage: "log", says: line });
        o.log?.(line);
      },
      emit: (iface, bytes) => this.#left(this.#name(iface), bytes),
      emitHost: host === null ? undefined : (bytes) => this.#left(host.device, bytes),
    });
    this.#watch();
  }

  /** True if there is such an interface. */
  has(iface: string): boolean {
    return this.#config.interfaces.some(({ name }) => name === iface);
  }

  /** A packet comes in. `mark` is what it is marked with on arrival. */
  send(iface: string, bytes: Uint8Array, mark = 0): Explanation {
    const { router, clock } = this.virtual, index = router.interfaces.byName(iface);
    if (!this.has(iface)) {
      const known = this.#config.interfaces.map(({ name }) => name).join(", ");
      throw new RangeError(`there is no interface ${iface}; there are ${known}`);
    }
    const p = this.virtual.load(index, bytes);
    p.mark = mark | 0;
    const root = this.#arrived(p);
    this.#ways = [root];
    this.#sent = [];
    this.#making = 0;
    try {
      router.receive(p, index);
    } finally {
      this.#ways = [];
    }
    return { ...root.way(), interface: iface, time: clock.wall, sent: this.#sent };
  }

  /** Time passes: what leaves meanwhile because a timer is due. */
  advance(milliseconds: number): readonly Sent[] {
    this.#sent = [];
    this.virtual.moveTo(this.virtual.clock.wall * 1000 + milliseconds);
    return this.#sent;
  }

  // ── ways ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The packet as it came, read in a slot of its own: the router's own reads it itself. */
  #arrived(p: Packet): Going {
    const copy = new Packet();
    copy.bytes.set(p.bytes.subarray(0, p.length));
    copy.reset(p.inInterface, p.length);
    const reason = parse(copy);
    if (reason !== 0 && READABLE.includes(REASONS[reason])) parseHeaders(copy);
    const readable = reason === 0 || READABLE.includes(REASONS[reason]);
    const going = new Going(copy, readable ? describe(copy) : `${p.length} bytes ${hexStart(p)}`);
    if (reason !== 0) going.steps.push({ stage: "parse", says: "it ends here, before any hook looks at it" });
    return going;
  }

  /** The way that a stage speaks of. */
  #of(p: Packet): Going | null {
    const top = this.#ways.at(-1);
    if (top === undefined) return null;
    // The packet that came is in the receive slot; what was made for it has left by then.
    if (p === this.virtual.router.packet) this.#ways.length = 1;
    return this.#ways.at(-1)!;
  }

  #tell(p: Packet, step: Step): void {
    this.#of(p)?.steps.push(step);
  }

  /** The router has made a packet. */
  #begin(p: Packet, why: string): void {
    const cause = this.#ways[0];
    const going = new Going(p);
    // Filled as it goes on.
    cause.steps.push({
      stage: "answer",
      why,
      get way() {
        return going.way();
      },
    });
    this.#ways = [cause, going];
  }

  #left(name: string, bytes: Uint8Array<ArrayBuffer>): void {
    const copy = new Packet();
    copy.bytes.set(bytes);
    copy.reset(0, bytes.length);
    parse(copy);
    const packet = describe(copy), top = this.#ways.at(-1);
    this.#sent.push({ interface: name, packet, bytes, answer: this.#ways.length !== 1 });
    if (top === undefined) return;
    top.outcome = "forwarded";
    top.left.push({ interface: name, packet });
    if (top.left.length === 1) top.changes = changesBetween(top.came, bytes);
  }

  #name(iface: number): string {
    return this.virtual.router.interfaces.name(iface);
  }

  // ── looking on ────────────────────────────────────────────────────────────────────────────────────────────────

  #watch(): void {
    const { router } = this.virtual, { conntrack, interfaces, parts } = router;
    for (const family of ["ipv4", "ipv6"] as const) {
      for (const name of TABLE_NAMES) {
        const table = router[family][name], spec = this.#config.rules[family][name];
        if (table === null || spec === null) continue;
        table.recorder = new TellingWalk(
          spec,
          conntrack,
          interfaces,
          (p, step: TableStep) => this.#tell(p, step),
        );
      }
    }
    this.#watchDefrag();
    this.#watchConntrack();
    this.#watchConfirm();
    this.#watchNat();
    this.#watchRouting();
    this.#watchMaking();
    watch(parts.local, "answer", (answer) => (out, p) => {
      this.#making++;
      const made = answer(out, p);
      this.#making--;
      const going = this.#of(p);
      if (going !== null) going.outcome = "delivered";
      if (made) this.#begin(out, "the router answers for its own address");
      else if (p.reason === 0) {
        this.#tell(p, { stage: "local", says: "the router takes it, and says nothing" });
      }
      return made;
    });
    watch(conntrack, "release", (release) => (p) => {
      const going = this.#of(p);
      if (going !== null) {
        going.outcome = "dropped";
        going.reason = REASONS[p.reason];
      }
      release(p);
    });
  }

  #watchDefrag(): void {
    watch(this.virtual.router.defrag, "gather", (gather) => (p, user) => {
      const verdict = gather(p, user), going = this.#of(p);
      if (going === null) return verdict;
      const says = verdict === STOLEN
        ? "the fragment waits for the others"
        : verdict === DROP
        ? `the fragments are given up: ${REASONS[p.reason]}`
        : "the datagram is whole, and goes on as one";
      going.steps.push({ stage: "defrag", hook: HOOK_NAMES[p.hook], says });
      if (verdict === STOLEN) going.outcome = "waits";
      return verdict;
    });
  }

  #watchConntrack(): void {
    const { conntrack } = this.virtual.router;
    watch(conntrack, "invalid", (invalid) => (p, why) => {
      this.#invalid = why;
      return invalid(p, why);
    });
    watch(conntrack, "in", (judge) => (p) => {
      this.#invalid = "";
      const attached = p.ct !== NO_CT, exempt = p.ct === NO_CT && p.ctinfo === UNTRACKED;
      const met = attached || exempt ? -1 : this.#flowOf(p);
      const verdict = judge(p), hook = HOOK_NAMES[p.hook];
      const tell = (state: "INVALID" | "UNTRACKED" | "DROP", why: string, flow: string | null = null) =>
        this.#tell(p, { stage: "conntrack", hook, state, why, flow });
      if (verdict === DROP) tell("DROP", "there is no room for its flow");
      else if (exempt) tell("UNTRACKED", "a rule of raw exempts it");
      else if (p.ct === NO_CT && p.ctinfo === UNTRACKED) {
        tell("UNTRACKED", "neighbour discovery is never tracked");
      } else if (p.ct === NO_CT) {
        const why = INVALID[this.#invalid] ?? (this.#invalid || "nothing is known to track it by");
        tell("INVALID", why, met < 0 ? null : this.#line(met));
      } else this.#tell(p, { stage: "conntrack", hook, ...this.#tracked(p, attached) });
      return verdict;
    });
  }

  /** The flow that a packet's addresses and ports name, without touching it; −1 for none. */
  #flowOf(p: Packet): number {
    const { conntrack } = this.virtual.router, t = this.#tuple;
    if (isIcmp(p) || p.template !== null || !packetTuple(p, 0, t)) return -1;
    const found = conntrack.flows.findHashed(conntrack.flows.hash(t, 0), t, 0);
    return found < 0 || conntrack.expired(found >> 1) ? -1 : found >> 1;
  }

  #line(ct: number): string | null {
    return this.virtual.router.conntrack.flows.words[ct * FLOW_WORDS + CT_STATE] === FLOW_CONFIRMED
      ? flowLine(this.virtual.router.conntrack, ct)
      : null;
  }

  #tracked(
    p: Packet,
    attached: boolean,
  ): { state: "NEW" | "ESTABLISHED" | "RELATED"; why: string; flow: string | null } {
    const { conntrack } = this.virtual.router, w = conntrack.flows.words, at = p.ct * FLOW_WORDS;
    const flow = this.#line(p.ct), isNew = w[at + CT_STATE] === FLOW_UNCONFIRMED;
    const related = p.ctinfo === RELATED || p.ctinfo === RELATED_REPLY;
    const state = related ? "RELATED" : p.ctinfo === NEW ? "NEW" : "ESTABLISHED";
    if (attached) return { state, why: "it belongs to the flow of the packet that it answers", flow };
    if (related && isIcmp(p) && w[at + CT_MASTER] === 0) {
      return { state, why: `it is an error about ${formatFlowTuple(conntrack, p.ct)}`, flow };
    }
    const helper = w[at + CT_HELPER];
    const reads = helper === 0 || !isNew ? "" : `; helper ${conntrack.helpers[helper - 1].name} will read it`;
    if (!isNew) {
      const answered = (w[at + CT_STATUS] & IPS_SEEN_REPLY) !== 0;
      const why = p.ctinfo === ESTABLISHED_REPLY
        ? "it is in the reply direction of a flow"
        : answered
        ? "it is in the original direction of a flow that was answered"
        : "its flow has not been answered yet";
      return { state, why: this.#noted(why), flow };
    }
    const master = w[at + CT_MASTER] === 0 ? -1 : conntrack.master(p.ct);
    if (master >= 0) {
      const by = w[master * FLOW_WORDS + CT_HELPER];
      const name = by === 0 ? "a helper" : `helper ${conntrack.helpers[by - 1].name}`;
      return {
        state,
        why: `${name} of ${formatFlowTuple(conntrack, master)} has announced it${reads}`,
        flow,
      };
    }
    const middle = p.protocol === TCP && tcpHeaderOk(p) && (tcpFlags(p) & (SYN | ACK)) !== SYN;
    const why = middle
      ? "no flow has its addresses and ports: it is taken up in the middle (nf_conntrack_tcp_loose)"
      : "no flow has its addresses and ports";
    return { state, why: why + reads, flow };
  }

  /** With what tracking has found odd without calling it INVALID. */
  #noted(why: string): string {
    return this.#invalid === "" ? why : `${why}; ${this.#invalid}`;
  }

  #watchConfirm(): void {
    const { conntrack } = this.virtual.router;
    watch(conntrack, "expectRelated", (expect) => (exp) => {
      const text = conntrack.describeExpect(exp), result = expect(exp);
      this.#expects?.push(
        result === EXPECT_OK ? text : `not ${text}: ${NOT_EXPECTED[result] ?? "it may not"}`,
      );
      return result;
    });
    watch(conntrack, "confirm", (confirm) => (p) => {
      const ct = p.ct;
      if (ct === NO_CT) return confirm(p);
      const w = conntrack.flows.words, at = ct * FLOW_WORDS, hook = HOOK_NAMES[p.hook];
      const helper = w[at + CT_HELPER], isNew = w[at + CT_STATE] === FLOW_UNCONFIRMED;
      const said = helper === 0 ? "" : payloadText(p), numbers = numbersOf(p);
      const expects: string[] = this.#expects = [];
      const verdict = confirm(p);
      this.#expects = null;
      if (helper !== 0 && (said !== "" || expects.length > 0)) {
        const now = payloadText(p);
        this.#tell(p, {
          stage: "helper",
          hook,
          helper: conntrack.helpers[helper - 1].name,
          read: said,
          wrote: now === said ? null : now,
          expects,
        });
      }
      const adjusted = numbersOf(p);
      if (adjusted !== numbers) this.#tell(p, { stage: "confirm", hook, says: `${numbers} → ${adjusted}` });
      if (verdict === DROP) {
        this.#tell(p, { stage: "confirm", hook, says: `it ends here: ${REASONS[p.reason]}` });
      } else if (p.ct !== ct) {
        this.#tell(p, {
          stage: "confirm",
          hook,
          says: "the flow was in the table already, begun by another packet",
        });
      } else if (isNew && w[at + CT_STATE] === FLOW_CONFIRMED) {
        this.#tell(p, {
          stage: "confirm",
          hook,
          says: `the flow is in the table: ${flowLine(conntrack, ct)}`,
        });
      }
      return verdict;
    });
  }

  #watchNat(): void {
    const { conntrack, parts } = this.virtual.router;
    watch(parts.nat, "manip", (manip) => (p) => {
      if (p.ct === NO_CT) return manip(p);
      const w = conntrack.flows.words, at = p.ct * FLOW_WORDS, done = w[at + CT_STATUS] & IPS_NAT_DONE_MASK;
      const before = natFields(p), verdict = manip(p), hook = HOOK_NAMES[p.hook];
      if (verdict !== ACCEPT) {
        if (p.reason !== 0) {
          this.#tell(p, { stage: "nat", hook, says: `it cannot be bound: ${REASONS[p.reason]}` });
        }
        return verdict;
      }
      const after = natFields(p);
      const changed = before.flatMap(([name, value], i) =>
        after[i][1] === value ? [] : [`${name} ${value} → ${after[i][1]}`]
      );
      if (changed.length === 0) return verdict;
      const bound = p.ct !== NO_CT && (w[at + CT_STATUS] & IPS_NAT_DONE_MASK) !== done;
      this.#tell(p, {
        stage: "nat",
        hook,
        says: `${changed.join(", ")}${bound ? "" : ", as its flow is bound"}`,
      });
      return verdict;
    });
  }

  #watchRouting(): void {
    const { routing, forwarder } = this.virtual.router.parts;
    watch(routing, "input", (input) => (p) => {
      const route = input(p);
      this.#routed(p, route === ROUTE_LOCAL, route === ROUTE_FORWARD);
      return route;
    });
    watch(routing, "output", (output) => (p, link) => {
      const route = output(p, link);
      this.#routed(p, route === ROUTE_LOCAL, route === ROUTE_FORWARD);
      return route;
    });
    watch(forwarder, "finish", (finish) => (p, own) => {
      this.#of(p); // what leaves now is this one
      return finish(p, own);
    });
    watch(forwarder, "forward", (forward) => (p) => {
      const hops = p.family === 4 ? ttl(p) : hopLimit(p), result = forward(p);
      if (result === FORWARD_DROP || result === FORWARD_ERROR) {
        const says = `it is not forwarded: ${REASONS[p.reason]}` +
          (REASONS[p.reason] === "ttl-exceeded" ? ` (it came with ${hops})` : "");
        this.#tell(p, { stage: "routing", says });
      }
      return result;
    });
  }

  #routed(p: Packet, local: boolean, forwarded: boolean): void {
    const going = this.#of(p);
    if (going === null || this.#making > 0) return; // whoever makes a packet routes it, too
    const to = destinationText(p, false);
    let says: string;
    if (local) says = `${to} is the router itself`;
    else if (!forwarded) says = `${to}: ${REASONS[p.reason]}`;
    else {
      readAddress(p.view, p.family, p.family === 4 ? 16 : 24, this.#words);
      const name = this.#name(p.outInterface), text = this.#routes.find(p.family, this.#words, name);
      says = `to ${name}${text === null ? "" : ` by ${text}`}`;
    }
    if (says === going.route) return;
    going.route = says;
    going.steps.push({ stage: "routing", says });
  }

  /** Whoever makes a packet in the slot for that. */
  #watchMaking(): void {
    const { errors, rejects, redirects } = this.virtual.router.parts;
    const making = <A extends unknown[]>(
      why: string,
      quiet: string,
      make: (out: Packet, p: Packet, ...rest: A) => boolean,
    ) =>
    (out: Packet, p: Packet, ...rest: A) => {
      this.#making++;
      const made = make(out, p, ...rest);
      this.#making--;
      if (this.#making > 0 || this.#ways.length === 0) return made;
      if (made) this.#begin(out, why);
      else if (quiet !== "") this.#tell(p, { stage: "silence", why: quiet });
      return made;
    };
    const silent = "no answer is made to this packet";
    watch(rejects, "unreachable", (make) => making("REJECT answers", `REJECT: ${silent}`, make));
    watch(rejects, "tcpReset", (make) => making("REJECT answers", `REJECT: ${silent}`, make));
    watch(errors, "make", (make) => making("the router answers", silent, make));
    watch(errors, "makeNoRoute", (make) => making("the router answers", silent, make));
    watch(redirects, "make4", (make) => making("it turns back to its link, so its sender is told", "", make));
    watch(redirects, "make6", (make) => making("it turns back to its link, so its sender is told", "", make));
  }
}

/** Most characters of a payload that are shown. */
const SHOWN = 72;

/** What a TCP or UDP packet carries, for people. */
function payloadText(p: Packet): string {
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

function hexStart(p: Packet): string {
  const shown = p.bytes.subarray(0, Math.min(p.length, 24)).toHex();
  return p.length > 24 ? `${shown}…` : shown;
}

/** TCP's numbers, for those who adjust them. */
function numbersOf(p: Packet): string {
  if (p.protocol !== TCP || !tcpHeaderOk(p)) return "";
  return `seq ${tcpSeq(p) >>> 0} ack ${tcpAckSeq(p) >>> 0}`;
}
