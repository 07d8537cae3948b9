/**
 * Chance for Weir that follows Linux's: where Linux has just drawn a port, Weir draws the same one, if its own rules
 * allow it to. Flows then go on with equal ports, and a port that Weir could not have chosen shows as a difference.
 *
 * @module
 */
import { type Random, Xoshiro } from "../../src/clock.ts";
import { announced, type Sent } from "./sent.ts";
import { type Field, fields, read16, read32 } from "./wire.ts";

/** Ports of a source as NAT takes them when a rule says nothing. */
function portClass(port: number): [number, number] {
  return port < 512 ? [1, 511] : port < 1024 ? [600, 1023] : [1024, 65535];
}

/** A source of numbers that may be told the next one. */
export class Guide implements Random {
  readonly #random: Xoshiro;
  readonly #ranges: (readonly [number, number])[];
  /** First fragments, by addresses and identification. */
  readonly #firsts = new Map<string, Uint8Array>();
  #next: number[] = [];

  /** `rules` are the texts whose port ranges NAT may choose from. */
  constructor(seed: number, ...rules: string[]) {
    this.#random = new Xoshiro(seed);
    this.#ranges = rules.join("\n").split("\n").filter((l) => /-j (SNAT|DNAT|MASQUERADE|REDIRECT)/.test(l))
      .flatMap((line) => {
        const m = /(?:--to-ports |\d:|\]:)(\d+)-(\d+)(?!\S*\/)/.exec(line);
        return m === null ? [] : [[Number(m[1]), Number(m[2])] as const];
      }).sort((x, y) => x[1] - x[0] - (y[1] - y[0])); // the narrowest that a port lies in is the likeliest
  }

  next(): number {
    return this.#next.shift() ?? this.#random.next();
  }

  /** What Linux made of a packet. */
  watch(sent: Uint8Array, out: readonly Sent[]): void {
    this.#next = [];
    const last = fields(sent);
    if (last === null) return;
    // Of a datagram in pieces the first has the ports, and may have come long before the last.
    const fragment = last.family === 4 ? (sent[6] & 0x3f) !== 0 || sent[7] !== 0 : sent[6] === 44;
    const name = fragment
      ? `${sent.slice(last.src, last.src + 2 * last.addressLength)} ${fragmentId(sent)}`
      : "";
    if (fragment && last.sport) this.#firsts.set(name, sent);
    const whole = fragment ? this.#firsts.get(name) ?? sent : sent;
    const a = fields(whole)!;
    for (const { bytes } of out) {
      const b = fields(bytes);
      if (b === null || a.protocol !== b.protocol || a.later || b.later) continue;
      const text = announced(whole, a), told = text === null ? null : announced(bytes, b);
      if (text !== null && told !== null && told.port > text.port) {
        this.#next.push(above(text.port, told.port));
        return;
      }
      if (a.protocol === 17) {
        const before = amandaPorts(whole, a), after = amandaPorts(bytes, b);
        before.forEach((port, i) => after[i] > port && this.#next.push(above(port, after[i])));
        if (this.#next.length > 0) return;
      }
      // The router's own answer shows what became of the source in the place of the destination.
      const answer = a.protocol === 6 && b.l4 + 14 <= bytes.length && bytes[b.l4 + 13] !== whole[a.l4 + 13];
      for (const field of ["sport", "dport"] as const) {
        const there = answer ? (field === "sport" ? b.dport : b.sport) : b[field];
        if (!a[field] || !there) continue;
        const old = read16(whole, a[field]), now = read16(bytes, there);
        if (old === now) continue;
        const icmp = a.protocol === 1 || a.protocol === 58;
        const own = icmp ? [0, 65535] as const : portClass(old);
        const [min, max] = this.#ranges.find(([x, y]) => now >= x && now <= y) ?? own;
        if (now >= min && now <= max) this.#next.push(now - min);
        return;
      }
    }
  }
}

function fragmentId(b: Uint8Array): number {
  return b[0] >> 4 === 4 ? read16(b, 4) : read32(b, 44);
}

/** The number that makes the port finder of helpers choose `port` when `wanted` is taken. */
function above(wanted: number, port: number): number {
  return Math.floor((port - wanted + 0.5) / (0xffff - wanted) * 4294967296) | 0;
}

/** The ports that an answer of Amanda's names. */
function amandaPorts(b: Uint8Array, f: Field): number[] {
  let text = "";
  for (let i = f.l4 + 8; i < Math.min(b.length, f.l4 + 300); i++) text += String.fromCharCode(b[i]);
  if (!text.includes("CONNECT ")) return [];
  return [...text.matchAll(/(?:DATA|MESG|INDEX|STATE) (\d+)/g)].map((m) => Number(m[1]) & 0xffff);
}
