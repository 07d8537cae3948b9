import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { SyscallError } from "deno_tun";
import { openState, StateError, statePath, viewState } from "../../src/control/state_file.ts";
import { Generation } from "../../src/generation.ts";
import { type Geometry, Memory, MemoryError } from "../../src/memory.ts";
import { run, test } from "../ffi/netns.ts";

const geometry: Geometry = { interfaces: 2, rules: 4, flows: 100, expects: 8 };

/** A directory for one test. */
class TempDir implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "weir-state-" });
  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

test("openState makes a file that nobody else can read, and removes it at a clean end", () => {
  using directory = new TempDir();
  const inner = `${directory.path}/made`;
  const state = openState({ name: "gw", geometry, directory: inner });
  assertEquals(state.path, `${inner}/gw.state`);
  assertEquals(Deno.statSync(state.path).mode! & 0o777, 0o600);
  assertEquals(Deno.statSync(inner).mode! & 0o777, 0o700);
  assertEquals([state.recovered, state.memory.owner.pid], [false, Deno.pid]);
  // With room for another configuration.
  const bytes = Memory.bytes(geometry) + Generation.bytes(geometry);
  assertEquals([Deno.statSync(state.path).size, state.length > bytes], [bytes, true]);
  assert(state.memory.owner.processStarted > 0);
  state.close(true);
  assertThrows(() => Deno.statSync(state.path), Deno.errors.NotFound);
});

test("openState corrects the mode of a file that was left behind", () => {
  using directory = new TempDir();
  const path = statePath("gw", directory.path);
  Deno.writeTextFileSync(path, "");
  Deno.chmodSync(path, 0o666);
  const state = openState({ name: "gw", geometry, directory: directory.path });
  assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
  state.close(true);
});

test("openState refuses a name that runs already, and tells the process", () => {
  using directory = new TempDir();
  const options = { name: "gw", geometry, directory: directory.path };
  const state = openState(options);
  const error = assertThrows(() => openState(options), StateError);
  assertStringIncludes(error.message, `a router named gw runs already (process ${Deno.pid})`);
  const other = openState({ ...options, name: "other" });
  other.close(true);
  state.close(true);
});

test("openState refuses names that are paths", () => {
  for (const name of ["", "../etc", "a/b", ".hidden", "a b", "x".repeat(65)]) {
    assertThrows(() => statePath(name, "/tmp"), StateError);
  }
});

test("openState keeps the flows of a dead process only when asked, and only when they fit", () => {
  using directory = new TempDir();
  const options = { name: "gw", geometry, directory: directory.path, keep: () => true };
  const die = () => {
    const state = openState(options);
    state.memory.generation.rules[0] = 42;
    state.close(false);
  };
  die();
  const kept = openState(options);
  assertEquals([kept.recovered, kept.memory.generation.rules[0], kept.memory.restarts], [true, 42, 1]);
  kept.close(false);

  const fresh = openState({ ...options, keep: undefined });
  assertEquals([fresh.recovered, fresh.memory.generation.rules[0], fresh.memory.restarts], [false, 0, 0]);
  fresh.close(false);

  const unfit: [name: string, spoil: (path: string) => Geometry][] = [
    ["more flows", () => ({ ...geometry, flows: 200 })],
    ["no state at all", (path) => {
      Deno.writeFileSync(path, new Uint8Array(Memory.bytes(geometry)).fill(7));
      return geometry;
    }],
    ["a state of another boot", (path) => {
      const bytes = Deno.readFileSync(path);
      bytes[24 * 4] ^= 1;
      Deno.writeFileSync(path, bytes);
      return geometry;
    }],
    ["an empty file", (path) => {
      Deno.writeFileSync(path, new Uint8Array());
      return geometry;
    }],
  ];
  for (const [name, spoil] of unfit) {
    die();
    const state = openState({ ...options, geometry: spoil(statePath("gw", directory.path)) });
    assertEquals([state.recovered, state.memory.generation.rules[0]], [false, 0], name);
    state.close(true);
  }
});

test("openState takes over the file of a process that was killed", async () => {
  using directory = new TempDir();
  const source = `import { openState } from ${
    JSON.stringify(import.meta.resolve("../../src/control/state_file.ts"))
  };
    const state = openState({ name: "gw", directory: Deno.args[0], geometry: ${JSON.stringify(geometry)} });
    state.memory.generation.rules[0] = 42;
    console.log("ready");
    setInterval(() => {}, 1000);`;
  const file = `${directory.path}/child.ts`;
  await Deno.writeTextFile(file, source);
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-lock", "--config", config, file, directory.path],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  const options = { name: "gw", geometry, directory: directory.path, keep: () => true };
  const error = assertThrows(() => openState(options), StateError);
  assertStringIncludes(error.message, `(process ${child.pid})`);
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
  const state = openState(options);
  assertEquals([state.recovered, state.memory.generation.rules[0], state.memory.owner.pid], [
    true,
    42,
    Deno.pid,
  ]);
  state.close(true);
});

test("viewState looks at a running router's state, and refuses what is none", () => {
  using directory = new TempDir();
  assertThrows(() => viewState("gw", directory.path), SyscallError, "does not exist");
  const state = openState({ name: "gw", geometry, directory: directory.path });
  state.memory.generation.rules[1] = 7;
  const view = viewState("gw", directory.path);
  assertEquals([view.memory.generation.rules[1], view.memory.owner.pid], [7, Deno.pid]);
  view.close();
  state.close(true);
  Deno.writeTextFileSync(statePath("text", directory.path), "x".repeat(10000));
  assertThrows(() => viewState("text", directory.path), MemoryError, "WEIRSTAT");
  Deno.writeTextFileSync(statePath("empty", directory.path), "");
  assertThrows(() => viewState("empty", directory.path), MemoryError, "empty");
});

test("the state file takes little space before it is used, and all that it begins with", async () => {
  using directory = new TempDir();
  const large = { interfaces: 2, rules: 1000, flows: 262144, expects: 4096 };
  const state = openState({ name: "gw", geometry: large, directory: directory.path });
  const kilobytes = Number((await run("du", "-k", state.path)).split("\t")[0]);
  const parts = Memory.beginnings(large).reduce((sum, [from, to]) => sum + to - from, 0);
  const begins = (parts + Generation.bytes(large)) / 1024;
  assert(
    kilobytes >= begins && kilobytes < begins + 256,
    `${kilobytes} KiB, of which it begins with ${begins}`,
  );
  assert(begins < Memory.bytes(large) / 1024 / 20, `${begins} KiB of ${Memory.bytes(large) / 1024}`);
  state.close(true);
});
