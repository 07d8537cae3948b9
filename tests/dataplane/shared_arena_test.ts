import { assert, assertEquals, assertThrows } from "@std/assert";
import { copyPieces, Share, SharedArena } from "../../src/dataplane/shared_arena.ts";
import { test } from "../ffi/netns.ts";

test("SharedArena: what has a name goes on in another arena, wherever it stands there", () => {
  const before = new Share(), now = new Share();
  const first = new SharedArena(before, true), second = new SharedArena(now, true);
  first.int32(100)[0] = 1; // nameless
  const a = first.named("a").int32(3), b = first.named("b").float64(1), c = first.named("c").uint8(5);
  a.set([1, 2, 3]);
  b[0] = Math.PI;
  c.fill(7);
  const again = new SharedArena(before, false);
  again.int32(100);
  assertEquals(Array.from(again.named("a").int32(3)), [1, 2, 3], "another thread finds it");
  const c2 = second.named("c").uint8(6), b2 = second.named("b").float64(1), d2 = second.named("d").int32(1);
  const a2 = second.named("a").int32(3), nameless = second.int32(100);
  a2.fill(9);
  copyPieces(first.pieces, second.pieces);
  assertEquals([...a2, ...b2, ...d2, nameless[0]], [1, 2, 3, Math.PI, 0, 0]);
  assertEquals(Array.from(c2), Array(6).fill(0), "another size is another thing");
  before.close();
  now.close();
});

test("SharedArena.lazy: what nobody has changed begins anew, and what was changed goes on for ever", () => {
  const shares = [1, 2, 3].map(() => new Share());
  const made = shares.map((share, n) => {
    const all = new SharedArena(share, true);
    const pieces = ["a", "b"].map((name) => {
      const arena = all.lazy(name), piece = arena.int32(3);
      piece.fill(n);
      return { arena, piece };
    });
    return { all, pieces };
  });
  const [first, second, third] = made;
  first.pieces[1].arena.changed![0] = 1;
  copyPieces(first.all.pieces, second.all.pieces);
  assertEquals(second.pieces.map(({ piece }) => piece[0]), [1, 0]);
  copyPieces(second.all.pieces, third.all.pieces);
  assertEquals(third.pieces.map(({ piece }) => piece[0]), [2, 0]);
  for (const share of shares) share.close();
});

test("SharedArena.lazy: of what grows from its beginning only so much goes on as is used", () => {
  const shares = [1, 2, 3].map(() => new Share());
  const made = shares.map((share) => {
    const all = new SharedArena(share, true), arena = all.lazy("a");
    return { all, arena, piece: arena.int32(4) };
  });
  const [first, second, third] = made;
  first.piece.fill(7);
  first.arena.changed![0] = 8;
  copyPieces(first.all.pieces, second.all.pieces);
  copyPieces(second.all.pieces, third.all.pieces);
  assertEquals([...second.piece, ...third.piece], [7, 7, 0, 0, 7, 7, 0, 0]);
  for (const share of shares) share.close();
});

test("SharedArena.layout tells whether two ask for the same, and nobody finds what is not there", () => {
  const share = new Share(), first = new SharedArena(share, true);
  first.int32(3);
  first.float64(1000);
  const same = new SharedArena(share, false), other = new SharedArena(share, false);
  same.int32(3);
  same.float64(1000);
  other.int32(4);
  other.float64(1000);
  assertEquals([same.layout === first.layout, other.layout === first.layout], [true, false]);
  assertThrows(() => other.int32(1 << 20), RangeError, "less shared memory");
  share.close();
});

/** Bytes of memory that the kernel has given to a mapping of this process. */
function resident(address: bigint, length: number): number {
  const from = Number(address), end = from + length;
  let at = 0, bytes = 0;
  for (const line of Deno.readTextFileSync("/proc/self/smaps").split("\n")) {
    const region = /^([0-9a-f]+)-[0-9a-f]+ /.exec(line);
    if (region !== null) at = parseInt(region[1], 16);
    // Regions of the same sort that touch each other are shown as one.
    const rss = at < end ? /^Rss: +(\d+) kB/.exec(line) : null;
    if (rss !== null && at <= from) bytes = Number(rss[1]) * 1024;
  }
  return bytes;
}

test("SharedArena: the beginning of a large piece is ready for packets, and Share.populate makes more of it so", () => {
  const share = new Share(), words = 8 << 20, piece = new SharedArena(share, true).int32(words, words);
  const [address, length] = share.chunks;
  const ready = () => resident(BigInt(address), length);
  const first = ready();
  assert(first >= 2 << 20 && first < 8 << 20, `${first} bytes, of ${words * 4}`);
  piece[0] = 7;
  piece[words - 1] = 8;
  share.populate(0.5);
  const half = ready();
  assert(half >= 16 << 20 && half < 24 << 20, `${half} bytes, of ${words * 4}`);
  share.populate(1);
  assert(ready() >= 32 << 20, `${ready()} bytes, of ${words * 4}`);
  assertEquals([piece[0], piece[1], piece[words - 1]], [7, 0, 8], "and what stands there stays");
  share.close();
});
