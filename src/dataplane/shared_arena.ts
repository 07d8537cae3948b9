/**
 * The arena of the data planes of one process: memory that the first one maps as it is asked for it, and that the others,
 * when there are any, find by a list of what has been mapped.
 *
 * ```
 *  share   [ lock and clock ][ address, length ][ address, length ] …  [ mailbox ]   made by the control plane
 *                                 └─▶ pieces, one behind the other
 * ```
 *
 * All ask for the same pieces in the same order, so all come to the same places; see `Arena`. The control plane gives
 * everything back when the last data plane is gone.
 *
 * The kernel gives memory when it is touched first, which takes it a quarter of a millisecond for a huge page. No packet
 * is to wait for that, so the beginnings of the indices are touched when they are taken, enough for 65,000 flows, and the
 * control plane has more of them made ready ahead of the flows, looking once a second. Who outruns it waits for some pages.
 */
import { mapMemory, MappedFile, populateMemory, unmapMemory } from "deno_tun";
import { type Arena, MappedArena } from "../arena.ts";

/** Words before the list: those of the lock, on a cache line of their own. */
const SHARE_WORDS = 16;
/** Bytes of the share: the list has room for so much that nobody will need it. */
const SHARE_BYTES = 1 << 16;
/** Bytes at its end for texts of commands and of their answers. */
const MAILBOX_BYTES = 1 << 14;
/** Bytes mapped at once, when a piece is not larger: a huge page. */
const CHUNK = 1 << 21;
/** Words of the smallest page. */
const PAGE_WORDS = 1024;
/** Words at the beginning of a piece that are touched when it is taken; `populate` does more when there is more to do. */
const FIRST_WORDS = CHUNK / 4;

/** The memory that data planes begin with. */
export class Share {
  /** SHARE_WORDS words, zero at first. */
  readonly words: Int32Array<ArrayBuffer>;
  /** Pairs: address, length. */
  readonly chunks: Float64Array<ArrayBuffer>;
  /** Text of a command, and then of its answer. */
  readonly mailbox: Uint8Array<ArrayBuffer>;
  /** Where it stands, for other threads. */
  readonly address: bigint;

  /** The share at an address that another thread says; without one a new share. */
  constructor(address: bigint = mapMemory(SHARE_BYTES)) {
    this.address = address;
    const buffer = MappedFile.view(address, SHARE_BYTES), list = SHARE_WORDS * 4;
    this.words = new Int32Array(buffer, 0, SHARE_WORDS);
    this.chunks = new Float64Array(buffer, list, (SHARE_BYTES - MAILBOX_BYTES - list) / 8);
    this.mailbox = new Uint8Array(buffer, SHARE_BYTES - MAILBOX_BYTES, MAILBOX_BYTES);
  }

  /**
   * Has the beginning of all memory of the arenas ready, `part` of each chunk but a huge page at least: indices are used
   * from their beginning on, as much of them as there are flows.
   */
  populate(part: number): void {
    const { chunks } = this;
    for (let i = 0; i < chunks.length && chunks[i] !== 0; i += 2) {
      populateMemory(BigInt(chunks[i]), Math.ceil(chunks[i + 1] * part / CHUNK) * CHUNK);
    }
  }

  /** Gives back all memory, of the arenas too. No thread may use it any more. */
  close(): void {
    const { chunks } = this;
    for (let i = 0; i < chunks.length && chunks[i] !== 0; i += 2) {
      unmapMemory(BigInt(chunks[i]), chunks[i + 1]);
    }
    unmapMemory(this.address, SHARE_BYTES);
  }
}

/** A piece of an arena that was taken under a name. */
export interface Piece {
  readonly name: string;
  /** Where it stands in this process. */
  readonly address: number;
  readonly bytes: number;
  /**
   * Where the word stands that is 0 until it is changed, then 1, or so many bytes as are used at the beginning of the
   * piece; 0: it is always taken for changed.
   */
  readonly changed: number;
}

/** One data plane's view of what they share. */
export class SharedArena implements Arena {
  readonly fresh: boolean;
  /** Pieces that have names, in the order in which they were taken. */
  readonly pieces: Piece[] = [];
  /** Sizes of all pieces, in their order, as one number: who finds the same pieces has the same one. */
  layout = 0x811c9dc5 | 0;
  readonly #chunks: Float64Array;
  #chunk: MappedArena | null = null;
  #next = 0;

  /** `fresh`: this is the first data plane. The others are made when it has taken all that it needs. */
  constructor(share: Share, fresh: boolean) {
    this.fresh = fresh;
    this.#chunks = share.chunks;
  }

  int32(length: number, soon = 0): Int32Array<ArrayBuffer> {
    const words = this.#room(length * 4).int32(length);
    // The kernel gives a page when it is first written to. A huge one takes it a quarter of a millisecond, and many times
    // that when it has to move others out of the way.
    for (let at = 0; this.fresh && at < Math.min(soon, FIRST_WORDS); at += PAGE_WORDS) words[at] = 0;
    return words;
  }

  float64(length: number): Float64Array<ArrayBuffer> {
    return this.#room(length * 8).float64(length);
  }

  uint8(length: number): Uint8Array<ArrayBuffer> {
    return this.#room(length).uint8(length);
  }

  named(name: string): Arena {
    return this.#named(name, 0);
  }

  lazy(name: string): Arena {
    const changed = this.int32(1);
    return { ...this.#named(name, this.#addressOf(changed)), changed };
  }

  /** Where a piece stands that was taken just now. */
  #addressOf(piece: ArrayBufferView): number {
    return this.#chunks[this.#next - 2] + piece.byteOffset;
  }

  #named(name: string, changed: number): Arena {
    const note = <T extends ArrayBufferView>(piece: T): T => {
      this.pieces.push({ name, address: this.#addressOf(piece), bytes: piece.byteLength, changed });
      return piece;
    };
    return {
      fresh: this.fresh,
      named: (inner) => this.#named(`${name} ${inner}`, changed),
      lazy: (inner) => this.lazy(`${name} ${inner}`),
      int32: (length, soon) => note(this.int32(length, soon)),
      float64: (length) => note(this.float64(length)),
      uint8: (length) => note(this.uint8(length)),
    };
  }

  /** A chunk with room for so many bytes. */
  #room(bytes: number): MappedArena {
    this.layout = Math.imul(this.layout ^ bytes, 0x01000193);
    if (this.#chunk !== null && this.#chunk.hasRoom(bytes)) return this.#chunk;
    const chunks = this.#chunks, at = this.#next;
    if (at + 1 >= chunks.length) throw new RangeError("the list of shared memory is full");
    this.#next = at + 2;
    if (this.fresh) {
      const length = Math.ceil(Math.max(bytes, CHUNK) / CHUNK) * CHUNK;
      chunks[at] = Number(mapMemory(length));
      chunks[at + 1] = length;
    } else if (chunks[at] === 0) throw new RangeError("there is less shared memory than is asked for");
    return this.#chunk = new MappedArena(
      MappedFile.view(BigInt(chunks[at]), chunks[at + 1]),
      this.fresh,
    );
  }
}

/**
 * Copies what stands in pieces of `before` to the pieces that have the same names. A name that has other pieces now
 * keeps what they begin with.
 */
export function copyPieces(before: readonly Piece[], now: readonly Piece[]): void {
  const from = Map.groupBy(before, ({ name }) => name);
  for (const [name, pieces] of Map.groupBy(now, (piece) => piece.name)) {
    const there = from.get(name) ?? [];
    if (there.length !== pieces.length || pieces.some(({ bytes }, i) => bytes !== there[i].bytes)) continue;
    const { changed } = there[0], used = changed === 0 ? 1 : wordAt(changed)[0];
    if (used === 0) continue;
    // And it is so for the next one.
    if (pieces[0].changed !== 0) wordAt(pieces[0].changed)[0] = used;
    pieces.forEach((piece, i) => {
      const bytes = bytesOf(there[i]);
      bytesOf(piece).set(used === 1 ? bytes : bytes.subarray(0, used));
    });
  }
}

function wordAt(address: number): Int32Array {
  return new Int32Array(MappedFile.view(BigInt(address), 4));
}

function bytesOf({ address, bytes }: Piece): Uint8Array {
  return new Uint8Array(MappedFile.view(BigInt(address), bytes));
}
