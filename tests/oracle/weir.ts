/**
 * Weir's answer to a scenario: the router over plain memory, with a clock that moves only where the scenario waits.
 *
 * @module
 */
import { type Clock, Xoshiro } from "../../src/clock.ts";
import { saveSet } from "../../src/config/ipset_save.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import { validate, type ValidConfig } from "../../src/config/validate.ts";
import { ExpectTable } from "../../src/conntrack/expect.ts";
import { CT_STATE, FLOW_CONFIRMED, FLOW_WORDS } from "../../src/conntrack/flow.ts";
import { formatFlow, listExpects, listFlows } from "../../src/conntrack/format.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { EventReader } from "../../src/conntrack/events.ts";
import { Listener } from "./weir_listener.ts";
import * as helpers from "../../src/helpers/mod.ts";
import { Memory } from "../../src/memory.ts";
import { readVnetHeader, writeVnetHeader } from "../../src/dataplane/vnet.ts";
import { type Packet, VNET_HDR_LENGTH } from "../../src/packet/packet.ts";
import { geometryOf } from "../../src/geometry.ts";
import type { NamedSet } from "../../src/sets/mod.ts";
import type { TableName } from "../../src/tables/extension.ts";
import { readFlow } from "./listing.ts";
import { Planes } from "./planes.ts";
import { type Answer, type Dump, type Emitted, lines, type Scenario, SCENARIO_SYSCTLS } from "./scenario.ts";

/** Enough for every scenario, and quickly zeroed; and where Weir does better than Linux, Linux's way. */
const KNOBS = {
  "net.netfilter.nf_conntrack_max": 1024,
  "net.netfilter.nf_conntrack_expect_max": 256,
  "weir.seqadj_exact": 0,
  "weir.segment_grown": 0,
};
/** Milliseconds that a packet takes to come in; Linux needs about as long. */
const PACE = 0.05;

/** Blocks `*table … COMMIT` of a text by table. */
function blocks(text: string): Map<string, string> {
  const found = new Map<string, string>();
  let name = "";
  for (const line of lines(text)) {
    if (line.startsWith("*")) found.set(name = line.slice(1), "");
    found.set(name, `${found.get(name)}${line}\n`);
  }
  return found;
}

/** What iptables-restore leaves behind: tables of the new text, and those of the old that it does not name. */
function replaceTables(old: string, text: string | undefined): string {
  return text === undefined ? old : [...new Map([...blocks(old), ...blocks(text)]).values()].join("");
}

/** What `ipset save` would say of the sets of a router at work, as of its clock's `now`. */
function saveSets(sets: Iterable<NamedSet>, now: number): string {
  const hashes: string[] = [], lists: string[] = [];
  for (const { name, ipv4, ipv6, list } of sets) {
    if (list !== null) {
      lists.push(saveSet({ ...list, members: list.members.map((member) => member.name) }, now));
    } else {
      const live = [...new Set([ipv4, ipv6])].filter((half) => half !== null);
      const half = live.find(({ elements }) => elements.count > 0) ?? live[0];
      hashes.push(saveSet({ ...half, header: { ...half.header, name } }, now));
    }
  }
  return [...hashes, ...lists].join("");
}

class WeirRouter {
  readonly emitted: Emitted[] = [];
  readonly dumps: Dump[] = [];
  readonly #scenario: Scenario;
  readonly #names: readonly string[];
  readonly #clock: Clock = { now: (1_700_000_000 * 1000) | 0, wall: 1_700_000_000 };
  readonly #random = new Xoshiro(1);
  #sysctl: Record<string, number>;
  #config: ValidConfig;
  #memory: Memory;
  #planes: Planes;
  #step = -1;
  readonly #listeners: readonly Listener[];
  #events: EventReader;

  constructor(scenario: Scenario, readonly planes: number) {
    this.#scenario = scenario;
    this.#names = Object.keys(scenario.interfaces);
    this.#sysctl = { ...SCENARIO_SYSCTLS, ...KNOBS, ...scenario.sysctl };
    this.#config = this.#configure(scenario.iptables ?? "", scenario.ip6tables ?? "");
    this.#memory = this.#layOut();
    this.#planes = this.#start(false);
    this.#listeners = (scenario.listeners ?? []).map((args) => new Listener(args));
    this.#events = this.#listen();
  }

  #listen(): EventReader {
    const ring = this.#memory.events;
    ring.wanted = this.#listeners.reduce((all, { kinds }) => all | kinds, 0);
    return new EventReader(ring);
  }

  /** What has happened since the last time. */
  #hear(): void {
    for (let record; (record = this.#events.next()) !== null;) {
      for (const listener of this.#listeners) listener.hear(record);
    }
    if (this.#events.lost > 0) throw new Error(`${this.#events.lost} events are lost`);
  }

  /** The listeners' lines. */
  get events(): string[][] {
    this.#hear();
    return this.#listeners.map(({ lines }) => lines);
  }

  #configure(iptables: string, ip6tables: string): ValidConfig {
    const { interfaces, routes, sets, ipset } = this.#scenario;
    const { ftp, irc, tftp, amanda } = helpers;
    return validate({
      interfaces,
      routes,
      iptables,
      ip6tables,
      sets,
      ipset,
      // As in Linux, a helper does nothing without a rule.
      helpers: [ftp, irc, tftp, amanda].map((helper) => helper({ autoAssign: false })),
      sysctl: this.#sysctl,
    });
  }

  #layOut(): Memory {
    const geometry = geometryOf(this.#config);
    return Memory.create(new ArrayBuffer(Memory.bytes(geometry)), geometry);
  }

  #start(recovered: boolean): Planes {
    const options = {
      config: this.#config,
      clock: this.#clock,
      random: this.#random,
      memory: this.#memory,
      recovered,
      emit: (iface: number, p: Packet) =>
        void this.emitted.push({
          iface: this.#names[iface - 1],
          bytes: p.bytes.slice(0, p.length),
          step: this.#step,
          ...this.#front(p),
        }),
      log: () => {},
    };
    return new Planes(options, this.planes);
  }

  /** Another configuration over the same flows and expectations; `kept` tables go on counting. */
  #restart(iptables: string, ip6tables: string, kept: Readonly<Record<4 | 6, Iterable<string>>>): void {
    this.#hear();
    const old = this.#memory, oldRules = this.#config.rules, { flows, expects } = old.geometry;
    this.#config = this.#configure(iptables, ip6tables);
    this.#memory = this.#layOut();
    const copy = (from: number, to: number, length: number) =>
      new Uint8Array(this.#memory.buffer, to, length).set(new Uint8Array(old.buffer, from, length));
    copy(old.flowsOffset, this.#memory.flowsOffset, FlowTable.bytes(flows));
    copy(old.expectsOffset, this.#memory.expectsOffset, ExpectTable.bytes(expects));
    this.#planes = this.#start(true);
    this.#events = this.#listen();
    for (const family of [4, 6] as const) {
      const name = family === 4 ? "ipv4" : "ipv6";
      for (const table of kept[family]) {
        const from = oldRules[name][table as TableName], to = this.#config.rules[name][table as TableName];
        if (from === null || to === null) continue;
        const slots = from.chains.reduce((sum, chain) => sum + chain.rules.length + 1, 0);
        this.#memory.generation.rules.set(
          old.generation.rules.subarray(2 * from.counters, 2 * (from.counters + slots)),
          2 * to.counters,
        );
      }
    }
  }

  #save(family: 4 | 6): string {
    const { ipv4, ipv6 } = this.#config.rules;
    return saveRules(family === 4 ? ipv4 : ipv6, { counters: this.#memory.generation.rules });
  }

  /** Names of the tables in force that a text does not name. */
  #unnamed(family: 4 | 6, text = ""): string[] {
    const named = blocks(text);
    return [...blocks(this.#save(family)).keys()].filter((table) => !named.has(table));
  }

  /** The header that a device would get in front of a packet. */
  #front(p: Packet): { vnet?: Uint8Array } {
    if (this.#scenario.offload !== true) return {};
    writeVnetHeader(p);
    return { vnet: p.raw.slice(0, VNET_HDR_LENGTH) };
  }

  /** What happens from now on belongs to this step. */
  begin(step: number): void {
    this.#step = step;
  }

  packet(iface: string, bytes: Uint8Array, vnet?: Uint8Array): void {
    this.wait(PACE);
    const router = this.#planes.deal(), p = router.packet, index = this.#names.indexOf(iface) + 1;
    p.bytes.set(bytes);
    p.reset(index, bytes.length);
    if (vnet !== undefined) {
      p.raw.set(vnet);
      // As the data plane does it, but for counting.
      if (!readVnetHeader(p, VNET_HDR_LENGTH + bytes.length)) return;
    }
    router.receive(p, index);
  }

  /** Time passes in steps that no timer can fall between. */
  wait(milliseconds: number): void {
    const clock = this.#clock;
    for (let left = milliseconds; left > 0; left -= 100) {
      clock.wall += Math.min(left, 100) / 1000;
      clock.now = Math.floor(clock.wall * 1000 + 0.001) | 0;
      this.#planes.first.sweep();
    }
  }

  rules(iptables?: string, ip6tables?: string): void {
    const kept = { 4: this.#unnamed(4, iptables), 6: this.#unnamed(6, ip6tables) };
    this.#restart(replaceTables(this.#save(4), iptables), replaceTables(this.#save(6), ip6tables), kept);
  }

  sysctl(values: Readonly<Record<string, number>>): void {
    this.#sysctl = { ...this.#sysctl, ...values };
    this.#restart(this.#save(4), this.#save(6), { 4: this.#unnamed(4), 6: this.#unnamed(6) });
  }

  /** `conntrack -D` by protocol (`-p`) and original ports (`--sport`, `--dport`). */
  delete(args: readonly string[]): void {
    const conntrack = this.#planes.deal().conntrack,
      { teller } = conntrack,
      flows = conntrack.flows,
      wanted = new Map<string, string>();
    for (let i = 0; i < args.length; i += 2) wanted.set(args[i], args[i + 1]);
    for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) {
      if (flows.words[ct * FLOW_WORDS + CT_STATE] !== FLOW_CONFIRMED) continue;
      const { protocol, original } = readFlow(formatFlow(conntrack, ct));
      const values = new Map([["-p", protocol], ["--sport", original.sport], ["--dport", original.dport]]);
      if (![...wanted].every(([option, value]) => values.get(option) === value)) continue;
      teller.portid = Deno.pid;
      conntrack.delete(ct);
      teller.portid = 0;
    }
  }

  dump(name: string): void {
    const { conntrack, sets } = this.#planes.deal();
    this.dumps.push({
      name,
      conntrack: listFlows(conntrack),
      expect: listExpects(conntrack),
      iptables: this.#save(4),
      ip6tables: this.#save(6),
      ...(this.#scenario.ipset === undefined ? {} : { ipset: saveSets(sets.all(), this.#clock.now) }),
    });
  }
}

/** Asks Weir, which may be several data planes. */
export function askWeir(scenario: Scenario, planes = 1): Answer {
  const router = new WeirRouter(scenario, planes);
  scenario.steps.forEach((step, i) => {
    router.begin(i);
    switch (step.do) {
      case "packet":
        return router.packet(
          step.iface,
          typeof step.bytes === "function" ? step.bytes(router.emitted) : step.bytes,
          step.vnet,
        );
      case "wait":
        return router.wait(step.milliseconds);
      case "rules":
        return router.rules(step.iptables, step.ip6tables);
      case "delete":
        return router.delete(step.arguments);
      case "sysctl":
        return router.sysctl(step.values);
      case "dump":
        return router.dump(step.name);
    }
  });
  router.dump("end");
  return { emitted: router.emitted, dumps: router.dumps, events: router.events };
}
