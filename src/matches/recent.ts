/** Addresses that were seen lately (iptables -m recent; xt_recent): lists by name, which rules fill and ask. */
import { formatAddress, readAddress } from "../packet/address.ts";
import { IPV4_DESTINATION, IPV4_SOURCE, IPV4_TTL } from "../packet/ipv4.ts";
import { IPV6_DESTINATION, IPV6_HOP_LIMIT, IPV6_SOURCE } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { addressWords, familyOfText } from "../tables/addresses.ts";
import type { RuleSet } from "../tables/entry.ts";
import {
  type AnyOptions,
  defineMatch,
  type Kind,
  type Match,
  type MatchExtension,
  OptionError,
  type Options,
  TABLE_NAMES,
} from "../tables/extension.ts";
import { flag, refuse, uint } from "../tables/kinds.ts";
import type { RecentList, RecentNeeds } from "../tables/recent_list.ts";

interface RecentOptions {
  recentSet: true;
  rcheck: true;
  update: true;
  remove: true;
  seconds: number;
  reap: true;
  hitcount: number;
  rttl: true;
  recentName: string;
  recentMask: Int32Array;
  rsource: true;
  rdest: true;
}

const ACTIONS = ["recentSet", "rcheck", "update", "remove"] as const;
const DEFAULT_NAME = "DEFAULT";
/** Bytes of a name (XT_RECENT_NAME_LEN), and the largest number of hits. */
const NAME_LENGTH = 199, HITS_MAX = 65535;

const name: Kind<string> = {
  words: 1,
  expects: `a name of at most ${NAME_LENGTH} letters without a slash`,
  read(input) {
    const right = typeof input === "string" && /^[\x21-\x2e\x30-\x7e]+$/.test(input) &&
      input.length <= NAME_LENGTH && input !== "." && input !== "..";
    return right ? input : refuse(input, this.expects);
  },
  print: (value) => value,
};

const mask: Kind<Int32Array> = {
  words: 1,
  expects: 'a mask such as "255.255.255.0"',
  read(input, c) {
    // A single number is an address to iptables, and a prefix length to people.
    const whole = typeof input === "string" && (c.cut === true || /[.:]/.test(input));
    const words = whole ? addressWords(input, c.family) : null;
    if (words === null) return refuse(input, this.expects);
    // What an address of IPv4 does not have counts for those of IPv6 that share the list.
    return c.family === 4 ? Int32Array.of(words[0], -1, -1, -1) : words;
  },
  print: (value, c) => formatAddress(c.family, value),
  family: familyOfText,
};

const words = new Int32Array(4);

class RecentMatch implements Match {
  readonly #list: RecentList;
  readonly #action: typeof ACTIONS[number];
  readonly #within: number;
  readonly #hits: number;
  readonly #reap: boolean;
  readonly #rttl: boolean;
  readonly #destination: boolean;
  readonly #invert: boolean;

  constructor(list: RecentList, o: Options<RecentOptions>) {
    this.#list = list;
    this.#action = ACTIONS.find((action) => o[action] !== undefined)!;
    this.#within = (o.seconds?.value ?? 0) * 1000;
    this.#hits = o.hitcount?.value ?? 0;
    this.#reap = o.reap !== undefined;
    this.#rttl = o.rttl !== undefined;
    this.#destination = o.rdest !== undefined;
    this.#invert = o[this.#action]!.invert;
  }

  match(p: Packet): boolean {
    return this.#fits(p) !== this.#invert;
  }

  #fits(p: Packet): boolean {
    const list = this.#list, { family } = p, v4 = family === 4, action = this.#action;
    const from = this.#destination
      ? v4 ? IPV4_DESTINATION : IPV6_DESTINATION
      : v4
      ? IPV4_SOURCE
      : IPV6_SOURCE;
    readAddress(p.view, family, from, words);
    let ttl = p.view.getUint8(v4 ? IPV4_TTL : IPV6_HOP_LIMIT);
    // As it came in. Linux tells its own packets by their socket, and takes those without one, resets over IPv6 among
    // them, for forwarded.
    if (p.outInterface !== 0 && p.inInterface !== 0) ttl++;
    let entry = list.find(words, family, this.#rttl ? ttl : 0);
    if (action === "recentSet") {
      if (entry < 0) entry = list.add(family, ttl);
      list.stamp(entry, ttl);
      return true;
    }
    if (entry < 0) return false;
    if (action === "remove") {
      list.remove(entry);
      return true;
    }
    const fits = list.hits(entry, this.#within) >= (this.#hits === 0 ? 1 : this.#hits);
    // An update under a negated condition is one when that holds.
    const updates = action === "update" && fits !== this.#invert;
    if (this.#reap) list.reap(this.#within, updates ? entry : -1);
    if (updates) list.stamp(entry, ttl);
    return fits;
  }
}

/** Puts addresses into a list, asks for them, takes them out. */
export const recent: MatchExtension = defineMatch<RecentOptions>({
  name: "recent",
  options: {
    recentSet: { flag: "set", kind: flag, negatable: true },
    rcheck: { flag: "rcheck", kind: flag, negatable: true },
    update: { flag: "update", kind: flag, negatable: true },
    remove: { flag: "remove", kind: flag, negatable: true },
    seconds: { flag: "seconds", kind: uint(1, 0xffffffff) },
    reap: { flag: "reap", kind: flag },
    hitcount: { flag: "hitcount", kind: uint(1, HITS_MAX - 1) },
    rttl: { flag: "rttl", kind: flag },
    recentName: { flag: "name", kind: name },
    recentMask: { flag: "mask", kind: mask },
    rsource: { flag: "rsource", kind: flag },
    rdest: { flag: "rdest", kind: flag },
  },
  exclusive: ACTIONS,
  required: ACTIONS,
  finish(o) {
    const asks = (o.rcheck ?? o.update) !== undefined;
    const extra = (["seconds", "reap", "hitcount"] as const).find((key) => o[key] !== undefined);
    if (!asks && extra !== undefined) throw new OptionError(`${extra} goes with rcheck or update`);
    if (o.recentSet !== undefined && o.rttl !== undefined) {
      throw new OptionError("rttl goes with rcheck, update or remove; set keeps the TTL anyway");
    }
    if (o.reap !== undefined && o.seconds === undefined) throw new OptionError("reap needs seconds");
    const given = <T>(value: T) => ({ value, invert: false });
    // iptables takes both and lets the last one win, which nobody means.
    if (o.rsource !== undefined && o.rdest !== undefined) {
      throw new OptionError("rsource and rdest exclude each other; keep one of them");
    }
    return {
      ...o,
      recentName: o.recentName ?? given(DEFAULT_NAME),
      recentMask: o.recentMask ?? given(new Int32Array(4).fill(-1)),
      ...(o.rdest === undefined ? { rsource: given(true as const) } : {}),
    };
  },
  create: (o, { services }) => new RecentMatch(services.recent.get(o.recentName!.value), o),
});

/** The lists that rules ask for. The first rule's mask counts, as in Linux. */
export function recentNeeds(rules: readonly RuleSet[]): Map<string, RecentNeeds> {
  const needs = new Map<string, { stamps: number; mask: Int32Array }>();
  for (const set of rules) {
    for (const table of TABLE_NAMES) {
      for (const rule of (set[table]?.chains ?? []).flatMap((chain) => chain.rules)) {
        for (const { extension, options } of rule.matches) {
          if (extension !== recent) continue;
          const o = options as AnyOptions, list = o.recentName!.value as string;
          const need = needs.get(list) ?? { stamps: 1, mask: o.recentMask!.value as Int32Array };
          need.stamps = Math.max(need.stamps, powerOfTwo((o.hitcount?.value as number | undefined) ?? 1));
          needs.set(list, need);
        }
      }
    }
  }
  return needs;
}

function powerOfTwo(least: number): number {
  return 2 ** Math.ceil(Math.log2(least));
}
