/**
 * From which hooks chains are reached, and whether a packet could walk in a circle (the kernel's mark_source_chains).
 *
 * @module
 */
import type { Hook } from "../netfilter.ts";

/** A chain as far as this question goes. */
export interface ReachChain {
  readonly name: string;
  /** Null for a user chain. */
  readonly hook: Hook | null;
  /** Jumps and gotos to user chains, with the place of the rule. */
  readonly jumps: readonly { readonly to: string; readonly path: string }[];
}

/** What came out. */
export interface Reach {
  /** For each chain the hooks it is reached from, as bits; 0 for one that nobody jumps to. */
  readonly hooks: ReadonlyMap<string, number>;
  /** Rules that close a circle: the chains of the circle, and the rule's place. */
  readonly loops: readonly { readonly chains: readonly string[]; readonly path: string }[];
}

/** Follows all jumps from all built-in chains. */
export function reach(chains: readonly ReachChain[]): Reach {
  const byName = new Map(chains.map((chain) => [chain.name, chain]));
  const hooks = new Map(chains.map((chain) => [chain.name, 0]));
  const loops: { chains: string[]; path: string }[] = [], closing = new Set<string>();

  for (const start of chains) {
    if (start.hook === null) continue;
    const done = new Set([start.name]);
    // The chains that lead here, and the jump of each that is followed: thousands may follow each other.
    const trail = [start], at = [0], onTrail = new Set([start.name]);
    while (trail.length > 0) {
      const chain = trail[trail.length - 1], jump = chain.jumps[at[at.length - 1]++];
      if (jump === undefined) {
        hooks.set(chain.name, hooks.get(chain.name)! | (1 << start.hook));
        onTrail.delete(chain.name);
        trail.pop();
        at.pop();
        continue;
      }
      const next = byName.get(jump.to);
      if (next === undefined) continue;
      if (onTrail.has(jump.to)) {
        if (closing.has(jump.path)) continue;
        closing.add(jump.path);
        const circle = trail.slice(trail.indexOf(next)).map(({ name }) => name);
        loops.push({ chains: [...circle, jump.to], path: jump.path });
      } else if (!done.has(jump.to)) {
        done.add(jump.to);
        onTrail.add(jump.to);
        trail.push(next);
        at.push(0);
      }
    }
  }
  return { hooks, loops };
}
