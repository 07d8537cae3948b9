/** Several ports at once (iptables -m multiport; xt_multiport). */
import { DCCP, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import {
  defineMatch,
  type Kind,
  type Match,
  type MatchExtension,
  type Needs,
  OptionError,
} from "../tables/extension.ts";
import { listOf, portRange, type Range } from "../tables/kinds.ts";

/** The kernel's structure has room for so many ports; a range takes two. */
const ROOM = 15;

const ports: Kind<readonly Range[]> = {
  words: 1,
  expects: `ports and ranges, ${ROOM} numbers at most, such as [22, "8000:8010"]`,
  read(input, c) {
    const list = listOf(input, this.expects).map((item) => {
      const range = portRange.read(item, c);
      if (c.cut && /^:|:$/.test(item)) {
        throw new OptionError(`"${item}" lacks one of its ends, which only a single range may`);
      }
      if (item.includes(":") && range.min >= range.max) {
        throw new OptionError(`"${item}" is not a range: its end must be above its beginning`);
      }
      return range;
    });
    const numbers = list.reduce((n, range) => n + (range.min === range.max ? 1 : 2), 0);
    if (numbers > ROOM) {
      throw new OptionError(
        `has ${numbers} numbers, ${ROOM} fit (a range counts as two); make two rules of it`,
      );
    }
    return list;
  },
  print: (list, c) => list.map((range) => portRange.print(range, c)).join(","),
};

/** Which port is looked at. */
const SOURCE = 0, DESTINATION = 1, EITHER = 2;

class MultiportMatch implements Match {
  readonly pure = true;
  readonly needs?: Needs;
  readonly judges = "flow";
  readonly #which: number;
  /** First and last port of each range. */
  readonly #ranges: Uint16Array;
  readonly #invert: boolean;

  constructor(which: number, ranges: readonly Range[], invert: boolean) {
    this.#which = which;
    this.#ranges = Uint16Array.from(ranges.flatMap((range) => [range.min, range.max]));
    this.#invert = invert;
    if (!invert && which === SOURCE) this.needs = { sports: ranges };
    if (!invert && which === DESTINATION) this.needs = { dports: ranges };
  }

  match(p: Packet): boolean {
    if (p.fragmentOffset !== 0) return false;
    if (p.length - p.l4 < 4) {
      p.hotdrop = true;
      return false;
    }
    const source = p.view.getUint16(p.l4), destination = p.view.getUint16(p.l4 + 2);
    const a = this.#which === DESTINATION ? destination : source;
    const b = this.#which === SOURCE ? source : destination;
    const ranges = this.#ranges;
    for (let i = 0; i < ranges.length; i += 2) {
      const min = ranges[i], max = ranges[i + 1];
      if ((a >= min && a <= max) || (b >= min && b <= max)) return !this.#invert;
    }
    return this.#invert;
  }
}

/** Several ports at once. */
export const multiport: MatchExtension = defineMatch<
  { sports: readonly Range[]; dports: readonly Range[]; ports: readonly Range[] }
>({
  name: "multiport",
  protocols: [TCP, UDP, UDPLITE, SCTP, DCCP],
  options: {
    sports: { flag: "sports", aliases: ["source-ports"], kind: ports, negatable: true },
    dports: { flag: "dports", aliases: ["destination-ports"], kind: ports, negatable: true },
    ports: { flag: "ports", kind: ports, negatable: true },
  },
  exclusive: ["sports", "dports", "ports"],
  required: ["sports", "dports", "ports"],
  create(o) {
    if (o.sports) return new MultiportMatch(SOURCE, o.sports.value, o.sports.invert);
    if (o.dports) return new MultiportMatch(DESTINATION, o.dports.value, o.dports.invert);
    return new MultiportMatch(EITHER, o.ports!.value, o.ports!.invert);
  },
});
