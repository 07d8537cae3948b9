/**
 * Connection tracking: which flow does a packet belong to, and in which role? (nf_conntrack)
 *
 * Overview: `in` gives every packet its flow, a new one if need be, and its relation to it (`p.ct`, `p.ctinfo`), or
 * neither, which is INVALID. `confirm`, the last stage of the path, lets the flow's helper read the packet, adjusts
 * its sequence numbers, and puts a new flow into the table.
 *
 * ```
 *             in                                  confirm                          refresh, delete, sweep
 *  packet ──▶ tuple ─ lookup ─┬─ found ─────────▶ helper ─ seqAdjust ─┬──────────▶ lives until its time is over
 *                             └─ new, UNCONFIRMED ▶ …                 └─ insert
 *                                 │ expected? → RELATED, master
 *                                 └ dropped on the way → `release`, no trace left
 * ```
 *
 * Life-cycle: a new flow belongs to its packet until confirm. So a packet that a rule drops leaves no trace, and NAT
 * may change the reply tuple before anybody can look it up.
 *
 * Limits: nf_conntrack_max flows. When they are used up, a flow that is not ASSURED in the new one's neighbourhood
 * makes room; if there is none the packet is dropped (`table-full`) and the sweep thins out what is easily missed. A flow
 * does not begin (`no-space`) where there is no memory for it.
 *
 * Conntrack does not know NAT: NAT's words ride in the record, and a function registered by NAT runs when one dies.
 */
import type { Random } from "../clock.ts";
import {
  ACCEPT,
  ctinfoDir,
  ESTABLISHED,
  ESTABLISHED_REPLY,
  type Family,
  GRE,
  ICMP,
  ICMPV6,
  IS_REPLY,
  NEW,
  NO_CT,
  ORIGINAL,
  PREROUTING,
  Reason,
  RELATED,
  RELATED_REPLY,
  REPLY,
  SCTP,
  TCP,
  UDP,
  UDPLITE,
  UNTRACKED,
  type Verdict,
} from "../netfilter.ts";
import { verifyTransport } from "../packet/checksum.ts";
import { icmpHeaderOk, isIcmp } from "../packet/icmp.ts";
import { type CtTemplate, type Packet, ZONE_FROM_MARK } from "../packet/packet.ts";
import { packetTuple } from "./extract.ts";
import {
  CT_EXPECTING,
  CT_EXPIRES,
  CT_HELPER,
  CT_MASTER,
  CT_ORIGINAL,
  CT_REPLY,
  CT_START,
  CT_STATE,
  CT_STATUS,
  CT_TIMEOUT_POLICY,
  FLOW_CONFIRMED,
  FLOW_UNCONFIRMED,
  FLOW_WORDS,
  hasFurtherWords,
  IPS_CONFIRMED,
  IPS_DUE,
  IPS_DYING,
  IPS_EVENTS,
  IPS_EXPECTED,
  IPS_HELPER,
  IPS_SEEN_REPLY,
  IPS_SEQ_ADJUST,
  IPS_SIDE,
  tupleAt,
} from "./flow.ts";
import type { HelperHostOptions } from "./helping.ts";
import { classify, goesTo, ICMP_INVALID, ICMP_QUERY, ICMP_UNTRACKED, quotedAnswer } from "./icmp_error.ts";
import { packet as genericPacket, timeouts as genericTimeouts } from "./proto/generic.ts";
import { packet as grePacket, timeouts as greTimeouts } from "./proto/gre.ts";
import { packet as icmpPacket, timeouts as icmpTimeouts } from "./proto/icmp.ts";
import { packet as icmpv6Packet, timeouts as icmpv6Timeouts } from "./proto/icmpv6.ts";
import { packet as sctpPacket, timeouts as sctpTimeouts } from "./proto/sctp.ts";
import { packet as tcpPacket, setClosing as tcpSetClosing, timeouts as tcpTimeouts } from "./proto/tcp.ts";
import { litePacket, packet as udpPacket, timeouts as udpTimeouts } from "./proto/udp.ts";
import { NO_ROOM, Reaper } from "./reaper.ts";
import { seqAdjust } from "./seqadj.ts";
import { NO_SPACE } from "./table.ts";
import { IPCT_REPLY } from "./teller.ts";
import {
  REPEAT,
  STAT_CLASH_RESOLVE,
  STAT_DROP,
  STAT_ERROR,
  STAT_FOUND,
  STAT_INSERT,
  STAT_INSERT_FAILED,
  STAT_INVALID,
  TRACKED,
} from "./tracker.ts";
import { copyTuple, invertTuple, newTuple, PORTS, PROTO, tupleEquals } from "./tuple.ts";

/** No flow for this packet. Beside it NO_ROOM, no room for its flow, and NO_SPACE, no memory for it. */
const NO_FLOW = -1;
/** Zone of a tuple in its last word. */
const ZONE_SHIFT = 16, NOT_ZONE = 0xffff;

/** What the tracker is made of. */
export interface ConntrackOptions extends HelperHostOptions {
  random: Random;
}

/** The connection tracker of one router. */
export class Conntrack extends Reaper {
  readonly random: Random;

  readonly #tcp: Int32Array;
  readonly #udp: Int32Array;
  readonly #icmp: Int32Array;
  readonly #icmpv6: Int32Array;
  readonly #sctp: Int32Array;
  readonly #gre: Int32Array;
  readonly #generic: Int32Array;
  /** Ports that helpers take flows of by themselves: protocol << 16 | port, index of the helper. */
  readonly #autoPorts: Int32Array;
  readonly #tuple = newTuple();
  readonly #reply = newTuple();
  /** The flow that `in` made last, the hash of its tuple, and when no other flow had that: see `FlowTable.inserted`. */
  #made = -1;
  #madeHash = 0;
  #madeAt = 0;
  /** The hash of `#reply`, and whether and when no flow had it. */
  #replyHash = 0;
  #replyFree = false;
  #replyFreeAt = 0;
  /** In the arena, one word: whether there ever was a flow whose directions are in different zones. */
  readonly #zoned: Int32Array;
  /** What `peek` found out: of which packet, the hash of its tuple, and the flow. */
  #peeked: Packet | null = null;
  #peekedHash = 0;
  #peekedFlow = -1;

  constructor(o: ConntrackOptions) {
    super(o);
    this.random = o.random;
    o.flows.accounting = this.accounting;
    o.flows.corrections.exact = o.sysctl.get("weir.seqadj_exact") !== 0;
    this.#tcp = tcpTimeouts(o.sysctl);
    this.#udp = udpTimeouts(o.sysctl);
    this.#icmp = icmpTimeouts(o.sysctl);
    this.#icmpv6 = icmpv6Timeouts(o.sysctl);
    this.#sctp = sctpTimeouts(o.sysctl);
    this.#gre = greTimeouts(o.sysctl);
    this.#generic = genericTimeouts(o.sysctl);
    const auto: number[] = [];
    o.helpers.forEach((helper, index) => {
      if (helper.autoAssign) {
        for (const port of helper.ports) auto.push((helper.protocol << 16) | port, index);
      }
    });
    this.#autoPorts = Int32Array.from(auto);
    this.#zoned = this.arena.int32(1);
    if (this.arena.fresh) {
      this.flows.wheel.begin(o.clock.now);
      this.expects.wheel.begin(o.clock.now);
    }
  }

  /**
   * Goes on with the memory that another process has left, before the first packet: the indices are made anew, and what
   * the records say of helpers, timeouts and expectations must fit this one's. Helpers and functions go by their
   * number, so each must have the one that it had; rules and timeout policies, too (`adoptNumbers`). `adopt` sees each
   * flow that goes on.
   */
  recover(adopt?: (ct: number) => void): void {
    const flows = this.flows, w = flows.words;
    const helpers = this.helpers.length, policies = this.timeoutPolicies;
    flows.rebuild(this.clock.now, (ct) => {
      const at = ct * FLOW_WORDS;
      if (w[at + CT_HELPER] > helpers) w[at + CT_HELPER] = 0;
      const policy = w[at + CT_TIMEOUT_POLICY];
      if (policy !== 0 && policies[policy - 1] === undefined) w[at + CT_TIMEOUT_POLICY] = 0;
      if ((w[at + CT_STATUS] & IPS_SIDE) !== 0) w[flows.side(ct) + CT_EXPECTING] = 0;
      if (zonesDiffer(w, at)) this.#zoned[0] = 1;
      if (!flows.corrections.exact) flows.releaseCorrections(ct);
      adopt?.(ct);
    });
    this.expects.rebuild(this.clock.now);
    this.adoptExpects(helpers);
  }

  /**
   * A flow's two directions may stand in different zones. Only then one tuple can name two flows, the later one hiding
   * the other, and what was found once need not be what is found now.
   */
  get zoned(): boolean {
    return this.#zoned[0] !== 0;
  }

  /**
   * The live flow and direction of a packet with tuple `t`, which is in zone 0: `ct << 1 | dir` or -1, before anybody has
   * judged the packet. Changes nothing. `in` will not look it up again, if it is the next packet that `in` gets
   * and its zone is 0.
   */
  peek(p: Packet, t: Int32Array): number {
    const hash = this.foresight.hash(t);
    if (this.foresight.newcomers) this.foresight.begin(hash, t, 0);
    const found = this.flows.findHashed(hash, t, 0);
    this.foresight.newcomers = found < 0;
    this.#peeked = null;
    if (found < 0) copyTuple(this.#tuple, 0, t, 0);
    else if (this.expired(found >> 1)) return -1;
    this.#peeked = p;
    this.#peekedHash = hash;
    this.#peekedFlow = found;
    return found;
  }

  /** What `peek` would say of a packet is known already: its flow and direction. */
  peeked(p: Packet, found: number): void {
    this.#peeked = p;
    this.#peekedFlow = found;
  }

  /** What `peek` has said is of no use any more. */
  forgetPeek(): void {
    this.#peeked = null;
  }

  /**
   * What `in` asks about a TCP or UDP packet from a device and its confirmed flow: TRACKED, or what `refused` is to be
   * told.
   */
  track(p: Packet, ct: number, ctinfo: number): number {
    this.flows.reclaim();
    return p.protocol === TCP
      ? tcpPacket(this, p, ct, ctinfo, this.#tcp)
      : udpPacket(this, p, ct, ctinfo, this.#udp);
  }

  /** Goes on as `in` does behind `track`, when it did not answer TRACKED. */
  refused(p: Packet, answer: number): Verdict {
    // Raw may have set it, as in front of `in`.
    p.ctinfo = ESTABLISHED;
    return answer === REPEAT ? this.#in(p, false) : this.#invalid();
  }

  /** PREROUTING and OUTPUT at -200 (nf_conntrack_in): sets p.ct and p.ctinfo. `p.hook` says which. */
  in(p: Packet): Verdict {
    const peeked = this.#peeked === p && p.hook === PREROUTING;
    this.#peeked = null;
    // Exempted by raw, or made by Weir for the sake of another packet and attached to its flow.
    if (p.ct !== NO_CT || p.ctinfo === UNTRACKED) return ACCEPT;
    // What PREROUTING sees comes from a device, so no other packet is on its way.
    if (p.hook === PREROUTING) this.flows.reclaim();
    p.ctinfo = ESTABLISHED;
    return this.#in(p, peeked);
  }

  #in(p: Packet, peeked: boolean): Verdict {
    const template = p.template;
    let zone = 0, zoneReply = 0;
    if (template !== null) {
      zone = template.zoneOriginal === ZONE_FROM_MARK ? p.mark & 0xffff : template.zoneOriginal;
      zoneReply = template.zoneReply === ZONE_FROM_MARK ? p.mark & 0xffff : template.zoneReply;
    }
    if (isIcmp(p)) {
      const sort = this.#sortIcmp(p);
      if (sort !== ICMP_QUERY) return this.#icmpError(p, sort, zone, zoneReply);
    }

    const t = this.#tuple;
    if ((zone | zoneReply) !== 0) peeked = false;
    for (;;) {
      let hash = this.#peekedHash, found = this.#peekedFlow;
      if (!peeked) {
        if (!packetTuple(p, zone, t)) return this.#invalid();
        hash = this.flows.hash(t, 0);
        if (this.foresight.newcomers) this.foresight.begin(hash, t, zoneReply);
        found = this.#lookup(hash, t, zone, zoneReply);
        this.foresight.newcomers = found < 0;
      }
      peeked = false;
      if (found < 0) {
        found = this.#create(p, hash, t, zoneReply, template);
        if (found === NO_ROOM) {
          this.stats[STAT_DROP]++;
          return p.drop(Reason["table-full"]);
        }
        if (found === NO_SPACE) return this.noSpace(p);
        if (found === NO_FLOW) return this.#invalid();
      }
      const ct = found >> 1, w = this.flows.words, at = ct * FLOW_WORDS;
      const status = w[at + CT_STATUS];
      const ctinfo = (found & 1) !== 0
        ? ESTABLISHED_REPLY
        : (status & IPS_SEEN_REPLY) !== 0
        ? ESTABLISHED
        : (status & IPS_EXPECTED) !== 0
        ? RELATED
        : NEW;
      const verdict = this.#packet(p, ct, ctinfo);
      if (verdict === TRACKED) {
        p.ct = ct;
        p.ctinfo = ctinfo;
        if (ctinfo === ESTABLISHED_REPLY && (status & IPS_SEEN_REPLY) === 0) {
          w[at + CT_STATUS] |= IPS_SEEN_REPLY;
          this.teller.due(ct, IPCT_REPLY);
        }
        return ACCEPT;
      }
      if (w[at + CT_STATE] === FLOW_UNCONFIRMED) this.discard(ct);
      if (verdict !== REPEAT) return this.#invalid();
    }
  }

  #invalid(): Verdict {
    this.stats[STAT_INVALID]++;
    return ACCEPT;
  }

  /** The protocol's opinion of the packet. */
  #packet(p: Packet, ct: number, ctinfo: number): number {
    switch (p.protocol) {
      case TCP:
        return tcpPacket(this, p, ct, ctinfo, this.#tcp);
      case UDP:
        return udpPacket(this, p, ct, ctinfo, this.#udp);
      case ICMP:
        return icmpPacket(this, p, ct, ctinfo, this.#icmp);
      case ICMPV6:
        return icmpv6Packet(this, p, ct, ctinfo, this.#icmpv6);
      case UDPLITE:
        return litePacket(this, p, ct, ctinfo, this.#udp);
      case SCTP:
        return sctpPacket(this, p, ct, ctinfo, this.#sctp);
      case GRE:
        return grePacket(this, p, ct, ctinfo, this.#gre);
      default:
        return genericPacket(this, p, ct, ctinfo, this.#generic);
    }
  }

  /** The live flow and direction that a tuple names, `ct << 1 | dir` or -1 (nf_conntrack_find_get). */
  find(tuple: Int32Array, at: number): number {
    return this.#find(this.flows.hash(tuple, at), tuple, at);
  }

  /** Flows whose time is over are deleted where they are met. */
  #find(hash: number, t: Int32Array, at: number): number {
    for (;;) {
      const found = this.flows.findHashed(hash, t, at);
      if (found < 0 || !this.expired(found >> 1)) return found;
      this.delete(found >> 1);
    }
  }

  /** `#find` in one direction. */
  #findDirection(hash: number, t: Int32Array, at: number, dir: number): number {
    for (;;) {
      const found = this.flows.findDirection(hash, t, at, dir);
      if (found < 0 || !this.expired(found >> 1)) return found;
      this.delete(found >> 1);
    }
  }

  /**
   * `find` for a packet whose template may put the directions into different zones: in the one zone it can only be
   * a flow's original direction, in the other its reply.
   */
  #lookup(hash: number, t: Int32Array, zone: number, zoneReply: number): number {
    if (zone === zoneReply) return this.#find(hash, t, 0);
    const found = this.#findDirection(hash, t, 0, ORIGINAL);
    if (found >= 0) return found;
    t[PROTO] = (t[PROTO] & NOT_ZONE) | (zoneReply << ZONE_SHIFT);
    const reply = this.#findDirection(this.flows.hash(t, 0), t, 0, REPLY);
    t[PROTO] = (t[PROTO] & NOT_ZONE) | (zone << ZONE_SHIFT);
    return reply;
  }

  #sortIcmp(p: Packet): number {
    if (p.fragmentOffset !== 0) return ICMP_INVALID;
    if (!icmpHeaderOk(p)) return this.#icmpInvalid(p, "short packet");
    if (this.checksum && p.hook === PREROUTING && !verifyTransport(p)) {
      return this.#icmpInvalid(p, "bad checksum");
    }
    return classify(p);
  }

  #icmpInvalid(p: Packet, why: string): number {
    this.invalid(p, why);
    return ICMP_INVALID;
  }

  /** An ICMP message that is no query: exempt, or RELATED to the flow that it speaks of. */
  #icmpError(p: Packet, sort: number, zone: number, zoneReply: number): Verdict {
    if (sort === ICMP_UNTRACKED) {
      p.ctinfo = UNTRACKED;
      return ACCEPT;
    }
    const t = this.#tuple;
    if (sort === ICMP_INVALID) {
      this.stats[STAT_ERROR]++;
      return ACCEPT;
    }
    if (!quotedAnswer(p, sort, zone, t)) return this.#icmpFailed(p, "no tuple");
    const found = this.#lookup(this.flows.hash(t, 0), t, zone, zoneReply);
    if (found < 0) return this.#icmpFailed(p, "no flow");
    const ct = found >> 1, dir = found & 1;
    if (!goesTo(p, this.flows.words, tupleAt(ct, dir))) return this.#icmpFailed(p, "outer daddr != inner");
    p.ct = ct;
    p.ctinfo = dir === ORIGINAL ? RELATED : RELATED_REPLY;
    return ACCEPT;
  }

  #icmpFailed(p: Packet, why: string): Verdict {
    this.invalid(p, why);
    this.stats[STAT_ERROR]++;
    return ACCEPT;
  }

  /** A new flow for a packet: `ct << 1`, NO_FLOW, NO_ROOM or NO_SPACE (init_conntrack). */
  #create(p: Packet, hash: number, t: Int32Array, zoneReply: number, template: CtTemplate | null): number {
    const flows = this.flows, reply = this.#reply;
    if (!invertTuple(reply, 0, t, 0)) return NO_FLOW;
    reply[PROTO] = (reply[PROTO] & NOT_ZONE) | (zoneReply << ZONE_SHIFT);
    this.#replyFree = false;
    if (this.max !== 0 && flows.count >= this.max && !this.earlyDrop(hash)) return this.full();
    const further = hasFurtherWords(p.protocol);
    let ct = flows.alloc(further);
    if (ct < 0 && p.hook === PREROUTING) {
      // What early drop or a reopened connection has left behind.
      flows.reclaim();
      ct = flows.alloc(further);
    }
    if (ct < 0) return ct === NO_SPACE ? ct : this.full();

    this.#made = ct;
    this.#madeHash = hash;
    this.#madeAt = flows.inserted;
    const w = flows.words, at = ct * FLOW_WORDS;
    copyTuple(w, at + CT_ORIGINAL, t, 0);
    copyTuple(w, at + CT_REPLY, reply, 0);
    if (zonesDiffer(w, at)) this.#zoned[0] = 1;
    if (this.accounting) flows.startCounters(ct);
    if (template !== null) w[at + CT_TIMEOUT_POLICY] = template.timeoutPolicy;
    if (this.heard[0] !== 0) this.teller.begin(ct, template);
    if (this.expects.count !== 0) {
      const exp = this.expected(t, zoneReply);
      if (exp >= 0) {
        this.welcome(ct, exp);
        return ct << 1;
      }
    }
    if (template === null || template.helper < 0) this.#autoAssign(ct);
    else if (this.#assign(ct, template.helper, IPS_HELPER)) this.noteRule(ct, template.rule);
    return ct << 1;
  }

  /**
   * Makes a timeout policy for flows of a protocol: seconds by state, where 0 leaves the default. Returns its number for
   * templates: that of the same timeouts, or of the same name.
   */
  timeoutPolicy(seconds: ArrayLike<number>, protocol: number, name = ""): number {
    const number = this.policies.give(seconds, protocol, name);
    this.#learnPolicy(number);
    return number;
  }

  /** Reads all policies, those of earlier rules included, which flows may still have. */
  learnPolicies(): void {
    for (let number = this.policies.count; number > 0; number--) this.#learnPolicy(number);
  }

  #learnPolicy(number: number): void {
    const given = this.policies.get(number);
    if (given === null) return;
    const policy = Int32Array.from(this.#defaults(given.protocol)), { seconds } = given;
    for (let i = 0; i < policy.length && i < seconds.length; i++) {
      if (seconds[i] > 0) policy[i] = seconds[i] * 1000;
    }
    this.timeoutPolicies[number - 1] = policy;
  }

  #defaults(protocol: number): Int32Array {
    switch (protocol) {
      case TCP:
        return this.#tcp;
      case UDP:
      case UDPLITE:
        return this.#udp;
      case ICMP:
        return this.#icmp;
      case ICMPV6:
        return this.#icmpv6;
      case SCTP:
        return this.#sctp;
      case GRE:
        return this.#gre;
      default:
        return this.#generic;
    }
  }

  /** Gives a flow a helper, if the helper serves such flows. */
  #assign(ct: number, index: number, status: number): boolean {
    const helper = this.helpers[index];
    const w = this.flows.words, at = ct * FLOW_WORDS, proto = w[at + CT_ORIGINAL + PROTO];
    if (!this.isLoaded(index)) return false;
    if (helper.protocol !== (proto & 0xff) || !helper.families.includes(((proto >> 8) & 0xff) as Family)) {
      return false;
    }
    w[at + CT_HELPER] = index + 1;
    w[at + CT_STATUS] |= status;
    return true;
  }

  /** The helper that takes flows to this server port by itself; which port that is shows in the answers. */
  #autoAssign(ct: number): void {
    const auto = this.#autoPorts;
    if (auto.length === 0) return;
    const w = this.flows.words, reply = tupleAt(ct, REPLY);
    const key = ((w[reply + PROTO] & 0xff) << 16) | (w[reply + PORTS] >>> 16);
    for (let i = 0; i < auto.length; i += 2) {
      if (auto[i] === key && this.#assign(ct, auto[i + 1], 0)) return;
    }
  }

  /**
   * Last thing in INPUT and POSTROUTING (nf_confirm): the helper reads the packet, its sequence numbers are adjusted,
   * and a new flow is published. Whether to adjust is settled before the helper runs, so the packet that causes the
   * first correction is not itself corrected.
   */
  confirm(p: Packet): Verdict {
    const ct = p.ct;
    if (ct === NO_CT) return ACCEPT;
    const w = this.flows.words, at = ct * FLOW_WORDS;
    const helper = w[at + CT_HELPER], adjust = w[at + CT_STATUS] & IPS_SEQ_ADJUST;
    if ((helper | adjust) !== 0 && p.ctinfo !== RELATED_REPLY && p.fragmentOffset === 0) {
      if (helper !== 0) {
        const verdict = this.help(p, ct, helper - 1);
        if (verdict !== ACCEPT) return verdict;
      }
      if (adjust !== 0 && !seqAdjust(this.flows, p, ct, p.ctinfo)) {
        this.stats[STAT_DROP]++;
        return p.drop(Reason["seqadj-failed"]);
      }
    }
    if (w[at + CT_STATE] === FLOW_UNCONFIRMED && p.ctinfo < IS_REPLY) return this.#publish(p, ct);
    if ((w[at + CT_STATUS] & IPS_DUE) !== 0) this.teller.deliver(ct);
    return ACCEPT;
  }

  /** Puts a new flow into the table, if neither of its tuples is there (__nf_conntrack_confirm). */
  #publish(p: Packet, ct: number): Verdict {
    const flows = this.flows, w = flows.words, at = ct * FLOW_WORDS;
    if ((w[at + CT_STATUS] & IPS_DYING) !== 0) {
      this.stats[STAT_INSERT_FAILED]++;
      return p.drop(Reason["insert-failed"]);
    }
    const oneZone = !zonesDiffer(w, at);
    // `in` has just looked for the one tuple and NAT for the other. Only if a flow has come in since then, as Weir's own
    // packets may begin one, there can be something now.
    const inserted = flows.inserted, asMade = oneZone && ct === this.#made && inserted === this.#madeAt;
    const asAsked = oneZone && this.#replyFree && inserted === this.#replyFreeAt &&
      tupleEquals(w, at + CT_REPLY, this.#reply, 0);
    const hash = asMade ? this.#madeHash : flows.hash(w, at + CT_ORIGINAL);
    const hashReply = asAsked ? this.#replyHash : this.foresight.hashReply(w, at + CT_REPLY);
    let found = asMade
      ? -1
      : oneZone
      ? this.#find(hash, w, at + CT_ORIGINAL)
      : this.#findDirection(hash, w, at + CT_ORIGINAL, ORIGINAL);
    if (found < 0 && !asAsked) {
      found = oneZone
        ? this.#find(hashReply, w, at + CT_REPLY)
        : this.#findDirection(hashReply, w, at + CT_REPLY, REPLY);
    }
    if (found >= 0) return this.#clash(p, ct, found >> 1);
    if (!this.hasPlace(ct)) return this.noSpace(p);
    // The time runs from now on, not from when it was first set.
    w[at + CT_EXPIRES] = (w[at + CT_EXPIRES] + this.clock.now) | 0;
    w[at + CT_STATUS] |= IPS_CONFIRMED;
    if (this.timestamp) w[flows.side(ct) + CT_START] = Math.floor(this.clock.wall);
    flows.insertHashed(ct, hash, hashReply);
    this.foresight.note(w, at);
    flows.wheel.hang(ct, w[at + CT_EXPIRES]);
    this.stats[STAT_INSERT]++;
    if ((w[at + CT_STATUS] & IPS_EVENTS) !== 0) this.teller.born(ct);
    return ACCEPT;
  }

  /**
   * The place is taken. UDP packets of one socket can be on their way at the same time: if the flow in the table is
   * the same, or the same seen from the other side, the packet takes that one (nf_ct_resolve_clash). Else it is dropped.
   */
  #clash(p: Packet, ct: number, winner: number): Verdict {
    const w = this.flows.words, original = tupleAt(ct, ORIGINAL), reply = tupleAt(ct, REPLY);
    const there = tupleAt(winner, ORIGINAL), back = tupleAt(winner, REPLY);
    const same = tupleEquals(w, original, w, there) && tupleEquals(w, reply, w, back) ||
      tupleEquals(w, original, w, back) && tupleEquals(w, reply, w, there);
    if ((p.protocol === UDP || p.protocol === UDPLITE) && same) {
      this.account(winner, p.ctinfo, p);
      this.discard(ct);
      p.ct = winner;
      this.stats[STAT_CLASH_RESOLVE]++;
      return ACCEPT;
    }
    this.stats[STAT_DROP]++;
    this.stats[STAT_INSERT_FAILED]++;
    return p.drop(Reason["insert-failed"]);
  }

  /** A packet died: an unconfirmed flow dies with it. Safe to call for any packet. */
  release(p: Packet): void {
    const ct = p.ct;
    if (ct === NO_CT) return;
    p.ct = NO_CT;
    // A packet that is only attached to another's flow is in the reply direction and does not own it.
    if (p.ctinfo < IS_REPLY && this.flows.words[ct * FLOW_WORDS + CT_STATE] === FLOW_UNCONFIRMED) {
      this.discard(ct);
    }
    p.ctinfo = ESTABLISHED;
  }

  /** Gives a TCP reset or ICMP error that Weir makes the flow of the packet that caused it (nf_conntrack_attach). */
  attach(made: Packet, cause: Packet): void {
    if (cause.ct === NO_CT) {
      // Linux then leaves a trace in the new packet that raw's targets take for a flow.
      if (cause.ctinfo === UNTRACKED) made.ctinfo = RELATED;
      return;
    }
    made.ct = cause.ct;
    made.ctinfo = ctinfoDir(cause.ctinfo) === ORIGINAL ? RELATED_REPLY : RELATED;
  }

  /**
   * A TCP reset that Weir makes ends the connection of its cause. Tracking does not see the reset, so it is said here
   * (nf_conntrack_tcp_set_closing).
   */
  setClosing(cause: Packet): void {
    const ct = cause.ct;
    if (ct === NO_CT || this.flows.words[ct * FLOW_WORDS + CT_STATE] !== FLOW_CONFIRMED) return;
    tcpSetClosing(this, ct, this.#tcp);
  }

  /**
   * True when the answer to `tuple` would be taken for another flow's (nf_nat_used_tuple). `tuple` is as the opener's
   * packets would leave, after NAT; it is inverted here, and looked for in the reply zone of `ignored`, the flow for
   * which the question is asked and which does not count itself.
   */
  tupleTaken(tuple: Int32Array, at: number, ignored: number): boolean {
    const w = this.flows.words, reply = this.#reply;
    this.#replyFree = false;
    if (!invertTuple(reply, 0, tuple, at)) return false;
    reply[PROTO] = (reply[PROTO] & NOT_ZONE) | (w[tupleAt(ignored, REPLY) + PROTO] & ~NOT_ZONE);
    const oneZone = ((w[tupleAt(ignored, ORIGINAL) + PROTO] ^ reply[PROTO]) & ~NOT_ZONE) === 0;
    const hash = this.#replyHash = this.foresight.hashReply(reply, 0);
    const found = oneZone ? this.#find(hash, reply, 0) : this.#findDirection(hash, reply, 0, REPLY);
    this.#replyFree = oneZone && found < 0;
    this.#replyFreeAt = this.flows.inserted;
    if (found < 0 || (found >> 1) === ignored) return false;
    // The same flow, begun twice by packets that were on their way together: confirm sorts that out.
    if (tupleEquals(w, tupleAt(ignored, ORIGINAL), w, tupleAt(found >> 1, ORIGINAL))) return false;
    this.stats[STAT_FOUND]++;
    return true;
  }

  /**
   * NAT changes what answers look like before confirm: `tuple` is the new reply tuple itself
   * (nf_conntrack_alter_reply). Its zone stays. A helper that was chosen by port is chosen anew, since the port may have
   * been translated; one given by a rule or to an expected flow stays.
   */
  alterReply(ct: number, tuple: Int32Array, at: number): void {
    const w = this.flows.words, record = ct * FLOW_WORDS, reply = record + CT_REPLY;
    const zone = w[reply + PROTO] & ~NOT_ZONE;
    copyTuple(w, reply, tuple, at);
    w[reply + PROTO] = (w[reply + PROTO] & NOT_ZONE) | zone;
    if (this.flows.aside(ct, CT_MASTER) !== 0 || this.flows.aside(ct, CT_EXPECTING) !== 0) return;
    if ((w[record + CT_STATUS] & IPS_HELPER) !== 0 || this.#autoPorts.length === 0) return;
    w[record + CT_HELPER] = 0;
    this.#autoAssign(ct);
  }
}

/** A flow's two directions are in different zones. */
function zonesDiffer(w: Int32Array, at: number): boolean {
  return ((w[at + CT_ORIGINAL + PROTO] ^ w[at + CT_REPLY + PROTO]) & ~NOT_ZONE) !== 0;
}
