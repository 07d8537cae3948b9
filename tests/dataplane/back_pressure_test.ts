/** L11: whoever reads from a device stops for a while. A full socket stands in for the device. */
import { assert, assertEquals } from "@std/assert";
import { errno, errnoView, libc } from "deno_tun";
import { HeapArena } from "../../src/arena.ts";
import { Xoshiro } from "../../src/clock.ts";
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { Ports } from "../../src/dataplane/ports.ts";
import { INTERFACE_COUNTERS, Memory, TX_DROPS, TX_PACKETS } from "../../src/memory.ts";
import { Reason } from "../../src/netfilter.ts";
import { geometryOf } from "../../src/geometry.ts";
import { Router } from "../../src/router.ts";
import { udp, VirtualClock } from "../kit/mod.ts";

const AF_UNIX = 1, SOCK_SEQPACKET = 5, SOCK_NONBLOCK = 0o4000;
const PACKETS = 20_000;

// The C library stays open for the life of the process; opened in a test, the sanitizer would call it a leak.
const linux = Deno.build.os === "linux";
if (linux) libc();
const sockets = linux
  ? Deno.dlopen("libc.so.6", {
    socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  }).symbols
  : null;

/** A device and its reader. */
class Pipe implements Disposable {
  readonly #fds = new Int32Array(2);
  readonly #buffer = new Uint8Array(2048);

  constructor() {
    assertEquals(sockets!.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, this.#fds), 0);
  }

  /** What the router writes to. */
  get device(): number {
    return this.#fds[0];
  }

  /** Reads until there is nothing: how many packets. */
  drain(): number {
    for (let packets = 0;; packets++) {
      const n = libc().read(this.#fds[1], this.#buffer, this.#buffer.length);
      if (n > 0) continue;
      assertEquals(errnoView()[0], errno.EAGAIN);
      return packets;
    }
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) libc().close(fd);
  }
}

Deno.test({
  name:
    "L11 a device whose reader has stopped loses what it cannot take, counted, and nobody else waits for it",
  ignore: !linux,
}, () => {
  const config = validate(defineRouter({
    tables: { nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] } },
    interfaces: {
      lan: { addresses: ["192.0.2.1/24"] },
      wan: { addresses: ["198.51.100.1/24"] },
      dmz: { addresses: ["203.0.113.1/24"] },
    },
  }));
  using lan = new Pipe();
  using wan = new Pipe();
  using dmz = new Pipe();
  const geometry = geometryOf(config), clock = new VirtualClock(), log: string[] = [];
  const memory = Memory.create(new ArrayBuffer(Memory.bytes(geometry)), geometry);
  const specs = [lan, wan, dmz].map((pipe, i) => ({
    index: i + 1,
    name: config.interfaces[i].name,
    fd: pipe.device,
    vnet: false,
  }));
  const ports = new Ports([specs], 0, new HeapArena(), memory, clock, (line) => log.push(line));
  const router = new Router({
    config,
    clock,
    random: new Xoshiro(11),
    memory,
    emit: (iface, p) => ports.write(iface, p),
    log: (line) => log.push(line),
  });
  const send = (dst: string) => {
    const bytes = udp({ src: "192.0.2.2", sport: 1000, dst, dport: 53, payload: 400 });
    router.packet.bytes.set(bytes);
    router.packet.reset(1, bytes.length);
    router.receive(router.packet, 1);
  };
  const counter = (index: number, which: number) => memory.interfaces[index * INTERFACE_COUNTERS + which];

  // The reader of wan has stopped, that of dmz has not.
  let other = 0;
  for (let i = 0; i < PACKETS; i++) {
    send("198.51.100.7");
    if (i % 10 !== 0) continue;
    send("203.0.113.7");
    other += dmz.drain();
  }
  ports.settle();
  const lost = memory.drops[2 * Reason["device-full"]];
  assertEquals(other, PACKETS / 10);
  assert(lost > PACKETS / 2, `${lost} of ${PACKETS} were lost: where are the others?`);
  assertEquals([counter(2, TX_DROPS), counter(2, TX_PACKETS)], [lost, PACKETS - lost]);
  assertEquals([counter(3, TX_DROPS), counter(3, TX_PACKETS)], [0, PACKETS / 10]);
  assertEquals(router.conntrack.flows.count, 2);

  // It reads on: what the device had taken is there, nothing else was kept, and all that comes now passes.
  assertEquals(wan.drain(), PACKETS - lost);
  for (let i = 0; i < PACKETS; i++) {
    send("198.51.100.7");
    assertEquals(wan.drain(), 1);
  }
  assertEquals(memory.drops[2 * Reason["device-full"]], lost);
  assertEquals(log, []);
});
