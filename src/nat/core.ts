/**
 * Network address translation, built on connection tracking (nf_nat_core).
 *
 * Overview: the first packet of a flow asks the nat table, once for its destination and once for its source; the
 * answer is written into the flow's reply tuple. Every later packet, in both directions, is rewritten from the flow's
 * two tuples without asking anybody.
 *
 * ```
 *               PREROUTING, OUTPUT                       POSTROUTING, INPUT
 *  original     destination := reply.source              source := reply.destination
 *  reply        destination := original.source           source := original.destination
 * ```
 *
 * Life-cycle of a binding: no *_NAT_DONE bit → rules → `natSetupInfo` (the rules' target calls it, or the null
 * binding does) → *_NAT_DONE, and *_NAT when the tuple changed → confirm makes it final. A null binding keeps the
 * address but may change the source port, when another flow's answers could not be told from this flow's.
 *
 * Limits: packets without a flow (INVALID, UNTRACKED) pass untouched. Rules that change later do not touch old flows.
 */
import type { Conntrack } from "../conntrack/core.ts";
import * as flowModule from "../conntrack/flow.ts";
import { invertTuple, newTuple, tupleEquals } from "../conntrack/tuple.ts";
import * as tupleModule from "../conntrack/tuple.ts";
import { ctinfoDir, type Family, Reason, type Verdict } from "../netfilter.ts";
import * as netfilterModule from "../netfilter.ts";
import { isIcmp } from "../packet/icmp.ts";
import type { Packet } from "../packet/packet.ts";
import { BySource } from "./bysource.ts";
import { addressOffset } from "./checksum.ts";
import { natFollowMaster } from "./helper.ts";
import * as helperModule from "./helper.ts";
import { icmpReplyTranslation, manipStatus } from "./icmp.ts";
import { manipPacket } from "./manip.ts";
import { isMapped, Mappings } from "./mapping.ts";
import { type Manip, manipOfHook } from "./maniptype.ts";
import * as maniptypeModule from "./maniptype.ts";
import { NatRange } from "./range.ts";
import * as rangeModule from "./range.ts";
import { isService, UniqueTuples } from "./unique.ts";

// Constants of this module, not imports: each new flow reads them (CONTRIBUTING.md).
const {
  CT_NAT_INTERFACE,
  CT_ORIGINAL,
  CT_REPLY,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_WORDS,
  IPS_DST_NAT,
  IPS_DST_NAT_DONE,
  IPS_MAPPED,
  IPS_SRC_NAT,
  IPS_SRC_NAT_DONE,
} = flowModule;
const { DST, PORTS, PROTO, SRC } = tupleModule;
const {
  ACCEPT,
  DROP,
  ESTABLISHED,
  ESTABLISHED_REPLY,
  ICMP,
  ICMPV6,
  NO_CT,
  ORIGINAL,
  OUTPUT,
  POSTROUTING,
  PREROUTING,
  RELATED,
  RELATED_REPLY,
} = netfilterModule;
const { EXPECT_FOLLOW_MASTER } = helperModule;
const { MANIP_DST, MANIP_SRC } = maniptypeModule;
const { RANGE_MAP_IPS, RANGE_PROTO_SPECIFIED } = rangeModule;

/** The nat table, as NAT sees it. */
export interface NatRules {
  /**
   * Judges the first packet of a flow in the chain of `p.hook`. A target that translates calls `natSetupInfo`, or
   * one of the methods named after it. ACCEPT goes on, anything else ends the packet.
   */
  nat(p: Packet): Verdict;
}

/** The router's own addresses, for targets that name none; `Interfaces` is one. */
export interface AddressSource {
  /**
   * The address that the router would send from by `iface` towards the address at `at` in `words` (all zero: no
   * preference), four words into `out`. False when there is none (inet_select_addr, ipv6_dev_get_saddr).
   */
  selectSource(
    family: Family,
    iface: number,
    words: Int32Array,
    at: number,
    out: Int32Array,
    outAt: number,
  ): boolean;
  /** The address of `iface` that REDIRECT sends packets for the destination in `words` to. */
  redirectAddress(family: Family, iface: number, words: Int32Array, out: Int32Array): boolean;
}

const current = newTuple(), next = newTuple(), reply = newTuple();
const destination = new Int32Array(4), chosen = new Int32Array(4);
const LOOPBACK_4 = Int32Array.of(0x7f000001, 0, 0, 0), LOOPBACK_6 = Int32Array.of(0, 0, 0, 1);

/** NAT of one router. */
export class Nat {
  /** The flows that it binds. */
  readonly conntrack: Conntrack;
  readonly #addresses: AddressSource;
  readonly #rules: NatRules;
  readonly #bySource: BySource;
  readonly #unique: UniqueTuples;
  /** Null: a mapping is what a flow says, as in Linux. */
  readonly #mappings: Mappings | null;
  /** Mappings take packets from everybody outside. */
  readonly #open: boolean;
  readonly #range = new NatRange();

  /** Makes NAT of a router; it hooks itself into conntrack. `addresses` are for MASQUERADE and REDIRECT. */
  constructor(conntrack: Conntrack, addresses: AddressSource, rules: NatRules) {
    this.conntrack = conntrack;
    this.#addresses = addresses;
    this.#rules = rules;
    this.#bySource = new BySource(conntrack.flows, conntrack.random, conntrack.arena);
    const independent = conntrack.sysctl.get("weir.nat_endpoint_independent");
    this.#mappings = independent === 0
      ? null
      : new Mappings(conntrack.flows, conntrack.random, conntrack.arena);
    this.#open = independent === 2;
    this.#unique = new UniqueTuples(conntrack, this.#bySource, this.#mappings);
    const number = conntrack.registerExpectFn((ct, exp) => natFollowMaster(this, ct, exp));
    if (number !== EXPECT_FOLLOW_MASTER) {
      throw new Error("NAT must register its function before other parts do");
    }
    conntrack.registerTouchFn((t, at) => this.#bySource.touch(t, at));
    conntrack.registerDestroyFn((ct) => this.#forget(ct));
  }

  /** After a restart on the same memory: a flow goes on. */
  adopt(ct: number): void {
    this.#bySource.adopt(ct);
  }

  /** After `adopt` has seen all that go on, and the flow table is rebuilt. */
  rebuild(): void {
    this.#bySource.rebuild();
    this.#mappings?.rebuild();
  }

  /** What the nat hooks do with a packet (nf_nat_inet_fn and its families' wrappers); `p.hook` says which hook. */
  manip(p: Packet): Verdict {
    const ct = p.ct;
    if (ct === NO_CT) return ACCEPT;
    const w = this.conntrack.flows.words, at = ct * FLOW_WORDS, ctinfo = p.ctinfo;
    const manip = manipOfHook(p.hook), dir = ctinfoDir(ctinfo);
    if (ctinfo !== ESTABLISHED && ctinfo !== ESTABLISHED_REPLY) {
      if ((ctinfo === RELATED || ctinfo === RELATED_REPLY) && isIcmp(p)) {
        if (icmpReplyTranslation(p, w, at, dir, manip)) return ACCEPT;
        return p.drop(Reason["nat-icmp-failed"]);
      }
      const done = manip === MANIP_SRC ? IPS_SRC_NAT_DONE : IPS_DST_NAT_DONE;
      if ((w[at + CT_STATUS] & done) === 0) {
        const verdict = this.#rules.nat(p);
        if (verdict !== ACCEPT) return verdict;
        if ((w[at + CT_STATUS] & done) === 0 && this.#unruled(p, ct, manip) !== ACCEPT) {
          return p.drop(Reason["nat-no-port"]);
        }
        if (this.#mappings !== null && p.hook === POSTROUTING) this.#mappings.leavesBy(ct, p.outInterface);
        return this.#rewrite(p, w, at, dir, manip);
      }
    }
    if (
      w[at + CT_NAT_INTERFACE] !== 0 && w[at + CT_NAT_INTERFACE] !== p.outInterface && dir === ORIGINAL &&
      p.hook === POSTROUTING
    ) {
      // The flow was given the address of another interface: its answers would come back by that one.
      this.conntrack.delete(ct);
      return p.drop(Reason["nat-oif-changed"]);
    }
    return this.#rewrite(p, w, at, dir, manip);
  }

  /** Binds one half of a flow that is not yet confirmed to something within the range (nf_nat_setup_info). */
  natSetupInfo(ct: number, range: NatRange, manip: Manip): Verdict {
    const w = this.conntrack.flows.words, at = ct * FLOW_WORDS;
    if (w[at + CT_STATE] === FLOW_CONFIRMED) return ACCEPT;
    const done = manip === MANIP_SRC ? IPS_SRC_NAT_DONE : IPS_DST_NAT_DONE;
    if ((w[at + CT_STATUS] & done) !== 0) return DROP;
    invertTuple(current, 0, w, at + CT_REPLY);
    if (!this.#unique.get(next, current, range, ct, manip)) return DROP;
    if (!tupleEquals(next, 0, current, 0)) {
      invertTuple(reply, 0, next, 0);
      this.conntrack.alterReply(ct, reply, 0);
      w[at + CT_STATUS] |= manip === MANIP_SRC ? IPS_SRC_NAT : IPS_DST_NAT;
    }
    if (manip === MANIP_SRC) {
      this.#bySource.add(ct);
      this.#mappings?.bind(ct);
    }
    w[at + CT_STATUS] |= done;
    return ACCEPT;
  }

  /** SNAT: the source becomes something in the range. */
  snat(p: Packet, range: NatRange): Verdict {
    return this.#bound(p, this.natSetupInfo(p.ct, range, MANIP_SRC));
  }

  /** DNAT: the destination becomes something in the range. */
  dnat(p: Packet, range: NatRange): Verdict {
    return this.natSetupInfo(p.ct, range, MANIP_DST);
  }

  /** MASQUERADE: the source becomes the outgoing interface's address; the flow dies with the interface. */
  masquerade(p: Packet, range: NatRange): Verdict {
    const w = this.conntrack.flows.words, at = p.ct * FLOW_WORDS;
    // A host without an address that looks for one; it is not to be given ours.
    if (p.family === 4 && w[at + CT_ORIGINAL + SRC] === 0) return ACCEPT;
    readAddress(p, MANIP_DST, destination);
    if (!this.#addresses.selectSource(p.family, p.outInterface, destination, 0, chosen, 0)) {
      return p.drop(Reason["nat-no-address"]);
    }
    w[at + CT_NAT_INTERFACE] = p.outInterface;
    return this.#bound(p, this.natSetupInfo(p.ct, this.#exactly(chosen, 0, range), MANIP_SRC));
  }

  /** REDIRECT: the destination becomes the router itself, by the incoming interface's first address. */
  redirect(p: Packet, range: NatRange): Verdict {
    let address = p.family === 4 ? LOOPBACK_4 : LOOPBACK_6;
    if (p.hook !== OUTPUT) {
      address = chosen;
      readAddress(p, MANIP_DST, destination);
      if (!this.#addresses.redirectAddress(p.family, p.inInterface, destination, chosen)) {
        return p.drop(Reason["nat-no-address"]);
      }
    }
    return this.natSetupInfo(p.ct, this.#exactly(address, 0, range), MANIP_DST);
  }

  /** NETMAP: another network, the same host; which half follows from the hook. */
  netmap(p: Packet, range: NatRange): Verdict {
    const manip = manipOfHook(p.hook);
    readAddress(p, manip, chosen);
    for (let i = 0; i < 4; i++) {
      const host = range.min[i] ^ range.max[i];
      chosen[i] = (chosen[i] & host) | (range.min[i] & ~host);
    }
    return this.natSetupInfo(p.ct, this.#exactly(chosen, 0, range), manip);
  }

  /** An interface went down: flows masqueraded there are gone (masq_device_event). */
  interfaceDown(interfaceIndex: number): void {
    this.#deleteMasqueraded(interfaceIndex, null, 0);
  }

  /** An interface lost an address: flows masqueraded behind it are gone (masq_inet_event). */
  addressRemoved(interfaceIndex: number, words: Int32Array, at: number): void {
    this.#deleteMasqueraded(interfaceIndex, words, at);
  }

  /** What happens to a half of a flow that no rule speaks of: it stays as it is, or a mapping knows better. */
  #unruled(p: Packet, ct: number, manip: Manip): Verdict {
    if (this.#mappings !== null) {
      if (p.hook === PREROUTING) return this.#inbound(p, this.#mappings, ct);
      if (p.hook === POSTROUTING) return this.#hairpin(p, this.#mappings, ct);
    }
    return this.#nullBinding(ct, manip);
  }

  /**
   * A packet to the outside of a mapping goes to its inside: from inside always (hairpinning; RFC 4787, REQ-9), from
   * outside when mappings are open to everybody (endpoint-independent filtering; REQ-8).
   */
  #inbound(p: Packet, mappings: Mappings, ct: number): Verdict {
    const w = this.conntrack.flows.words, at = ct * FLOW_WORDS;
    const ping = p.protocol === ICMP || p.protocol === ICMPV6; // for the router itself
    const mapping = ping || !isMapped(p.protocol) ? -1 : mappings.ofDestination(w, at + CT_ORIGINAL);
    if (mapping < 0 || !mappings.translates(mapping)) return this.#nullBinding(ct, MANIP_DST);
    const outside = mappings.interfaceOf(mapping);
    if (!this.#open && (outside === 0 || outside === p.inInterface)) return this.#nullBinding(ct, MANIP_DST);
    const range = this.#range, inner = mappings.innerAt(mapping), port = mappings.words[inner + 4];
    range.flags = RANGE_MAP_IPS | RANGE_PROTO_SPECIFIED;
    range.setAddress(mappings.words, inner);
    range.minPort = range.maxPort = port;
    const verdict = this.natSetupInfo(ct, range, MANIP_DST);
    if (verdict === ACCEPT) {
      w[at + CT_STATUS] |= IPS_MAPPED;
      mappings.join(ct, mapping);
    }
    return verdict;
  }

  /**
   * A packet from inside to the outside of a mapping comes from its own outside, too ("external source IP address and
   * port"; RFC 4787, REQ-9a): from what the rules give it when it really leaves by that interface.
   */
  #hairpin(p: Packet, mappings: Mappings, ct: number): Verdict {
    const mapping = mappings.joined(ct), outside = mapping < 0 ? 0 : mappings.interfaceOf(mapping);
    if (mapping < 0 || outside === p.inInterface) return this.#nullBinding(ct, MANIP_SRC);
    if (outside === 0) { // forgotten: only what goes back where it came from is sure to be from inside
      if (p.inInterface !== p.outInterface) return this.#nullBinding(ct, MANIP_SRC);
      const range = this.#range;
      range.flags = RANGE_MAP_IPS;
      range.setAddress(mappings.words, mappings.outerAt(mapping));
      return this.natSetupInfo(ct, range, MANIP_SRC);
    }
    const w = this.conntrack.flows.words, at = ct * FLOW_WORDS, out = p.outInterface;
    p.outInterface = outside;
    const verdict = this.#rules.nat(p);
    p.outInterface = out;
    w[at + CT_NAT_INTERFACE] = 0; // it does not leave there after all
    if (verdict !== ACCEPT) return verdict;
    if ((w[at + CT_STATUS] & IPS_SRC_NAT_DONE) === 0) return this.#nullBinding(ct, MANIP_SRC);
    mappings.leavesBy(ct, outside);
    return ACCEPT;
  }

  /** A verdict, with the reason when no mapping was left. */
  #bound(p: Packet, verdict: Verdict): Verdict {
    return verdict === DROP && this.#mappings !== null ? p.drop(Reason["nat-no-port"]) : verdict;
  }

  /** Same address as now; only the source port may change, if it must, or an identifier. */
  #nullBinding(ct: number, manip: Manip): Verdict {
    const w = this.conntrack.flows.words, at = ct * FLOW_WORDS;
    if (manip === MANIP_DST && isService(w[at + CT_ORIGINAL + PROTO] & 0xff)) {
      if (w[at + CT_STATE] !== FLOW_CONFIRMED) w[at + CT_STATUS] |= IPS_DST_NAT_DONE;
      return ACCEPT;
    }
    const range = this.#range;
    range.flags = RANGE_MAP_IPS;
    range.setAddress(w, at + CT_REPLY + (manip === MANIP_SRC ? DST : SRC));
    return this.natSetupInfo(ct, range, manip);
  }

  /** The scratch range of one address with a rule's flags and ports. */
  #exactly(words: Int32Array, at: number, rule: NatRange): NatRange {
    const range = this.#range;
    range.flags = rule.flags | RANGE_MAP_IPS;
    range.setAddress(words, at);
    range.setPorts(rule);
    return range;
  }

  /** Writes what the flow's tuples say into a packet (nf_nat_packet). */
  #rewrite(p: Packet, w: Int32Array, at: number, dir: number, manip: Manip): Verdict {
    if ((w[at + CT_STATUS] & manipStatus(manip, dir)) === 0) return ACCEPT;
    const other = at + (dir === ORIGINAL ? CT_REPLY : CT_ORIGINAL), ports = w[other + PORTS];
    const protocol = w[other + PROTO] & 0xff;
    const high = manip === MANIP_DST || protocol === ICMP || protocol === ICMPV6;
    const address = other + (manip === MANIP_SRC ? DST : SRC);
    const l4 = p.fragmentOffset === 0 ? p.l4 : -1;
    if (manipPacket(p, 0, l4, protocol, manip, w, address, high ? ports >>> 16 : ports & 0xffff)) {
      return ACCEPT;
    }
    return p.drop(Reason["nat-mangle-failed"]);
  }

  #forget(ct: number): void {
    if ((this.conntrack.flows.words[ct * FLOW_WORDS + CT_STATUS] & IPS_SRC_NAT_DONE) !== 0) {
      this.#bySource.remove(ct);
    }
    this.#mappings?.leave(ct);
  }

  #deleteMasqueraded(interfaceIndex: number, words: Int32Array | null, from: number): void {
    const flows = this.conntrack.flows, w = flows.words;
    for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) {
      const at = ct * FLOW_WORDS;
      if (w[at + CT_STATE] !== FLOW_CONFIRMED || w[at + CT_NAT_INTERFACE] !== interfaceIndex) continue;
      if (words !== null && !sameAddress(w, at + CT_REPLY + DST, words, from)) continue;
      this.conntrack.delete(ct);
    }
  }
}

function readAddress(p: Packet, manip: Manip, out: Int32Array): void {
  const from = addressOffset(p, manip);
  for (let i = 0; i < 4; i++) out[i] = i === 0 || p.family === 6 ? p.view.getInt32(from + i * 4) : 0;
}

function sameAddress(a: Int32Array, aAt: number, b: Int32Array, bAt: number): boolean {
  return a[aAt] === b[bAt] && a[aAt + 1] === b[bAt + 1] && a[aAt + 2] === b[bAt + 2] &&
    a[aAt + 3] === b[bAt + 3];
}
