/**
 * What a router counts, as Prometheus reads it (text format 0.0.4): each metric once, with its help and its type, then
 * its samples. Counters end in `_total`; units stand in the names.
 */
import type { Conntrack } from "../conntrack/core.ts";
import { HELD_EXPECTS } from "../conntrack/expect.ts";
import { protocolName } from "../conntrack/format.ts";
import { flowsByHelper } from "../conntrack/listing.ts";
import { HELPER_BLIND, HELPER_FAILED, HELPER_OPENED, HELPER_REFUSED } from "../conntrack/roster.ts";
import { STATS } from "../conntrack/tracker.ts";
import {
  CONTROL_EXPECTS,
  CONTROL_FLOWS,
  INTERFACE_COUNTERS,
  type Memory,
  RX_BYTES,
  RX_DROPS,
  RX_PACKETS,
  TX_BYTES,
  TX_DROPS,
  TX_PACKETS,
} from "../memory.ts";
import { REASONS } from "../netfilter.ts";

type Labels = Readonly<Record<string, string>>;

/** The metric's lines, as they grow. */
class Text {
  readonly #lines: string[] = [];
  readonly #common: Labels;

  constructor(common: Labels) {
    this.#common = common;
  }

  /** One metric and all its samples. One without samples is left out. */
  add(
    name: string,
    type: "counter" | "gauge",
    help: string,
    samples: readonly (readonly [labels: Labels, value: number])[],
  ): void {
    if (samples.length === 0) return;
    this.#lines.push(`# HELP ${name} ${escape(help)}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples) {
      const all = Object.entries({ ...this.#common, ...labels });
      const text = all.map(([label, of]) => `${label}="${escape(of).replaceAll('"', '\\"')}"`).join(",");
      this.#lines.push(`${name}{${text}} ${value}`);
    }
  }

  toString(): string {
    return this.#lines.join("\n") + "\n";
  }
}

/** Backslashes and line ends, as in help texts; labels escape quotes, too. */
function escape(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

/** What each of STATS counts. */
const STAT_HELP: Readonly<Record<typeof STATS[number], string>> = {
  found: "Lookups by NAT that found a tuple taken.",
  invalid: "Packets that could not be tracked.",
  insert: "Flows entered into the table.",
  insert_failed: "Flows that could not be entered into the table.",
  drop: "Packets dropped because tracking failed.",
  early_drop: "Flows that left the full table early.",
  error: "ICMP errors that could not be tracked.",
  search_restart: "Lookups that had to begin again.",
  clash_resolve: "Flows begun twice at the same moment, and settled.",
  chaintoolong: "Flows not entered because a hash chain was too long.",
  expect_new: "Flows that fulfilled an expectation.",
  expect_create: "Expectations made.",
  expect_delete: "Expectations that left the table.",
};

const INTERFACE_METRICS: readonly (readonly [name: string, counter: number, help: string])[] = [
  ["receive_packets", RX_PACKETS, "Packets read from the device, offloaded ones counted as one."],
  ["receive_bytes", RX_BYTES, "Bytes of packets read from the device."],
  ["receive_dropped_packets", RX_DROPS, "Packets read from the device that were dropped."],
  ["transmit_packets", TX_PACKETS, "Packets written to the device, offloaded ones counted as one."],
  ["transmit_bytes", TX_BYTES, "Bytes of packets written to the device."],
  ["transmit_dropped_packets", TX_DROPS, "Packets that the device did not take."],
];

/** All metrics of the router called `name`, whose state `memory` is; `tables` are the tables in it. */
export function metrics(name: string, memory: Memory, tables: Conntrack): string {
  const text = new Text({ router: name });
  const one = (value: number) => [[{}, value] as const];

  text.add(
    "weir_start_time_seconds",
    "gauge",
    "When the router's process began to route, in seconds since 1970.",
    one(memory.owner.started / 1000),
  );
  text.add(
    "weir_restarts_total",
    "counter",
    "How often a process went on with the state of one that was killed.",
    one(memory.restarts),
  );

  const interfaces: [label: Labels, at: number][] = [];
  for (let i = 0; i <= memory.geometry.interfaces; i++) {
    const label = memory.generation.interfaceName(i);
    if (label !== "") interfaces.push([{ interface: label }, i * INTERFACE_COUNTERS]);
  }
  for (const [what, counter, help] of INTERFACE_METRICS) {
    text.add(
      `weir_interface_${what}_total`,
      "counter",
      help,
      interfaces.map(([labels, at]) => [labels, memory.interfaces[at + counter]]),
    );
  }

  const reasons = REASONS.slice(1, memory.reasons).map((reason, i) => [{ reason }, i + 1] as const);
  const drops = (word: number) =>
    reasons.map(([labels, at]) => [labels, memory.drops[at * 2 + word]] as const);
  text.add("weir_dropped_packets_total", "counter", "Packets dropped, by reason.", drops(0));
  text.add("weir_dropped_bytes_total", "counter", "Bytes of packets dropped, by reason.", drops(1));

  const { control } = memory;
  text.add("weir_flows", "gauge", "Flows in the table.", one(Atomics.load(control, CONTROL_FLOWS)));
  text.add("weir_flows_max", "gauge", "Flows that the table has room for.", one(memory.geometry.flows));
  text.add(
    "weir_expectations",
    "gauge",
    "Expectations in the table.",
    one(Atomics.load(control, CONTROL_EXPECTS)),
  );
  text.add(
    "weir_expectations_max",
    "gauge",
    "Expectations that the table has room for.",
    one(memory.geometry.expects - HELD_EXPECTS),
  );
  STATS.forEach((stat, i) => {
    text.add(`weir_conntrack_${stat}_total`, "counter", STAT_HELP[stat], one(memory.stats[i]));
  });

  const entries = memory.generation.roster.entries, now = flowsByHelper(tables);
  const helpers = (value: (index: number) => number) =>
    entries.map((entry, i) =>
      [{ helper: entry.name, protocol: protocolName(entry.protocol) }, value(i)] as const
    ).filter(([{ helper }]) => helper !== "");
  const counted = (what: number) => helpers((i) => entries[i].counts[what]);
  text.add(
    "weir_helper_loaded",
    "gauge",
    "1 while the helper is given to flows, 0 once it was unloaded.",
    helpers((i) => entries[i].loaded ? 1 : 0),
  );
  text.add("weir_helper_flows", "gauge", "Flows that the helper reads.", helpers((i) => now.flows[i]));
  text.add(
    "weir_helper_expectations",
    "gauge",
    "Expectations of the helper in the table.",
    helpers((i) => now.expectations[i]),
  );
  text.add(
    "weir_helper_opened_total",
    "counter",
    "Expectations that the helper has made.",
    counted(HELPER_OPENED),
  );
  text.add(
    "weir_helper_refused_total",
    "counter",
    "Announcements that the helper's limits forbade.",
    counted(HELPER_REFUSED),
  );
  text.add(
    "weir_helper_failed_total",
    "counter",
    "Failures of the helper that were contained.",
    counted(HELPER_FAILED),
  );
  text.add(
    "weir_helper_blind_total",
    "counter",
    "Flows that the helper can no longer read.",
    counted(HELPER_BLIND),
  );
  return text.toString();
}
