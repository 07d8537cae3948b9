/**
 * A router cut down to what NAT needs: parse, conntrack, nat, a two-way switch for routing, confirm. Rules are a
 * function that does what a target of the nat table would do.
 *
 * ```
 *   10.0.0.2, 2001:db8:1::2 ── lan 10.0.0.1/24   │ Lab │   203.0.113.1/24 wan ── 198.51.100.7, 2001:db8:9::7
 *                              2001:db8:1::1/64  │     │   2001:db8:2::1/64
 * ```
 *
 * @module
 */
import type { ConntrackHelper } from "../../src/conntrack/helper.ts";
import type { Arena } from "../../src/arena.ts";
import type { Random } from "../../src/clock.ts";
import { Conntrack } from "../../src/conntrack/core.ts";
import { ExpectTable } from "../../src/conntrack/expect.ts";
import { formatFlow } from "../../src/conntrack/format.ts";
import { CT_STATE, FLOW_CONFIRMED, FLOW_WORDS } from "../../src/conntrack/flow.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { Nat } from "../../src/nat/core.ts";
import { NatRange } from "../../src/nat/range.ts";
import {
  ACCEPT,
  FORWARD,
  INPUT,
  POSTROUTING,
  PREROUTING,
  REASONS,
  type Verdict,
} from "../../src/netfilter.ts";
import { parseAddress } from "../../src/packet/address.ts";
import { decreaseTtl } from "../../src/packet/ipv4.ts";
import { decreaseHopLimit } from "../../src/packet/ipv6.ts";
import { parse } from "../../src/packet/parse.ts";
import { Packet } from "../../src/packet/packet.ts";
import { Interfaces } from "../../src/routing/interfaces.ts";
import type { HelperRoster } from "../../src/conntrack/roster.ts";
import { Sysctl } from "../../src/sysctl.ts";
import { load, seeded, unload, VirtualClock } from "../kit/mod.ts";

export const LAN = 1, WAN = 2;

export interface LabOptions {
  helpers?: readonly ConntrackHelper[];
  /** What the nat table does with the first packet of a flow. */
  rules?: (nat: Nat, p: Packet) => Verdict;
  sysctl?: Record<string, number>;
  capacity?: number;
  expectations?: number;
  seed?: number;
  /** Chance, instead of a seed. */
  random?: Random;
  /** Memory that is shared with another lab, and then its arena, too. */
  memory?: { flows: ArrayBuffer; expects: ArrayBuffer; roster: HelperRoster };
  arena?: Arena;
}

/** What became of a packet. */
export interface Outcome {
  /** Interface it left by, 0 for the router itself, -1 when it died. */
  iface: number;
  bytes: Uint8Array;
  /** As in REASONS. */
  reason: string;
  /** Relation to its flow after conntrack, -1 without flow. */
  ctinfo: number;
}

export function words(address: string): Int32Array {
  const parsed = parseAddress(address);
  if (parsed === null) throw new TypeError(address);
  return parsed.words;
}

/** MASQUERADE out of wan. */
export function masquerade(nat: Nat, p: Packet): Verdict {
  return p.hook === POSTROUTING && p.outInterface === WAN ? nat.masquerade(p, ANY_PORT) : ACCEPT;
}
const ANY_PORT = new NatRange();

const LAN_4 = 0x0a000000, LAN_6 = [0x20010db8, 0x00010000];

export class Lab {
  readonly clock = new VirtualClock();
  readonly conntrack: Conntrack;
  readonly nat: Nat;
  readonly interfaces: Interfaces;
  readonly log: string[] = [];
  readonly packet = new Packet();
  rules: (nat: Nat, p: Packet) => Verdict;

  constructor(o: LabOptions = {}) {
    const random = o.random ?? seeded(o.seed ?? 1),
      capacity = o.capacity ?? 1024,
      expectations = o.expectations ?? 64;
    this.interfaces = new Interfaces([
      { name: "lan", mtu: 1500, addresses: ["10.0.0.1/24", "2001:db8:1::1/64"] },
      { name: "wan", mtu: 1500, addresses: ["203.0.113.1/24", "2001:db8:2::1/64"] },
    ]);
    const { arena } = o;
    const flowMemory = o.memory?.flows ?? new ArrayBuffer(FlowTable.bytes(capacity));
    const expectMemory = o.memory?.expects ?? new ArrayBuffer(ExpectTable.bytes(expectations));
    this.conntrack = new Conntrack({
      flows: new FlowTable(flowMemory, 0, capacity, random, arena),
      expects: new ExpectTable(expectMemory, 0, expectations, random, arena),
      arena,
      roster: o.memory?.roster,
      clock: this.clock,
      random,
      sysctl: new Sysctl(o.sysctl ?? {}),
      helpers: o.helpers ?? [],
      log: (line) => this.log.push(line),
    });
    this.rules = o.rules ?? (() => ACCEPT);
    this.nat = new Nat(this.conntrack, this.interfaces, { nat: (p) => this.rules(this.nat, p) });
  }

  /** Sends a packet into an interface and says what became of it. */
  send(iface: number, bytes: Uint8Array, prepare?: (p: Packet) => void): Outcome {
    const p = load(this.packet, bytes, iface);
    prepare?.(p);
    const outcome = (out: number, ctinfo: number): Outcome => {
      const result = { iface: out, bytes: unload(p), reason: REASONS[p.reason], ctinfo };
      this.conntrack.release(p);
      return result;
    };
    if (parse(p) !== 0) return outcome(-1, -1);
    p.hook = PREROUTING;
    if (this.conntrack.in(p) !== ACCEPT) return outcome(-1, -1);
    const ctinfo = p.ct < 0 ? -1 : p.ctinfo;
    if (this.nat.manip(p) !== ACCEPT) return outcome(-1, ctinfo);
    const to = this.#route(p);
    if (to === 0) {
      p.hook = INPUT;
      if (this.nat.manip(p) !== ACCEPT || this.conntrack.confirm(p) !== ACCEPT) return outcome(-1, ctinfo);
      return outcome(0, ctinfo);
    }
    p.hook = FORWARD;
    p.outInterface = to;
    if (p.family === 4) decreaseTtl(p);
    else decreaseHopLimit(p);
    p.hook = POSTROUTING;
    if (this.nat.manip(p) !== ACCEPT || this.conntrack.confirm(p) !== ACCEPT) return outcome(-1, ctinfo);
    return outcome(to, ctinfo);
  }

  /** The packet must get through. */
  pass(iface: number, bytes: Uint8Array): Uint8Array {
    const o = this.send(iface, bytes);
    if (o.iface <= 0) throw new Error(`did not get through: ${o.iface === 0 ? "for the router" : o.reason}`);
    return o.bytes;
  }

  #route(p: Packet): number {
    const at = p.family === 4 ? 16 : 24, to = new Int32Array(4);
    for (let i = 0; i < (p.family === 4 ? 1 : 4); i++) to[i] = p.view.getInt32(at + i * 4);
    if (this.interfaces.isLocal(to, 0, p.family)) return 0;
    const lan = p.family === 4 ? (to[0] & ~0xff) === LAN_4 : to[0] === LAN_6[0] && to[1] === LAN_6[1];
    return lan ? LAN : WAN;
  }

  /** Handles of the flows in the table. */
  flows(): number[] {
    const { flows } = this.conntrack, found = [];
    for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) {
      if (flows.words[ct * FLOW_WORDS + CT_STATE] === FLOW_CONFIRMED) found.push(ct);
    }
    return found;
  }

  /** Lines of `conntrack -L`. */
  list(): string[] {
    return this.flows().map((ct) => formatFlow(this.conntrack, ct));
  }
}
