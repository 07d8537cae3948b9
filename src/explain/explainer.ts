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
import { DROP, HOOK_NAMES, type ReasonName, REASONS, STOLEN } from "../netfilter.ts";
import { readAddress } from "../packet/address.ts";
import { describe } from "../packet/format.ts";
import { IPV4_DESTINATION, ttl } from "../packet/ipv4.ts";
import { hopLimit, IPV6_DESTINATION } from "../packet/ipv6.ts";
import { Packet } from "../packet/packet.ts";
import { parse, parseHeaders } from "../packet/parse.ts";
import { VirtualRouter, type VirtualState } from "../replay/virtual.ts";
import { FORWARD_DROP, FORWARD_ERROR } from "../routing/forward.ts";
import { ROUTE_FORWARD, ROUTE_LOCAL } from "../routing/route.ts";
import { TABLE_NAMES } from "../tables/extension.ts";
import { changesBetween } from "./changes.ts";
import { destinationText } from "./ends.ts";
import type { Explanation, Outcome, RulePlace, Sent, Step, Way } from "./explanation.ts";
import { RouteTexts } from "./routes.ts";
import { hexStart } from "./said.ts";
import { type Tell, watchConfirm, watchConntrack, watchNat } from "./tracking.ts";
import { TellingWalk } from "./walk.ts";
import { watch } from "./watch.ts";

/** How to make one. */
export interface ExplainerOptions {
  /** Where chance begins. Default 1. */
  readonly seed?: number;
  /** The state of a router that runs, to go on with: a copy of it. */
  readonly state?: VirtualState;
  /** The moment it begins at, in seconds since 1970; 0 where neither this nor a state says. */
  readonly begins?: number;
  /** Takes lines of the LOG target and of conntrack. */
  readonly log?: (line: string) => void;
}

/** The way of a packet that is still on it. */
class Going {
  readonly packet: string;
  /** Its bytes; of a datagram that was gathered, the whole's. */
  came: Uint8Array<ArrayBuffer>;
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
  readonly #words = new Int32Array(4);

  constructor(config: ValidConfig, o: ExplainerOptions = {}) {
    this.#config = { ...config, sysctl: config.sysctl.with("weir.fastpath", 0) };
    this.#routes = new RouteTexts(config);
    const host = config.host;
    this.virtual = new VirtualRouter(this.#config, {
      seed: o.seed,
      state: o.state,
      begins: o.begins,
      log: (line) => {
        this.#ways.at(-1)?.steps.push({ stage: "log", says: line });
        o.log?.(line);
      },
      emit: (iface, bytes) => this.#left(this.#name(iface), bytes),
      emitHost: host === null ? undefined : (bytes) => this.#left(host.device, bytes),
    });
    this.#watch();
  }

  /** True if packets can come in there: by an interface, or from programs behind the host device. */
  has(iface: string): boolean {
    return this.#config.interfaces.some(({ name }) => name === iface) || this.#isHost(iface);
  }

  #isHost(iface: string): boolean {
    return this.#config.host !== null && this.#config.host.device === iface;
  }

  /** A packet comes in, or a local program sends it by the host device. `mark` is what it is marked with on arrival. */
  send(iface: string, bytes: Uint8Array, mark = 0): Explanation {
    const { router, clock } = this.virtual, index = router.interfaces.byName(iface);
    if (!this.has(iface)) {
      const known = this.#config.interfaces.map(({ name }) => name);
      if (this.#config.host !== null) known.push(this.#config.host.device);
      throw new RangeError(`there is no interface ${iface}; there are ${known.join(", ")}`);
    }
    const p = this.virtual.load(index, bytes);
    p.mark = mark | 0;
    const root = this.#arrived(p);
    this.#ways = [root];
    this.#sent = [];
    this.#making = 0;
    try {
      if (this.#isHost(iface)) router.receiveHost(p);
      else router.receive(p, index);
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
          (p, step) => this.#tell(p, step),
        );
      }
    }
    this.#watchDefrag();
    const tell: Tell = (p, step) => this.#tell(p, step);
    watchConntrack(conntrack, tell);
    watchConfirm(conntrack, tell);
    watchNat(parts.nat, conntrack, tell);
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
        : `the datagram is whole: ${describe(p)}`;
      going.steps.push({ stage: "defrag", hook: HOOK_NAMES[p.hook], says });
      if (verdict === STOLEN) going.outcome = "waits";
      else going.came = p.bytes.slice(0, p.length);
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
    let says = `${to} is the router itself`;
    if (!local) {
      readAddress(p.view, p.family, p.family === 4 ? IPV4_DESTINATION : IPV6_DESTINATION, this.#words);
      const name = forwarded ? this.#name(p.outInterface) : null;
      const text = this.#routes.find(p.family, this.#words, name), by = text === null ? "" : ` by ${text}`;
      says = forwarded ? `to ${name}${by}` : `${to}: ${REASONS[p.reason]}${by}`;
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
