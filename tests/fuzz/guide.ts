/**
 * Chance for Weir that follows Linux's: where Linux has just drawn a port, Weir draws the same one, if its own rules
 * allow it to. Flows then go on with equal ports, and a port that Weir could not have chosen shows as a difference.
 *
 * @module
 */
import { type Random, Xoshiro } from "../../src/clock.ts";
import { announced, type Sent } from "./sent.ts";
import { fields, read16 } from "./wire.ts";

/** Ports of a source as NAT takes them when a rule says nothing. */
function portClass(port: number): [number, number] {
  return port < 512 ? [1, 511] : port < 1024 ? [600, 1023] : [1024, 65535];
}

/** A source of numbers that may be told the next one. */
export class Guide implements Random {
  readonly #random: Xoshiro;
  readonly #ranges: (readonly [number, number])[];
  #next: number | null = null;

  /** `rules` are the texts whose port ranges NAT may choose from. */
  constructor(seed: number, ...rules: string[]) {
    this.#random = new Xoshiro(seed);
    this.#ranges = rules.join("\n").split("\n").filter((l) => /-j (SNAT|DNAT|MASQUERADE|REDIRECT)/.test(l)).flatMap((line) => {
      const m = /(?:--to-ports |\d:|\]:)(\d+)-(\d+)(?!\S*\/)/.exec(line);
      return m === null ? [] : [[Number(m[1]), Number(m[2])] as const];
    });
  }

  next(): number {
    const told = this.#next;
    this.#next = null;
    return told ?? this.#random.next();
  }

  /** What Linux made of a packet. */
  watch(sent: Uint8Array, out: readonly Sent[]): void {
    this.#next = null;
    for (const { bytes } of out) {
      const a = fields(sent), b = fields(bytes);
      if (a === null || b === null || a.protocol !== b.protocol || a.later || b.later) continue;
      const text = announced(sent, a), told = text === null ? null : announced(bytes, b);
      if (text !== null && told !== null && told.port > text.port) {
        this.#next = Math.floor((told.port - text.port + 0.5) / (0xffff - text.port) * 4294967296) | 0;
        return;
      }
      for (const field of ["sport", "dport"] as const) {
        if (!a[field] || !b[field]) continue;
        const old = read16(sent, a[field]), now = read16(bytes, b[field]);
        if (old === now) continue;
        const icmp = a.protocol === 1 || a.protocol === 58;
        const own = icmp ? [0, 65535] as const : portClass(old);
        const [min, max] = this.#ranges.find(([x, y]) => now >= x && now <= y) ?? own;
        if (now >= min && now <= max) this.#next = now - min;
        return;
      }
    }
  }
}
