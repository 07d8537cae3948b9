/** Who listens is listened for as long as its conversation lasts, however that ends. */

import { assertEquals, assertRejects } from "@std/assert";
import { EventRing, LISTEN_EXPECTS, LISTEN_FLOWS } from "../../src/conntrack/events.ts";
import { Listeners } from "../../src/control/listeners.ts";
import { CommandError, ControlSocket, converse } from "../../src/control/socket.ts";
import { Folder } from "../cli/weir.ts";

/** A socket that takes listeners. */
class Host implements Disposable {
  readonly ring = new EventRing();
  readonly #folder = new Folder();
  readonly path = `${this.#folder.path}/router.sock`;
  readonly socket: ControlSocket;
  #over = false;

  constructor() {
    const listeners = new Listeners();
    this.socket = ControlSocket.open(this.path, {
      listen: async (request, gone) => await listeners.listen(this.ring, request, gone),
    });
  }

  end(): void {
    if (!this.#over) this.socket.close();
    this.#over = true;
  }

  /** Until the host has heard. */
  async until(wanted: number): Promise<void> {
    for (let i = 0; i < 1000 && this.ring.wanted !== wanted; i++) {
      await new Promise((done) => setTimeout(done, 5));
    }
    assertEquals(this.ring.wanted, wanted);
  }

  [Symbol.dispose](): void {
    this.end();
    this.#folder[Symbol.dispose]();
  }
}

const asking = (kinds: unknown) => ({ command: "listen", kinds });

Deno.test("Listeners: several are heard together, and each takes its own with it", async () => {
  using host = new Host();
  const flows = await converse(host.path, asking(LISTEN_FLOWS));
  assertEquals([host.ring.wanted, flows.answer.last], [LISTEN_FLOWS, 0]);
  const expects = await converse(host.path, asking(LISTEN_EXPECTS));
  assertEquals(host.ring.wanted, LISTEN_FLOWS | LISTEN_EXPECTS);
  flows[Symbol.dispose]();
  await host.until(LISTEN_EXPECTS);
  expects[Symbol.dispose]();
  await host.until(0);
});

Deno.test("Listeners: one that the kernel kills is gone", async () => {
  using host = new Host();
  const script = `const c = await Deno.connect({ transport: "unix", path: Deno.args[0] });
    await c.write(new TextEncoder().encode('{"command":"listen","kinds":${LISTEN_FLOWS}}\\n'));
    await c.read(new Uint8Array(1000)); console.log("listens"); await new Promise((done) => setTimeout(done, 1e6));`;
  const process = new Deno.Command(Deno.execPath(), {
    args: ["eval", script, host.path],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  await host.until(LISTEN_FLOWS);
  process.kill("SIGKILL");
  await process.output();
  await host.until(0);
});

Deno.test("Listeners: the end of the router ends the conversation", async () => {
  using host = new Host();
  using listener = await converse(host.path, asking(LISTEN_FLOWS));
  host.end();
  await listener.ended;
  assertEquals(host.ring.wanted, 0);
});

for (const kinds of [0, -1, 8, LISTEN_EXPECTS << 3, "all", undefined]) {
  Deno.test(`Listeners: ${JSON.stringify(kinds)} is nothing to listen for`, async () => {
    using host = new Host();
    await assertRejects(() => converse(host.path, asking(kinds)), CommandError, "are no kinds of events");
    assertEquals(host.ring.wanted, 0);
  });
}
