/**
 * A timing wheel: which flows may have expired, without looking at all of them. Expectations have one, too; what is said
 * of flows here holds for them.
 *
 * ```
 *  slot   0   1   2 …  position …  262143     a slot is a millisecond, the wheel four minutes
 *         ●   ●           ●──▶ flows to look at now
 *             ●               expired: the sweep deletes them      refreshed meanwhile: they hang farther on again
 * ```
 *
 * A flow hangs where it would expire at the earliest, or at the far end of the wheel when that is far off. Packets that
 * extend its life leave it there (that is every packet of a flow, so it must cost nothing), and it is hung anew when
 * its slot comes up. What shortens its life moves it. So it is looked at when it ends, and otherwise every four minutes
 * at most.
 *
 * A flow that is deleted goes on hanging, and whoever has its record next finds it hanging: making and deleting flows
 * does not unlink anything. Each record hangs once at most, so there is room for all.
 *
 * The links are of this process: after a restart all flows are hung anew.
 */
import type { Arena } from "../arena.ts";

/** Slots, a power of two. */
const SLOTS = 1 << 18, LAST = SLOTS - 1;
/** Words of a link: the next and the previous record, handle + 1. The first of a slot has the slot before it. */
const NEXT = 0, PREV = 1, LINK_WORDS = 2;

/** The wheel of one table. */
export class Wheel {
  /** When each record will be looked at: every `stride` words, from `timer` on. */
  readonly #words: Int32Array;
  readonly #stride: number;
  readonly #timer: number;
  readonly #links: Int32Array;
  /** Handle + 1 of the first flow of each slot. */
  readonly #heads: Int32Array;
  /** One word: the millisecond whose slot is being emptied; all slots before it are empty. */
  readonly #position: Int32Array;

  /** `words`: where record n has its word for the wheel, at `n * stride + timer`. */
  constructor(words: Int32Array, stride: number, timer: number, capacity: number, arena: Arena) {
    this.#words = words;
    this.#stride = stride;
    this.#timer = timer;
    this.#position = arena.int32(1);
    this.#heads = arena.int32(SLOTS, SLOTS);
    this.#links = arena.int32(capacity * LINK_WORDS, capacity * LINK_WORDS);
  }

  /** What time it is, before the first flow is hung. */
  begin(now: number): void {
    this.#position[0] = now;
  }

  /** Flow `ct` will be looked at when it expires, or earlier. */
  hang(ct: number, expires: number): void {
    const w = this.#words, links = this.#links, at = ct * LINK_WORDS, word = ct * this.#stride + this.#timer;
    if (links[at + PREV] !== 0) {
      if (((w[word] - expires) | 0) <= 0) return;
      this.#unlink(at);
    }
    const position = this.#position[0];
    let ahead = (expires - position) | 0;
    if (ahead < 1) ahead = 1;
    else if (ahead > LAST) ahead = LAST;
    const timer = (position + ahead) | 0, slot = timer & LAST, head = this.#heads[slot];
    w[word] = timer;
    links[at + NEXT] = head;
    links[at + PREV] = ~slot;
    if (head !== 0) links[(head - 1) * LINK_WORDS + PREV] = ct + 1;
    this.#heads[slot] = ct + 1;
  }

  /** A flow that is to be looked at, taken down; -1 when there is none until time goes on. */
  next(now: number): number {
    const heads = this.#heads;
    let position = this.#position[0], left = (now - position) | 0;
    // Time never runs backwards: what looks so is a leap of weeks. One turn meets everything.
    if ((left < 0 || left > LAST) && heads[position & LAST] === 0) {
      left = LAST;
      position = (now - LAST) | 0;
    }
    while (heads[position & LAST] === 0 && left > 0) {
      position = (position + 1) | 0;
      left--;
    }
    this.#position[0] = position;
    const head = heads[position & LAST];
    if (head !== 0) this.#unlink((head - 1) * LINK_WORDS);
    return head - 1;
  }

  #unlink(at: number): void {
    const links = this.#links, next = links[at + NEXT], prev = links[at + PREV];
    if (next !== 0) links[(next - 1) * LINK_WORDS + PREV] = prev;
    if (prev > 0) links[(prev - 1) * LINK_WORDS + NEXT] = next;
    else this.#heads[~prev] = next;
    links[at + PREV] = 0;
  }
}
