/**
 * What one of several data planes counts without the lock: packets and bytes of devices, and drops that devices cause.
 *
 * A sum in memory that two threads add to at the same time loses one of them. So each counts for itself, and adds it
 * to the sums while it has the lock.
 */
import type { Memory } from "../memory.ts";

/** Where devices are counted: `Memory`, or a tally. */
export interface DeviceCounters {
  readonly interfaces: Float64Array;
  readonly totals: Float64Array;
  countDrop(reason: number, bytes: number): void;
}

/** Counts that are not in the memory yet. */
export class Tally implements DeviceCounters {
  readonly interfaces: Float64Array;
  readonly totals: Float64Array;
  readonly #drops: Float64Array;
  readonly #memory: Memory;
  #dropped = false;

  constructor(memory: Memory) {
    this.#memory = memory;
    this.interfaces = new Float64Array(memory.interfaces.length);
    this.totals = new Float64Array(memory.totals.length);
    this.#drops = new Float64Array(memory.drops.length);
  }

  countDrop(reason: number, bytes: number): void {
    this.#drops[reason * 2]++;
    this.#drops[reason * 2 + 1] += bytes;
    this.#dropped = true;
  }

  /** Adds everything to the memory and begins anew. */
  settle(): void {
    const memory = this.#memory;
    move(this.interfaces, memory.interfaces);
    move(this.totals, memory.totals);
    if (!this.#dropped) return;
    this.#dropped = false;
    move(this.#drops, memory.drops);
  }
}

function move(from: Float64Array, to: Float64Array): void {
  for (let i = 0; i < from.length; i++) {
    if (from[i] === 0) continue;
    to[i] += from[i];
    from[i] = 0;
  }
}
