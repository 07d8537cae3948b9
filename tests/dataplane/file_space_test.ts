import { assert, assertEquals } from "@std/assert";
import { MappedFile, reserveFile } from "deno_tun";
import { MappedArena } from "../../src/arena.ts";
import { FileSpace } from "../../src/dataplane/file_space.ts";
import { PIECE } from "../../src/space.ts";
import { run, test } from "../ffi/netns.ts";
import { VirtualClock } from "../kit/mod.ts";

/** A sparse file of so many bytes, for one test. */
class Sparse implements Disposable {
  readonly path = Deno.makeTempFileSync({ prefix: "weir-space-" });
  readonly file = new MappedFile(this.path);
  constructor(bytes: number) {
    this.file.resize(bytes);
  }
  /** Bytes that the file system has given it. */
  async taken(): Promise<number> {
    return Number((await run("du", "-B1", this.path)).split("\t")[0]);
  }
  [Symbol.dispose](): void {
    this.file.close();
    Deno.removeSync(this.path);
  }
}

test("FileSpace reserves the pieces that are asked for, once, and never beyond its end", async () => {
  using sparse = new Sparse(10 * PIECE + 100);
  const arena = () => new MappedArena(shared, first), shared = new ArrayBuffer(4096), end = 9 * PIECE + 100;
  let first = true;
  const clock = new VirtualClock(), space = new FileSpace(sparse.file.fd, end, clock, arena());
  assertEquals(await sparse.taken(), 0);
  assert(space.has(PIECE - 1, PIECE + 1));
  assertEquals(await sparse.taken(), 2 * PIECE);
  assert(space.has(9 * PIECE, end));
  assertEquals([await sparse.taken(), sparse.file.size], [2 * PIECE + 4096, 10 * PIECE + 100]);
  // Another data plane, or configuration, finds what is reserved, and has nobody asked.
  first = false;
  const other = new FileSpace(-1, end, clock, arena());
  assertEquals([other.has(0, 2 * PIECE), other.has(2 * PIECE, 3 * PIECE)], [true, false]);
});

test("FileSpace asks a file system that has refused only now and then", () => {
  using sparse = new Sparse(10 * PIECE);
  const clock = new VirtualClock(), arena = new MappedArena(new ArrayBuffer(4096), true);
  const { fd } = sparse.file;
  sparse.file.close();
  const space = new FileSpace(fd, 10 * PIECE, clock, arena);
  assert(reserveFile(fd, 0, 1) !== 0, "nobody has this descriptor");
  assert(!space.has(0, 1));
  const again = new MappedFile(sparse.path);
  assertEquals(again.fd, fd);
  assert(!space.has(0, 1), "it was asked a moment ago");
  clock.advance(1000);
  assert(space.has(0, 1) && space.has(5 * PIECE, 6 * PIECE));
  again.close();
});
