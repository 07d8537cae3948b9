/**
 * Rules without a router around them: a configuration's tables, compiled for real conntrack and NAT, and one packet
 * that walks them.
 *
 * ```
 *   10.0.0.0/24, 2001:db8:1::/64 ── lan (1) │ Rig │ wan (2) ── 203.0.113.0/24, 2001:db8:2::/64
 * ```
 *
 * @module
 */
import { HeapArena } from "../../src/arena.ts";
import { validate } from "../../src/config/validate.ts";
import type { RouterConfig, TablesConfig } from "../../src/config/types.ts";
import type { ValidConfig } from "../../src/config/valid.ts";
import { Conntrack } from "../../src/conntrack/core.ts";
import { ExpectTable } from "../../src/conntrack/expect.ts";
import type { ConntrackHelper } from "../../src/conntrack/helper.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { recentNeeds } from "../../src/matches/recent.ts";
import { Nat } from "../../src/nat/core.ts";
import { ACCEPT, DROP, type Family, FORWARD, type Hook, REASONS, type Verdict } from "../../src/netfilter.ts";
import { Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import { Interfaces } from "../../src/routing/interfaces.ts";
import { PathMtus } from "../../src/routing/path_mtu.ts";
import { Sets } from "../../src/sets/mod.ts";
import { type CompiledTables, compileRules } from "../../src/tables/compile.ts";
import type { TableName } from "../../src/tables/extension.ts";
import { HashlimitTables } from "../../src/tables/hashlimit_table.ts";
import { RecentLists } from "../../src/tables/recent_list.ts";
import type { Services } from "../../src/tables/services.ts";
import { changedSets } from "../../src/targets/set.ts";
import { load, seeded, unload, VirtualClock } from "../kit/mod.ts";

export const LAN = 1, WAN = 2;

export const INTERFACES: RouterConfig["interfaces"] = {
  lan: { addresses: ["10.0.0.1/24", "2001:db8:1::1/64"] },
  wan: { addresses: ["203.0.113.1/24", "2001:db8:2::1/64"], mtu: 1400 },
};

/** A helper that does nothing, for rules that name one. */
export function idleHelper(name: string, protocol: number, port: number): ConntrackHelper {
  return {
    name,
    protocol,
    families: [4, 6],
    ports: [port],
    autoAssign: false,
    policies: [{ name, maxExpected: 1, timeout: 300 }],
    help: () => ACCEPT,
  };
}

/** How a packet stands when it meets a table. */
export interface Stand {
  hook?: Hook;
  in?: number;
  out?: number;
  mark?: number;
  /** Runs it through conntrack first. */
  track?: boolean;
  prepare?: (p: Packet) => void;
}

/** One configuration's rules at work. */
export class Rig {
  readonly config: ValidConfig;
  readonly clock = new VirtualClock();
  readonly conntrack: Conntrack;
  readonly nat: Nat;
  readonly interfaces: Interfaces;
  readonly sets: Sets;
  readonly counters: Float64Array;
  readonly ipv4: CompiledTables;
  readonly ipv6: CompiledTables;
  readonly p = new Packet();
  /** What rules logged, and what they rejected. */
  readonly lines: string[] = [];
  readonly rejects: number[] = [];
  /** Pointers of parameter problems. */
  readonly problems: number[] = [];
  onReject: ((p: Packet) => void) | null = null;

  /** `indexFrom`: as in `Binding`. */
  constructor(tables: TablesConfig, more: Partial<RouterConfig> = {}, indexFrom?: number) {
    this.config = validate({ interfaces: INTERFACES, tables, ...more });
    const random = seeded(1);
    this.interfaces = new Interfaces(this.config.interfaces);
    this.conntrack = new Conntrack({
      flows: new FlowTable(new ArrayBuffer(FlowTable.bytes(256)), 0, 256, random),
      expects: new ExpectTable(new ArrayBuffer(ExpectTable.bytes(16)), 0, 16, random),
      clock: this.clock,
      random,
      sysctl: this.config.sysctl,
      helpers: this.config.helpers,
      log: () => {},
    });
    this.nat = new Nat(this.conntrack, this.interfaces, {
      nat: (p) => this.of(p.family).nat?.run(p.hook, p) ?? ACCEPT,
    });
    this.counters = new Float64Array(2 * this.config.counters);
    const services: Services = {
      conntrack: this.conntrack,
      nat: this.nat,
      interfaces: this.interfaces,
      pathMtus: new PathMtus({
        interfaces: this.interfaces,
        sysctl: this.config.sysctl,
        clock: this.clock,
        random,
      }),
      sets: this.sets = new Sets(this.config.sets, changedSets(Object.values(this.config.rules)), {
        clock: this.clock,
        arena: new HeapArena(),
        interfaces: this.interfaces,
        seed: 1,
        roomy: false,
      }),
      hashlimits: new HashlimitTables({ clock: this.clock, arena: new HeapArena() }),
      recent: new RecentLists(recentNeeds(Object.values(this.config.rules)), {
        clock: this.clock,
        arena: new HeapArena(),
      }),
      clock: this.clock,
      random,
      arena: new HeapArena(),
      reject: (p, how) => {
        this.rejects.push(how);
        this.onReject?.(p);
      },
      parameterProblem: (_, pointer) => this.problems.push(pointer),
      log: (line) => this.lines.push(line),
    };
    const binding = { services, counters: this.counters, indexFrom };
    this.ipv4 = compileRules(this.config.rules.ipv4, binding);
    this.ipv6 = compileRules(this.config.rules.ipv6, binding);
  }

  of(family: Family): CompiledTables {
    return family === 4 ? this.ipv4 : this.ipv6;
  }

  /** Loads a packet as it would stand in a hook. */
  load(bytes: Uint8Array, stand: Stand = {}): Packet {
    const p = load(this.p, bytes, stand.in ?? LAN);
    const reason = parse(p);
    if (reason !== 0) throw new Error(`parse refused the packet: ${REASONS[reason]}`);
    p.hook = stand.hook ?? FORWARD;
    p.outInterface = stand.out ?? WAN;
    p.mark = stand.mark ?? 0;
    if (stand.track) this.conntrack.in(p);
    stand.prepare?.(p);
    return p;
  }

  /** Walks one table. */
  run(table: TableName, bytes: Uint8Array, stand: Stand = {}): Verdict {
    const p = this.load(bytes, stand);
    const walked = this.of(p.family)[table];
    return walked === null ? ACCEPT : walked.run(p.hook, p);
  }

  /** The verdict in words: "ACCEPT", or the reason of a drop. */
  says(table: TableName, bytes: Uint8Array, stand: Stand = {}): string {
    const verdict = this.run(table, bytes, stand);
    return verdict === ACCEPT ? "ACCEPT" : verdict === DROP ? REASONS[this.p.reason] : String(verdict);
  }

  /** Lets the tracked packet of the last walk leave: its flow is confirmed. */
  confirm(): void {
    this.conntrack.confirm(this.p);
  }

  /** The packet's bytes as they are now. */
  bytes(): Uint8Array {
    return unload(this.p);
  }

  /** Packets and bytes of every rule of a chain, then of its policy. */
  count(table: TableName, chain: string, family: Family = 4): [number, number][] {
    const spec = this.config.rules[family === 4 ? "ipv4" : "ipv6"][table];
    if (spec === null) return [[0, 0]];
    let slot = spec.counters;
    for (const { name, rules } of spec.chains) {
      if (name === chain) {
        return Array.from({ length: rules.length + 1 }, (_, i) => [
          this.counters[2 * (slot + i)],
          this.counters[2 * (slot + i) + 1],
        ]);
      }
      slot += rules.length + 1;
    }
    throw new Error(`no chain ${chain}`);
  }
}
