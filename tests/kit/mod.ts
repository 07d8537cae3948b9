/**
 * What most tests need: packets, their text, a clock to turn by hand and chance that repeats.
 *
 * @module
 */
import { type Clock, type Random, Xoshiro } from "../../src/clock.ts";
import type { Packet } from "../../src/packet/packet.ts";

export * from "./packets.ts";
export * from "./show.ts";

/** Fills a packet record as if the bytes had been read from interface `iface`, offload fields at rest. */
export function load(p: Packet, bytes: Uint8Array, iface = 1): Packet {
  p.raw.fill(0, 0, 10);
  p.bytes.set(bytes);
  p.reset(iface, bytes.length);
  return p;
}

/** A copy of the packet's bytes from the IP header to its end. */
export function unload(p: Packet): Uint8Array<ArrayBuffer> {
  return p.bytes.slice(0, p.length);
}

/** A clock that moves only when told. */
export class VirtualClock implements Clock {
  now: number;
  wall: number;
  #milliseconds = 0;

  constructor(now = 1_000_000, wall = 1_700_000_000) {
    this.now = now | 0;
    this.wall = wall;
  }

  /** Moves both hands. */
  advance(milliseconds: number): void {
    this.now = (this.now + milliseconds) | 0;
    this.#milliseconds += milliseconds;
    const whole = Math.floor(this.#milliseconds / 1000);
    this.wall += whole;
    this.#milliseconds -= whole * 1000;
  }
}

/** The same numbers for the same seed. */
export function seeded(seed = 1): Random {
  return new Xoshiro(seed);
}
