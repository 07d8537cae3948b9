/**
 * Linux and Weir walk through a plan side by side, and stop where they part.
 *
 * @module
 */
import { ConfigError } from "../../src/config/validate.ts";
import { show } from "../kit/show.ts";
import { inNewNetns } from "../oracle/netns.ts";
import { KernelRouter } from "../oracle/kernel.ts";
import { handOver } from "../oracle/offload.ts";
import type { Scenario } from "../oracle/scenario.ts";
import { Judge } from "./allowed.ts";
import { interfaces, ROUTES } from "./net.ts";
import type { Plan } from "./plan.ts";
import type { Sent } from "./sent.ts";
import { Hosts, type Step } from "./steps.ts";
import { finished, WeirSide } from "./weir.ts";

/** Where they part. */
export interface Difference {
  /** What sort of thing differs: the first words of the report. */
  kind: string;
  /** The step, or −1 when only the tables at the end differ. */
  step: number;
  report: string[];
}

/** What became of a plan. */
export interface Result {
  /** Packets put to both sides. */
  packets: number;
  difference: Difference | null;
  judge: Judge;
}

/** The question that both sides are asked, but for the packets. */
export function scenarioOf(plan: Plan): Scenario {
  return {
    interfaces: interfaces(plan.mtu),
    routes: ROUTES,
    iptables: plan.iptables,
    ip6tables: plan.ip6tables,
    sysctl: plan.sysctl,
    ...(plan.offload ? { offload: true } : {}),
    steps: [],
  };
}

/** Runs a plan; `trace` gets a line for everything that passes. */
export function run(plan: Plan, seed: number, trace?: (line: string) => void): Result {
  const scenario = scenarioOf(plan), judge = new Judge(plan.iptables, plan.ip6tables);
  let weir: WeirSide | null = null, refusal = "";
  try {
    weir = new WeirSide(scenario, seed);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    refusal = error.message;
  }
  return inNewNetns(() => {
    const kernel = new KernelRouter({ ...scenario, iptables: "", ip6tables: "" });
    try {
      try {
        kernel.rules(plan.iptables, plan.ip6tables);
        kernel.rules(plan.onlyLinux);
      } catch {
        return { packets: 0, judge, difference: null }; // no rules, no question
      }
      if (weir === null) {
        return {
          packets: 0,
          judge,
          difference: { kind: "rules that weir refuses", step: -1, report: [refusal] },
        };
      }
      const hosts = { kernel: new Hosts(), weir: new Hosts() };
      const begin = performance.now(), wall = Date.now();
      for (const [i, step] of plan.steps.entries()) {
        const k = hosts.kernel.send(step), w = hosts.weir.send(step);
        if (k.bytes.length === 0) continue;
        kernel.emitted.length = 0;
        const kd = handed(plan, step, k.bytes), wd = handed(plan, step, w.bytes);
        kernel.packet(k.iface, kd.bytes, i, kd.vnet);
        const now = performance.now() - begin;
        const a: Sent[] = kernel.emitted.map((e) => {
          const bytes = e.bytes as Uint8Array<ArrayBuffer>;
          return { iface: e.iface, ...(e.vnet === undefined ? { bytes } : finished(bytes, e.vnet)) };
        });
        weir.guide.watch(k.bytes, a);
        const b = weir.packet(w.iface, wd.bytes, wall + now, wd.vnet);
        if (trace) {
          trace(`${i} talk ${step.talk}.${step.from} in ${k.iface}: ${show(k.bytes)}`);
          for (const s of a) trace(`    out ${s.iface}: ${show(s.bytes)}`);
        }
        const parted = judge.packets(k.bytes, a, b, w.bytes, needsSum(kd.vnet));
        if (parted !== null) {
          return { packets: i + 1, judge, difference: describe(i, k, a, b, parted) };
        }
        for (const s of a) hosts.kernel.receive(step, k.bytes, s.iface, s.bytes);
        for (const s of b) hosts.weir.receive(step, w.bytes, s.iface, s.bytes);
      }
      kernel.dump("end");
      const report = judge.dumps(kernel.dumps[0], weir.dump());
      return {
        packets: plan.steps.length,
        judge,
        difference: report.length === 0 ? null : { kind: tableKind(report), step: -1, report },
      };
    } finally {
      kernel.close();
    }
  });
}

/** A packet as the device hands it over, and what stands in front of it where devices offload. */
export function handed(
  plan: Plan,
  step: Step,
  bytes: Uint8Array<ArrayBuffer>,
): { bytes: Uint8Array; vnet?: Uint8Array } {
  if (!plan.offload) return { bytes };
  return (step.burst === undefined ? null : handOver(bytes, step.burst)) ?? { bytes, vnet: NOTHING };
}

/** VIRTIO_NET_HDR_F_NEEDS_CSUM: the checksum is left to whoever sends it on. */
const needsSum = (vnet: Uint8Array | undefined) => vnet !== undefined && (vnet[0] & 1) !== 0;

const NOTHING = new Uint8Array(10);

function tableKind(report: readonly string[]): string {
  return report.filter((l) => !l.startsWith(" ")).map((l) => l.replace(/:$/, "")).join(" + ");
}

function describe(
  step: number,
  k: Sent,
  a: readonly Sent[],
  b: readonly Sent[],
  [left, right]: readonly [Sent?, Sent?],
): Difference {
  const report = [`step ${step}, in by ${k.iface}: ${show(k.bytes)}`];
  if (a.length === 0) report.push("  linux: nothing");
  for (const s of a) report.push(`  linux ${s.iface}: ${show(s.bytes)}`);
  if (b.length === 0) report.push("  weir:  nothing");
  for (const s of b) report.push(`  weir  ${s.iface}: ${show(s.bytes)}`);
  if (left && right && show(left.bytes) === show(right.bytes)) {
    report.push(`  linux ${left.bytes.toHex()}`, `  weir  ${right.bytes.toHex()}`);
  }
  const protocol = (s: Sent | undefined) => s === undefined ? "nothing" : show(s.bytes).split(" ")[0];
  return { kind: `packet: linux ${protocol(left)}, weir ${protocol(right)}`, step, report };
}
