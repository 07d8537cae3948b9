/**
 * What changes from one configuration to another: told to people, and refused where a running router cannot do it.
 *
 * @module
 */
import type { ChainSummary, Summary } from "../config/summary.ts";

/** What of a kind of thing comes, goes, and stays with another content; by name. */
export interface NamedChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

/** Rules of a chain that come and go. */
export interface ChainChanges {
  readonly family: number;
  readonly table: string;
  readonly chain: string;
  readonly added: number;
  readonly removed: number;
  /** The same rules in another order. */
  readonly reordered: boolean;
  /** The policy before and now, if it is another. */
  readonly policy: readonly [string, string] | null;
}

/** All that changes. */
export interface Changes {
  readonly chains: readonly ChainChanges[];
  readonly interfaces: NamedChanges;
  readonly routes: NamedChanges;
  readonly host: boolean;
  readonly helpers: NamedChanges;
  readonly timeouts: NamedChanges;
  readonly sets: NamedChanges;
  readonly sysctl: readonly { readonly name: string; readonly before: number; readonly now: number }[];
}

/** What changes from `before` to `now`. */
export function changesBetween(before: Summary, now: Summary): Changes {
  const interfaces = (s: Summary) =>
    s.interfaces.map(({ index: _, ...i }) => ({ name: i.name, text: JSON.stringify(i) }));
  const routes = (s: Summary) =>
    s.routes.map((route) => ({ name: routeName(route), text: JSON.stringify(route) }));
  return {
    chains: chainChanges(before.chains, now.chains),
    interfaces: named(interfaces(before), interfaces(now)),
    routes: named(routes(before), routes(now)),
    host: JSON.stringify(before.host) !== JSON.stringify(now.host),
    helpers: named(before.helpers.map(byKey), now.helpers.map(byKey)),
    timeouts: named(before.timeouts, now.timeouts),
    sets: named(before.sets, now.sets),
    sysctl: Object.keys(now.sysctl).filter((name) => before.sysctl[name] !== now.sysctl[name])
      .map((name) => ({ name, before: before.sysctl[name], now: now.sysctl[name] })),
  };
}

const byKey = ({ key, text }: Summary["helpers"][number]) => ({ name: key, text });

function routeName(route: Summary["routes"][number]): string {
  const { destination, via, interface: iface } = route;
  return destination + (via === undefined ? "" : ` via ${via}`) +
    (iface === undefined ? "" : ` dev ${iface}`);
}

interface Named {
  readonly name: string;
  readonly text: string;
}

function named(before: readonly Named[], now: readonly Named[]): NamedChanges {
  const was = new Map(before.map(({ name, text }) => [name, text]));
  const is = new Map(now.map(({ name, text }) => [name, text]));
  const keys = [...is.keys()];
  return {
    added: keys.filter((name) => !was.has(name)),
    removed: [...was.keys()].filter((name) => !is.has(name)),
    changed: keys.filter((name) => was.has(name) && was.get(name) !== is.get(name)),
  };
}

function chainChanges(before: readonly ChainSummary[], now: readonly ChainSummary[]): ChainChanges[] {
  const place = ({ family, table, chain }: ChainSummary) => `${family} ${table} ${chain}`;
  const was = new Map(before.map((chain) => [place(chain), chain]));
  const is = new Map(now.map((chain) => [place(chain), chain]));
  const changes: ChainChanges[] = [];
  for (const key of new Set([...was.keys(), ...is.keys()])) {
    const a = was.get(key), b = is.get(key), { family, table, chain } = (b ?? a)!;
    const left = new Map<string, number>();
    for (const rule of a?.rules ?? []) left.set(rule, (left.get(rule) ?? 0) + 1);
    let kept = 0;
    for (const rule of b?.rules ?? []) {
      const n = left.get(rule) ?? 0;
      if (n === 0) continue;
      left.set(rule, n - 1);
      kept++;
    }
    const added = (b?.rules.length ?? 0) - kept, removed = (a?.rules.length ?? 0) - kept;
    const reordered = added + removed === 0 && (b?.rules ?? []).some((rule, i) => rule !== a!.rules[i]);
    // A built-in chain that nobody mentions lets everything pass.
    const policies = [a?.policy ?? "ACCEPT", b?.policy ?? "ACCEPT"] as const;
    const policy = policies[0] === policies[1] || policies.includes("-") ? null : policies;
    if (added + removed > 0 || reordered || policy !== null) {
      changes.push({ family, table, chain, added, removed, reordered, policy });
    }
  }
  return changes;
}

/** The changes, a line for each thing; none when nothing changes. */
export function describeChanges(changes: Changes): string[] {
  const lines = changes.chains.map(({ family, table, chain, added, removed, reordered, policy }) => {
    const parts = [
      ...added > 0 ? [`${added} ${rules(added)} added`] : [],
      ...removed > 0 ? [`${removed} ${rules(removed)} removed`] : [],
      ...reordered ? ["rules in another order"] : [],
      ...policy === null ? [] : [`policy ${policy[0]} → ${policy[1]}`],
    ];
    return `${family === 4 ? "iptables" : "ip6tables"} ${table} ${chain}: ${parts.join(", ")}`;
  });
  for (const kind of ["interfaces", "routes", "helpers", "timeouts", "sets"] as const) {
    const { added, removed, changed } = changes[kind];
    // Helpers are known by name and protocol; the name says enough.
    const names = (list: readonly string[]) =>
      list.map((name) => kind === "helpers" ? name.split(" ")[0] : name).join(", ");
    const parts = [
      ...added.length > 0 ? [`${names(added)} added`] : [],
      ...removed.length > 0 ? [`${names(removed)} removed`] : [],
      ...changed.length > 0 ? [`${names(changed)} changed`] : [],
    ];
    if (parts.length > 0) lines.push(`${kind}: ${parts.join("; ")}`);
  }
  if (changes.host) lines.push("host: changed");
  for (const { name, before, now } of changes.sysctl) lines.push(`${name}: ${before} → ${now}`);
  return lines;
}

const rules = (n: number) => n === 1 ? "rule" : "rules";

/** Knobs that say how memory is laid out, or how flows are kept that are there. */
const FIXED: Readonly<Record<string, string>> = {
  "net.netfilter.nf_conntrack_max": "the table of flows has the size that it began with",
  "net.netfilter.nf_conntrack_expect_max": "the table of expectations has the size that it began with",
  "weir.nat_endpoint_independent": "the flows that there are have no mappings, or have them",
  "weir.seqadj_exact": "the flows that there are keep corrections as they began",
};

/** Why a running router cannot change so, by place; none when it can. */
export function impossible(before: Summary, now: Summary, workers: number | null): string[] {
  const reasons: string[] = [];
  if (workers === null && before.workers !== now.workers) {
    reasons.push(
      `workers: ${before.workers} → ${now.workers}: a device has as many queues as it was made with`,
    );
  }
  for (const [name, why] of Object.entries(FIXED)) {
    if (before.sysctl[name] === now.sysctl[name]) continue;
    reasons.push(`sysctl["${name}"]: ${before.sysctl[name]} → ${now.sysctl[name]}: ${why}`);
  }
  const place = (i: Summary["interfaces"][number]) => `${i.device} ${i.peer?.netns ?? ""}`;
  for (const i of now.interfaces) {
    const old = before.interfaces.find((other) => place(other) === place(i));
    if (old === undefined) continue;
    if (old.name !== i.name) {
      reasons.push(
        `interfaces.${i.name}: device ${i.device} belongs to interface ${old.name}; give it another one`,
      );
    } else if (old.offload !== i.offload) {
      reasons.push(`interfaces.${i.name}.offload: device ${i.device} keeps what it was made with`);
    }
  }
  return reasons;
}
