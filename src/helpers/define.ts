/**
 * Helpers of your own: say what to look for, and for NAT how to write it anew; this file does the rest, as the shipped
 * helpers do it by hand. README.md beside it has the guide.
 *
 * ```
 *  defineHelper({ find, nat })      find(payload) ── announce ──▶ limits ─▶ expectation ─▶ nat(out, granted) ─▶ payload
 *                                                                          (free ports, follow the master)
 * ```
 *
 * Overview: `find` reads one packet's payload and announces flows. Each becomes expectations for the port of the
 * packet's sender, where the other side sees it. Where the flow is translated and there is a NAT half, that writes the
 * announcing bytes anew; all of a packet's are replaced at once. If anything fails, nothing of it stays.
 *
 * Limits: announcements speak of ports of the packet's sender, and payloads are read packet by packet. What one packet
 * may ask and announce is bounded (`payload.ts`).
 */
import type { Conntrack } from "../conntrack/core.ts";
import { EXPECT_OK } from "../conntrack/expect.ts";
import { CT_STATUS, FLOW_WORDS, IPS_NAT_MASK, tupleAt } from "../conntrack/flow.ts";
import type {
  ConntrackHelper,
  ExpectPolicy,
  HelperLimits,
  HelperMistake,
  OnFailure,
} from "../conntrack/helper.ts";
import { DST, SRC, tupleFamily } from "../conntrack/tuple.ts";
import { mangleTcpPacket, mangleUdpPacket } from "../nat/helper.ts";
import {
  ACCEPT,
  ctinfoDir,
  ESTABLISHED,
  ESTABLISHED_REPLY,
  ORIGINAL,
  Reason,
  TCP,
  UDP,
  type Verdict,
} from "../netfilter.ts";
import { parseAddress } from "../packet/address.ts";
import type { Packet } from "../packet/packet.ts";
import { tcpPayload } from "../packet/tcp.ts";
import { udpPayload } from "../packet/udp.ts";
import { type Announcement, Payload } from "./payload.ts";
import { type HelperPolicy, limitsOf, Mistakes, numberOf, onFailureOf, portsOf } from "./policy.ts";
import { granted, grantPorts, type NatHalf, relateAll, Writer } from "./rewriting.ts";

/** What a helper is. */
export interface HelperDefinition extends HelperPolicy {
  /** What `-m helper` and `-j CT --helper` call it: 1 to 15 letters, digits, `.`, `_` and `-`. */
  readonly name: string;
  /** Protocol of the conversations that it reads. */
  readonly protocol: "tcp" | "udp";
  /** Server ports, one to eight. */
  readonly ports: readonly number[];
  /** IP versions; both by default. */
  readonly families?: readonly (4 | 6)[];
  /** Whose packets it reads: of the side that opened the conversation, of the other, or of both (default). */
  readonly reads?: "client" | "server" | "both";
  /** Announced ports of one conversation that may be open at the same time, 1 by default; the oldest goes first. */
  readonly maxExpected?: number;
  /** Seconds that an announced port stays open, 300 by default. */
  readonly timeout?: number;
  /**
   * The conntrack half: reads a payload and announces what it finds (`payload.announce`). Runs for every packet of the
   * conversation that has a payload; of TCP once the connection is open.
   */
  readonly find: (payload: Payload) => void;
  /** The NAT half. Without it payloads stay as they are, as in Linux without the NAT module. */
  readonly nat?: NatHalf;
}

/** What a helper's factory usually lets its users say. */
export type HelperOptions = HelperPolicy & Partial<Pick<HelperDefinition, "ports" | "nat">>;

/** Most ports in a row. */
const MOST_PORTS = 8;
/** What becomes of an announcement: expectations are in hand; it opens nothing; there is no memory for it. */
const READY = 1, NOTHING = 0, NO_ROOM = -1;
/** What a definition has beside the options that all helpers share. */
const DEFINITION = [
  "name",
  "protocol",
  "ports",
  "families",
  "reads",
  "maxExpected",
  "timeout",
  "find",
  "nat",
] satisfies (keyof HelperDefinition)[];
const READS = { client: 1, server: 2, both: 3 } as const;

class DefinedHelper implements ConntrackHelper {
  readonly name: string;
  readonly protocol: number;
  readonly families: readonly (4 | 6)[];
  readonly ports: readonly number[];
  readonly autoAssign: boolean;
  readonly policies: readonly ExpectPolicy[];
  readonly limits: HelperLimits | null;
  readonly onFailure: OnFailure;
  readonly mistakes: readonly HelperMistake[];
  readonly #reads: number;
  readonly #find: (payload: Payload) => void;
  readonly #nat: NatHalf | null;
  readonly #payload = new Payload();
  readonly #out = new Writer();
  /** Expectations of the announcement in hand, and all that the packet has led to. */
  readonly #exps: number[] = [];
  readonly #made: number[] = [];

  constructor(d: HelperDefinition) {
    const mistakes = new Mistakes();
    const { name, protocol, families = [4, 6], reads = "both" } = d;
    if (typeof name !== "string" || !/^[A-Za-z0-9][\w.-]{0,14}$/.test(name)) {
      mistakes.add("name", `${JSON.stringify(name)} is not 1 to 15 letters, digits, ".", "_", "-"`);
    }
    if (protocol !== "tcp" && protocol !== "udp") {
      mistakes.add("protocol", `${JSON.stringify(protocol)} is not "tcp" or "udp"`);
    }
    if (!Object.hasOwn(READS, reads)) {
      mistakes.add("reads", `${JSON.stringify(reads)} is not "client", "server" or "both"`);
    }
    const fine = Array.isArray(families) && families.length > 0 && families.every((f) => f === 4 || f === 6);
    if (!fine) mistakes.add("families", `${JSON.stringify(families)} is not a list of 4 and 6`);
    const maxExpected = numberOf(mistakes, "maxExpected", d.maxExpected, 1, 255, 1);
    // Clocks here count milliseconds in 32 bits.
    const timeout = numberOf(mistakes, "timeout", d.timeout, 1, 2_000_000, 300);
    plainFunction(mistakes, "find", d.find);
    if (d.nat !== undefined) plainFunction(mistakes, "nat", d.nat);
    this.mistakes = mistakes.list;
    this.name = String(name);
    this.protocol = protocol === "tcp" ? TCP : UDP;
    this.families = Object.freeze(fine ? [...families] : [4, 6]);
    this.ports = portsOf(mistakes, d.ports, []);
    this.autoAssign = d.autoAssign ?? true;
    this.policies = [{ name: this.name, maxExpected, timeout }];
    this.limits = limitsOf(mistakes, d, DEFINITION);
    this.onFailure = onFailureOf(mistakes, d);
    this.#reads = READS[reads];
    this.#find = d.find;
    this.#nat = d.nat ?? null;
  }

  help(conntrack: Conntrack, p: Packet, ct: number, ctinfo: number): Verdict {
    const dir = ctinfoDir(ctinfo);
    if ((this.#reads & (dir === ORIGINAL ? READS.client : READS.server)) === 0) return ACCEPT;
    const isTcp = this.protocol === TCP;
    if (isTcp && ctinfo !== ESTABLISHED && ctinfo !== ESTABLISHED_REPLY) return ACCEPT;
    const from = isTcp ? tcpPayload(p) : udpPayload(p);
    if (from >= p.length) return ACCEPT;
    const payload = this.#payload;
    payload.bind(conntrack, p, ct, ctinfo, from);
    this.#find(payload);
    if (payload.dropped !== "") {
      conntrack.log(`nf_ct_${this.name}: dropping packet: ${payload.dropped}`);
      return p.drop(Reason["helper-partial"]);
    }
    return payload.announced.length === 0 ? ACCEPT : this.#announced(conntrack, p, ct, ctinfo, from);
  }

  /** Makes the expectations of all announcements, and the one change to the payload. */
  #announced(conntrack: Conntrack, p: Packet, ct: number, ctinfo: number, from: number): Verdict {
    const w = conntrack.flows.words, dir = ctinfoDir(ctinfo), other = tupleAt(ct, 1 - dir);
    const nat = (w[ct * FLOW_WORDS + CT_STATUS] & IPS_NAT_MASK) !== 0 ? this.#nat : null;
    const list = this.#payload.announced, out = this.#out, family = tupleFamily(w, other);
    if (list.length > 1) list.sort((a, b) => a.start - b.start);
    out.length = 0;
    this.#made.length = 0;
    let first = -1, written = 0;
    for (const a of list) {
      this.#check(a);
      const exps = this.#exps, ready = this.#prepare(conntrack, ct, dir, a, from, written);
      if (ready === NOTHING) continue;
      const port = ready === NO_ROOM
        ? 0
        : nat === null
        ? relateAll(conntrack, exps, a.port) === EXPECT_OK ? a.port : 0
        : grantPorts(conntrack, exps, a.port, 1 - dir);
      if (port === 0) {
        this.#release(conntrack, exps, false);
        this.#release(conntrack, this.#made, true);
        return this.#refuse(conntrack, p, ready !== NO_ROOM && nat !== null);
      }
      for (const exp of exps) this.#made.push(exp);
      if (nat === null) continue;
      if (first < 0) first = written = a.start;
      out.copy(p.bytes, from + written, from + a.start);
      nat(out, granted(family, w, other + DST, port), a, this.#payload);
      written = a.end;
    }
    let verdict: Verdict = ACCEPT;
    if (first >= 0 && !this.#replace(conntrack, p, ct, ctinfo, first, written - first)) {
      conntrack.log(`nf_ct_${this.name}: dropping packet: cannot mangle packet`);
      verdict = p.drop(Reason["helper-mangle-failed"]);
    }
    this.#release(conntrack, this.#made, verdict !== ACCEPT);
    return verdict;
  }

  /** Announcements are a program's: one that makes no sense is its mistake, not the packet's. */
  #check(a: Announcement): void {
    const { port, ports = 1 } = a;
    if (!Number.isInteger(ports) || ports < 1 || ports > MOST_PORTS) {
      throw new RangeError(`ports ${ports} is not from 1 to ${MOST_PORTS}`);
    }
    if (ports > this.policies[0].maxExpected) {
      throw new RangeError(`ports ${ports} is more than maxExpected, which counts ports`);
    }
    if (typeof port !== "number") throw new TypeError(`port ${String(port)} is not a number`);
  }

  /** Fills `#exps`, if this announces something that may be opened. */
  #prepare(
    conntrack: Conntrack,
    ct: number,
    dir: number,
    a: Announcement,
    from: number,
    written: number,
  ): number {
    const { port, ports = 1, start, end } = a, exps = this.#exps;
    exps.length = 0;
    if (!Number.isInteger(port) || port < 1 || port + ports > 0x10000) return NOTHING;
    const w = conntrack.flows.words, own = tupleAt(ct, dir), other = tupleAt(ct, 1 - dir);
    const family = tupleFamily(w, other);
    if (a.address !== undefined) {
      const named = parseAddress(a.address);
      if (named === null || named.family !== family) return NOTHING;
      for (let i = 0; i < 4; i++) if (named.words[i] !== w[own + SRC + i]) return NOTHING;
    }
    // Not before: what is cut off reads as no port and no address, and is no mistake.
    if (!(start >= written && end >= start && end <= this.#payload.length)) {
      throw new RangeError(
        `bytes ${start} to ${end} do not lie in the payload, one announcement behind the other`,
      );
    }
    const protocol = a.protocol === undefined ? this.protocol : a.protocol === "tcp" ? TCP : UDP;
    const source = a.from === "anybody" ? null : w;
    for (let i = 0; i < ports; i++) {
      const exp = conntrack.expectAlloc(ct);
      if (exp < 0) {
        this.#release(conntrack, exps, false);
        return NO_ROOM;
      }
      exps.push(exp);
      conntrack.expectInit(exp, 0, family, source, other + SRC, w, other + DST, protocol, -1, port + i);
      if (!conntrack.expectAllowed(exp, from + start, from + end)) {
        this.#release(conntrack, exps, false);
        return NOTHING;
      }
    }
    return READY;
  }

  #replace(conntrack: Conntrack, p: Packet, ct: number, ctinfo: number, at: number, length: number): boolean {
    const { bytes, length: size } = this.#out;
    return this.protocol === TCP
      ? mangleTcpPacket(conntrack, p, ct, ctinfo, at, length, bytes, size)
      : mangleUdpPacket(p, at, length, bytes, size);
  }

  #refuse(conntrack: Conntrack, p: Packet, translated: boolean): Verdict {
    if (translated) {
      conntrack.log(`nf_ct_${this.name}: dropping packet: all ports in use`);
      return p.drop(Reason["helper-no-port"]);
    }
    conntrack.log(`nf_ct_${this.name}: dropping packet: cannot add expectation`);
    return p.drop(Reason["helper-expect-refused"]);
  }

  /** Lets go of expectations, and takes them out again if `undo`. */
  #release(conntrack: Conntrack, exps: number[], undo: boolean): void {
    for (const exp of exps) {
      if (undo) conntrack.unexpectRelated(exp);
      conntrack.expectPut(exp);
    }
    exps.length = 0;
  }
}

/** A packet does not wait: what comes back later would speak of another one. */
function plainFunction(mistakes: Mistakes, option: string, value: unknown): void {
  if (typeof value !== "function") mistakes.add(option, "is not a function");
  else if (Object.prototype.toString.call(value) !== "[object Function]") {
    mistakes.add(option, "is async or a generator; it has to be done with the packet when it returns");
  }
}

/**
 * Makes a helper for `helpers: [...]`.
 *
 * ```ts
 * import { defineHelper } from "weir";
 *
 * const helper = defineHelper({
 *   name: "hello",
 *   protocol: "tcp",
 *   ports: [7000],
 *   reads: "client",
 *   find(payload) {
 *     if (!payload.startsWith("LISTENING ")) return;
 *     const port = payload.number(10);
 *     payload.announce({ port, start: 10, end: payload.behind });
 *   },
 *   nat: (out, { port }) => void out.number(port),
 * });
 * ```
 */
export function defineHelper(definition: HelperDefinition): ConntrackHelper {
  return new DefinedHelper(definition);
}
