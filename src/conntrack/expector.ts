/**
 * Expectations as flows meet them: a helper announces one, a new flow fulfils it and becomes the master's child
 * (nf_conntrack_expect). The records and their index are `expect.ts`'s.
 */
import { type Family, ORIGINAL, REPLY } from "../netfilter.ts";
import {
  EXP_CLASS,
  EXP_EXPIRES,
  EXP_FLAGS,
  EXP_FN,
  EXP_HELPER,
  EXP_ID,
  EXP_LINKED,
  EXP_MASTER,
  EXP_MASTER_ID,
  EXP_NEXT,
  EXP_STATE,
  EXP_TUPLE,
  EXP_WORDS,
  EXPECT_BUSY,
  EXPECT_EXISTS,
  EXPECT_FULL,
  EXPECT_INACTIVE,
  EXPECT_OK,
  EXPECT_PERMANENT,
  EXPECT_SHUTDOWN,
  expectClash,
  expectEquals,
  expectFill,
  expectFits,
  type ExpectPolicy,
} from "./expect.ts";
import {
  CT_EXPECTING,
  CT_HELPER,
  CT_ID,
  CT_MARK,
  CT_MASTER,
  CT_MASTER_ID,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_WORDS,
  IPS_EXPECTED,
  IPS_MASTER_HELPER_MASK,
  IPS_MASTER_HELPER_SHIFT,
  tupleAt,
} from "./flow.ts";
import { IPEXP_NEW } from "./teller.ts";
import { STAT_EXPECT_CREATE, STAT_EXPECT_NEW, Tracker, type TrackerOptions } from "./tracker.ts";
import { PROTO } from "./tuple.ts";

/** Zone of a tuple in its last word. */
const ZONE_SHIFT = 16;

/** A tracker whose flows may be expected. */
export abstract class Expector extends Tracker {
  /** Most expectations (nf_conntrack_expect_max). */
  readonly expectMax: number;
  readonly #expectFns: ((ct: number, exp: number) => void)[] = [];

  constructor(o: TrackerOptions) {
    super(o);
    this.expectMax = o.sysctl.get("net.netfilter.nf_conntrack_expect_max");
  }

  /** The limits of a helper's class. */
  protected abstract expectPolicy(helper: number, expectClass: number): ExpectPolicy;

  /** The master's handle, or -1 when there is none or it is gone. */
  master(ct: number): number {
    const flows = this.flows, w = flows.words, master = flows.aside(ct, CT_MASTER) - 1;
    if (master < 0 || w[master * FLOW_WORDS + CT_STATE] !== FLOW_CONFIRMED) return -1;
    return w[master * FLOW_WORDS + CT_ID] === flows.aside(ct, CT_MASTER_ID) ? master : -1;
  }

  /** A function that runs when an expectation is fulfilled (nf_ct_expect_register): returns its number, from 1. */
  registerExpectFn(fn: (ct: number, exp: number) => void): number {
    return this.#expectFns.push(fn);
  }

  /** An expectation of a flow, held by the caller until `expectPut`; -1 when memory is used up (nf_ct_expect_alloc). */
  expectAlloc(ct: number): number {
    const exp = this.expects.alloc();
    if (exp < 0) return exp;
    const e = this.expects.words, at = exp * EXP_WORDS;
    e[at + EXP_MASTER] = ct + 1;
    e[at + EXP_MASTER_ID] = this.flows.words[ct * FLOW_WORDS + CT_ID];
    return exp;
  }

  /**
   * Fills an expectation (nf_ct_expect_init). Addresses are four words at an offset, as within tuples; a null source
   * and a source port of -1 mean any. Ports are numbers in host order.
   */
  expectInit(
    exp: number,
    expectClass: number,
    family: Family,
    source: Int32Array | null,
    sourceAt: number,
    destination: Int32Array,
    destinationAt: number,
    protocol: number,
    sourcePort: number,
    destinationPort: number,
  ): void {
    const e = this.expects.words, at = exp * EXP_WORDS;
    e[at + EXP_CLASS] = expectClass;
    const proto = (this.#zoneId(e[at + EXP_MASTER] - 1) << ZONE_SHIFT) | (family << 8) | protocol;
    expectFill(e, at, source, sourceAt, destination, destinationAt, proto, sourcePort, destinationPort);
  }

  /** The one zone number of a flow: that of the direction that has one. */
  #zoneId(ct: number): number {
    const w = this.flows.words;
    return w[tupleAt(ct, ORIGINAL) + PROTO] >>> ZONE_SHIFT || w[tupleAt(ct, REPLY) + PROTO] >>> ZONE_SHIFT;
  }

  /** Puts an expectation into the table (nf_ct_expect_related): EXPECT_OK, EXPECT_BUSY, EXPECT_FULL, … */
  expectRelated(exp: number): number {
    const expects = this.expects, e = expects.words, at = exp * EXP_WORDS;
    const w = this.flows.words, master = e[at + EXP_MASTER] - 1, helper = w[master * FLOW_WORDS + CT_HELPER];
    if (helper === 0) return EXPECT_SHUTDOWN;
    for (let link = expects.first(e, at + EXP_TUPLE); link !== 0;) {
      const other = link - 1, b = other * EXP_WORDS;
      link = e[b + EXP_NEXT];
      if (this.expectExpired(other)) {
        this.unlinkExpect(other);
      } else if (e[b + EXP_MASTER] === e[at + EXP_MASTER] && expectEquals(e, at, b)) {
        if (e[b + EXP_CLASS] !== e[at + EXP_CLASS]) return EXPECT_EXISTS;
        this.unlinkExpect(other);
        break;
      } else if (expectClash(e, at, b)) {
        return EXPECT_BUSY;
      }
    }

    const expectClass = e[at + EXP_CLASS], policy = this.expectPolicy(helper - 1, expectClass);
    const most = policy.maxExpected;
    if (most !== 0 && this.#expecting(master, expectClass) >= most) {
      this.#evictOldest(master, expectClass);
      if (this.#expecting(master, expectClass) >= most) return EXPECT_FULL;
    }
    if (expects.count >= this.expectMax) {
      this.log("nf_conntrack: nf_conntrack: expectation table full");
      return EXPECT_FULL;
    }
    e[at + EXP_EXPIRES] = (this.clock.now + policy.timeout * 1000) | 0;
    expects.link(exp);
    w[this.flows.side(master) + CT_EXPECTING] += 1 << (expectClass * 8);
    this.stats[STAT_EXPECT_CREATE]++;
    this.teller.expect(exp, IPEXP_NEW);
    return EXPECT_OK;
  }

  /** Pending expectations of one class. */
  #expecting(master: number, expectClass: number): number {
    return (this.flows.aside(master, CT_EXPECTING) >>> (expectClass * 8)) & 0xff;
  }

  #evictOldest(master: number, expectClass: number): void {
    const e = this.expects.words;
    let oldest = -1;
    for (let exp = 0, high = this.expects.high; exp < high; exp++) {
      const at = exp * EXP_WORDS;
      if ((e[at + EXP_STATE] & EXP_LINKED) === 0) continue;
      if (e[at + EXP_MASTER] !== master + 1 || e[at + EXP_CLASS] !== expectClass) continue;
      if (oldest < 0 || ((e[at + EXP_ID] - e[oldest * EXP_WORDS + EXP_ID]) | 0) < 0) oldest = exp;
    }
    if (oldest >= 0) this.unlinkExpect(oldest);
  }

  /** Takes it out again (nf_ct_unexpect_related); the caller still holds it. */
  unexpectRelated(exp: number): void {
    this.unlinkExpect(exp);
  }

  /** The caller lets go (nf_ct_expect_put). */
  expectPut(exp: number): void {
    this.expects.put(exp);
  }

  /** The expectation that a new flow's first packet fulfils, taken out and held, or -1 (nf_ct_find_expectation). */
  protected expected(t: Int32Array, zoneReply: number): number {
    const expects = this.expects, e = expects.words, w = this.flows.words;
    const zone = t[PROTO] >>> ZONE_SHIFT || zoneReply;
    for (let link = expects.first(t, 0); link !== 0;) {
      const exp = link - 1, at = exp * EXP_WORDS;
      link = e[at + EXP_NEXT];
      if (this.expectExpired(exp)) {
        this.unlinkExpect(exp);
        continue;
      }
      if ((e[at + EXP_FLAGS] & EXPECT_INACTIVE) !== 0 || !expectFits(e, at, t, zone)) continue;
      // Before the master's packet has left, nobody can know of the announcement.
      const master = e[at + EXP_MASTER] - 1;
      if (w[master * FLOW_WORDS + CT_STATE] !== FLOW_CONFIRMED) return -1;
      expects.hold(exp);
      if ((e[at + EXP_FLAGS] & EXPECT_PERMANENT) === 0) this.unlinkExpect(exp);
      return exp;
    }
    return -1;
  }

  /** A new flow fulfils an expectation: it becomes the master's child. */
  protected welcome(ct: number, exp: number): void {
    const e = this.expects.words, from = exp * EXP_WORDS;
    const w = this.flows.words, at = ct * FLOW_WORDS, side = this.flows.side(ct);
    const master = e[from + EXP_MASTER] - 1;
    // What rules ask of the master, its helper, they may ask when it is gone; Linux keeps it for its children.
    w[at + CT_STATUS] |= IPS_EXPECTED |
      (w[master * FLOW_WORDS + CT_HELPER] & IPS_MASTER_HELPER_MASK) << IPS_MASTER_HELPER_SHIFT;
    w[side + CT_MASTER] = master + 1;
    w[side + CT_MASTER_ID] = w[master * FLOW_WORDS + CT_ID];
    w[at + CT_HELPER] = e[from + EXP_HELPER];
    w[at + CT_MARK] = w[master * FLOW_WORDS + CT_MARK];
    this.stats[STAT_EXPECT_NEW]++;
    const fn = e[from + EXP_FN];
    if (fn !== 0 && fn <= this.#expectFns.length) this.#expectFns[fn - 1](ct, exp);
    this.expects.put(exp);
  }

  /**
   * What another process has left: expectations whose master is gone go too, and what is pending is counted anew, from
   * none.
   */
  protected adoptExpects(helpers: number): void {
    const e = this.expects.words, w = this.flows.words;
    for (let exp = 0, high = this.expects.high; exp < high; exp++) {
      const at = exp * EXP_WORDS;
      if ((e[at + EXP_STATE] & EXP_LINKED) === 0) continue;
      const ct = e[at + EXP_MASTER] - 1, master = ct * FLOW_WORDS;
      const lives = ct >= 0 && ct < this.flows.capacity && w[master + CT_STATE] === FLOW_CONFIRMED &&
        w[master + CT_ID] === e[at + EXP_MASTER_ID] && w[master + CT_HELPER] !== 0;
      if (e[at + EXP_HELPER] > helpers) e[at + EXP_HELPER] = 0;
      if (lives) w[this.flows.side(ct) + CT_EXPECTING] += 1 << (e[at + EXP_CLASS] * 8);
      else this.expects.unlink(exp);
    }
  }

  /** Takes out expectations whose time is over, so many at most. True when there may be more. */
  protected sweepExpects(most: number): boolean {
    const e = this.expects.words, wheel = this.expects.wheel, now = this.clock.now;
    for (let n = 0; n < most; n++) {
      const exp = wheel.next(now);
      if (exp < 0) return false;
      if ((e[exp * EXP_WORDS + EXP_STATE] & EXP_LINKED) === 0) continue;
      if (this.expectExpired(exp)) this.unlinkExpect(exp);
      else wheel.hang(exp, e[exp * EXP_WORDS + EXP_EXPIRES]);
    }
    return true;
  }
}
