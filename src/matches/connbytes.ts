/** How much a flow has carried so far, this packet included (iptables -m connbytes; xt_connbytes). */
import type { Conntrack } from "../conntrack/core.ts";
import { CT_STATUS, FLOW_WORDS, IPS_COUNTED } from "../conntrack/flow.ts";
import { NO_CT } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import {
  defineMatch,
  type Kind,
  type Match,
  type MatchExtension,
  OptionError,
  printOptions,
} from "../tables/extension.ts";
import { MAX_64, refuse, show, wideNumber } from "../tables/kinds.ts";

interface ConnbytesOptions {
  connbytes: Amount;
  connbytesMode: typeof MODES[number];
  connbytesDir: typeof DIRECTIONS[number];
}

/** From `min` to `max`, both included. */
interface Amount {
  readonly min: bigint;
  readonly max: bigint;
}

const MODES = ["packets", "bytes", "avgpkt"] as const;
const DIRECTIONS = ["original", "reply", "both"] as const;

const amount: Kind<Amount> = {
  words: 1,
  expects: 'a whole number, at least so many, or a range such as "1000:2000" or ":2000"',
  read(input) {
    const parts = typeof input === "string" ? input.split(":") : [input];
    const min = parts[0] === "" && parts.length > 1 ? 0n : wideNumber(parts[0]);
    const max = parts.length < 2 || parts[1] === "" ? MAX_64 : wideNumber(parts[1]);
    if (min === null || max === null || parts.length > 2) return refuse(input, this.expects);
    if (min > max) {
      throw new OptionError(`${show(input)} is a range that ends before it begins; swap its ends`);
    }
    return { min, max };
  },
  print: ({ min, max }) => max === MAX_64 ? String(min) : `${min}:${max}`,
};

function word<T extends string>(words: readonly T[]): Kind<T> {
  return {
    words: 1,
    expects: `one of ${words.join(", ")}`,
    read(input) {
      return words.find((word) => word === input) ?? refuse(input, this.expects);
    },
    print: (value) => value,
  };
}

/** What a counted flow has carried in one direction or both; -1 without a flow, or where nobody has counted. */
export function carried(
  { flows }: Conntrack,
  p: Packet,
  mode: typeof MODES[number],
  direction: typeof DIRECTIONS[number],
): number {
  if (p.ct === NO_CT || (flows.words[p.ct * FLOW_WORDS + CT_STATUS] & IPS_COUNTED) === 0) return -1;
  const f = flows.floats, at = flows.counters(p.ct);
  let packets = 0, bytes = 0;
  if (direction !== "reply") {
    packets += f[at];
    bytes += f[at + 1];
  }
  if (direction !== "original") {
    packets += f[at + 2];
    bytes += f[at + 3];
  }
  if (mode === "packets") return packets;
  if (mode === "bytes") return bytes;
  return packets === 0 ? 0 : Math.floor(bytes / packets);
}

class ConnbytesMatch implements Match {
  readonly #conntrack: Conntrack;
  readonly #min: number;
  readonly #max: number;
  readonly #invert: boolean;
  readonly #mode: typeof MODES[number];
  readonly #direction: typeof DIRECTIONS[number];

  constructor(
    conntrack: Conntrack,
    { min, max }: Amount,
    invert: boolean,
    mode: typeof MODES[number],
    direction: typeof DIRECTIONS[number],
  ) {
    this.#conntrack = conntrack;
    // A flow never comes to where numbers are rounded.
    this.#min = Number(min);
    this.#max = Number(max);
    this.#invert = invert;
    this.#mode = mode;
    this.#direction = direction;
  }

  /** False without a flow, negated or not. */
  match(p: Packet): boolean {
    const found = carried(this.#conntrack, p, this.#mode, this.#direction);
    return found >= 0 && (found >= this.#min && found <= this.#max) !== this.#invert;
  }
}

/** The flow's packets, its bytes, or the bytes of its average packet. */
export const connbytes: MatchExtension = defineMatch<ConnbytesOptions>({
  name: "connbytes",
  tracks: true,
  counts: true,
  options: {
    connbytes: { flag: "connbytes", kind: amount, negatable: true },
    connbytesMode: { flag: "connbytes-mode", kind: word(MODES) },
    connbytesDir: { flag: "connbytes-dir", kind: word(DIRECTIONS) },
  },
  required: ["connbytes"],
  finish(o, c) {
    if (o.connbytesMode === undefined || o.connbytesDir === undefined) {
      throw new OptionError(
        "connbytes needs a mode (packets, bytes, avgpkt) and a dir (original, reply, both)",
      );
    }
    const { value: { min, max }, invert } = o.connbytes!;
    if (!invert || min !== max) return o;
    // Linux keeps a negated range as one whose ends are swapped, which this one does not show.
    if (!c.cut) throw new OptionError(`! ${min}:${max} is a single value, which Linux cannot negate`);
    return { ...o, connbytes: { value: { min, max }, invert: false } };
  },
  save: (o, c) => printOptions(connbytes, o, c),
  create: (o, { services }) =>
    new ConnbytesMatch(
      services.conntrack,
      o.connbytes!.value,
      o.connbytes!.invert,
      o.connbytesMode!.value,
      o.connbytesDir!.value,
    ),
});
