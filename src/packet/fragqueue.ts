/**
 * The fragments of one datagram while they come in, by the rules of Linux since 4.20 (inet_frag_queue_insert), which
 * are RFC 5722's and its erratum 3089's for both families: a fragment that repeats what is there is ignored, one that
 * overlaps it in part condemns the whole datagram.
 *
 * Pieces stand in *runs*. A piece that continues the last run joins it; any other begins its own. A new fragment
 * inside one run is a repetition, even when it spans several of its pieces. Runs hang together in order and in a treap
 * (a search tree whose shape chance decides), since senders of thousands of tiny fragments out of order are after our
 * time (CVE-2018-5391).
 *
 * A queue is a block of the store, and its handle `q` the place of its first word in `store.words`; 0 means none.
 */
import {
  type FragStore,
  PIECE_END,
  PIECE_HEADER,
  PIECE_NEXT,
  PIECE_OFFSET,
  PIECE_WORDS,
  RUN_END,
  RUN_LEFT,
  RUN_NEXT,
  RUN_RIGHT,
} from "./fragstore.ts";

// The key.
export const Q_USER = 0, Q_ID = 1, Q_PROTOCOL = 2, Q_ADDRESSES = 3;
/** Links: the hash bucket, and all queues by age. */
export const Q_BUCKET = 12, Q_CHAIN = 13, Q_OLDER = 14, Q_NEWER = 15, Q_HASHED = 16;
/** When it dies, in milliseconds of the clock. */
export const Q_EXPIRES = 17;
/** Length of the datagram's payload as far as it is known, and how much of it is here. */
export const Q_LENGTH = 18;
const Q_MEAT = 19;
/** The first piece is here; the last is, so the length is final. */
export const Q_FIRST_IN = 20, Q_LAST_IN = 21;
/** One bit for each value of the two ECN bits that was seen. */
export const Q_ECN = 22;
/** Size of the largest fragment, and of the largest with DF set: whole IPv4 packets, or IPv6 payloads. */
export const Q_MAX_SIZE = 23, Q_MAX_DF_SIZE = 24;
/** Some fragment so far was not verified by the device. */
export const Q_UNVERIFIED = 25;
/** Interface of the newest fragment. */
export const Q_IN_INTERFACE = 26;
/** Offset of the next-header byte that names the fragment header, in the first IPv6 fragment. */
export const Q_NEXT_AT = 27;
/** IPv4: the source's counter, and what it said when this queue was last heard of. */
export const Q_PEER = 28, Q_ARRIVAL = 29;
/** The first run, the last run, the last piece, and the treap's root. */
export const Q_RUNS = 30;
const Q_LAST_RUN = 31, Q_TAIL = 32, Q_ROOT = 33;
/** Words of a queue. */
export const Q_WORDS = 34;

/** Outcomes of `place`. */
export const FITS = 0, DUPLICATE = 1, OVERLAP = 2;

/** Nothing is here. */
export function isEmpty(store: FragStore, q: number): boolean {
  return store.words[q + Q_TAIL] === 0;
}

/** Everything is here. */
export function isComplete(store: FragStore, q: number): boolean {
  const w = store.words;
  return w[q + Q_FIRST_IN] !== 0 && w[q + Q_LAST_IN] !== 0 && w[q + Q_MEAT] === w[q + Q_LENGTH];
}

/** Whether bytes `offset` … `end`−1 may join. */
export function place(store: FragStore, q: number, offset: number, end: number): number {
  const w = store.words, pieces = store.pieces, tail = w[q + Q_TAIL];
  if (tail === 0) return FITS;
  // The common case: behind everything that is here.
  const last = pieces[tail * PIECE_WORDS + PIECE_END];
  if (last < end) return offset < last ? OVERLAP : FITS;
  const run = runBefore(store, q, end) * PIECE_WORDS;
  if (run === 0 || offset >= pieces[run + RUN_END]) return FITS;
  return offset >= pieces[run + PIECE_OFFSET] && end <= pieces[run + RUN_END] ? DUPLICATE : OVERLAP;
}

/** Puts a piece where `place` allowed it; `header` bytes stand before the payload in its blocks. */
export function add(
  store: FragStore,
  q: number,
  piece: number,
  offset: number,
  end: number,
  header: number,
): void {
  const w = store.words, pieces = store.pieces, at = piece * PIECE_WORDS, tail = w[q + Q_TAIL];
  pieces[at + PIECE_OFFSET] = offset;
  pieces[at + PIECE_END] = pieces[at + RUN_END] = end;
  pieces[at + PIECE_HEADER] = header;
  pieces[at + PIECE_NEXT] = pieces[at + RUN_NEXT] = 0;
  const behind = tail === 0 ? -1 : pieces[tail * PIECE_WORDS + PIECE_END];
  if (behind === offset) {
    pieces[tail * PIECE_WORDS + PIECE_NEXT] = piece;
    pieces[w[q + Q_LAST_RUN] * PIECE_WORDS + RUN_END] = end;
    w[q + Q_TAIL] = piece;
  } else {
    const last = behind < end, before = last ? w[q + Q_LAST_RUN] : runBefore(store, q, end);
    if (before === 0) {
      pieces[at + RUN_NEXT] = w[q + Q_RUNS];
      w[q + Q_RUNS] = piece;
    } else {
      pieces[at + RUN_NEXT] = pieces[before * PIECE_WORDS + RUN_NEXT];
      pieces[before * PIECE_WORDS + RUN_NEXT] = piece;
    }
    if (last) w[q + Q_LAST_RUN] = w[q + Q_TAIL] = piece;
    plant(store, q, piece);
  }
  w[q + Q_MEAT] += end - offset;
  if (offset === 0) w[q + Q_FIRST_IN] = 1;
}

/** Gives all pieces back and forgets what they said (ip_frag_reinit), but for the sizes seen. */
export function clear(store: FragStore, q: number): void {
  const w = store.words, pieces = store.pieces;
  for (let run = w[q + Q_RUNS]; run !== 0;) {
    const next = pieces[run * PIECE_WORDS + RUN_NEXT];
    for (let piece = run; piece !== 0;) {
      const following = pieces[piece * PIECE_WORDS + PIECE_NEXT];
      store.release(piece);
      piece = following;
    }
    run = next;
  }
  w[q + Q_RUNS] =
    w[q + Q_LAST_RUN] =
    w[q + Q_TAIL] =
    w[q + Q_ROOT] =
      0;
  w[q + Q_LENGTH] =
    w[q + Q_MEAT] =
    w[q + Q_ECN] =
    w[q + Q_FIRST_IN] =
    w[q + Q_LAST_IN] =
      0;
  w[q + Q_UNVERIFIED] = 0;
}

/** The last run that begins before `end`, or 0. */
function runBefore(store: FragStore, q: number, end: number): number {
  const pieces = store.pieces;
  let found = 0;
  for (let run = store.words[q + Q_ROOT]; run !== 0;) {
    const at = run * PIECE_WORDS, before = pieces[at + PIECE_OFFSET] < end;
    if (before) found = run;
    run = pieces[at + (before ? RUN_RIGHT : RUN_LEFT)];
  }
  return found;
}

/** Puts a run into the treap: above all runs of less weight, whose tree it parts into those before and behind it. */
function plant(store: FragStore, q: number, run: number): void {
  const pieces = store.pieces, key = pieces[run * PIECE_WORDS + PIECE_OFFSET], own = store.weight(run);
  let words = store.words, link = q + Q_ROOT, there = words[link];
  while (there !== 0 && store.weight(there) >= own) {
    link = there * PIECE_WORDS + (key < pieces[there * PIECE_WORDS + PIECE_OFFSET] ? RUN_LEFT : RUN_RIGHT);
    words = pieces;
    there = words[link];
  }
  words[link] = run;
  let before = run * PIECE_WORDS + RUN_LEFT, behind = run * PIECE_WORDS + RUN_RIGHT;
  while (there !== 0) {
    const at = there * PIECE_WORDS;
    if (pieces[at + PIECE_OFFSET] < key) {
      pieces[before] = there;
      before = at + RUN_RIGHT;
      there = pieces[before];
    } else {
      pieces[behind] = there;
      behind = at + RUN_LEFT;
      there = pieces[behind];
    }
  }
  pieces[before] = pieces[behind] = 0;
}
