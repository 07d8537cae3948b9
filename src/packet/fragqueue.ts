/**
 * The fragments of one datagram while they come in, by the rules of Linux since 4.20 (inet_frag_queue_insert), which
 * are RFC 5722's and its erratum 3089's for both families: a fragment that repeats what is there is ignored, one that
 * overlaps it in part condemns the whole datagram.
 *
 * Pieces stand in *runs*. A piece that continues the last run joins it; any other begins its own. A new fragment
 * inside one run is a repetition, even when it spans several of its pieces. Runs are kept sorted in an array and found
 * by bisection, since senders of thousands of tiny fragments out of order are after our time (CVE-2018-5391).
 */
import type { FragStore } from "./fragstore.ts";

/** One fragment's part of the datagram. */
export interface Piece {
  readonly offset: number;
  readonly end: number;
  /** Its first block in the store, and how many header bytes stand in front of the payload there. */
  readonly block: number;
  readonly header: number;
  /** The piece that continues it in its run. */
  next: Piece | null;
  /** Where the run ends; kept at the run's first piece. */
  runEnd: number;
}

/** Outcomes of `FragQueue.place`. */
export const FITS = 0, DUPLICATE = 1, OVERLAP = 2;

/** How many fragments one source sends, counted while it has queues: see `FragQueue.arrival`. */
export interface FragPeer {
  readonly source: number;
  arrivals: number;
  queues: number;
}

/** One incomplete datagram. */
export class FragQueue {
  // The key.
  readonly user: number;
  readonly id: number;
  readonly protocol: number;
  readonly addresses: Int32Array;
  readonly hash: number;

  // Links: the hash bucket, and all queues by age.
  chain: FragQueue | null = null;
  older: FragQueue | null = null;
  newer: FragQueue | null = null;
  hashed = true;
  /** When it dies, in milliseconds of the clock. */
  expires = 0;

  /** Length of the datagram's payload as far as it is known, and how much of it is here. */
  length = 0;
  meat = 0;
  /** The first piece is here; the last is, so `length` is final. */
  firstIn = false;
  lastIn = false;
  /** One bit for each value of the two ECN bits that was seen. */
  ecn = 0;
  /** Size of the largest fragment, and of the largest with DF set: whole IPv4 packets, or IPv6 payloads. */
  maxSize = 0;
  maxDfSize = 0;
  /** All fragments so far were verified by the device. */
  checksumValid = true;
  /** Interface of the newest fragment. */
  inInterface = 0;
  /** Offset of the next-header byte that names the fragment header, in the first IPv6 fragment. */
  nextAt = 0;
  /** IPv4: the source's counter, and what it said when this queue was last heard of. */
  peer: FragPeer | null = null;
  arrival = 0;

  readonly runs: Piece[] = [];
  #tail: Piece | null = null;

  constructor(user: number, id: number, protocol: number, addresses: Int32Array, hash: number) {
    this.user = user;
    this.id = id;
    this.protocol = protocol;
    this.addresses = addresses;
    this.hash = hash;
  }

  get empty(): boolean {
    return this.#tail === null;
  }
  get complete(): boolean {
    return this.firstIn && this.lastIn && this.meat === this.length;
  }

  /** Whether bytes `offset` … `end`−1 may join. */
  place(offset: number, end: number): number {
    const tail = this.#tail;
    if (tail === null) return FITS;
    // The common case: behind everything that is here.
    if (tail.end < end) return offset < tail.end ? OVERLAP : FITS;
    const run = this.#runBefore(end);
    if (run < 0 || offset >= this.runs[run].runEnd) return FITS;
    return offset >= this.runs[run].offset && end <= this.runs[run].runEnd ? DUPLICATE : OVERLAP;
  }

  /** Puts a piece where `place` allowed it. */
  add(piece: Piece): void {
    const tail = this.#tail;
    if (tail === null || tail.end < piece.end) {
      if (tail !== null && tail.end === piece.offset) {
        tail.next = piece;
        this.runs[this.runs.length - 1].runEnd = piece.end;
      } else {
        this.runs.push(piece);
      }
      this.#tail = piece;
    } else {
      this.runs.splice(this.#runBefore(piece.end) + 1, 0, piece);
    }
    this.meat += piece.end - piece.offset;
    if (piece.offset === 0) this.firstIn = true;
  }

  /** Index of the last run that begins before `end`, or −1. */
  #runBefore(end: number): number {
    let low = 0;
    let high = this.runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.runs[middle].offset < end) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Gives all pieces back and forgets what they said (ip_frag_reinit), but for the sizes seen. */
  clear(store: FragStore): void {
    for (const run of this.runs) {
      for (let piece: Piece | null = run; piece !== null; piece = piece.next) store.release(piece.block);
    }
    this.runs.length = 0;
    this.#tail = null;
    this.length = this.meat = this.ecn = 0;
    this.firstIn = this.lastIn = false;
    this.checksumValid = true;
  }
}
