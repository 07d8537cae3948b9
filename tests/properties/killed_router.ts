/**
 * The program that killed_test.ts kills: a router without devices that is never idle, over a state file.
 *
 *   deno run -A killed_router.ts STATE-FILE
 *
 * Some connections are open and stay so; others come and go for ever. When some have, it prints by which
 * port each open one left.
 */
import { MappedFile } from "deno_tun";
import { Xoshiro } from "../../src/clock.ts";
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { BatchClock } from "../../src/dataplane/clock.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { Memory } from "../../src/memory.ts";
import { geometryOf } from "../../src/geometry.ts";
import { Router } from "../../src/router.ts";
import { tcp } from "../kit/mod.ts";
import { OWN, SERVER, TALKS } from "./conversations.ts";

/** Open connections, in pairs that would like to leave by the same port. */
export const OPEN = 400;

export const CONFIG = validate(defineRouter({
  interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: [`${OWN}/24`] } },
  tables: { nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] } },
  helpers: [ftp()],
  sysctl: {
    "net.netfilter.nf_conntrack_max": 8192,
    "net.netfilter.nf_conntrack_expect_max": 64,
    "net.netfilter.nf_conntrack_udp_timeout": 1,
    "net.netfilter.nf_conntrack_udp_timeout_stream": 1,
    "net.netfilter.nf_conntrack_tcp_timeout_close": 1,
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait": 1,
    "net.netfilter.nf_conntrack_checksum": 0,
  },
}));

/** A router of CONFIG, its clock, and what left last. */
export class Plane {
  readonly clock = new BatchClock();
  readonly router: Router;
  /** Interface, source and destination port of the packet that left last; −1 when none has since it was asked. */
  readonly left = [-1, 0, 0];

  constructor(memory: Memory, recovered: boolean, seed: number) {
    this.router = new Router({
      config: CONFIG,
      clock: this.clock,
      random: new Xoshiro(seed),
      memory,
      recovered,
      emit: (iface, p) => {
        this.left[0] = iface;
        this.left[1] = p.view.getUint16(20);
        this.left[2] = p.view.getUint16(22);
      },
      log: () => {},
    });
  }

  send(iface: number, bytes: Uint8Array, port = 0, at = 0): void {
    const p = this.router.packet;
    p.bytes.set(bytes);
    p.reset(iface, bytes.length);
    if (at > 0) p.view.setUint16(at, port);
    this.router.receive(p, iface);
  }
}

/** The client's side of open connection `i`. */
export function client(i: number): { src: string; sport: number; dst: string; dport: number } {
  return { src: `192.0.2.${10 + i % 2}`, sport: 20_000 + (i >> 1), dst: SERVER, dport: 443 };
}

/** The server's side of one that left by `port`. */
export function server(port: number): { src: string; sport: number; dst: string; dport: number } {
  return { src: SERVER, sport: 443, dst: OWN, dport: port };
}

function main(path: string): void {
  const file = new MappedFile(path), geometry = geometryOf(CONFIG);
  file.resize(Memory.bytes(geometry));
  const plane = new Plane(Memory.create(file.map(), geometry), false, Deno.pid), ports: number[] = [];
  for (let i = 0; i < OPEN; i++) {
    plane.send(1, tcp({ ...client(i), flags: "S", seq: 1 }));
    ports.push(plane.left[1]);
    plane.send(2, tcp({ ...server(ports[i]), flags: "SA", seq: 1, ack: 2 }));
    plane.send(1, tcp({ ...client(i), flags: "A", seq: 2, ack: 2 }));
  }
  const talks = TALKS.map(([, steps]) => steps);
  for (let i = 0;; i++) {
    const port = 30_000 + i % 30_000;
    for (const [iface, bytes, at] of talks[i % talks.length]) plane.send(iface, bytes, port, at);
    if (i === 200) Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(ports) + "\n"));
    if (i % 16 !== 0) continue;
    plane.clock.read();
    plane.router.sweep();
  }
}

if (import.meta.main) main(Deno.args[0]);
