/**
 * Data planes of one router in one thread: they share its memory and its arena, and packets are dealt to them by chance.
 * So whatever one of them keeps for itself shows, as an answer that a router alone would not have given.
 *
 * @module
 */
import { MappedArena } from "../../src/arena.ts";
import { below, type Random, Xoshiro } from "../../src/clock.ts";
import { Router, type RouterOptions } from "../../src/router.ts";

/** Bytes that a router of the scenarios takes from its arena, at most. */
const ARENA = 1 << 24;

/** Chance of a later plane: what it draws while it is made is nobody's, then it is that of all. */
class BorrowedRandom implements Random {
  source: Random = new Xoshiro(77);

  next(): number {
    return this.source.next();
  }
}

/** One router, or several that are one. */
export class Planes {
  readonly #routers: Router[];
  readonly #deal = new Xoshiro(5);

  constructor(o: Omit<RouterOptions, "arena">, count: number) {
    if (count === 1) {
      this.#routers = [new Router(o)];
      return;
    }
    const buffer = new ArrayBuffer(ARENA);
    this.#routers = [new Router({ ...o, arena: new MappedArena(buffer, true) })];
    while (this.#routers.length < count) {
      const random = new BorrowedRandom();
      this.#routers.push(new Router({ ...o, random, arena: new MappedArena(buffer, false) }));
      random.source = o.random;
    }
  }

  /** The one that looks after timers. */
  get first(): Router {
    return this.#routers[0];
  }

  /** Any of them. */
  deal(): Router {
    return this.#routers[below(this.#deal, this.#routers.length)];
  }
}
