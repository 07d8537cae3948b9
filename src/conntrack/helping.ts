/**
 * Running the helpers: what they may open, what becomes of one that fails, and how one is taken out at run time.
 *
 * A helper is somebody's program on other people's bytes. One that throws, answers what is no verdict, leaves a packet
 * of impossible length or asks for expectation after expectation is contained: its flow loses it together with the
 * expectations that it made, a counter and a log line say so, and the packet goes the way that the helper declared
 * (`onFailure`). The router and all other flows go on. Only packets of flows with a helper pay for that. One that never
 * comes back stops its data plane; the roster says whose packet it had, for the control plane (`control/stuck.ts`).
 *
 * Limits (`HelperLimits`) hold for any helper. One that asks `expectAllowed` can let the packet pass when it may not
 * open anything; of one that does not ask, `expectRelated` refuses the expectation.
 */
import type { Arena } from "../arena.ts";
import { ACCEPT, DROP, ESTABLISHED, ORIGINAL, Reason, REPLY, TCP, type Verdict } from "../netfilter.ts";
import { MAX_PACKET, type Packet } from "../packet/packet.ts";
import { tcpPayload } from "../packet/tcp.ts";
import { beginsLikeBrowser } from "./browser.ts";
import {
  EXP_ANNOUNCED,
  EXP_HELD,
  EXP_HELPER,
  EXP_LINKED,
  EXP_MASK,
  EXP_MASTER,
  EXP_STATE,
  EXP_TUPLE,
  EXP_WORDS,
  EXPECT_OK,
  EXPECT_REFUSED,
  type ExpectPolicy,
} from "./expect.ts";
import { Expector } from "./expector.ts";
import {
  CT_HELP,
  CT_HELPER,
  CT_ID,
  CT_STATE,
  CT_STATUS,
  CT_TIMEOUT_POLICY,
  FLOW_FREE,
  FLOW_WORDS,
  IPS_EVENTS,
  IPS_EXPECTED,
  IPS_HELPER,
  IPS_MASTER_HELPER_MASK,
  IPS_MASTER_HELPER_SHIFT,
  IPS_SIDE,
  tupleAt,
} from "./flow.ts";
import type { ConntrackHelper, HelperLimits } from "./helper.ts";
import { type Pinhole, Pinholes, tupleText } from "./pinholes.ts";
import {
  HELPER_BLIND,
  HELPER_COUNTS,
  HELPER_FAILED,
  HELPER_OPENED,
  HELPER_REFUSED,
  HelperRoster,
} from "./roster.ts";
import { MOST_RULES, RuleTexts } from "./rule_texts.ts";
import { IPCT_HELPER } from "./teller.ts";
import { type NamedPolicy, TimeoutPolicies } from "./timeout_policies.ts";
import type { TrackerOptions } from "./tracker.ts";
import { DST, PORTS, SRC, tupleFamily } from "./tuple.ts";

export { HELPER_BLIND, HELPER_COUNTS, HELPER_FAILED, HELPER_OPENED, HELPER_REFUSED, type Pinhole };

/** Words of CT_HELP that a helper may use; the last two are `expectationsPerMinute`'s and the rule's. */
export const HELP_WORDS = 6;
/**
 * When the flow's minute began, and how many expectations it has made in it: the lower bits of a word whose upper ones
 * are the number of the rule that gave the flow its helper, 0 when none did.
 */
const HELP_MINUTE = CT_HELP + HELP_WORDS, HELP_COUNT = HELP_MINUTE + 1;
const COUNT_MASK = (1 << 20) - 1, RULE_SHIFT = 20;
const MINUTE = 60_000;

/** Expectations that a helper may ask for on one packet; Amanda, which asks for most, needs four. */
const MOST_PER_PACKET = 32;
/** Where Weir's own code is. */
const OWN_CODE = new URL("../", import.meta.url).href;
/** EXP_ANNOUNCED of an expectation whose helper does not say which bytes announce it. */
const NO_BYTES = 1;

/** What unloading a helper has let go of. */
export interface Unloaded {
  readonly flows: number;
  readonly expectations: number;
}

/** What running helpers takes beside a tracker. */
export interface HelperHostOptions extends TrackerOptions {
  helpers: readonly ConntrackHelper[];
  /** Where the helpers are listed already, and where their pinholes are noted; memory of its own by default. */
  roster?: HelperRoster;
  pinholes?: Pinholes;
  /** Where rules and timeout policies have their numbers. */
  ruleTexts?: RuleTexts;
  policies?: TimeoutPolicies;
  /** Where helpers keep what they have to remember, when that is not the tracker's arena. */
  own?: Arena;
}

/** A tracker whose flows may have helpers. */
export abstract class HelperHost extends Expector {
  /** As in the configuration; CT_HELPER is an index + 1. An unloaded one keeps its place. */
  readonly helpers: readonly ConntrackHelper[];
  /** Counts of what helpers did: `helperCounts[index * HELPER_COUNTS.length + HELPER_OPENED]`. */
  readonly helperCounts: Float64Array;
  /** Rules that give helpers to flows. */
  readonly ruleTexts: RuleTexts;
  /** Timeouts that rules give to flows. */
  readonly policies: TimeoutPolicies;

  readonly #roster: HelperRoster;
  readonly #pinholes: Pinholes;
  /** The packet that a helper is reading, and the expectations that it may still ask for. */
  #packet: Packet | null = null;
  #left = 0;

  constructor(o: HelperHostOptions) {
    super(o);
    this.helpers = o.helpers;
    this.#roster = o.roster ?? HelperRoster.of(o.helpers);
    this.helperCounts = this.#roster.counts;
    this.#pinholes = o.pinholes ?? new Pinholes(new ArrayBuffer(Pinholes.BYTES), 0);
    this.ruleTexts = o.ruleTexts ?? new RuleTexts(MOST_RULES);
    this.policies = o.policies ?? new TimeoutPolicies();
    for (const { name, mistakes = [] } of o.helpers) {
      const wrong = mistakes.map(({ option, message }) => `${option} ${message}`);
      if (wrong.length > 0) throw new TypeError(`${name}: ${wrong.join("; ")}`);
    }
    this.teller.name(o.helpers.map(({ name }) => name));
    // What a helper takes goes by its name, so that the order of the list may change.
    const { arena } = this;
    for (const helper of o.helpers) {
      this.arena = (o.own ?? arena).named(`helper ${helper.name} ${helper.protocol}`);
      helper.attach?.(this);
    }
    this.arena = arena;
  }

  /** The newest pinholes, oldest first. */
  get pinholes(): Pinhole[] {
    return this.#pinholes.list(this.helpers.map(({ name }) => name));
  }

  protected override expectPolicy(helper: number, expectClass: number): ExpectPolicy {
    return this.helpers[helper].policies[expectClass];
  }

  /** One more of HELPER_* for the helper of a flow. */
  countHelper(ct: number, what: number): void {
    const helper = this.flows.words[ct * FLOW_WORDS + CT_HELPER] - 1;
    if (helper >= 0) this.helperCounts[helper * HELPER_COUNTS.length + what]++;
  }

  // ── one packet ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Has a flow's helper read a packet. Whatever it does, a verdict comes out. */
  protected help(p: Packet, ct: number, index: number): Verdict {
    const helper = this.helpers[index];
    if (p.ctinfo === ESTABLISHED && p.protocol === TCP && helper.limits?.refuseBrowsers === true) {
      if (beginsLikeBrowser(p.bytes, tcpPayload(p), p.length)) return this.#refuseBrowser(ct, index);
    }
    this.#packet = p;
    this.#left = MOST_PER_PACKET;
    let verdict: Verdict = ACCEPT, wrong = "";
    this.#roster.setReading(index, ct);
    try {
      verdict = helper.help(this, p, ct, p.ctinfo);
      if (verdict !== ACCEPT && verdict !== DROP) {
        wrong = `it answered ${String(verdict)}, which is no verdict`;
      }
    } catch (error) {
      wrong = describe(error);
    }
    this.#roster.setReading(index, -1);
    this.#packet = null;
    const possible = p.length >= p.l4 && p.length <= MAX_PACKET && p.ct === ct;
    if (wrong === "" && possible) {
      if (verdict === DROP && p.reason === 0) p.reason = Reason["helper-malformed"];
      return verdict;
    }
    p.ct = ct;
    return this.#contain(
      p,
      ct,
      index,
      wrong === "" ? "it left a packet of impossible length" : wrong,
      possible,
    );
  }

  /** A page has made somebody's browser talk here: the packet passes, and nobody reads what follows. */
  #refuseBrowser(ct: number, index: number): Verdict {
    this.countHelper(ct, HELPER_REFUSED);
    this.log(
      `nf_ct_${this.helpers[index].name}: not reading ${
        this.#flowText(ct)
      }: refuseBrowsers, and its client is one`,
    );
    this.#forgetExpects(ct);
    this.flows.words[ct * FLOW_WORDS + CT_HELPER] = 0;
    return ACCEPT;
  }

  /** The flow goes on without its helper. */
  #contain(p: Packet, ct: number, index: number, why: string, possible: boolean): Verdict {
    const helper = this.helpers[index], accept = possible && helper.onFailure !== "drop";
    this.countHelper(ct, HELPER_FAILED);
    this.#forgetExpects(ct);
    this.flows.words[ct * FLOW_WORDS + CT_HELPER] = 0;
    this.log(
      `nf_ct_${helper.name}: helper failed, ${accept ? "accepting" : "dropping"} packet; ` +
        `flow ${this.#flowText(ct)} goes on without it: ${why}`,
    );
    return accept ? ACCEPT : p.drop(Reason["helper-failed"]);
  }

  /** Takes out the expectations of a master, and gives back those that a failed helper still holds. */
  #forgetExpects(ct: number): void {
    const e = this.expects.words;
    for (let exp = 0, high = this.expects.high; exp < high; exp++) {
      const at = exp * EXP_WORDS;
      if (e[at + EXP_STATE] === 0 || e[at + EXP_MASTER] !== ct + 1) continue;
      this.unlinkExpect(exp);
      if ((e[at + EXP_STATE] & EXP_HELD) !== 0) this.expects.put(exp);
    }
  }

  // ── whose flow it is ──────────────────────────────────────────────────────────────────────────────────────────

  /** Notes which rule gave a new flow its helper: a number of `ruleTexts`. */
  protected noteRule(ct: number, rule: number): void {
    this.flows.words[this.flows.side(ct) + HELP_COUNT] = rule << RULE_SHIFT;
  }

  /** The number of that rule, 0 when there is none. */
  #ruleOf(ct: number): number {
    return this.flows.words[this.flows.side(ct) + HELP_COUNT] >>> RULE_SHIFT;
  }

  protected override welcome(ct: number, exp: number): void {
    const master = this.expects.words[exp * EXP_WORDS + EXP_MASTER] - 1;
    super.welcome(ct, exp);
    // One that a helper reads, too, has it by the same rule.
    if (this.flows.words[ct * FLOW_WORDS + CT_HELPER] !== 0) this.noteRule(ct, this.#ruleOf(master));
  }

  /**
   * Numbers of rules and policies go on meaning what they meant to a predecessor, before the rules ask for theirs; of
   * policies with names only `named` ones. The predecessor may still route: a flow that it makes gets a number that it
   * gives now.
   */
  adoptNumbers(ruleTexts: RuleTexts, policies: TimeoutPolicies, named: readonly NamedPolicy[]): void {
    const table = this.flows, w = table.words, rules = new Set<number>(), given = new Set<number>();
    for (let ct = table.next(-1); ct >= 0; ct = table.next(ct)) {
      const at = ct * FLOW_WORDS;
      if (w[at + CT_STATE] === FLOW_FREE) continue;
      if (w[at + CT_TIMEOUT_POLICY] !== 0) given.add(w[at + CT_TIMEOUT_POLICY]);
      if ((w[at + CT_STATUS] & IPS_SIDE) !== 0) rules.add(this.#ruleOf(ct));
    }
    this.ruleTexts.adopt(ruleTexts, rules);
    this.policies.adopt(policies, given, named);
  }

  // ── loading and unloading ─────────────────────────────────────────────────────────────────────────────────────

  /** False once a helper has been unloaded: flows are not given to it. */
  isLoaded(index: number): boolean {
    return this.#roster.isLoaded(index);
  }

  /** A listed helper serves again; flows that begin from now on get it. */
  loadHelper(index: number): void {
    this.#check(index);
    this.#roster.setLoaded(index, true);
  }

  /**
   * Takes a helper out, as rmmod does (nf_conntrack_helper_unregister): its expectations go, and its flows live on
   * without it.
   */
  unloadHelper(index: number): Unloaded {
    this.#check(index);
    this.#roster.setLoaded(index, false);
    return this.releaseHelper(index);
  }

  /** Nobody has the helper of this index any more. */
  releaseHelper(index: number): Unloaded {
    const table = this.flows, w = table.words, e = this.expects.words, mine = index + 1;
    let flows = 0, expectations = 0;
    for (let exp = 0, high = this.expects.high; exp < high; exp++) {
      const at = exp * EXP_WORDS;
      if ((e[at + EXP_STATE] & EXP_LINKED) === 0) continue;
      const master = (e[at + EXP_MASTER] - 1) * FLOW_WORDS;
      if (w[master + CT_HELPER] !== mine && e[at + EXP_HELPER] !== mine) continue;
      this.unlinkExpect(exp);
      expectations++;
    }
    for (let ct = table.next(-1); ct >= 0; ct = table.next(ct)) {
      const at = ct * FLOW_WORDS, status = w[at + CT_STATUS];
      if (w[at + CT_STATE] === FLOW_FREE) continue;
      if (((status >> IPS_MASTER_HELPER_SHIFT) & IPS_MASTER_HELPER_MASK) === mine) {
        w[at + CT_STATUS] = status & ~(IPS_MASTER_HELPER_MASK << IPS_MASTER_HELPER_SHIFT);
      }
      if (w[at + CT_HELPER] !== mine) continue;
      if ((status & IPS_EVENTS) !== 0) {
        this.teller.due(ct, IPCT_HELPER);
        this.teller.deliver(ct);
      }
      w[at + CT_HELPER] = 0;
      flows++;
    }
    return { flows, expectations };
  }

  #check(index: number): void {
    if (!Number.isInteger(index) || index < 0 || index >= this.helpers.length) {
      throw new RangeError(`helper ${index} of ${this.helpers.length}`);
    }
  }

  // ── what may be opened ────────────────────────────────────────────────────────────────────────────────────────

  override expectAlloc(ct: number): number {
    if (this.#packet !== null && this.#left-- <= 0) {
      throw new RangeError(`it asked for more than ${MOST_PER_PACKET} expectations on one packet`);
    }
    return super.expectAlloc(ct);
  }

  /**
   * True if the helper's limits let it make an expectation, which is narrowed where they say so. Asked once it is
   * filled. Bytes `from` … `to`−1 of the packet announce it. When it says no, let go of it and let the packet pass.
   */
  expectAllowed(exp: number, from = 0, to = 0): boolean {
    const e = this.expects.words, at = exp * EXP_WORDS, master = e[at + EXP_MASTER] - 1;
    e[at + EXP_ANNOUNCED] = from << 16 | to || NO_BYTES;
    const helper = this.helpers[this.flows.words[master * FLOW_WORDS + CT_HELPER] - 1];
    const limits = helper?.limits ?? null;
    if (limits === null) return true;
    const why = this.#forbidden(exp, master, limits);
    if (why === "") return true;
    e[at + EXP_ANNOUNCED] = 0;
    this.countHelper(master, HELPER_REFUSED);
    this.log(
      `nf_ct_${helper.name}: not opening ${this.describeExpect(exp)} for ${this.#flowText(master)}: ${why}`,
    );
    return false;
  }

  override expectRelated(exp: number): number {
    const allowed = this.expects.words[exp * EXP_WORDS + EXP_ANNOUNCED] !== 0;
    if (!allowed && !this.expectAllowed(exp)) return EXPECT_REFUSED;
    const result = super.expectRelated(exp);
    if (result === EXPECT_OK) this.#opened(exp);
    return result;
  }

  /** Why limits forbid an expectation, or "". */
  #forbidden(exp: number, master: number, limits: HelperLimits): string {
    const e = this.expects.words, at = exp * EXP_WORDS;
    const { minPort, samePeer, expectationsPerMinute: most } = limits;
    // A flow that a helper reads itself is a conversation with the service's own port.
    if (minPort !== undefined && (e[at + EXP_TUPLE + PORTS] & 0xffff) < minPort && e[at + EXP_HELPER] === 0) {
      return `minPort is ${minPort}`;
    }
    if (samePeer && !this.#narrow(at, master)) return "samePeer, and it is for a third host";
    if (most === undefined) return "";
    const w = this.flows.words, flow = this.flows.side(master), now = this.clock.now;
    if ((w[flow + HELP_COUNT] & COUNT_MASK) === 0 || ((now - w[flow + HELP_MINUTE]) | 0) >= MINUTE) {
      w[flow + HELP_MINUTE] = now;
      w[flow + HELP_COUNT] &= ~COUNT_MASK;
    }
    if ((w[flow + HELP_COUNT] & COUNT_MASK) >= most) return `expectationsPerMinute is ${most}`;
    w[flow + HELP_COUNT]++;
    return "";
  }

  /** Restricts an expectation to the two ends of its master; false if it is for others. */
  #narrow(at: number, master: number): boolean {
    const e = this.expects.words, w = this.flows.words, source = at + EXP_TUPLE + SRC, mask = at + EXP_MASK;
    for (let dir = ORIGINAL; dir <= REPLY; dir++) {
      const tuple = tupleAt(master, dir);
      if (!sameAddress(e, at + EXP_TUPLE + DST, w, tuple + DST)) continue;
      if (e[mask] === 0) {
        const words = tupleFamily(w, tuple) === 4 ? 1 : 4;
        for (let i = 0; i < words; i++) {
          e[source + i] = w[tuple + SRC + i];
          e[mask + i] = -1;
        }
        return true;
      }
      if (sameAddress(e, source, w, tuple + SRC)) return true;
    }
    return false;
  }

  /** Notes a pinhole, and says so where `record` asks for it. */
  #opened(exp: number): void {
    const e = this.expects.words, at = exp * EXP_WORDS, master = e[at + EXP_MASTER] - 1;
    this.countHelper(master, HELPER_OPENED);
    const w = this.flows.words, flow = master * FLOW_WORDS, index = w[flow + CT_HELPER] - 1;
    const status = w[flow + CT_STATUS], rule = this.#ruleOf(master);
    const helper = this.helpers[index], records = helper.limits?.record === true, p = this.#packet;
    const bytes = e[at + EXP_ANNOUNCED], said = p !== null && bytes !== NO_BYTES;
    const number = this.#pinholes.note(
      index,
      Math.floor(this.clock.wall),
      w[flow + CT_ID],
      w,
      tupleAt(master, ORIGINAL),
      e,
      at,
      (status & IPS_HELPER) !== 0 || rule !== 0 ? this.ruleTexts.bytes(rule) : null,
      (status & IPS_EXPECTED) !== 0 ? 0 : w[tupleAt(master, REPLY) + PORTS] >>> 16,
      records && said ? p.bytes : null,
      said ? bytes >>> 16 : 0,
      records ? said ? bytes & 0xffff : 0 : -1,
    );
    if (!records) return;
    const made = this.#pinholes.get(number, this.helpers.map(({ name }) => name))!;
    this.log(
      `nf_ct_${made.helper}: opened ${made.expected} for ${made.flow} (id ${made.id}, by ${made.rule}): ` +
        `"${made.announced}"`,
    );
  }

  #flowText(ct: number): string {
    return tupleText(this.flows.words, tupleAt(ct, ORIGINAL), false);
  }

  /** Who may come, and where to: `udp 198.51.100.7 → 203.0.113.1:5000`. */
  describeExpect(exp: number): string {
    const at = exp * EXP_WORDS;
    return tupleText(this.expects.words, at + EXP_TUPLE, this.expects.words[at + EXP_MASK] === 0);
  }
}

/** The same four words. */
function sameAddress(a: Int32Array, at: number, b: Int32Array, bt: number): boolean {
  return a[at] === b[bt] && a[at + 1] === b[bt + 1] && a[at + 2] === b[bt + 2] && a[at + 3] === b[bt + 3];
}

/** What was thrown, in one line: it may carry a peer's bytes. And where, in a helper that is not Weir's. */
function describe(error: unknown): string {
  let text = "it threw something strange", place = "";
  try {
    text = error instanceof Error ? `${error.name}: ${error.message}` : `it threw ${String(error)}`;
    if (error instanceof Error) place = placeOf(error);
  } catch {
    // Not even its text can be had.
  }
  // deno-lint-ignore no-control-regex
  const [what, where] = [text, place].map((part) => part.replace(/[\x00-\x1f\x7f]+/g, " ").slice(0, 200));
  return what + where;
}

/** The innermost place outside of Weir that an error comes from: ` (conntrack_rtsp.ts:12)`, or "". */
function placeOf(error: Error): string {
  // The stack begins with the message, which may look like a place.
  const frames = error.stack?.replace(error.message, "") ?? "";
  for (const [, url, line] of frames.matchAll(/(\w+:\/\/\S+?):(\d+):\d+\)?$/gm)) {
    if (!url.startsWith(OWN_CODE)) return ` (${url.slice(url.lastIndexOf("/") + 1)}:${line})`;
  }
  return "";
}
