/**
 * Makes a failing plan small: leaves out conversations, rules, packets and knobs, then simplifies packets, for as long
 * as the same sort of difference stays.
 *
 * @module
 */
import { type Difference, run } from "./lockstep.ts";
import { repair } from "./mutate.ts";
import type { Plan } from "./plan.ts";
import { ruleLines } from "./rules.ts";
import { fields } from "./wire.ts";

/** Leaves out as many items as it can (Zeller's ddmin, without complements of halves). */
function without<T>(items: readonly T[], fails: (rest: T[]) => boolean, budget: Budget): T[] {
  let left = [...items];
  for (
    let size = left.length >> 1 || 1;
    size >= 1 && left.length > 0 && budget.left > 0;
    size = size === 1 ? 0 : size >> 1
  ) {
    for (let at = left.length - size; at > -size && budget.left > 0; at -= size) {
      const from = Math.max(0, at), rest = [...left.slice(0, from), ...left.slice(at + size)];
      if (rest.length < left.length && fails(rest)) left = rest;
    }
  }
  return left;
}

/** How many runs may still be made. */
interface Budget {
  left: number;
}

/** The sort of a difference, without what changes while things are left out. */
function sort(d: Difference): string {
  return d.step < 0 ? d.kind.split(" + ")[0] : d.kind;
}

/** A small plan with a difference of the same sort. */
export function shrink(
  plan: Plan,
  found: Difference,
  seed: number,
  runs = 1500,
): { plan: Plan; difference: Difference } {
  const budget: Budget = { left: runs };
  let best = plan, difference = found;
  const attempt = (candidate: Plan): boolean => {
    if (budget.left-- <= 0) return false;
    let result;
    try {
      result = run(candidate, seed);
    } catch {
      return false; // rules that need each other
    }
    if (result.difference === null || sort(result.difference) !== sort(found)) return false;
    best = candidate;
    difference = result.difference;
    return true;
  };
  if (found.step >= 0) attempt({ ...plan, steps: plan.steps.slice(0, found.step + 1) });
  for (let before = Infinity; size(best) < before && budget.left > 0;) {
    before = size(best);
    const talks = [...new Set(best.steps.map((s) => s.talk))];
    without(talks, (rest) => {
      const kept = new Set(rest);
      return attempt({ ...best, steps: best.steps.filter((s) => kept.has(s.talk)) });
    }, budget);
    for (const family of ["iptables", "ip6tables"] as const) {
      if (best[family] !== "" && attempt({ ...best, [family]: "" })) continue;
      const lines = best[family].split("\n");
      without(ruleLines(best[family]), (rest) => {
        const kept = new Set(rest);
        return attempt({
          ...best,
          [family]: lines.filter((l, i) => !l.startsWith("-A ") || kept.has(i)).join("\n"),
        });
      }, budget);
    }
    without(best.steps, (steps) => attempt({ ...best, steps }), budget);
  }
  for (const name of Object.keys(best.sysctl)) {
    const { [name]: _, ...sysctl } = best.sysctl;
    if (!name.includes("icmp_msgs")) attempt({ ...best, sysctl });
  }
  if (Object.keys(best.mtu).length > 0) attempt({ ...best, mtu: {} });
  for (let i = 0; i < best.steps.length && budget.left > 0; i++) {
    for (const simpler of simplify(best.steps[i].bytes)) {
      attempt({ ...best, steps: best.steps.map((s, j) => j === i ? { ...s, bytes: simpler } : s) });
    }
  }
  return { plan: best, difference };
}

function size(plan: Plan): number {
  return plan.steps.length + ruleLines(plan.iptables).length + ruleLines(plan.ip6tables).length;
}

/** The same packet with less in it. */
function* simplify(bytes: Uint8Array<ArrayBuffer>): Generator<Uint8Array<ArrayBuffer>> {
  const f = fields(bytes);
  if (f === null || f.later) return;
  const header = f.protocol === 6 ? (bytes[f.l4 + 12] >> 4) * 4 : 8;
  if (bytes.length > f.l4 + header) yield repair(bytes.slice(0, f.l4 + header));
  if (f.protocol === 6 && header > 20 && bytes.length >= f.l4 + header) {
    const plain = new Uint8Array(bytes.length - header + 20);
    plain.set(bytes.subarray(0, f.l4 + 20));
    plain.set(bytes.subarray(f.l4 + header), f.l4 + 20);
    plain[f.l4 + 12] = 0x50;
    yield repair(plain);
  }
  const right = repair(bytes.slice());
  if (right.some((byte, i) => byte !== bytes[i])) yield right;
}
