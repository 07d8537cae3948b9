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
  const loops: { chains: string[]; path: string }[] = [];

  for (const start of chains) {
    if (start.hook === null) continue;
    const done = new Set<string>();
    const walk = (chain: ReachChain, trail: readonly string[]) => {
      hooks.set(chain.name, hooks.get(chain.name)! | (1 << start.hook!));
      done.add(chain.name);
      for (const { to, path } of chain.jumps) {
        const next = byName.get(to);
        if (next === undefined) continue;
        const at = trail.indexOf(to);
        if (at >= 0) {
          if (!loops.some((loop) => loop.path === path)) {
            loops.push({ chains: [...trail.slice(at), to], path });
          }
        } else if (!done.has(to)) walk(next, [...trail, to]);
      }
    };
    walk(start, [start.name]);
  }
  return { hooks, loops };
}
