/**
 * A timing wheel: which flows may have expired, without looking at all of them.
 *
 * ```
 *  slot   0   1   2 …  position …  511        a slot is half a second, the wheel four minutes
 *         ●   ●           ●──▶ flows to look at now
 *             ●               expired: the sweep deletes them      refreshed meanwhile: they hang farther on again
 * ```
 *
 * A flow hangs where it would expire at the earliest, or at the far end of the wheel when that is far off. Packets that
 * extend its life leave it there (that is every packet of a flow, so it must cost nothing), and it is hung anew when
 * its slot comes up. What shortens its life by more than a second moves it. So it is looked at within two seconds
 * of its end, and otherwise every four minutes at most.
 *
 * A flow that is deleted goes on hanging, and whoever has its record next finds it hanging: making and deleting flows
 * does not unlink anything. Each record hangs once at most, so there is room for all.
 *
 * The links are of this process: after a restart all flows are hung anew.
 */
import type { Arena } from "../arena.ts";
import { CT_TIMER, FLOW_WORDS } from "./flow.ts";

/** Slots, and milliseconds of each, as powers of two. */
const SLOTS_SHIFT = 9, SHIFT = 9;
const SLOTS = 1 << SLOTS_SHIFT, LAST = SLOTS - 1;
/** A flow that hangs so many milliseconds behind its end is left there. */
const LATE = 1024;
/** Words of a link: the next and the previous record, handle + 1. The first of a slot has the slot before it. */
const NEXT = 0, PREV = 1, LINK_WORDS = 2;

/** The wheel of one flow table. */
export class Wheel {
  readonly #words: Int32Array;
  readonly #links: Int32Array;
  /** Handle + 1 of the first flow of each slot. */
  readonly #heads: Int32Array;
  /** One word: the tick (as many bits as milliseconds have left, and wrapping with them) whose slot is being emptied; all slots before it are empty. */
  readonly #position: Int32Array;

  /** `words`: the records. */
  constructor(words: Int32Array, capacity: number, arena: Arena) {
    this.#words = words;
    this.#links = arena.int32(capacity * LINK_WORDS);
    this.#heads = arena.int32(SLOTS);
    this.#position = arena.int32(1);
  }

  /** Nothing hangs; the records up to `high` say nothing. */
  clear(high: number, now: number): void {
    this.#links.fill(0, 0, high * LINK_WORDS);
    this.#heads.fill(0);
    this.#position[0] = now >> SHIFT;
  }

  /** Flow `ct` will be looked at soon after it expires, or earlier. */
  hang(ct: number, expires: number): void {
    const w = this.#words, links = this.#links, at = ct * LINK_WORDS;
    if (links[at + PREV] !== 0) {
      if (((w[ct * FLOW_WORDS + CT_TIMER] - expires) | 0) <= LATE) return;
      this.#unlink(at);
    }
    const position = this.#position[0];
    let ahead = (((expires >> SHIFT) + 1 - position) << SHIFT) >> SHIFT;
    if (ahead < 1) ahead = 1;
    else if (ahead > LAST) ahead = LAST;
    const tick = position + ahead, slot = tick & LAST, head = this.#heads[slot];
    w[ct * FLOW_WORDS + CT_TIMER] = tick << SHIFT;
    links[at + NEXT] = head;
    links[at + PREV] = ~slot;
    if (head !== 0) links[(head - 1) * LINK_WORDS + PREV] = ct + 1;
    this.#heads[slot] = ct + 1;
  }

  /** A flow that is to be looked at, taken down; -1 when there is none until time goes on. */
  next(now: number): number {
    const heads = this.#heads, tick = now >> SHIFT;
    let position = this.#position[0];
    for (;;) {
      const head = heads[position & LAST];
      if (head !== 0) {
        this.#unlink((head - 1) * LINK_WORDS);
        return head - 1;
      }
      const behind = ((tick - position) << SHIFT) >> SHIFT;
      if (behind === 0) return -1;
      // Time never runs backwards: what looks so is a leap of weeks. One turn meets everything.
      position = behind < 0 || behind > SLOTS ? tick - LAST : position + 1;
      this.#position[0] = (position << SHIFT) >> SHIFT;
    }
  }

  #unlink(at: number): void {
    const links = this.#links, next = links[at + NEXT], prev = links[at + PREV];
    if (next !== 0) links[(next - 1) * LINK_WORDS + PREV] = prev;
    if (prev > 0) links[(prev - 1) * LINK_WORDS + NEXT] = next;
    else this.#heads[~prev] = next;
    links[at + PREV] = 0;
  }
}
