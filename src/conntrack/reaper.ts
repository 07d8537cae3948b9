/**
 * The ends that no packet of the flow itself brings: its time is over, the table is full, or somebody asks for it.
 *
 * Overview: `sweep` runs once per batch and takes what the wheel says is due, a slice at a time, so that no packet
 * waits for many ends. When the table is full, a new flow takes the place of one near it (`earlyDrop`) or is refused
 * (`full`); the sweep then goes once through the table and thins it out until it is below 95 % (gc_worker).
 */
import { SCTP, TCP } from "../netfilter.ts";
import {
  CT_EXPIRES,
  CT_ID,
  CT_ORIGINAL,
  CT_REPLY,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_WORDS,
  IPS_ASSURED,
} from "./flow.ts";
import { Foresight, type TouchFn } from "./foresight.ts";
import { HelperHost, type HelperHostOptions } from "./helping.ts";
import { canEarlyDrop as sctpCanEarlyDrop } from "./proto/sctp.ts";
import { canEarlyDrop as tcpCanEarlyDrop } from "./proto/tcp.ts";
import { STAT_EARLY_DROP } from "./tracker.ts";
import { PROTO } from "./tuple.ts";

/** Of a new flow: no room for it. */
export const NO_ROOM = -2;
/** Slots of the index that early drop looks at: eight of Linux's buckets with two entries each, half full. */
const EVICTION_RANGE = 32;
/** The sweep deletes no more flows at once, and looks at no more when it thins the table out: half a millisecond. */
const SWEEP_MOST = 256, THIN_MOST = 2048;
/** Flows that the sweep looks at together. */
const SWEEP_TOGETHER = 16;
/** In the arena: whether the table was full lately, and where thinning goes on. */
const THIN = 0, THIN_AT = 1, SHARED_WORDS = 2;

/** A tracker whose flows come to their ends. */
export abstract class Reaper extends HelperHost {
  /** Most flows (nf_conntrack_max); 0 for no limit but the memory's. */
  readonly max: number;
  /** What packets will need of the indices. */
  readonly foresight: Foresight;
  /** Where `flush` stopped: the handle to go on behind, -1 at the end. */
  flushed = -1;
  /** Flows whose time is over, and the hashes of their tuples; see `#sweepSome`. */
  readonly #due = new Int32Array(SWEEP_TOGETHER);
  readonly #dueHashes = new Int32Array(SWEEP_TOGETHER * 2);
  /** THIN, THIN_AT. */
  readonly #shared: Int32Array;

  constructor(o: HelperHostOptions) {
    super(o);
    this.max = o.sysctl.get("net.netfilter.nf_conntrack_max");
    this.foresight = new Foresight(o.flows);
    this.#shared = this.arena.int32(SHARED_WORDS);
  }

  /** A function that fetches what NAT needs of its own index (see `Foresight`). */
  registerTouchFn(fn: TouchFn): void {
    this.foresight.register(fn);
  }

  /** Refuses a new flow: has the table thinned out, and says NO_ROOM. */
  protected full(): number {
    this.#shared[THIN] = 1;
    this.log("nf_conntrack: nf_conntrack: table full, dropping packet");
    return NO_ROOM;
  }

  /** Makes room near a new flow's place: something expired or not ASSURED goes (early_drop). */
  protected earlyDrop(hash: number): boolean {
    const flows = this.flows, w = flows.words;
    for (let n = 0; n < EVICTION_RANGE; n++) {
      const ct = flows.neighbour(hash, n);
      if (ct < 0) continue;
      if (!this.expired(ct)) {
        if ((w[ct * FLOW_WORDS + CT_STATUS] & IPS_ASSURED) !== 0) continue;
        this.stats[STAT_EARLY_DROP]++;
      }
      this.delete(ct);
      return true;
    }
    return false;
  }

  /**
   * Bounded slice of expiry; called once per batch. True when more is due than fits. While the table has lately been
   * full, and until it is below 95 %, flows that are not ASSURED or are closing go too (gc_worker).
   */
  sweep(): boolean {
    const flows = this.flows, now = this.clock.now, shared = this.#shared;
    flows.reclaim();
    if (shared[THIN] !== 0) this.#thin();
    const more = this.sweepExpects(SWEEP_MOST);
    let n = 0, taken: number;
    do {
      taken = this.#sweepSome(now);
      n += taken;
    } while (taken === SWEEP_TOGETHER && n < SWEEP_MOST);
    flows.reclaim();
    return more || n >= SWEEP_MOST || shared[THIN] !== 0;
  }

  /**
   * Looks at a few flows whose time may be over; how many. Step by step for all of them, as each step waits for memory,
   * and together they wait no longer than one.
   */
  #sweepSome(now: number): number {
    const flows = this.flows, w = flows.words, due = this.#due, hashes = this.#dueHashes;
    let n = 0, expired = 0;
    for (let ct; n < SWEEP_TOGETHER && (ct = flows.wheel.next(now)) >= 0; n++) {
      due[n] = ct;
      flows.touchRecord(ct);
    }
    for (let i = 0; i < n; i++) {
      const ct = due[i], at = ct * FLOW_WORDS;
      if (w[at + CT_STATE] !== FLOW_CONFIRMED) continue;
      if (((w[at + CT_EXPIRES] - now) | 0) > 0) {
        flows.wheel.hang(ct, w[at + CT_EXPIRES]);
        continue;
      }
      hashes[2 * expired] = flows.hash(w, at + CT_ORIGINAL);
      hashes[2 * expired + 1] = flows.hash(w, at + CT_REPLY);
      due[expired++] = ct;
    }
    this.foresight.end(due, hashes, expired);
    for (let i = 0; i < expired; i++) this.deleteHashed(due[i], hashes[2 * i], hashes[2 * i + 1]);
    return n;
  }

  /** Deletes a flow that somebody has seen in the table: false when it is not there any more. */
  deleteSeen(ct: number, id: number): boolean {
    const { words, capacity } = this.flows, at = ct * FLOW_WORDS;
    if (ct < 0 || ct >= capacity || words[at + CT_STATE] !== FLOW_CONFIRMED || words[at + CT_ID] !== id) {
      return false;
    }
    this.delete(ct);
    return true;
  }

  /** Deletes all flows of the slice behind `last` (-1 to begin): how many. `flushed` says where to go on. */
  flush(last: number): number {
    const { flows } = this, w = flows.words;
    let deleted = 0, ct = last;
    for (let n = 0; n < SWEEP_MOST && (ct = flows.next(ct)) >= 0; n++) {
      if (w[ct * FLOW_WORDS + CT_STATE] !== FLOW_CONFIRMED) continue;
      this.delete(ct);
      deleted++;
    }
    this.flushed = ct;
    return deleted;
  }

  /** A slice of the way once through the table, that makes room. */
  #thin(): void {
    const flows = this.flows, w = flows.words, shared = this.#shared;
    const target = Math.floor((this.max || flows.capacity) / 100) * 95;
    let last = shared[THIN_AT] - 1, deleted = 0;
    for (let n = 0; n < THIN_MOST && deleted < SWEEP_MOST; n++) {
      const ct = last = flows.next(last);
      if (ct < 0 || flows.count <= target) {
        shared[THIN] = 0;
        last = -1;
        break;
      }
      if (w[ct * FLOW_WORDS + CT_STATE] !== FLOW_CONFIRMED) continue;
      if (!this.expired(ct) && !this.#expendable(ct)) continue;
      this.delete(ct);
      deleted++;
    }
    shared[THIN_AT] = last + 1;
  }

  #expendable(ct: number): boolean {
    const w = this.flows.words, at = ct * FLOW_WORDS;
    if ((w[at + CT_STATUS] & IPS_ASSURED) === 0) return true;
    const protocol = w[at + CT_ORIGINAL + PROTO] & 0xff;
    return protocol === TCP ? tcpCanEarlyDrop(w, at) : protocol === SCTP && sctpCanEarlyDrop(w, at);
  }
}
