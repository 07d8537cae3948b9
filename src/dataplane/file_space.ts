/**
 * The space of the state file that the flow table takes as it grows: reserved in the file system piece by piece, each
 * when the first of its records is about to be used. That takes a few microseconds once in hundreds of new flows.
 *
 * All data planes of a router, and those of its next configurations, share the list of pieces; the lock guards it as it
 * guards the table. When the file system is full it is asked again now and then only, since saying no takes it long.
 */
import { reserveFile } from "deno_tun";
import type { Arena } from "../arena.ts";
import type { Clock } from "../clock.ts";
import { PIECE, type Space } from "../space.ts";

/** Milliseconds until a file system that was full is asked again. */
const RETRY = 250;
/** Words: whether the file system was full when it was last asked, and when that was. */
const FULL = 0, ASKED = 1, WORDS = 2;

/** Space of a mapped file. */
export class FileSpace implements Space {
  readonly #fd: number;
  readonly #end: number;
  readonly #clock: Clock;
  /** 1 for each piece that is reserved. */
  readonly #pieces: Uint8Array;
  readonly #refusal: Int32Array;

  /** `end`: bytes of the file that are asked about. */
  constructor(fd: number, end: number, clock: Clock, arena: Arena) {
    this.#fd = fd;
    this.#end = end;
    this.#clock = clock;
    this.#pieces = arena.uint8(Math.ceil(end / PIECE));
    this.#refusal = arena.int32(WORDS);
  }

  has(from: number, to: number): boolean {
    const pieces = this.#pieces, last = Math.floor((to - 1) / PIECE);
    for (let piece = Math.floor(from / PIECE); piece <= last; piece++) {
      if (pieces[piece] === 0 && !this.#reserve(piece)) return false;
    }
    return true;
  }

  #reserve(piece: number): boolean {
    const refusal = this.#refusal, now = this.#clock.now;
    if (refusal[FULL] !== 0 && ((now - refusal[ASKED]) | 0) < RETRY) return false;
    const from = piece * PIECE;
    if (reserveFile(this.#fd, from, Math.min(PIECE, this.#end - from)) !== 0) {
      refusal[FULL] = 1;
      refusal[ASKED] = now;
      return false;
    }
    refusal[FULL] = 0;
    this.#pieces[piece] = 1;
    return true;
  }
}
