/**
 * The router: packet in → prerouting → route → input | forward → postrouting → packet out.
 *
 * Overview: `receive` takes one packet from a device through the hooks to the device it leaves by, and returns when it
 * has left, died, or waits as a fragment. Nothing is queued and nothing is called back later, so one receive slot
 * serves all packets. What the router says itself (ICMP errors, resets, echo replies) is made in a second slot and
 * goes through OUTPUT and POSTROUTING before `receive` returns, as Linux sends it before it frees the packet.
 *
 * ```
 *  receive ─▶ parse ─▶ prerouting ─▶ Routing.input ─┬─▶ input ─▶ host device, or answered here
 *                                                   ├─▶ Forwarder.forward ─▶ forward ─▶ postrouting ─▶ finish ─▶ emit
 *                                                   └─▶ ICMP error ─┐
 *  receiveHost ─▶ parse ─▶ Routing.output ─▶ output ────────────────┴─▶ postrouting ─▶ finish ─▶ emit
 * ```
 *
 * Life-cycle of a packet's end: `#end` counts its reason and lets go of a flow that was never confirmed, so a packet
 * that dies leaves no trace in the table.
 *
 * Limits: what Weir makes in answer to what it has made itself is not made.
 */
import { agreed, type Arena, HeapArena } from "./arena.ts";
import type { Clock, Random } from "./clock.ts";
import { writeKey } from "./config/key.ts";
import type { ValidConfig } from "./config/valid.ts";
import { Conntrack } from "./conntrack/core.ts";
import { ExpectTable } from "./conntrack/expect.ts";
import { FlowTable } from "./conntrack/table.ts";
import { FAST_DONE, FAST_NO, FAST_REFUSED, FastPath } from "./fastpath/fastpath.ts";
import { forward } from "./hooks/forward.ts";
import { input } from "./hooks/input.ts";
import { output } from "./hooks/output.ts";
import { postrouting } from "./hooks/postrouting.ts";
import { prerouting, preroutingRefused } from "./hooks/prerouting.ts";
import { type FamilyTables, type State, tablesOf } from "./hooks/state.ts";
import { RateLimitedLog } from "./log.ts";
import {
  DELETE_FLOWS,
  DELETED_TOGETHER,
  FLUSH_FLOWS,
  LOAD_HELPER,
  type Memory,
  UNLOAD_HELPER,
  ZERO_RULES,
} from "./memory.ts";
import { Nat } from "./nat/core.ts";
import { ACCEPT, DROP, ICMP, ICMPV6, Reason, TCP, type Verdict } from "./netfilter.ts";
import { Defrag, firstFragmentCut, misfitAt } from "./packet/defrag.ts";
import { fragment, makePieces } from "./packet/fragment.ts";
import {
  ICMP_DEST_UNREACH,
  ICMP_EXC_FRAGTIME,
  ICMP_PARAMETERPROB,
  ICMP_PKT_FILTERED,
  ICMP_PORT_UNREACH,
  ICMP_TIME_EXCEEDED,
  ICMPV6_ADM_PROHIBITED,
  ICMPV6_DEST_UNREACH,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_HDR_FIELD,
  ICMPV6_HDR_INCOMP,
  ICMPV6_PARAMPROB,
  ICMPV6_PORT_UNREACH,
  ICMPV6_TIME_EXCEED,
  ICMPV6_UNK_OPTION,
} from "./packet/icmp.ts";
import { GSO_TCPV4, GSO_TCPV6, Packet } from "./packet/packet.ts";
import { isFragment, isPiece, parse, parseHeaders } from "./packet/parse.ts";
import { segment, unfinishChecksum } from "./packet/segment.ts";
import { tcpHeaderLength } from "./packet/tcp.ts";
import { Fib } from "./routing/fib.ts";
import {
  FORWARD_ERROR,
  FORWARD_FRAGMENT,
  FORWARD_OK,
  FORWARD_SEGMENT,
  Forwarder,
} from "./routing/forward.ts";
import { ARRIVED, HeaderWalk, PIECE } from "./routing/header_walk.ts";
import { IcmpErrors } from "./routing/icmp_error.ts";
import { Interfaces } from "./routing/interfaces.ts";
import { LocalStack } from "./routing/local.ts";
import { PathMtus } from "./routing/path_mtu.ts";
import { ROUTE_DROP, ROUTE_ERROR, ROUTE_FORWARD, ROUTE_LOCAL, Routing } from "./routing/route.ts";
import { Ipv4Options } from "./routing/ipv4_options.ts";
import { Redirects } from "./routing/redirect.ts";
import { Reject } from "./routing/reject.ts";
import { TcpResets } from "./routing/tcp_reset.ts";
import { TooBig } from "./routing/too_big.ts";
import { recentNeeds } from "./matches/recent.ts";
import { type CompiledTables, compileRules } from "./tables/compile.ts";
import { writeInitialCounters } from "./tables/entry.ts";
import { HashlimitTables } from "./tables/hashlimit_table.ts";
import { RecentLists } from "./tables/recent_list.ts";
import { Sets } from "./sets/mod.ts";
import type { Space } from "./space.ts";
import { REJECT_TCP_RESET, type Services } from "./tables/services.ts";
import { changedSets } from "./targets/set.ts";
import { secondsByPlace } from "./tables/timeouts.ts";

/** Ends of packets whose flow found no room. */
const NO_ROOM: readonly number[] = [
  Reason["table-full"],
  Reason["no-space"],
  Reason["nat-no-port"],
  Reason["insert-failed"],
];
/** The interface by which Weir's packets to itself leave and come in. No device stands behind it. */
const LOOPBACK = { name: "lo", mtu: 65536, addresses: [] };

/** IPv6 option type of RFC 2675. */
const JUMBO_OPTION = 0xc2;

/** What a router is made of. */
export interface RouterOptions {
  readonly config: ValidConfig;
  readonly clock: Clock;
  readonly random: Random;
  /** Laid out by `geometryOf(config)`. */
  readonly memory: Memory;
  /** What of the memory can be used; all of it by default. */
  readonly space?: Space;
  /** The memory holds flows of an earlier process: they go on. */
  readonly recovered?: boolean;
  /** What changes and is not in the memory; shared with the other data planes of this router, or the heap. */
  readonly arena?: Arena;
  /**
   * What of that belongs to the configuration, when the rest is a predecessor's, too, or a successor's; the same by
   * default.
   */
  readonly own?: Arena;
  /** Where fragments wait; `own` by default. */
  readonly gathering?: Arena;
  /** The state with the generation of a predecessor, which may still route; see `takeOver`. */
  readonly before?: Memory;
  /** What each rule is called by which a predecessor knew it, by counter slot (`ruleNames`). */
  readonly names?: readonly string[];
  /** Takes a packet that leaves by interface `iface`. It is reused as soon as this returns. */
  readonly emit: (iface: number, p: Packet) => void;
  /** Takes a packet for Weir's own addresses, when a host device carries them. */
  readonly emitHost?: (p: Packet) => void;
  /** Somebody calls `sweep` after every few packets: rule counters need not be right before. */
  readonly batches?: boolean;
  /** Sets are changed by commands: there is room in them. */
  readonly changeable?: boolean;
  /** A line for people. */
  readonly log: (line: string) => void;
}

/** Those parts of a router that its hooks do not show: for who looks on (`src/explain`), not for who routes. */
export interface RouterParts {
  readonly nat: Nat;
  readonly routing: Routing;
  readonly forwarder: Forwarder;
  readonly errors: IcmpErrors;
  readonly redirects: Redirects;
  readonly rejects: Reject;
  readonly local: LocalStack;
}

/** What a configuration does not have any more that its predecessor had, by interface. */
export interface Gone {
  readonly interfaces: readonly number[];
  readonly addresses: readonly { readonly iface: number; readonly words: Int32Array }[];
}

/** What a router has let go of that took over from another: flows that go on without helper, expectations, flows. */
export interface TakenOver {
  readonly unhelped: number;
  readonly expectations: number;
  readonly ended: number;
}

/** One router. */
export class Router {
  /** The receive slot: fill its raw buffer, `reset` it, set the offload fields, then call `receive`. */
  readonly packet: Packet;
  readonly conntrack: Conntrack;
  readonly interfaces: Interfaces;
  readonly ipv4: CompiledTables;
  readonly ipv6: CompiledTables;
  readonly defrag: Defrag;
  /** The sets of its rules. */
  readonly sets: Sets;
  /** Null where `weir.fastpath` is 0. */
  readonly fastpath: FastPath | null;
  readonly parts: RouterParts;

  readonly #memory: Memory;
  readonly #random: Random;
  readonly #state: State;
  readonly #routing: Routing;
  readonly #pathMtus: PathMtus;
  readonly #forwarder: Forwarder;
  readonly #options: Ipv4Options;
  readonly #errors: IcmpErrors;
  readonly #redirects: Redirects;
  readonly #rejects: Reject;
  readonly #local: LocalStack;
  readonly #walk = new HeaderWalk();
  readonly #refusalErrors: boolean;
  readonly #segmentGrown: boolean;
  readonly #loopback: number;
  readonly #emit: (iface: number, p: Packet) => void;
  readonly #emitHost: ((p: Packet) => void) | undefined;

  /** The slot for packets that the router makes itself, and whether it is taken. */
  readonly #made = new Packet();
  #making = false;
  /** The slots that a packet is cut up in, and who takes the pieces. */
  readonly #segment = new Packet();
  readonly #fragment = new Packet();
  #own = false;
  readonly #takeSegment = (piece: Packet) => this.#finish(piece, this.#own);
  readonly #takeFragment = (piece: Packet) => this.#emit(piece.outInterface, piece);

  constructor(o: RouterOptions) {
    const {
      config,
      clock,
      random,
      memory,
      arena = new HeapArena(),
      own = arena,
      gathering = own,
      before,
      log,
    } = o;
    const sysctl = config.sysctl;
    this.#memory = memory;
    this.#random = random;
    this.#emit = o.emit;
    this.#emitHost = o.emitHost;
    this.packet = new Packet();

    this.interfaces = new Interfaces([...config.interfaces, LOOPBACK]);
    this.#loopback = this.interfaces.byName(LOOPBACK.name);
    const fib = new Fib(this.interfaces, config.routes);
    this.#routing = new Routing({ interfaces: this.interfaces, fib, sysctl });
    const pathMtus = this.#pathMtus = new PathMtus({
      interfaces: this.interfaces,
      sysctl,
      clock,
      random,
      arena,
    });
    this.#forwarder = new Forwarder({ pathMtus, sysctl });
    const routing = this.#routing;
    const acceptSourceRoute = sysctl.get("net.ipv4.conf.all.accept_source_route") !== 0;
    const options = this.#options = new Ipv4Options({ routing, clock, acceptSourceRoute });
    const errors = this.#errors = new IcmpErrors({
      routing,
      pathMtus,
      options,
      sysctl,
      clock,
      random,
      arena,
    });
    const resets = new TcpResets({ routing, errors, sysctl, options });
    this.#redirects = new Redirects({ routing, errors, sysctl });
    this.#rejects = new Reject({ errors, resets });
    const tooBig = new TooBig({ routing, pathMtus });
    this.#local = new LocalStack({ routing, options, errors, resets, tooBig, sysctl, clock });

    this.#refusalErrors = sysctl.get("weir.nat_refusal_errors") !== 0;
    this.#segmentGrown = sysctl.get("weir.segment_grown") !== 0;
    const { geometry, buffer } = memory;
    const limited = new RateLimitedLog(clock, log, arena);
    const flows = new FlowTable(buffer, memory.flowsOffset, geometry.flows, random, arena, o.space);
    const expects = new ExpectTable(buffer, memory.expectsOffset, geometry.expects, random, arena);
    this.conntrack = new Conntrack({
      flows,
      expects,
      clock,
      random,
      sysctl,
      helpers: config.helpers,
      arena,
      log: (line) => limited.line(line),
      stats: memory.stats,
      roster: memory.generation.roster,
      pinholes: memory.pinholes,
      events: memory.events,
      ruleTexts: memory.generation.ruleTexts,
      policies: memory.generation.policies,
      own,
    });
    if (own.fresh) {
      memory.generation.describe(config.helpers, this.conntrack.accounting, o.recovered);
      if (before !== undefined) {
        const named = config.timeouts.map(({ name, protocol, seconds }) => ({
          name,
          protocol,
          seconds: secondsByPlace(seconds, protocol),
        }));
        this.conntrack.adoptNumbers(before.generation.ruleTexts, before.generation.policies, named);
      }
    }
    let nat4: CompiledTables["nat"] = null, nat6: CompiledTables["nat"] = null;
    const nat = new Nat(this.conntrack, this.interfaces, {
      nat: (p) => {
        const table = p.family === 4 ? nat4 : nat6;
        return table === null ? ACCEPT : table.run(p.hook, p);
      },
    });
    this.defrag = new Defrag({
      clock,
      sysctl,
      tracking6: config.tracking.ipv6,
      seed: agreed(arena, random.next()),
      arena: gathering,
      expired: (p) => this.#reassemblyExceeded(p),
    });

    const { interfaces } = this, seed = config.sets.size === 0 ? 0 : agreed(own, random.next());
    const sets = this.sets = new Sets(
      config.sets,
      changedSets([config.rules.ipv4, config.rules.ipv6]),
      { clock, arena: own, interfaces, seed, roomy: o.changeable === true },
    );
    const services: Services = {
      conntrack: this.conntrack,
      nat,
      interfaces,
      pathMtus,
      sets,
      hashlimits: new HashlimitTables({ clock, arena: own }),
      recent: new RecentLists(recentNeeds([config.rules.ipv4, config.rules.ipv6]), { clock, arena: own }),
      clock,
      random,
      arena: own,
      reject: (p, how) => this.#reject(p, how),
      parameterProblem: (p, pointer) => this.#error(p, ICMPV6_PARAMPROB, ICMPV6_HDR_FIELD, pointer),
      log: (line) => log(line),
    };
    const binding = { services, counters: memory.generation.rules, names: o.names };
    this.ipv4 = compileRules(config.rules.ipv4, binding);
    this.ipv6 = compileRules(config.rules.ipv6, binding);
    nat4 = this.ipv4.nat;
    nat6 = this.ipv6.nat;
    this.conntrack.learnPolicies();
    // The first data plane finds or lays out what all of them share.
    if (arena.fresh && o.recovered) {
      this.conntrack.recover((ct) => nat.adopt(ct));
      nat.rebuild();
    }
    if (own.fresh && (!o.recovered || before !== undefined)) {
      writeInitialCounters(config.rules.ipv4, memory.generation.rules);
      writeInitialCounters(config.rules.ipv6, memory.generation.rules);
    }
    if (own.fresh) {
      o.names?.forEach((name, slot) => writeKey(memory.generation.keys, 2 * slot, name));
      if (before !== undefined) memory.generation.follow(before.generation);
    }
    const tables = (c: CompiledTables, tracking: boolean): FamilyTables => ({
      raw: c.raw,
      mangle: c.mangle,
      filter: c.filter,
      tracking,
      translating: c.nat !== null,
    });
    this.#state = {
      ipv4: tables(this.ipv4, config.tracking.ipv4),
      ipv6: tables(this.ipv6, config.tracking.ipv6),
      conntrack: this.conntrack,
      nat,
      defrag: this.defrag,
    };
    this.parts = {
      nat,
      routing,
      forwarder: this.#forwarder,
      errors,
      redirects: this.#redirects,
      rejects: this.#rejects,
      local: this.#local,
    };
    this.fastpath = sysctl.get("weir.fastpath") === 0 ? null : new FastPath({
      conntrack: this.conntrack,
      interfaces: this.interfaces,
      pathMtus,
      ipv4: { tables: this.ipv4, tracking: config.tracking.ipv4 },
      ipv6: { tables: this.ipv6, tracking: config.tracking.ipv6 },
      counters: memory.generation.rules,
      changes: this.sets.version,
      emit: o.emit,
      batches: o.batches ?? false,
    });
  }

  /** A packet from interface `iface`. */
  receive(p: Packet, iface: number): void {
    p.inInterface = iface;
    const fastpath = this.fastpath, fast = fastpath === null ? FAST_NO : fastpath.forward(p);
    if (fast === FAST_DONE) return;
    let verdict: Verdict;
    if (fast === FAST_REFUSED) verdict = preroutingRefused(this.#state, p, fastpath!.answer);
    else {
      const reason = fastpath !== null && fastpath.parsed ? 0 : parse(p);
      if (reason !== 0) {
        if (p.errorPointer >= 0) this.#parameterProblem(p);
        return this.#refuse(p, reason);
      }
      verdict = prerouting(this.#state, p);
    }
    if (verdict === ACCEPT) this.#route(p);
    else if (verdict === DROP) this.#end(p);
  }

  /** The first `count` packets will be received, one after the other. */
  foresee(packets: readonly Packet[], count: number): void {
    this.fastpath?.foresee(packets, count);
  }

  /** A packet from a program behind the host device. */
  receiveHost(p: Packet): void {
    p.inInterface = 0;
    const reason = parse(p);
    if (reason !== 0) return this.#refuse(p, reason);
    this.#originate(p, 0);
  }

  /**
   * The device of an interface is gone: its routes are passed over, and the flows masqueraded there end, unless another
   * data plane has seen to that (`first`). Weir's own addresses on it stay Weir's, as those of a link that is down in
   * Linux.
   */
  interfaceDown(iface: number, first: boolean): void {
    if (iface === 0) return;
    this.interfaces.setUp(iface, false);
    if (first) this.#state.nat.interfaceDown(iface);
  }

  /** Brings counters up to date that are kept apart for the length of a batch. */
  settle(): void {
    this.fastpath?.settle();
  }

  /**
   * Timers: expired flows, in bounded slices, and datagrams that never became whole. Once per batch. True when more is
   * due than one slice.
   */
  sweep(): boolean {
    this.settle();
    const more = this.conntrack.sweep();
    this.defrag.sweep();
    return this.sets.sweep() || more;
  }

  /** Carries out a command of the control plane, and leaves the answer in its words (`memory.ts`). */
  command(words: Int32Array): void {
    switch (words[0]) {
      case DELETE_FLOWS:
        return this.#deleteFlows(words);
      case FLUSH_FLOWS:
        return this.#flushFlows(words);
      case ZERO_RULES:
        this.settle(); // what is kept apart has been counted before
        this.#memory.generation.rules.fill(0);
        words.fill(0, 1);
        return;
      case LOAD_HELPER:
      case UNLOAD_HELPER:
        return this.#switchHelper(words);
    }
  }

  #deleteFlows(words: Int32Array): void {
    const { conntrack } = this;
    let deleted = 0;
    conntrack.teller.portid = words[2 * DELETED_TOGETHER + 1];
    for (let i = 1; i <= 2 * DELETED_TOGETHER; i += 2) {
      if (words[i + 1] !== 0 && conntrack.deleteSeen(words[i], words[i + 1])) deleted++;
    }
    conntrack.teller.portid = 0;
    words[1] = deleted;
  }

  #flushFlows(words: Int32Array): void {
    const { conntrack } = this;
    conntrack.teller.portid = words[2];
    words[1] = conntrack.flush(words[1] - 1);
    conntrack.teller.portid = 0;
    words[2] = conntrack.flushed + 1;
  }

  #switchHelper(words: Int32Array): void {
    const { conntrack } = this, helper = words[1];
    words.fill(0, 1);
    if (helper < 0 || helper >= conntrack.helpers.length) return;
    if (words[0] === LOAD_HELPER) return conntrack.loadHelper(helper);
    const { flows, expectations } = conntrack.unloadHelper(helper);
    words[1] = flows;
    words[2] = expectations;
  }

  /**
   * Goes on where a predecessor with another configuration has stopped, before the first packet: counters of rules that
   * are the same go on, or begin anew with `zero`; helpers that are not listed any more let go of their flows, and flows
   * masqueraded behind an interface or address that is gone end. What it has let go of.
   */
  takeOver(before: Memory, gone: Gone, zero: boolean): TakenOver {
    const { conntrack } = this, { generation } = this.#memory;
    generation.adoptCounters(before.generation, zero);
    this.#memory.publish();
    this.sets.takeOver();
    const from = conntrack.flows.count;
    let unhelped = 0, expectations = 0;
    for (const index of generation.roster.gone(before.generation.roster)) {
      const released = conntrack.releaseHelper(index);
      unhelped += released.flows;
      expectations += released.expectations;
    }
    const { nat } = this.#state;
    for (const iface of gone.interfaces) nat.interfaceDown(iface);
    for (const { iface, words } of gone.addresses) nat.addressRemoved(iface, words, 0);
    return { unhelped, expectations, ended: from - conntrack.flows.count };
  }

  /** Behind PREROUTING: to Weir, through Weir, or nowhere. */
  #route(p: Packet): void {
    const route = this.#routing.input(p);
    if (route === ROUTE_ERROR) {
      const { icmpType, icmpCode } = this.#routing;
      if (!this.#making && this.#errors.makeNoRoute(this.#made, p, icmpType, icmpCode)) this.#sendError(p);
      return this.#end(p);
    }
    if (route === ROUTE_DROP) return this.#end(p);
    const reason = this.#options.receive(p);
    if (reason !== 0) {
      if (p.errorPointer >= 0) this.#parameterProblem(p);
      return this.#refuse(p, reason);
    }
    if (route === ROUTE_LOCAL) this.#deliver(p);
    else this.#forward(p);
  }

  #forward(p: Packet): void {
    const forwarder = this.#forwarder;
    // A packet that turns back to its link; its sender could do without Weir.
    const turns = p.inInterface === p.outInterface && !this.#making;
    if (turns && p.family === 6 && this.#redirects.make6(this.#made, p)) this.#send(p);
    const result = forwarder.forward(p);
    if (result !== FORWARD_OK) {
      if (result === FORWARD_ERROR) {
        this.#error(p, forwarder.icmpType, forwarder.icmpCode, forwarder.icmpInfo);
      }
      return this.#end(p);
    }
    if (turns && p.family === 4 && this.#redirects.make4(this.#made, p)) this.#sendError(p);
    if (this.#passes(p, forward(this.#state, p))) {
      this.#options.forward(p);
      this.#leave(p, false);
    }
  }

  /** A packet for one of Weir's own addresses. */
  #deliver(p: Packet): void {
    // Whoever receives a datagram gathers it, tracked or not: in IPv4 before INPUT (ip_local_deliver), in IPv6 behind
    // it (ipv6_frag_rcv).
    if (p.family === 4 && isFragment(p) && !this.#passes(p, this.defrag.gather(p))) return;
    if (!this.#passes(p, input(this.#state, p))) return;
    if (this.#emitHost !== undefined) {
      if (p.family === 6 && isPiece(p) && p.fragMaxSize === 0 && !this.#gather6(p)) return;
      this.#options.deliver(p);
      return this.#emitHost(p);
    }
    if (p.family === 6 && !this.#arrives(p)) return;
    if (this.#making) return;
    const made = this.#made;
    if (this.#local.answer(made, p)) {
      if (isAttachedError(made)) this.#sendError(p);
      else this.#send(p);
    } else if (p.reason !== 0) this.#end(p);
  }

  /** True if a packet for Weir itself has come to its upper layer, through headers and gathering. */
  #arrives(p: Packet): boolean {
    const walk = this.#walk;
    let found = walk.begin(p);
    if (found === PIECE) {
      if (!this.#gather6(p)) return false;
      found = walk.resume(p);
    }
    if (found === ARRIVED) return true;
    if (walk.pointer >= 0) this.#error(p, ICMPV6_PARAMPROB, walk.code, walk.pointer);
    return false;
  }

  /** ipv6_frag_rcv: true if this piece has completed its datagram. */
  #gather6(p: Packet): boolean {
    const cut = firstFragmentCut(p, p.fragmentHeader), wrong = cut ? 0 : misfitAt(p);
    if (!cut && wrong < 0) return this.#passes(p, this.defrag.gather(p));
    this.#error(p, ICMPV6_PARAMPROB, cut ? ICMPV6_HDR_INCOMP : ICMPV6_HDR_FIELD, wrong);
    this.#refuse(p, Reason["fragment-malformed"]);
    return false;
  }

  /** A packet made in this place, by a program behind the host device or by Weir itself. `link` as in Routing.output. */
  #originate(p: Packet, link: number): void {
    let route = this.#routing.output(p, link);
    if (route === ROUTE_DROP) return this.#end(p);
    if (route === ROUTE_LOCAL) p.outInterface = this.#loopback;
    makePieces(p, this.#pathMtus.of(p));
    const t = tablesOf(this.#state, p);
    if (!this.#passes(p, output(this.#state, p))) return;
    if (t.translating || t.mangle !== null) { // Another destination, another route (ip_route_me_harder).
      route = this.#routing.output(p, link);
      if (route === ROUTE_DROP) return this.#end(p);
    }
    if (route === ROUTE_FORWARD) return this.#leave(p, true);
    // To Weir itself: out by lo, and in again with the flow that it has (loopback_xmit).
    p.outInterface = this.#loopback;
    if (!this.#passes(p, postrouting(this.#state, p))) return;
    p.inInterface = this.#loopback;
    p.outInterface = 0;
    if (this.#passes(p, prerouting(this.#state, p))) this.#deliver(p);
  }

  /** POSTROUTING, and out. */
  #leave(p: Packet, own: boolean): void {
    if (!this.#passes(p, postrouting(this.#state, p))) return;
    const fastpath = this.fastpath;
    if (!own && fastpath !== null && fastpath.recorder.active) fastpath.learn(p);
    this.#finish(p, own);
  }

  /** Sends the packet in the sizes that its link allows. */
  #finish(p: Packet, own: boolean): void {
    const forwarder = this.#forwarder;
    let reason = 0;
    switch (forwarder.finish(p, own)) {
      case FORWARD_OK:
        return this.#emit(p.outInterface, p);
      case FORWARD_SEGMENT:
        this.#own = own;
        reason = segment(p, this.#segment, this.#takeSegment);
        break;
      case FORWARD_FRAGMENT:
        if (p.fragMaxSize === 0) p.fragId = this.#random.next();
        reason = fragment(p, forwarder.fragmentMtu, this.#fragment, this.#takeFragment);
        break;
      case FORWARD_ERROR:
        if (p.grown && this.#segmentGrown && this.#offload(p, forwarder.icmpInfo)) {
          this.#own = own;
          reason = segment(p, this.#segment, this.#takeSegment);
          break;
        }
        if (p === this.#segment) unfinishChecksum(p);
        this.#error(p, forwarder.icmpType, forwarder.icmpCode, forwarder.icmpInfo);
        reason = p.reason;
        break;
      default:
        reason = p.reason;
    }
    if (reason !== 0) this.#refuse(p, reason);
  }

  /**
   * Makes a TCP segment that only a helper's words have made too long an offloaded packet of segments that fit: its
   * sender kept to the path's MTU, and would send it again as it was for ever. False if it cannot be.
   */
  #offload(p: Packet, mtu: number): boolean {
    if (p.protocol !== TCP) return false;
    const size = mtu - p.l4 - tcpHeaderLength(p);
    if (size <= 0) return false;
    p.reason = 0;
    p.gsoType = p.family === 4 ? GSO_TCPV4 : GSO_TCPV6;
    p.gsoSize = size;
    return true;
  }

  /** True if the packet goes on; otherwise it has ended here, or waits as a fragment. */
  #passes(p: Packet, verdict: Verdict): boolean {
    if (verdict === ACCEPT) return true;
    if (verdict === DROP) this.#end(p);
    return false;
  }

  #refuse(p: Packet, reason: number): void {
    p.drop(reason);
    this.#end(p);
  }

  /** The packet is dead: its reason is counted, and a flow that it alone carried goes with it. */
  #end(p: Packet): void {
    if (this.#refusalErrors && NO_ROOM.includes(p.reason)) this.#refusalError(p);
    this.conntrack.release(p);
    this.#memory.countDrop(p.reason, p.length);
  }

  /** Answers a packet with an ICMP error of its family, if one is due. */
  #error(p: Packet, type: number, code: number, info: number): void {
    if (this.#making) return;
    if (this.#errors.make(this.#made, p, type, code, info)) this.#sendError(p);
  }

  /** Sends an ICMP error as part of its cause's flow, which may be too young to be found by a lookup (icmp_glue_bits). */
  #sendError(cause: Packet): void {
    this.conntrack.attach(this.#made, cause);
    this.#send(cause);
  }

  /** Answers a packet whose options are wrong at `p.errorPointer`, which `parse` may have refused half-way. */
  #parameterProblem(p: Packet): void {
    parseHeaders(p);
    const pointer = p.errorPointer;
    if (p.family === 4) return this.#error(p, ICMP_PARAMETERPROB, 0, pointer << 24);
    // The pointer stands on the type of an unknown option, or on a jumbo option or its value (RFC 2675, 3).
    const type = p.bytes[pointer];
    const code = type < 0x80 || type === JUMBO_OPTION ? ICMPV6_HDR_FIELD : ICMPV6_UNK_OPTION;
    this.#error(p, ICMPV6_PARAMPROB, code, pointer);
  }

  /** There is no room for the packet's flow: "communication administratively prohibited" (RFC 5508, REQ-8). */
  #refusalError(p: Packet): void {
    if (p.family === 4) this.#error(p, ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, 0);
    else this.#error(p, ICMPV6_DEST_UNREACH, ICMPV6_ADM_PROHIBITED, 0);
  }

  /** The REJECT target: answers before the packet is dropped. */
  #reject(p: Packet, how: number): void {
    if (this.#making) return;
    const made = this.#made;
    if (how !== REJECT_TCP_RESET) {
      if (this.#rejects.unreachable(made, p, how)) this.#sendError(p);
    } else if (this.#rejects.tcpReset(made, p)) {
      this.conntrack.attach(made, p);
      this.conntrack.setClosing(p);
      this.#send(p);
    }
  }

  /** In IPv4 only the receiver reports that reassembly took too long, in IPv6 whoever gathered. */
  #reassemblyExceeded(p: Packet): void {
    const type = p.family === 4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEED;
    if (p.family === 4 && this.#routing.input(p) !== ROUTE_LOCAL) return;
    this.#error(p, type, ICMP_EXC_FRAGTIME, 0);
  }

  /**
   * Sends what stands in the made slot on account of `cause`. The slot is taken until it has left: an answer to an
   * answer is not made.
   */
  #send(cause: Packet): void {
    const made = this.#made;
    this.#making = true;
    this.#originate(made, cause.inInterface);
    this.#making = false;
  }
}

/**
 * True for an ICMP error of the own stack that belongs to its cause's flow. When a UDP port turns out to be closed the
 * datagram has let go of its flow already (nf_reset_ct).
 */
function isAttachedError(made: Packet): boolean {
  const type = made.view.getUint8(made.l4), code = made.view.getUint8(made.l4 + 1);
  if (made.protocol === ICMP) return type === ICMP_DEST_UNREACH && code !== ICMP_PORT_UNREACH;
  if (made.protocol !== ICMPV6 || type >= ICMPV6_ECHO_REQUEST) return false;
  return type !== ICMPV6_DEST_UNREACH || code !== ICMPV6_PORT_UNREACH;
}
