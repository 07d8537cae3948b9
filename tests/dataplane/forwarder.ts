/**
 * The smallest thing that the loop can drive: whatever comes in by interface 1 leaves by 2 and the other way round, and
 * the host device talks to interface 1. Its "configuration" is a query string that says how it misbehaves.
 */
import { ftp, tftp } from "../../src/helpers/mod.ts";
import { CONTROL_FLOWS } from "../../src/memory.ts";
import { LoadError } from "../../src/dataplane/loading.ts";
import type { TakenOver } from "../../src/dataplane/messages.ts";
import type { Routing } from "../../src/dataplane/routing.ts";
import { type Parts, serve } from "../../src/dataplane/serve.ts";
import { Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";

class Forwarder implements Routing {
  readonly packet = new Packet();
  #received = 0;

  constructor(readonly parts: Parts, readonly options: URLSearchParams) {
    parts.memory.generation.describe([ftp(), tftp()], false);
  }

  receive(p: Packet, iface: number): void {
    const reason = parse(p);
    if (reason !== 0) {
      p.drop(reason);
      this.parts.memory.countDrop(reason, p.length);
      return;
    }
    this.#received++;
    if (this.options.has("throw")) throw new Error("a rule of the user broke");
    if (this.options.has("hang")) { for (;;); }
    if (this.options.has("host") && iface === 1) this.parts.emitHost!(p);
    else this.parts.emit(3 - iface, p);
  }

  receiveHost(p: Packet): void {
    if (parse(p) === 0) this.parts.emit(1, p);
  }

  sweep(): void {
    this.parts.memory.control[CONTROL_FLOWS] = this.#received;
  }

  takeOver(): TakenOver {
    if (this.options.get("take") === "throw") throw new Error("it cannot take over");
    this.parts.memory.publish();
    return { unhelped: 0, expectations: 0, ended: 0 };
  }

  command(words: Int32Array): void {
    this.parts.log(`command ${words[0]} ${words[1]}`);
    words[2] = words[1] * 10;
    words[1] = words[0] * 10;
  }
}

/** Never comes back. It sleeps: no process can be rid of the thread, and other tests want the processor. */
function hang(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

serve((config) => {
  const options = new URL(config).searchParams;
  if (options.has("broken")) return Promise.reject(new Error("the module is broken"));
  if (options.get("load") === "refused") return Promise.reject(new LoadError("gw.ts: 2 mistakes"));
  if (options.get("load") === "hang") hang();
  return Promise.resolve({
    summary: () => JSON.parse(options.get("summary")!),
    build(parts) {
      parts.log(`recovered ${parts.recovered}`);
      if (options.get("build") === "throw") throw new Error("it cannot be built");
      if (options.get("build") === "hang") hang();
      if (options.get("build") === "other") parts.arena.int32(1);
      if (options.get("build") === "more") parts.arena.int32(1 << 20);
      return new Forwarder(parts, options);
    },
  });
});
