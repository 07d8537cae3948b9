/**
 * Data planes of one router in one thread: they share its memory and its arena, and packets are dealt to them by chance.
 * So whatever one of them keeps for itself shows, as an answer that a router alone would not have given.
 *
 * Those behind the first are made when their first packet comes, so that one also shows that lays out anew what it
 * should have found.
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
  /** The one that looks after timers. */
  readonly first: Router;
  readonly #options: Omit<RouterOptions, "arena">;
  readonly #buffer: ArrayBuffer;
  readonly #routers: (Router | undefined)[];
  readonly #deal = new Xoshiro(5);

  constructor(options: Omit<RouterOptions, "arena">, count: number) {
    this.#options = options;
    this.#buffer = new ArrayBuffer(count === 1 ? 0 : ARENA);
    this.first = count === 1
      ? new Router(options)
      : new Router({ ...options, arena: new MappedArena(this.#buffer, true) });
    this.#routers = [this.first, ...Array(count - 1)];
  }

  /** Any of them. */
  deal(): Router {
    const which = below(this.#deal, this.#routers.length);
    return this.#routers[which] ??= this.#another();
  }

  #another(): Router {
    const random = new BorrowedRandom(), arena = new MappedArena(this.#buffer, false);
    const router = new Router({ ...this.#options, random, arena });
    random.source = this.#options.random;
    return router;
  }
}
