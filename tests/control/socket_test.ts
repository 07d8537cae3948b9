/** The control socket: requests and answers, whatever comes, and nothing left behind. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ask, CommandError, ControlSocket, type Handlers, socketPath } from "../../src/control/socket.ts";

/** A socket in a folder of its own. */
class Place implements Disposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "weir-socket-" });
  readonly path = `${this.#folder}/gateway.sock`;

  names(): string[] {
    return [...Deno.readDirSync(this.#folder)].map(({ name }) => name);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

const HANDLERS: Handlers = {
  add: ({ a, b }) => Promise.resolve({ sum: Number(a) + Number(b) }),
  never: () => new Promise(() => {}),
  refuse: () => Promise.reject(new CommandError("no, thanks")),
};

Deno.test("socketPath stands beside the state file", () => {
  assertEquals(socketPath("/run/weir/a.state.state"), "/run/weir/a.state.sock");
});

Deno.test("ControlSocket answers, refuses with the reason, and is gone when closed", async () => {
  using place = new Place();
  const socket = ControlSocket.open(place.path, HANDLERS);
  try {
    assertEquals(Deno.statSync(place.path).mode! & 0o777, 0o600);
    assertEquals(await ask(place.path, { command: "add", a: 2, b: 3 }), { ok: true, sum: 5 });
    const refused = (request: Record<string, unknown>, reason: string) =>
      assertRejects(() => ask(place.path, request), CommandError, reason);
    await refused({ command: "refuse" }, "no, thanks");
    await refused({ command: "toString" }, 'there is no command "toString"; known are add, never, refuse');
    await refused({}, "there is no command undefined");
  } finally {
    socket.close();
  }
  assertEquals(place.names(), []);
  await assertRejects(() => ask(place.path, {}), CommandError, "cannot reach the router");
});

Deno.test("ControlSocket takes several requests on one connection, in pieces or at once, and bad lines between", async () => {
  using place = new Place();
  const socket = ControlSocket.open(place.path, HANDLERS);
  const connection = await Deno.connect({ transport: "unix", path: place.path });
  const answers = connection.readable.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const answer = async () => {
    while (!text.includes("\n")) text += (await answers.read()).value!;
    const end = text.indexOf("\n"), line = text.slice(0, end);
    text = text.slice(end + 1);
    return JSON.parse(line);
  };
  const say = (what: string) => connection.write(new TextEncoder().encode(what));
  await say('{"command":"add","a":1,"b":1}\n{"command":"add","a":2,"b":2}\nnonsense\n[1]\n');
  const wrong = { ok: false, error: "a line must be a JSON object" };
  assertEquals([await answer(), await answer()], [{ ok: true, sum: 2 }, { ok: true, sum: 4 }]);
  assertEquals([await answer(), await answer()], [wrong, wrong]);
  await say('{"command":"ad');
  await say('d","a":3,"b":3}\n');
  assertEquals(await answer(), { ok: true, sum: 6 });
  await say("x".repeat(70_000));
  assertEquals(await answer(), { ok: false, error: "a line is longer than 65536 bytes" });
  await answers.cancel();
  socket.close();
});

Deno.test("ControlSocket ends conversations when it is closed, and the asker is told", async () => {
  using place = new Place();
  const socket = ControlSocket.open(place.path, HANDLERS);
  const asked = ask(place.path, { command: "never" });
  // The other side has it once a second one has been answered.
  await ask(place.path, { command: "add", a: 1, b: 1 });
  socket.close();
  await assertRejects(() => asked, CommandError, "the router ended before it answered");
  assertEquals(place.names(), []);
});

Deno.test("ControlSocket takes the place of one that a dead process has left", async () => {
  using place = new Place();
  const program =
    `Deno.listen({ transport: "unix", path: "${place.path}" }); Deno.kill(Deno.pid, "SIGKILL");`;
  await new Deno.Command(Deno.execPath(), { args: ["eval", "--no-config", program], stdin: "null" }).output();
  assertEquals(place.names(), ["gateway.sock"]);
  const socket = ControlSocket.open(place.path, HANDLERS);
  assertEquals((await ask(place.path, { command: "add", a: 1, b: 1 })).sum, 2);
  socket.close();
});

Deno.test("ControlSocket refuses a path that no socket can have", () => {
  const long = `/tmp/${"x".repeat(120)}.sock`;
  assertThrows(() => ControlSocket.open(long, HANDLERS), CommandError, "longer than 107 bytes");
  assertThrows(() => ControlSocket.open("/nowhere/at/all.sock", HANDLERS), CommandError, "cannot listen at");
});
