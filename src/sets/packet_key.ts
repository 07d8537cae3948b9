/**
 * The key of a packet: its addresses, port and so on as a set's members have them (the kernel's kadt functions).
 *
 * @module
 */
import { type Family, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { IPV4_DESTINATION, IPV4_SOURCE } from "../packet/ipv4.ts";
import { IPV6_DESTINATION, IPV6_SOURCE } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import type { Interfaces } from "../routing/interfaces.ts";
import type { SetHeader } from "./header.ts";
import { addressWords, type Dimension, keyLayout, NAME_WORDS, nameWords } from "./type.ts";

/** Protocol number with no next header behind it. */
const NO_NEXT = 59;

/** Reads keys out of packets, for one set. */
export class PacketKey {
  /** The key of the last packet; networks stand there as whole addresses. */
  readonly words: Int32Array;
  readonly #dimensions: readonly Dimension[];
  readonly #at: readonly number[];
  readonly #width: number;
  readonly #mask: Int32Array | null;
  readonly #markmask: number;
  readonly #min: number;
  readonly #max: number;
  readonly #range: boolean;
  /** A member cannot be all zeros. */
  readonly #nonzero: boolean;
  /** NAME_WORDS words for each interface. */
  readonly #names: Int32Array;

  constructor(header: SetHeader, interfaces: Interfaces) {
    const { type, family, mask, range } = header, layout = keyLayout(type, family);
    this.words = new Int32Array(layout.words);
    this.#dimensions = type.dimensions;
    this.#at = layout.at;
    this.#width = addressWords(family);
    this.#mask = mask?.words ?? null;
    this.#markmask = header.markmask;
    this.#range = range !== null;
    this.#min = range?.min ?? 0;
    this.#max = range?.max ?? 0;
    this.#nonzero = type.name === "hash:ip" || type.name === "hash:ip,mark";
    const names = type.dimensions.includes("iface") ? interfaces.count + 1 : 0;
    this.#names = new Int32Array(names * NAME_WORDS);
    for (let i = 1; i < names; i++) nameWords(interfaces.name(i), this.#names, i * NAME_WORDS);
  }

  /** False when the packet has no such key: a later fragment has no port, a made packet no incoming interface. */
  read(p: Packet, sources: number): boolean {
    const words = this.words, dimensions = this.#dimensions;
    for (let i = 0; i < dimensions.length; i++) {
      const source = (sources & (1 << i)) !== 0, at = this.#at[i];
      switch (dimensions[i]) {
        case "ip":
        case "net":
          this.#address(p, source, at);
          break;
        case "port":
          if (!hasPort(p)) return false;
          words[at] = p.protocol << 16 | portOf(p, source);
          break;
        case "bareport":
          if (p.protocol !== TCP && p.protocol !== UDP || !hasPort(p)) return false;
          words[at] = portOf(p, source);
          break;
        case "mark":
          words[at] = p.mark & this.#markmask;
          break;
        default: {
          const from = (source ? p.inInterface : p.outInterface) * NAME_WORDS, names = this.#names;
          if (names[from] === 0) return false;
          for (let w = 0; w < NAME_WORDS; w++) words[at + w] = names[from + w];
        }
      }
    }
    if (this.#nonzero && this.#isZero()) return false;
    return !this.#range || this.#min <= words[0] >>> 0 && words[0] >>> 0 <= this.#max;
  }

  #address(p: Packet, source: boolean, at: number): void {
    const words = this.words, view = p.view, mask = this.#mask;
    if (this.#width === 1) words[at] = view.getInt32(source ? IPV4_SOURCE : IPV4_DESTINATION);
    else {
      const from = source ? IPV6_SOURCE : IPV6_DESTINATION;
      for (let w = 0; w < 4; w++) words[at + w] = view.getInt32(from + 4 * w);
    }
    if (mask !== null) { for (let w = 0; w < this.#width; w++) words[at + w] &= mask[w]; }
  }

  #isZero(): boolean {
    const words = this.words;
    for (let i = 0; i < words.length; i++) if (words[i] !== 0) return false;
    return true;
  }
}

/** True for the protocols whose port, or type and code, is looked at. */
function hasPorts(protocol: number, family: Family): boolean {
  return protocol === TCP || protocol === UDP || protocol === SCTP || protocol === UDPLITE ||
    protocol === (family === 4 ? ICMP : ICMPV6);
}

/** False when nothing can be said of the packet's port: it is in another fragment, or cut off. */
function hasPort(p: Packet): boolean {
  const { protocol, family } = p;
  if (p.headerChainCut || protocol === 0 || family === 6 && protocol === NO_NEXT) return false;
  if (p.fragmentOffset !== 0) return family === 4 && !hasPorts(protocol, family);
  if (!hasPorts(protocol, family) && protocol !== ICMP && protocol !== ICMPV6) return true;
  return p.length - p.l4 >= headerLength(protocol);
}

/** Bytes of the header that the kernel wants to see whole. */
function headerLength(protocol: number): number {
  return protocol === TCP ? 20 : protocol === SCTP ? 12 : 8;
}

/** The port, type and code of ICMP, 0 for protocols that have neither. */
function portOf(p: Packet, source: boolean): number {
  switch (p.protocol) {
    case TCP:
    case UDP:
    case SCTP:
    case UDPLITE:
      return p.view.getUint16(p.l4 + (source ? 0 : 2));
    case ICMP:
    case ICMPV6:
      return p.fragmentOffset !== 0 ? 0 : p.view.getUint16(p.l4);
    default:
      return 0;
  }
}
