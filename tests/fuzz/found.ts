/**
 * Failing cases as files that can be run again.
 *
 * @module
 */
import { hex, show, unhex } from "../kit/show.ts";
import type { Difference } from "./lockstep.ts";
import type { Plan } from "./plan.ts";
import type { Step } from "./steps.ts";

/** A plan as text. */
export function writePlan(plan: Plan, difference?: Difference): string {
  const steps = plan.steps.map((s) => ({
    ...s,
    says: s.bytes.length ? show(s.bytes) : "an ICMP error",
    bytes: hex(s.bytes),
  }));
  return JSON.stringify(
    {
      difference,
      ...plan,
      iptables: plan.iptables.split("\n"),
      ip6tables: plan.ip6tables.split("\n"),
      steps,
    },
    null,
    1,
  );
}

/** The plan of a text. */
export function readPlan(text: string): Plan {
  const { mtu, sysctl, iptables, ip6tables, steps, offload } = JSON.parse(text);
  return {
    ...(offload === undefined ? {} : { offload }),
    mtu,
    sysctl,
    iptables: iptables.join("\n"),
    ip6tables: ip6tables.join("\n"),
    steps: steps.map(({ says: _, bytes, ...s }: Step & { says: string; bytes: string }) => ({
      ...s,
      bytes: unhex(bytes),
    })),
  };
}

/** A plan for people: the rules and knobs that are left, and everything that passes. */
export function describePlan(plan: Plan, trace: readonly string[], difference: Difference): string {
  const rules = (name: string, text: string) => {
    const kept = text.split("\n").filter((l) =>
      l.startsWith("-A ") || l.startsWith("*") || /^:\S+ (DROP|-)/.test(l)
    );
    return kept.some((l) => !l.startsWith("*")) ? [`${name}:`, ...kept.map((l) => `  ${l}`)] : [];
  };
  const knobs = Object.entries(plan.sysctl).filter(([name]) => !name.includes("icmp_msgs")).map((
    [name, value],
  ) => `${name} = ${value}`);
  const mtus = Object.entries(plan.mtu).map(([name, value]) => `mtu of ${name}: ${value}`);
  return [
    ...rules("iptables", plan.iptables),
    ...rules("ip6tables", plan.ip6tables),
    ...knobs,
    ...mtus,
    ...trace,
    "──",
    ...difference.report,
  ].join("\n");
}
