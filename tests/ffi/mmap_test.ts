import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { mapMemory, MappedFile, SyscallError, unmapMemory } from "deno_tun";
import { test } from "./netns.ts";

/** A directory for one test. */
class TempDir implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "weir-mmap-" });
  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

test("MappedFile writes reach the file, and the file reaches the memory", () => {
  using directory = new TempDir();
  const file = new MappedFile(`${directory.path}/state`);
  file.resize(8192);
  assertEquals(file.size, 8192);
  const bytes = new Uint8Array(file.map());
  assertEquals(bytes.length, 8192);
  assertEquals(bytes[5000], 0);
  bytes[5000] = 42;
  assertEquals(Deno.readFileSync(file.path)[5000], 42);
  assertEquals(Deno.statSync(file.path).mode! & 0o777, 0o600);
  file.unmap();
  file.unmap();
  file.close();
  file.close();
});

test("MappedFile memory outlives the mapping: the next one finds it", () => {
  using directory = new TempDir();
  const path = `${directory.path}/state`;
  for (let round = 0; round < 3; round++) {
    const file = new MappedFile(path);
    file.resize(4096);
    const words = new Int32Array(file.map());
    assertEquals(words[9], round);
    words[9]++;
    file.unmap();
    file.close();
  }
});

test("MappedFile shares memory between worker and main, with Atomics", async () => {
  using directory = new TempDir();
  const file = new MappedFile(`${directory.path}/state`);
  file.resize(4096);
  const words = new Int32Array(file.map());
  Atomics.store(words, 0, 41);
  const worker = new Worker(import.meta.resolve("./wake_worker.ts"), { type: "module" });
  const answer = new Promise((resolve) => worker.onmessage = (event) => resolve(event.data));
  worker.postMessage({ address: file.address, length: file.length });
  assertEquals(await answer, 41);
  assertEquals([Atomics.load(words, 1), words[2]], [42, 7]);
  worker.terminate();
  await new Promise((resolve) => setTimeout(resolve, 0));
  file.unmap();
  file.close();
});

test("MappedFile lock is held by one at a time", () => {
  using directory = new TempDir();
  const first = new MappedFile(`${directory.path}/state`);
  const second = new MappedFile(`${directory.path}/state`);
  assert(first.lock());
  assert(first.lock(), "it holds it already");
  assertEquals(second.lock(), false);
  first.close();
  assert(second.lock());
  second.close();
});

test("MappedFile readOnly looks at a file of another", () => {
  using directory = new TempDir();
  const path = `${directory.path}/state`;
  const missing = assertThrows(() => new MappedFile(path, { readOnly: true }), SyscallError);
  assertEquals([missing.code, missing.message], [
    "ENOENT",
    `cannot open ${path}: it does not exist (open: ENOENT)`,
  ]);
  const file = new MappedFile(path);
  file.resize(4096);
  const words = new Int32Array(file.map());
  const reader = new MappedFile(path, { readOnly: true });
  const seen = new Int32Array(reader.map());
  words[3] = 5;
  assertEquals(seen[3], 5);
  reader.unmap();
  reader.close();
  file.unmap();
  file.close();
});

test("MappedFile refuses what cannot be mapped", () => {
  using directory = new TempDir();
  const file = new MappedFile(`${directory.path}/state`);
  assertThrows(() => file.map(), RangeError, "empty");
  file.close();
  const error = assertThrows(() => new MappedFile(`${directory.path}/no/state`), SyscallError);
  assertStringIncludes(error.message, "its directory does not exist");
});

test("MappedFile does not follow a link that somebody put in its place", () => {
  using directory = new TempDir();
  Deno.writeTextFileSync(`${directory.path}/precious`, "keep");
  Deno.symlinkSync(`${directory.path}/precious`, `${directory.path}/state`);
  assertThrows(() => new MappedFile(`${directory.path}/state`), SyscallError);
  assertEquals(Deno.readTextFileSync(`${directory.path}/precious`), "keep");
});

test("mapMemory is zero, is written, and takes no space until it is", () => {
  const resident = () => Number(/VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync("/proc/self/status"))![1]);
  const length = 2 ** 30, before = resident(), address = mapMemory(length);
  const words = new Int32Array(MappedFile.view(address, length));
  assertEquals([words[0], words[words.length - 1]], [0, 0]);
  words[words.length - 1] = 7;
  assertEquals(new Int32Array(MappedFile.view(address, length)).at(-1), 7);
  assert(resident() - before < 64 * 1024, `${resident() - before} KB`);
  unmapMemory(address, length);
});
