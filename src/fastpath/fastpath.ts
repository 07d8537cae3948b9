/**
 * The fast path: what a flow's packets have in common is decided once.
 *
 * Overview: most packets belong to flows that many packets of the same kind have gone before. All of them come from the
 * same interface, take the same route, are rewritten from the same two tuples, meet the same rules and move the same
 * counters. So when a second packet of a flow goes the long way through hooks and tables, notes are taken
 * (`tables/recorder.ts`), and if nothing on its way depended on that packet alone, the notes become a path. Packets that
 * come behind it and find the path's conditions as they were do the rest in a straight line:
 *
 * ```
 *  plain? ─▶ flow ─▶ path ─▶ conditions ─▶ protocol tracker ─▶ rule counters ─▶ hop, NAT ─▶ emit
 *    │        │        │         │               │ not TRACKED
 *    └────────┴────────┴─────────┴─▶ long way    └─▶ raw's rules for their counters, then behind conntrack's hook
 * ```
 *
 * What stays per packet: the protocol's tracker with its checksum and window, timeouts and accounting; rule counters; the
 * packet's own length and hop limit. What is compared: the incoming interface, the flow's status, mark and helper.
 * Interfaces and routes have a version, and sets that commands change have one, and with a new one all paths are
 * forgotten. Learned path MTUs, which strangers can change at will, are asked for each packet while there are any.
 * Rules and knobs live as long as the router.
 *
 * Packets without a flow (NOTRACK, or a family that is not tracked) have paths of their own, by their tuples, in a table
 * of limited size: what rules say of them depends on nothing but the packet.
 *
 * ```
 *  slots   by a quick hash of addresses and ports: where the flow was found last time, or that it is a stateless tuple
 *  flows   per flow: its id, and the paths of its two directions
 * ```
 *
 * Limits: no fragments, options, extension headers, helpers, sequence adjustment, zones; nothing for Weir itself, nothing
 * that turns back to its link, nothing too long for its link. All that goes the long way, and has lost next to nothing.
 */
import type { Conntrack } from "../conntrack/core.ts";
import * as flowModule from "../conntrack/flow.ts";
import * as trackerModule from "../conntrack/tracker.ts";
import { copyTuple, newTuple } from "../conntrack/tuple.ts";
import * as tupleModule from "../conntrack/tuple.ts";
import type { CtInfo } from "../netfilter.ts";
import * as netfilterModule from "../netfilter.ts";
import * as ipv6Module from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import * as packetModule from "../packet/packet.ts";
import { wireLength } from "../routing/forward.ts";
import type { Interfaces } from "../routing/interfaces.ts";
import type { PathMtus } from "../routing/path_mtu.ts";
import type { CompiledTables } from "../tables/compile.ts";
import { Recorder } from "../tables/recorder.ts";
import * as recorderModule from "../tables/recorder.ts";
import { plainTuple } from "./header.ts";
import { Paths } from "./paths.ts";
import * as pathsModule from "./paths.ts";
import { hop, translate } from "./rewrite.ts";

// Constants of this module, not imports: each packet reads them (CONTRIBUTING.md).
const {
  PATH_BYTES,
  PATH_FLAGS,
  PATH_GUARDED,
  PATH_IN,
  PATH_MARK,
  PATH_MTU,
  PATH_NAT,
  PATH_NONE,
  PATH_OUT,
  PATH_PACKETS,
  PATH_SEEN,
  PATH_STATUS,
  PATH_WORDS,
} = pathsModule;
const {
  CT_HELPER,
  CT_ID,
  CT_MARK,
  CT_ORIGINAL,
  CT_REPLY,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_WORDS,
  IPS_CONFIRMED,
  IPS_DUE,
  IPS_DYING,
  IPS_EXPECTED,
  IPS_MASTER_HELPER_MASK,
  IPS_MASTER_HELPER_SHIFT,
  IPS_NAT_DONE_MASK,
  IPS_NAT_MASK,
  IPS_SEEN_REPLY,
  IPS_SEQ_ADJUST,
} = flowModule;
const { TRACKED } = trackerModule;
const { DST, PORTS, PROTO, SRC } = tupleModule;
const { ESTABLISHED, ESTABLISHED_REPLY, NEW, NO_CT, RELATED, UNTRACKED } = netfilterModule;
const { IPV6_MIN_MTU } = ipv6Module;
const { GSO_NONE } = packetModule;
const { IDLE, SPOILT } = recorderModule;

/** What became of a packet: nothing, and it has to go the long way; it is gone; it goes on behind conntrack's hook. */
export const FAST_NO = 0, FAST_DONE = 1, FAST_REFUSED = 2;

/** Bits of a flow's status that rules and NAT can see, and that say whose flow it is. ASSURED is judged by no path. */
const STATUS = IPS_EXPECTED | IPS_SEEN_REPLY | IPS_CONFIRMED | IPS_SEQ_ADJUST | IPS_DYING | IPS_NAT_MASK |
  IPS_NAT_DONE_MASK | (IPS_MASTER_HELPER_MASK << IPS_MASTER_HELPER_SHIFT);

/**
 * Sets of two slots, as a power of two, so that two packets whose hashes begin alike do not drive each other out; and
 * words of a slot: `ct << 1 | dir`, plus 1, the flow's id, the path.
 */
const SET_BITS = 11, SLOTS = 2 << SET_BITS, SLOT_WORDS = 8, SET_WORDS = 2 * SLOT_WORDS;
const SLOT_ID = 1, SLOT_PATH = 2;
/** And the quick hash of a packet that had no flow and came by; its complement once it is known to have no path. */
const SLOT_SEEN = 3;
/** The quick hash of whose slot it is. */
const SLOT_HASH = 4;
/** In place of `ct << 1 | dir`: a packet without a flow, whose tuple stands in `#stateless`. */
const STATELESS = -2, STATELESS_PER_SLOT = 2;
/** Packets after which a path's counters are brought up to date at the latest; their bytes fit an int32. */
const PATIENCE = 1 << 14;
/** Longest packet of a path that no packet takes. */
const NO_PACKET = -1;
/** What it works with. */
export interface FastPathOptions {
  readonly conntrack: Conntrack;
  readonly interfaces: Interfaces;
  readonly pathMtus: PathMtus;
  readonly ipv4: FamilyRules;
  readonly ipv6: FamilyRules;
  /** All rule counters of the router. */
  readonly counters: Float64Array;
  /** One word that grows when what rules say of packets changes, as sets do by command. */
  readonly changes: Int32Array;
  readonly emit: (iface: number, p: Packet) => void;
  /** Rule counters are brought up to date by `settle`, once per batch; otherwise by each packet. */
  readonly batches: boolean;
}

/** The rules of a family. */
export interface FamilyRules {
  readonly tables: CompiledTables;
  readonly tracking: boolean;
}

/** The fast path of one router. */
export class FastPath {
  /** Takes notes of a packet on the long way. */
  readonly recorder: Recorder;
  /** Packets that it has forwarded. */
  readonly taken: Float64Array = new Float64Array(1);
  /** What the protocol's tracker said instead of TRACKED, beside FAST_REFUSED. */
  answer = 0;
  /** Beside FAST_NO: `parse` would find nothing wrong with the packet, and its structure fields are set. */
  parsed = false;

  readonly #conntrack: Conntrack;
  readonly #interfaces: Interfaces;
  readonly #pathMtus: PathMtus;
  readonly #heeded: Int32Array;
  readonly #counters: Float64Array;
  readonly #emit: (iface: number, p: Packet) => void;
  readonly #tracking4: boolean;
  readonly #tracking6: boolean;
  readonly #translating4: boolean;
  readonly #translating6: boolean;
  readonly #paths = new Paths();
  /** Two words per flow: its id, and the paths of the original and the reply direction, 16 bits each. */
  readonly #flows: Int32Array;
  readonly #slots = new Int32Array(SLOTS * SLOT_WORDS);
  readonly #stateless = new Int32Array(SLOTS * SLOT_WORDS * STATELESS_PER_SLOT);
  readonly #tuple = newTuple();
  readonly #patience: number;
  readonly #changes: Int32Array;
  #version: number;
  #changed: number;
  /** Packets since the last `foresee` whose flow was not in their slot. */
  #searched = 0;
  /** What was fetched: without a use of it, nothing would be. */
  readonly #fetched = new Int32Array(1);
  /** What is being recorded: `ct << 1 | dir`, or −1 for a packet without a flow; interface, status, mark, and slot. */
  #found = -1;
  #in = 0;
  #status = 0;
  #mark = 0;
  #slot = 0;

  constructor(o: FastPathOptions) {
    this.#conntrack = o.conntrack;
    this.#interfaces = o.interfaces;
    this.#pathMtus = o.pathMtus;
    this.#heeded = o.pathMtus.heeded;
    this.#counters = o.counters;
    this.#emit = o.emit;
    this.#tracking4 = o.ipv4.tracking;
    this.#tracking6 = o.ipv6.tracking;
    this.#translating4 = o.ipv4.tables.nat !== null;
    this.#translating6 = o.ipv6.tables.nat !== null;
    this.#flows = new Int32Array(o.conntrack.flows.capacity * 2);
    this.#patience = o.batches ? PATIENCE : 1;
    this.#version = o.interfaces.version;
    this.#changes = o.changes;
    this.#changed = o.changes[0];
    this.recorder = new Recorder(o.counters);
    for (const { tables: { raw, mangle, filter } } of [o.ipv4, o.ipv6]) {
      for (const table of [raw, mangle, filter]) if (table !== null) this.recorder.attach(table);
    }
  }

  /** Paths that are kept. */
  get paths(): number {
    return this.#paths.size;
  }

  /**
   * Forwards a packet that has just been received, if its path is known. FAST_NO leaves it as it was. FAST_REFUSED: the
   * protocol's tracker has seen the packet and said `answer`; nobody has counted it yet.
   */
  forward(p: Packet): number {
    const conntrack = this.#conntrack;
    if (this.recorder.state !== IDLE) this.#unfinished();
    conntrack.forgetPeek();
    const t = plainTuple(p);
    // IPv6 has addresses that only `parse` refuses.
    this.parsed = t !== null && p.family === 4;
    if (t === null) return FAST_NO;
    if (this.#interfaces.version !== this.#version || this.#changes[0] !== this.#changed) this.#forget();

    const slots = this.#slots, hash = quickHash(t);
    let slot = (hash >>> (32 - SET_BITS)) * SET_WORDS;
    if (slots[slot + SLOT_HASH] !== hash && slots[slot + SLOT_WORDS + SLOT_HASH] === hash) slot += SLOT_WORDS;
    const w = conntrack.flows.words;
    // Without the hash, every new flow would fetch the record of a flow that had the slot before.
    let found = slots[slot + SLOT_HASH] === hash ? slots[slot] - 1 : -1;
    if (found >= 0) {
      const at = (found >> 1) * FLOW_WORDS;
      if (
        w[at + CT_STATE] !== FLOW_CONFIRMED || w[at + CT_ID] !== slots[slot + SLOT_ID] ||
        !sameTuple(t, w, at + ((found & 1) === 0 ? CT_ORIGINAL : CT_REPLY)) || conntrack.zoned
      ) found = -1;
    } else if (found === STATELESS && sameTuple(t, this.#stateless, slot * STATELESS_PER_SLOT)) {
      return this.#forwardStateless(p, slot);
    }
    if (found < 0) {
      found = this.#find(p, t, hash, slot);
      if (found < 0) return FAST_NO;
    }

    const ct = found >> 1, at = ct * FLOW_WORDS, status = w[at + CT_STATUS];
    const path = this.#paths.words, is = slots[slot + SLOT_PATH] * PATH_WORDS;
    if (
      path[is + PATH_IN] !== p.inInterface || path[is + PATH_STATUS] !== (status & STATUS) ||
      path[is + PATH_MARK] !== w[at + CT_MARK] || w[at + CT_HELPER] !== 0 || conntrack.expired(ct)
    ) return this.#record(p, found, slot);
    // Where the packet goes is where its answers come from.
    const flags = path[is + PATH_FLAGS], other = at + ((found & 1) === 0 ? CT_REPLY : CT_ORIGINAL);
    const length = p.gsoType === GSO_NONE ? p.length : wireLength(p);
    if (
      length > path[is + PATH_MTU] ||
      this.#heeded[p.family] !== 0 && this.#tooLong(p, length, w, other + SRC, is) ||
      (flags & PATH_GUARDED) !== 0 && !this.#paths.passes(slots[slot + SLOT_PATH], p)
    ) {
      conntrack.peeked(p, found);
      return FAST_NO;
    }

    const ctinfo = ctinfoOf(found & 1, status), answer = conntrack.track(p, ct, ctinfo);
    if (answer !== TRACKED) {
      this.answer = answer;
      return FAST_REFUSED;
    }
    p.ct = ct;
    p.ctinfo = ctinfo;
    if ((w[at + CT_STATUS] & IPS_DUE) !== 0) conntrack.teller.deliver(ct);
    if ((flags & PATH_NAT) !== 0) translate(p, t, w, other);
    else hop(p);
    this.#send(p, is);
    return FAST_DONE;
  }

  /**
   * Packets that have been read together and will come one after the other. Where most of them are of flows that no slot
   * knows, what all of them will need of the flow table is fetched at once.
   */
  foresee(packets: readonly Packet[], count: number): void {
    const searched = this.#searched, { foresight } = this.#conntrack;
    this.#searched = 0;
    foresight.clear();
    if (2 * searched < count) return;
    for (let i = 0; i < count; i++) {
      const t = plainTuple(packets[i]);
      if (t !== null && (packets[i].family === 4 ? this.#tracking4 : this.#tracking6)) foresight.announce(t);
    }
    const announced = foresight.fetch(), { found } = foresight, flows = this.#flows;
    let seen = 0;
    for (let i = 0; i < announced; i++) if (found[i] >= 0) seen ^= flows[found[i] & ~1];
    this.#fetched[0] = seen;
  }

  /** The same for a packet without a flow: nothing is asked but where it comes from and how long it is. */
  #forwardStateless(p: Packet, slot: number): number {
    const path = this.#slots[slot + SLOT_PATH],
      is = path * PATH_WORDS,
      paths = this.#paths,
      words = paths.words,
      length = p.gsoType === GSO_NONE ? p.length : wireLength(p);
    if (
      words[is + PATH_IN] !== p.inInterface || length > words[is + PATH_MTU] ||
      this.#heeded[p.family] !== 0 &&
        this.#tooLong(p, length, this.#stateless, slot * STATELESS_PER_SLOT + DST, is) ||
      (words[is + PATH_FLAGS] & PATH_GUARDED) !== 0 && !paths.passes(path, p)
    ) return FAST_NO;
    if (p.family === 4 ? this.#tracking4 : this.#tracking6) p.ctinfo = UNTRACKED;
    hop(p);
    this.#send(p, is);
    return FAST_DONE;
  }

  /** True if a path MTU has been learned that a packet of this length to the address in `words` has to heed. */
  #tooLong(p: Packet, length: number, words: Int32Array, at: number, is: number): boolean {
    return length > this.#heeded[p.family] &&
      length > this.#pathMtus.forwardedTo(p.family, words, at, this.#paths.words[is + PATH_OUT]);
  }

  /** Counts the packet for its path, and sends it. */
  #send(p: Packet, is: number): void {
    const words = this.#paths.words, packets = words[is + PATH_PACKETS] + 1, out = words[is + PATH_OUT];
    words[is + PATH_PACKETS] = packets;
    words[is + PATH_BYTES] += p.length;
    if (packets === 1) this.#paths.touched(is);
    if (packets === this.#patience) this.settle();
    p.outInterface = out;
    this.#emit(out, p);
  }

  /** Brings the rule counters up to date. */
  settle(): void {
    this.taken[0] += this.#paths.settle(this.#counters);
  }

  /** The flow of a packet that its slot does not know, or -1; the slot knows it from now on. */
  #find(p: Packet, t: Int32Array, hash: number, slot: number): number {
    if (!(p.family === 4 ? this.#tracking4 : this.#tracking6)) return this.#watch(t, hash, slot);
    const found = this.#conntrack.peek(p, t);
    if (found < 0) return this.#watch(t, hash, slot);
    this.#searched++;
    this.#makeRoom(slot, hash);
    const slots = this.#slots, flows = this.#flows, ct = found >> 1;
    const id = this.#conntrack.flows.words[ct * FLOW_WORDS + CT_ID];
    slots[slot] = found + 1;
    slots[slot + SLOT_ID] = id;
    slots[slot + SLOT_HASH] = hash;
    slots[slot + SLOT_PATH] = flows[ct * 2] === id
      ? (flows[ct * 2 + 1] >>> ((found & 1) << 4)) & 0xffff
      : PATH_NONE;
    return found;
  }

  /** The long way for a packet of a flow: the second packet is looked at closely. */
  #record(p: Packet, found: number, slot: number): number {
    const conntrack = this.#conntrack, w = conntrack.flows.words, at = (found >> 1) * FLOW_WORDS;
    if (conntrack.expired(found >> 1)) return FAST_NO;
    conntrack.peeked(p, found);
    if (w[at + CT_HELPER] !== 0 || (w[at + CT_STATUS] & IPS_SEQ_ADJUST) !== 0) return FAST_NO;
    if (this.#slots[slot + SLOT_PATH] === PATH_NONE) {
      this.#setPath(found, slot, PATH_SEEN);
      return FAST_NO;
    }
    this.#found = found;
    this.#slot = slot;
    this.#in = p.inInterface;
    this.#status = w[at + CT_STATUS] & STATUS;
    this.#mark = w[at + CT_MARK];
    this.recorder.begin(false);
    return FAST_NO;
  }

  /** The long way for a packet that has no flow, or none yet. Of those that come again notes are taken. */
  #watch(t: Int32Array, hash: number, slot: number): number {
    const slots = this.#slots, newer = firstOf(slot) + SLOT_SEEN, older = newer + SLOT_WORDS;
    if (slots[newer] === ~hash || slots[older] === ~hash) return -1;
    if (slots[newer] !== hash && slots[older] !== hash) {
      slots[older] = slots[newer];
      slots[newer] = hash;
      return -1;
    }
    this.#found = -1;
    this.#slot = slot;
    copyTuple(this.#tuple, 0, t, 0);
    this.recorder.begin(true);
    return -1;
  }

  /** The last recording came to no end. If that lies with the rules, the next packets like that need none. */
  #unfinished(): void {
    const { recorder } = this, spoilt = recorder.state === SPOILT, found = this.#found, slot = this.#slot;
    recorder.end();
    if (!spoilt) return;
    if (found < 0) {
      const slots = this.#slots, hash = quickHash(this.#tuple), newer = firstOf(slot) + SLOT_SEEN;
      slots[slots[newer] === hash ? newer : newer + SLOT_WORDS] = ~hash;
    } else {
      recorder.forget();
      this.#setPath(
        found,
        slot,
        this.#paths.intern(this.#in, this.#status, this.#mark, 0, NO_PACKET, 0, recorder),
      );
    }
  }

  /** A packet that was being recorded has passed the last hook: the next ones may follow it. */
  learn(p: Packet): void {
    const recorder = this.recorder;
    recorder.end();
    // What turns back to its link may have to be told of a shorter way, each time.
    if (p.inInterface === p.outInterface || p.fragMaxSize !== 0) return;
    const mtu = this.#interfaces.mtu(p.outInterface);
    const limit = p.family === 4 ? mtu : Math.max(mtu, IPV6_MIN_MTU);
    if (this.#found < 0) this.#learnStateless(p, limit);
    else this.#learnFlow(p, this.#found, limit);
  }

  #learnFlow(p: Packet, found: number, limit: number): void {
    const w = this.#conntrack.flows.words, ct = found >> 1, dir = found & 1, at = ct * FLOW_WORDS;
    const status = w[at + CT_STATUS], ctinfo = ctinfoOf(dir, status);
    if (
      p.ct !== ct || p.ctinfo !== ctinfo || w[at + CT_STATE] !== FLOW_CONFIRMED || w[at + CT_HELPER] !== 0
    ) return;
    // Rules have set another mark than they have seen.
    if (w[at + CT_MARK] !== this.#mark) return;
    const translating = p.family === 4 ? this.#translating4 : this.#translating6;
    if (
      translating && (status & IPS_NAT_DONE_MASK) !== IPS_NAT_DONE_MASK && ctinfo !== ESTABLISHED &&
      ctinfo !== ESTABLISHED_REPLY
    ) return;
    const flags = translating && (status & IPS_NAT_MASK) !== 0 ? PATH_NAT : 0;
    this.#setPath(found, this.#slot, this.#intern(p, status & STATUS, w[at + CT_MARK], limit, flags));
  }

  #learnStateless(p: Packet, limit: number): void {
    const tracking = p.family === 4 ? this.#tracking4 : this.#tracking6, slot = this.#slot;
    if (p.ct !== NO_CT || (tracking && p.ctinfo !== UNTRACKED)) return;
    const path = this.#intern(p, 0, 0, limit, 0), hash = quickHash(this.#tuple);
    this.#makeRoom(slot, hash);
    copyTuple(this.#stateless, slot * STATELESS_PER_SLOT, this.#tuple, 0);
    this.#slots[slot] = STATELESS + 1;
    this.#slots[slot + SLOT_HASH] = hash;
    this.#slots[slot + SLOT_PATH] = path;
  }

  /** The first slot of a set is for a newcomer: what another packet has there moves to the second. */
  #makeRoom(slot: number, hash: number): void {
    const slots = this.#slots, second = slot + SLOT_WORDS;
    if (slots[slot + SLOT_HASH] === hash) return;
    slots[second] = slots[slot];
    slots[second + SLOT_ID] = slots[slot + SLOT_ID];
    slots[second + SLOT_PATH] = slots[slot + SLOT_PATH];
    slots[second + SLOT_HASH] = slots[slot + SLOT_HASH];
    if (slots[slot] !== STATELESS + 1) return;
    copyTuple(this.#stateless, second * STATELESS_PER_SLOT, this.#stateless, slot * STATELESS_PER_SLOT);
  }

  #intern(p: Packet, status: number, mark: number, limit: number, flags: number): number {
    const out = p.outInterface, recorder = this.recorder;
    let path = this.#paths.intern(p.inInterface, status, mark, out, limit, flags, recorder);
    if (path === PATH_NONE) {
      this.#forget();
      path = this.#paths.intern(p.inInterface, status, mark, out, limit, flags, recorder);
    }
    return path;
  }

  #setPath(found: number, slot: number, path: number): void {
    const ct = found >> 1, at = ct * 2, shift = (found & 1) << 4, flows = this.#flows;
    const id = this.#conntrack.flows.words[ct * FLOW_WORDS + CT_ID];
    const other = flows[at] === id ? flows[at + 1] & ~(0xffff << shift) : PATH_NONE;
    flows[at] = id;
    flows[at + 1] = other | (path << shift);
    this.#slots[slot + SLOT_PATH] = path;
  }

  /** All paths, and who has which. */
  #forget(): void {
    this.settle();
    this.#version = this.#interfaces.version;
    this.#changed = this.#changes[0];
    this.#paths.clear();
    this.#flows.fill(0);
    this.#slots.fill(0);
  }
}

/** The first slot of a slot's set. */
function firstOf(slot: number): number {
  return slot & ~SLOT_WORDS;
}

/** The relation to its flow of a packet in direction `dir`. */
function ctinfoOf(dir: number, status: number): CtInfo {
  if (dir !== 0) return ESTABLISHED_REPLY;
  if ((status & IPS_SEEN_REPLY) !== 0) return ESTABLISHED;
  return (status & IPS_EXPECTED) !== 0 ? RELATED : NEW;
}

/** The same tuple; the family, which is part of it, says whether there are six more words to compare. */
function sameTuple(t: Int32Array, w: Int32Array, at: number): boolean {
  return t[PORTS] === w[at + PORTS] && t[SRC] === w[at + SRC] && t[DST] === w[at + DST] &&
    t[PROTO] === w[at + PROTO] &&
    (t[PROTO] >> 8 === 4 || sameRest(t, w, at));
}

function sameRest(t: Int32Array, w: Int32Array, at: number): boolean {
  return t[1] === w[at + 1] && t[2] === w[at + 2] && t[3] === w[at + 3] &&
    t[5] === w[at + 5] && t[6] === w[at + 6] && t[7] === w[at + 7];
}

/**
 * Quick, and no more: who chooses addresses can make packets share a slot, and nothing is lost then but the short cut
 * past the flow table's own hash.
 */
function quickHash(t: Int32Array): number {
  const ports = t[PORTS], source = t[SRC] ^ t[SRC + 3], destination = t[DST] ^ t[DST + 3];
  const mixed = Math.imul(
    source ^ Math.imul(destination, 0x85ebca6b) ^ ((ports << 16) | (ports >>> 16)),
    0x9e3779b1,
  );
  return Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b);
}
