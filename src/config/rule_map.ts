/**
 * Maps as nftables has them, for rules written in TypeScript: what becomes of a packet is looked up by one of its
 * fields (`ip saddr vmap { … }`), or what a target is told (`dnat to ip daddr map { … }`).
 *
 * Overview: a map stands in a chain where a rule could stand, and is as many rules, one for each entry, in an order in
 * which the narrowest fits first: of overlapping networks the longest prefix, of port ranges the shorter. Chains of 16
 * rules and more are looked up by their fields (tables/row_index.ts), so an entry more costs a packet nothing, and
 * counters, `weir save` and messages know each entry as the rule that it is.
 *
 * ```
 *  verdictMap("dport", { 22: "admins", 443: "ACCEPT" }, { protocol: "tcp" })
 *    ─▶ -p tcp --dport 22 -j admins
 *    ─▶ -p tcp --dport 443 -j ACCEPT
 * ```
 *
 * Limits: of overlapping entries only one may decide. So where one lies within another its rule has to end the walk: a
 * verdict, `goto`, a target of nat. A jump would come back and meet the wider one; that is refused.
 *
 * @module
 */
import { ADDRESS_WORDS, maskLength, networkOf, parseMasked } from "../packet/address.ts";
import { wholeNumber } from "../tables/kinds.ts";
import { parseNumber, portNumber, protocolNumber } from "../tables/names.ts";
import { child, isObject, type Problems } from "./problems.ts";
import { VERDICTS } from "./rule.ts";
import type { RuleConfig } from "./rule_types.ts";

/** Fields of a packet that a map can be looked up by. */
const MAP_KEYS = [
  "source",
  "destination",
  "sport",
  "dport",
  "inInterface",
  "outInterface",
  "mark",
  "protocol",
] as const;
/** One of them, by the name that rules have for it. */
export type MapKey = typeof MAP_KEYS[number];

/** Entries: an object, a `Map`, or pairs. A key is written as in a rule, and not negated. */
export type MapEntries<V> =
  | Readonly<Record<string, V>>
  | ReadonlyMap<string | number, V>
  | readonly (readonly [key: string | number, value: V])[];

/** What becomes of packets: a verdict or the chain to jump to, or a rule's `jump` or `goto` with its options. */
export type MapVerdict = string | RuleConfig;

/** Targets after which a packet does not come to the next rule. */
const FINAL_TARGETS = ["REJECT", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"];

/** A map in a chain; made by `verdictMap` and `valueMap`. */
export class RuleMap {
  /** `entries`: each key, and what its rule has beside `common` and the key. */
  constructor(
    readonly key: MapKey,
    readonly entries: readonly (readonly [key: unknown, rule: unknown])[],
    readonly common: RuleConfig,
  ) {}
}

/**
 * A verdict for each value of a field, as nftables' `vmap`. `common` is what all entries ask for besides, such as
 * `{ protocol: "tcp" }` for ports. A packet that no entry fits goes on to the next rule. Mistakes are found when the
 * configuration is checked.
 *
 * ```ts
 * import { validate, verdictMap } from "weir";
 *
 * const dport = verdictMap("dport", { 22: "admins", "8000:8099": "ACCEPT" }, { protocol: "tcp" });
 * validate({
 *   interfaces: { lan: { addresses: ["192.0.2.1/24"] } },
 *   tables: { filter: { FORWARD: [dport, { jump: "DROP" }], admins: [{ source: "192.0.2.9", jump: "ACCEPT" }] } },
 * });
 * ```
 */
export function verdictMap(key: MapKey, entries: MapEntries<MapVerdict>, common: RuleConfig = {}): RuleMap {
  const rules = pairs(entries).map(([name, verdict]) =>
    [name, typeof verdict === "string" ? { jump: verdict } : verdict] as const
  );
  return new RuleMap(key, rules, common);
}

/**
 * An option of a target for each value of a field, as nftables' `map`. `common` is the rest of the rule; a packet that
 * no entry fits goes on to the next one.
 *
 * ```ts
 * import { validate, valueMap } from "weir";
 *
 * const servers = { "203.0.113.5": "192.0.2.5", "203.0.113.6": "192.0.2.6:8080" };
 * validate({
 *   interfaces: { lan: { addresses: ["192.0.2.1/24"] } },
 *   tables: {
 *     nat: { PREROUTING: [valueMap("destination", "toDestination", servers, { protocol: "tcp", jump: "DNAT" })] },
 *   },
 * });
 * ```
 */
export function valueMap<K extends keyof RuleConfig & string>(
  key: MapKey,
  option: K,
  entries: MapEntries<NonNullable<RuleConfig[K]>>,
  common: RuleConfig,
): RuleMap {
  return new RuleMap(
    key,
    pairs(entries).map(([name, value]) => [name, { [option]: value }] as const),
    common,
  );
}

function pairs<V>(entries: MapEntries<V>): (readonly [unknown, V])[] {
  if (Array.isArray(entries)) return entries.map(([key, value]) => [key, value]);
  return entries instanceof Map ? [...entries] : Object.entries(entries as Record<string, V>);
}

/** A rule of a map, and its place. */
export interface MapRule {
  readonly rule: Record<string, unknown>;
  readonly path: string;
}

/** An entry whose key has been read. */
interface Entry extends MapRule {
  /** The key as it was written. */
  readonly text: string;
  /** Keys of one space overlap only with one another: a family's addresses, ports, names. */
  readonly space: string;
  /** What the key stands for, as text that sorts as numbers do: from, to. For a pattern of names its beginning. */
  readonly from: string;
  readonly to: string;
  /** The smaller the narrower. */
  readonly width: number;
}

/** The rules of a map, the narrowest first; what is wrong is added to `problems`. */
export function expandMap(map: RuleMap, path: string, problems: Problems): MapRule[] {
  if (!MAP_KEYS.includes(map.key)) {
    problems.add(path, `is a map by ${JSON.stringify(map.key)}; maps are by ${MAP_KEYS.join(", ")}`);
    return [];
  }
  if (!isObject(map.common)) {
    problems.add(path, "is a map without what all its entries have; write it last, at least {}");
    return [];
  }
  if (map.key in map.common) {
    problems.add(path, `is a map by ${map.key}, so ${map.key} cannot stand in what all its entries have`);
    return [];
  }
  if ((map.key === "sport" || map.key === "dport") && map.common.protocol === undefined) {
    problems.add(
      path,
      `is a map by ${map.key}, and needs { protocol: "tcp" } or another protocol with ports`,
    );
    return [];
  }
  const entries: Entry[] = [];
  for (const [key, value] of map.entries) {
    const text = String(key), place = child(path, text), read = readKey(map.key, text);
    if (typeof read === "string") problems.add(place, `${JSON.stringify(text)} ${read}`);
    else if (!isObject(value)) problems.add(place, "is not a verdict, a chain, or a rule with jump or goto");
    else if (map.key in value) problems.add(place, `${map.key} is the map's key, and cannot be said again`);
    else entries.push({ ...read, text, path: place, rule: { ...map.common, [map.key]: key, ...value } });
  }
  checkOverlaps(entries, problems);
  return entries.sort((a, b) => a.width - b.width).map(({ rule, path }) => ({ rule, path }));
}

type Read = Pick<Entry, "space" | "from" | "to" | "width">;

/** What a key stands for, or what is wrong with it. */
function readKey(key: MapKey, text: string): Read | string {
  if (/^\s*!/.test(text)) return "is negated; a map's keys are not";
  const exact = (space: string, from: string): Read => ({ space, from, to: from, width: 0 });
  switch (key) {
    case "source":
    case "destination": {
      const parsed = parseMasked(text),
        length = parsed === null ? -1 : maskLength(parsed.family, parsed.mask);
      if (parsed === null || length < 0) return "is not an address or a network; write an entry for each";
      const { family, words, mask } = parsed, from = networkOf(words, mask);
      const to = from.map((word, i) => i < (family === 4 ? 1 : ADDRESS_WORDS) ? word | ~mask[i] : 0);
      return { space: String(family), from: hexOf(from), to: hexOf(to), width: 128 - length };
    }
    case "sport":
    case "dport": {
      const [min, max = min, ...more] = text.split(":").map((part) => portNumber(part));
      if (min === null || max === null || min > max || more.length > 0) {
        return "is not a port or a range such as 1024:2047; write an entry for each";
      }
      const pad = (port: number) => String(port).padStart(5, "0");
      return { space: "", from: pad(min), to: pad(max), width: max - min };
    }
    case "mark": {
      const mark = wholeNumber(text, 0, 0xffffffff);
      return mark === null ? "is not a mark of 32 bits; a map's marks have no mask" : exact("", String(mark));
    }
    case "protocol": {
      const protocol = protocolNumber(text);
      return protocol === null || protocol === 0 && parseNumber(text) === null
        ? "is not a protocol; write an entry for each"
        : exact("", String(protocol));
    }
    default:
      if (text === "" || text.length > 15) return "is not an interface's name";
      if (!text.endsWith("+")) return exact("", text);
      return {
        space: "",
        from: text.slice(0, -1),
        to: `${text.slice(0, -1)}\uffff`,
        width: 16 - text.length,
      };
  }
}

function hexOf(words: Int32Array): string {
  return [...words].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

/** Equal keys are refused, ranges that overlap by halves, and entries within others that do not end the walk. */
function checkOverlaps(entries: readonly Entry[], problems: Problems): void {
  const sorted = [...entries].sort((a, b) =>
    compare(a.space, b.space) || compare(a.from, b.from) || compare(b.to, a.to) || b.width - a.width
  );
  /** Those that the next one may lie within, the widest first. */
  const open: Entry[] = [];
  for (const entry of sorted) {
    while (
      open.length > 0 && (open.at(-1)!.space !== entry.space || compare(open.at(-1)!.to, entry.from) < 0)
    ) {
      open.pop();
    }
    const outer = open.at(-1);
    open.push(entry);
    if (outer === undefined) continue;
    const other = JSON.stringify(outer.text);
    if (outer.from === entry.from && outer.to === entry.to) {
      const [later, first] = entries.indexOf(entry) > entries.indexOf(outer)
        ? [entry, outer]
        : [outer, entry];
      problems.add(later.path, `is there already, as ${JSON.stringify(first.text)}; keep one of them`);
    } else if (compare(outer.to, entry.to) < 0) {
      problems.add(entry.path, `overlaps with ${other}; one has to lie within the other`);
    } else if (!isFinal(entry.rule)) {
      problems.add(
        entry.path,
        `lies within ${other}, and packets would come there as well; end with a verdict, or with goto in a chain of the map's own`,
      );
    }
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** True when a packet that the rule fits does not come to the next one. */
function isFinal({ jump, goto }: Record<string, unknown>): boolean {
  if (goto !== undefined) return true;
  return typeof jump === "string" && (Object.hasOwn(VERDICTS, jump) || FINAL_TARGETS.includes(jump));
}
