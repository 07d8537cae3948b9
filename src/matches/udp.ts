/** UDP ports (iptables -m udp; xt_tcpudp). */
import { UDP } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { UDP_HEADER } from "../packet/udp.ts";
import {
  defineMatch,
  type Match,
  type MatchExtension,
  type Options,
  type PortCondition,
  portCondition,
  printOptions,
} from "../tables/extension.ts";
import { anyPortRange, portRange, type Range } from "../tables/kinds.ts";
import { withoutFullRanges } from "./tcp.ts";

/** Ports at the head of a transport header. */
export interface PortOptions {
  sport: Range;
  dport: Range;
}

/** Source and destination port of protocols that have nothing else to ask for. */
export class PortsMatch implements Match {
  readonly pure = true;
  readonly judges = "flow";
  readonly ports: PortCondition;
  /** Bytes that the header must have. */
  readonly #header: number;
  readonly #sportMin: number;
  readonly #sportMax: number;
  readonly #sportInvert: boolean;
  readonly #dportMin: number;
  readonly #dportMax: number;
  readonly #dportInvert: boolean;

  constructor(o: Options<PortOptions>, header: number) {
    this.ports = { header, sport: portCondition(o.sport), dport: portCondition(o.dport) };
    this.#header = header;
    this.#sportMin = o.sport?.value.min ?? 0;
    this.#sportMax = o.sport?.value.max ?? 0xffff;
    this.#sportInvert = o.sport?.invert ?? false;
    this.#dportMin = o.dport?.value.min ?? 0;
    this.#dportMax = o.dport?.value.max ?? 0xffff;
    this.#dportInvert = o.dport?.invert ?? false;
  }

  match(p: Packet): boolean {
    if (p.fragmentOffset !== 0) return false;
    const l4 = p.l4;
    if (p.length - l4 < this.#header) {
      p.hotdrop = true;
      return false;
    }
    const sport = p.view.getUint16(l4);
    if ((sport >= this.#sportMin && sport <= this.#sportMax) === this.#sportInvert) return false;
    const dport = p.view.getUint16(l4 + 2);
    return (dport >= this.#dportMin && dport <= this.#dportMax) !== this.#dportInvert;
  }
}

/** Their options. */
export const portOptions = {
  sport: { flag: "sport", aliases: ["source-port"], kind: portRange, negatable: true },
  dport: { flag: "dport", aliases: ["destination-port"], kind: portRange, negatable: true },
} as const;

/** UDP ports. */
export const udp: MatchExtension = defineMatch<PortOptions>({
  name: "udp",
  protocols: [UDP],
  options: {
    sport: { ...portOptions.sport, kind: anyPortRange },
    dport: { ...portOptions.dport, kind: anyPortRange },
  },
  save(o, c) {
    return printOptions(udp, withoutFullRanges(o), c);
  },
  create: (o) => new PortsMatch(o, UDP_HEADER),
});
