/**
 * The life of flows and expectations, apart from how packets bring them about: timeouts, accounting, deletion,
 * counters, and the knobs that protocol trackers read. `Conntrack` extends it; the files in `proto/` know only this.
 *
 * Flows are deleted by whoever finds them dead: a lookup that meets an expired one, the sweep, a tracker that sees
 * the end of a connection, NAT that evicts. Deletion retires the record (see FlowTable), so the packet in hand may
 * go on with a flow that its own RST has just killed.
 */
import { type Arena, HeapArena } from "../arena.ts";
import type { Clock } from "../clock.ts";
import { ctinfoDir, Reason, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import type { Sysctl } from "../sysctl.ts";
import { EventRing } from "./events.ts";
import type { ExpectTable } from "./expect.ts";
import * as expectModule from "./expect.ts";
import * as flowModule from "./flow.ts";
import type { FlowTable } from "./table.ts";
import { Teller } from "./teller.ts";
import * as tellerModule from "./teller.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const { EXP_CLASS, EXP_EXPIRES, EXP_LINKED, EXP_MASTER, EXP_STATE, EXP_WORDS } = expectModule;
const {
  CT_EXPECTING,
  CT_EXPIRES,
  CT_HELPER,
  CT_STATE,
  CT_STATUS,
  CT_TIMEOUT_POLICY,
  CT_TIMER,
  FLOW_CONFIRMED,
  FLOW_WORDS,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_COUNTED,
  IPS_DYING,
  IPS_EVENTS,
  IPS_EXPECTED,
  IPS_FIXED_TIMEOUT,
} = flowModule;
const { IPCT_ASSURED, IPEXP_DESTROY } = tellerModule;

/** What a protocol's `packet` says: the packet belongs to the flow. */
export const TRACKED = 1;
/** It does not fit: the packet goes on without a flow (-NF_ACCEPT). */
export const INVALID = -1;
/** The old flow is gone: look the packet up once more (-NF_REPEAT). */
export const REPEAT = -4;

/** Counters of `Tracker.stats`, in the order of `conntrack -S`, then those of expectations. */
export const STATS = [
  "found",
  "invalid",
  "insert",
  "insert_failed",
  "drop",
  "early_drop",
  "error",
  "search_restart",
  "clash_resolve",
  "chaintoolong",
  "expect_new",
  "expect_create",
  "expect_delete",
] as const;
/** Indices into `Tracker.stats`. */
export const STAT_FOUND = 0, STAT_INVALID = 1, STAT_INSERT = 2, STAT_INSERT_FAILED = 3, STAT_DROP = 4;
export const STAT_EARLY_DROP = 5, STAT_ERROR = 6, STAT_CLASH_RESOLVE = 8;
export const STAT_EXPECT_NEW = 10, STAT_EXPECT_CREATE = 11, STAT_EXPECT_DELETE = 12;

/** What a tracker is made of. */
export interface TrackerOptions {
  flows: FlowTable;
  expects: ExpectTable;
  clock: Clock;
  sysctl: Sysctl;
  /** Where the rest of its state is; its own heap by default. */
  arena?: Arena;
  /** A line for people (kernel log style), already rate limited by the caller of the router. */
  log: (line: string) => void;
  /** Where counts are kept, by STAT_*; memory of its own by default. */
  stats?: Float64Array;
  /** Where it is written down what happens to flows; memory of its own by default. */
  events?: EventRing;
}

/** Flows and expectations as things that live and die. */
export class Tracker {
  readonly flows: FlowTable;
  readonly expects: ExpectTable;
  readonly clock: Clock;
  readonly sysctl: Sysctl;
  readonly log: (line: string) => void;
  arena: Arena;
  /** Counts of what happened, by STAT_*. */
  readonly stats: Float64Array;
  /** Says what happened. */
  readonly teller: Teller;
  /** Not 0 while somebody listens, or always when flows are told of without that. */
  readonly heard: Int32Array;
  /** Per-flow timeouts in milliseconds by the protocol's state; CT_TIMEOUT_POLICY is index + 1. */
  readonly timeoutPolicies: (Int32Array | undefined)[] = [];

  /** Verify transport checksums (nf_conntrack_checksum). */
  readonly checksum: boolean;
  /** Count the packets and bytes of flows that begin from now on (nf_conntrack_acct). */
  readonly accounting: boolean;
  /** Note when a flow is confirmed (nf_conntrack_timestamp). */
  readonly timestamp: boolean;
  readonly tcpLoose: boolean;
  readonly tcpBeLiberal: boolean;
  readonly tcpMaxRetrans: number;
  readonly tcpIgnoreInvalidRst: boolean;

  readonly #logInvalid: number;
  readonly #destroyFns: ((ct: number) => void)[] = [];

  constructor(o: TrackerOptions) {
    this.flows = o.flows;
    this.expects = o.expects;
    this.clock = o.clock;
    this.sysctl = o.sysctl;
    this.log = o.log;
    this.arena = o.arena ?? new HeapArena();
    this.stats = o.stats ?? this.arena.float64(STATS.length);
    const get = (name: string) => o.sysctl.get(`net.netfilter.nf_conntrack_${name}`);
    const events = o.events ?? new EventRing();
    this.teller = new Teller(o.flows, o.expects, events, o.clock, get("events"));
    this.heard = this.teller.whenHeard ? events.heard : Int32Array.of(1);
    this.checksum = get("checksum") !== 0;
    this.accounting = get("acct") !== 0;
    this.timestamp = get("timestamp") !== 0;
    this.tcpLoose = get("tcp_loose") !== 0;
    this.tcpBeLiberal = get("tcp_be_liberal") !== 0;
    this.tcpMaxRetrans = get("tcp_max_retrans");
    this.tcpIgnoreInvalidRst = get("tcp_ignore_invalid_rst") !== 0;
    this.#logInvalid = get("log_invalid");
  }

  /** Says that a packet is INVALID, and why to those who want to know (nf_conntrack_log_invalid). */
  invalid(p: Packet, why: string): number {
    const which = this.#logInvalid;
    if (which !== 0 && (which === 255 || which === p.protocol)) this.log(`nf_ct_proto_${p.protocol}: ${why}`);
    return INVALID;
  }

  /** The timeouts in force for a flow: its own policy's, or else the protocol's. */
  timeouts(ct: number, defaults: Int32Array): Int32Array {
    const policy = this.flows.words[ct * FLOW_WORDS + CT_TIMEOUT_POLICY];
    return policy === 0 ? defaults : this.timeoutPolicies[policy - 1] ?? defaults;
  }

  /** True when a confirmed flow's time is over. */
  expired(ct: number): boolean {
    return ((this.flows.words[ct * FLOW_WORDS + CT_EXPIRES] - this.clock.now) | 0) <= 0;
  }

  /** Extends a flow's life to `milliseconds` from now (nf_ct_refresh). Before confirm the time is only noted. */
  refresh(ct: number, milliseconds: number): void {
    const w = this.flows.words, at = ct * FLOW_WORDS, status = w[at + CT_STATUS];
    if ((status & IPS_FIXED_TIMEOUT) !== 0) return;
    if ((status & IPS_CONFIRMED) === 0) {
      w[at + CT_EXPIRES] = milliseconds;
      return;
    }
    const expires = w[at + CT_EXPIRES] = (milliseconds + this.clock.now) | 0;
    // Nearly every packet extends its flow's life, and need not know of the wheel.
    if (((w[at + CT_TIMER] - expires) | 0) > 0) this.flows.wheel.hang(ct, expires);
  }

  /** `refresh`, and counts the packet (nf_ct_refresh_acct). */
  refreshAcct(ct: number, ctinfo: number, p: Packet, milliseconds: number): void {
    this.refresh(ct, milliseconds);
    this.account(ct, ctinfo, p);
  }

  /** Counts a packet, an offloaded one as one, as the kernel does (nf_ct_acct_update). */
  account(ct: number, ctinfo: number, p: Packet): void {
    if ((this.flows.words[ct * FLOW_WORDS + CT_STATUS] & IPS_COUNTED) === 0) return;
    const f = this.flows.floats, at = this.flows.counters(ct) + ctinfoDir(ctinfo) * 2;
    f[at]++;
    f[at + 1] += p.length;
  }

  /** The packet ends its flow (nf_ct_kill_acct). */
  killAcct(ct: number, ctinfo: number, p: Packet): void {
    this.account(ct, ctinfo, p);
    this.delete(ct);
  }

  /**
   * Takes a flow out of the table: pending expectations die, children live on (nf_ct_delete). A flow that is not in
   * the table yet is only marked, so that `confirm` refuses it.
   */
  delete(ct: number): void {
    if (!this.#dies(ct)) return;
    this.flows.remove(ct);
    this.flows.retire(ct);
  }

  /** `delete` where the hashes of the original and of the reply tuple are known. */
  protected deleteHashed(ct: number, hash: number, hashReply: number): void {
    if (!this.#dies(ct)) return;
    this.flows.removeHashed(ct, hash, hashReply);
    this.flows.retire(ct);
  }

  /** Marks a flow that is to be deleted. True if it has to be taken out of the table. */
  #dies(ct: number): boolean {
    const w = this.flows.words, at = ct * FLOW_WORDS, status = w[at + CT_STATUS];
    if ((status & IPS_DYING) !== 0) return false;
    w[at + CT_STATUS] = status | IPS_DYING;
    if (w[at + CT_STATE] !== FLOW_CONFIRMED) return false;
    if ((status & IPS_EVENTS) !== 0) this.teller.died(ct);
    this.#farewell(ct);
    return true;
  }

  /** Gives back a flow that never reached the table. */
  protected discard(ct: number): void {
    this.#farewell(ct);
    this.flows.free(ct);
  }

  /** There is memory for what a new flow's helper, master and start leave beside its record as long as it lives. */
  protected hasPlace(ct: number): boolean {
    const w = this.flows.words, at = ct * FLOW_WORDS;
    const wanted = this.timestamp || w[at + CT_HELPER] !== 0 || (w[at + CT_STATUS] & IPS_EXPECTED) !== 0;
    return !wanted || this.flows.canHaveSide(ct);
  }

  /** A packet's flow cannot begin, as there is no memory for it. */
  protected noSpace(p: Packet): Verdict {
    this.stats[STAT_DROP]++;
    this.log("nf_conntrack: no space for another flow in the state file, dropping packet");
    return p.drop(Reason["no-space"]);
  }

  /** A function that runs before a flow's record is given back, confirmed or not (nf_nat_cleanup). */
  registerDestroyFn(fn: (ct: number) => void): void {
    this.#destroyFns.push(fn);
  }

  /** Takes an expectation out of the table (nf_ct_unlink_expect). */
  protected unlinkExpect(exp: number): void {
    const e = this.expects.words, at = exp * EXP_WORDS;
    if ((e[at + EXP_STATE] & EXP_LINKED) === 0) return;
    const master = e[at + EXP_MASTER] - 1;
    this.flows.words[this.flows.side(master) + CT_EXPECTING] -= 1 << (e[at + EXP_CLASS] * 8);
    this.teller.expect(exp, IPEXP_DESTROY);
    this.expects.unlink(exp);
    this.stats[STAT_EXPECT_DELETE]++;
  }

  /** True when an expectation's time is over. */
  protected expectExpired(exp: number): boolean {
    return ((this.expects.words[exp * EXP_WORDS + EXP_EXPIRES] - this.clock.now) | 0) <= 0;
  }

  /** What must be undone before a record is given back. */
  #farewell(ct: number): void {
    // Most flows never expect others.
    if (this.flows.aside(ct, CT_EXPECTING) !== 0) {
      const e = this.expects.words;
      for (let exp = 0, high = this.expects.high; exp < high; exp++) {
        if (e[exp * EXP_WORDS + EXP_MASTER] === ct + 1) this.unlinkExpect(exp);
      }
    }
    const fns = this.#destroyFns;
    for (let i = 0; i < fns.length; i++) fns[i](ct);
  }
}

/** Packets went both ways for long enough: a flow, whose status is at hand, is not dropped early from now on. */
export function assure(t: Tracker, ct: number, status: number): void {
  if ((status & IPS_ASSURED) !== 0) return;
  t.flows.words[ct * FLOW_WORDS + CT_STATUS] |= IPS_ASSURED;
  t.teller.due(ct, IPCT_ASSURED);
}
