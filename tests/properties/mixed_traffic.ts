/**
 * Mixed traffic for measuring what the router allocates: the program that heap_test.ts starts with V8's own record of
 * its collections switched on.
 *
 *   deno run --v8-flags=--expose-gc,--trace-gc mixed_traffic.ts PACKETS whole|fragments|heard
 *
 * Conversations in TCP, UDP and ICMP, of both families, begin, talk and end through every table, MASQUERADE and a
 * helper; some packets are refused, and with `fragments` some datagrams come in pieces. Packets are copies of a few
 * made in advance, with ports of their own, so the traffic itself allocates nothing. A collection by `gc()` marks where
 * warming up ends and where the measured packets do.
 */
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { type Clock, Xoshiro } from "../../src/clock.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { LISTEN_EXPECTS, LISTEN_FLOWS } from "../../src/conntrack/events.ts";
import { Memory } from "../../src/memory.ts";
import { geometryOf } from "../../src/geometry.ts";
import { Router } from "../../src/router.ts";
import { fragments, icmpEcho, seeded, tcp, udp } from "../kit/mod.ts";

const WARM = 300_000, SETTLE = 2_000_000;
/** Conversations that talk at the same time. */
const AT_ONCE = 2_000;

const CONFIG = defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
    wan: { addresses: ["198.51.100.1/24", "2001:db8:2::1/64"] },
  },
  routes: [{ destination: "default", interface: "wan", via: "198.51.100.254" }, {
    destination: "default",
    interface: "wan",
    via: "2001:db8:2::fe",
  }],
  tables: {
    raw: { PREROUTING: [{ protocol: "udp", dport: 9, jump: "NOTRACK" }] },
    mangle: { FORWARD: [{ protocol: "tcp", dport: 22, jump: "MARK", setMark: 1 }] },
    nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] },
    filter: {
      FORWARD: {
        policy: "DROP",
        rules: [
          { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
          { state: "INVALID", jump: "DROP" },
          { protocol: "udp", dport: 7, jump: "REJECT" },
          { inInterface: "lan", outInterface: "wan", jump: "ACCEPT" },
        ],
      },
    },
  },
  helpers: [ftp()],
  sysctl: { "net.netfilter.nf_conntrack_max": 65536 },
});

const LAN = 1, WAN = 2;
const SPORT = 40000;

/** One packet of a conversation. The client's port stands at `port`, the checksum that covers it at `check`. */
interface Template {
  readonly iface: number;
  readonly bytes: Uint8Array;
  readonly port: number;
  readonly check: number;
}

/** Conversations, each a list of packets. */
function scripts(): Template[][] {
  const out: Template[][] = [];
  for (
    const [lan, wan, own, l4] of [
      ["192.0.2.2", "203.0.113.7", "198.51.100.1", 20],
      ["2001:db8:1::2", "2001:db8:5::7", "2001:db8:2::1", 40],
    ] as const
  ) {
    const to = { src: lan, sport: SPORT, dst: wan }, from = { src: wan, dst: own, dport: SPORT };
    const there = (bytes: Uint8Array, check: number): Template => ({
      iface: LAN,
      bytes,
      port: l4,
      check: l4 + check,
    });
    const back = (bytes: Uint8Array, check: number): Template => ({
      iface: WAN,
      bytes,
      port: l4 + 2,
      check: l4 + check,
    });
    const talk = (
      dport: number,
      ask: string | number,
      answer: string | number,
      turns: number,
    ): Template[] => {
      const size = (payload: string | number) => typeof payload === "number" ? payload : payload.length;
      const said = there(tcp({ ...to, dport, flags: "PA", seq: 1001, ack: 5001, payload: ask }), 16);
      const heard = back(
        tcp({ ...from, sport: dport, flags: "PA", seq: 5001, ack: 1001 + size(ask), payload: answer }),
        16,
      );
      const seq = 1001 + size(ask), ack = 5001 + size(answer);
      return [
        there(
          tcp({ ...to, dport, flags: "S", seq: 1000, options: [{ mss: 1460 }, { sackPermitted: true }] }),
          16,
        ),
        back(tcp({ ...from, sport: dport, flags: "SA", seq: 5000, ack: 1001, options: [{ mss: 1460 }] }), 16),
        there(tcp({ ...to, dport, flags: "A", seq: 1001, ack: 5001 }), 16),
        ...Array.from({ length: turns }, () => [said, heard]).flat(),
        there(tcp({ ...to, dport, flags: "FA", seq, ack }), 16),
        back(tcp({ ...from, sport: dport, flags: "FA", seq: ack, ack: seq + 1 }), 16),
        there(tcp({ ...to, dport, flags: "A", seq: seq + 1, ack: ack + 1 }), 16),
      ];
    };
    const asks = there(udp({ ...to, dport: 53, payload: 40 }), 6);
    const answers = back(udp({ ...from, sport: 53, payload: 400 }), 6);
    const echo = { src: lan, dst: wan, echoId: SPORT },
      reply = { src: wan, dst: own, echoId: SPORT, reply: true };
    const ping = { ...there(icmpEcho(echo), 2), port: l4 + 4 };
    const pong = { ...back(icmpEcho(reply), 2), port: l4 + 4 };
    out.push(
      talk(443, 200, 1400, 20),
      talk(80, 500, 1200, 6),
      talk(21, l4 === 20 ? "PASV\r\n" : "EPSV\r\n", "200 fine\r\n", 3),
      Array.from({ length: 10 }, () => [asks, answers]).flat(),
      [ping, pong, ping, pong],
      [there(udp({ ...to, dport: 9, payload: 100 }), 6)],
      [there(udp({ ...to, dport: 7, payload: 100 }), 6)],
      [back(tcp({ ...from, sport: 4444, flags: "S" }), 16)],
      [there(tcp({ ...to, dport: 443, flags: "A", seq: 77, ack: 99, badChecksum: true }), 16)],
    );
    if (Deno.args[1] !== "fragments") continue;
    const whole = udp({ ...to, dport: 4000, payload: 3000, df: false });
    // Its ports stay as they are: the checksum is in another fragment than some of what it covers.
    out.push(fragments(whole, 1480).map((bytes) => ({ iface: LAN, bytes, port: -1, check: -1 })));
  }
  return out;
}

const config = validate(CONFIG);
const geometry = geometryOf(config);
const clock: Clock = { now: 0, wall: 1e9 };
let emitted = 0;
const memory = Memory.create(new ArrayBuffer(Memory.bytes(geometry)), geometry);
if (Deno.args[1] === "heard") memory.events.wanted = LISTEN_FLOWS | LISTEN_EXPECTS;
const router = new Router({
  config,
  clock,
  random: new Xoshiro(1),
  memory,
  emit: () => emitted++,
  log: () => {},
});

const SCRIPTS = scripts();
const random = seeded(7);
/** What each conversation says, how far it is, and its port. */
const script = new Int32Array(AT_ONCE), step = new Int32Array(AT_ONCE), port = new Int32Array(AT_ONCE);
let nextPort = 1024;

function begin(i: number): void {
  script[i] = (random.next() >>> 0) % SCRIPTS.length;
  step[i] = 0;
  port[i] = nextPort;
  nextPort = nextPort === 65000 ? 1024 : nextPort + 1;
}

for (let i = 0; i < AT_ONCE; i++) begin(i);

/** Sends this many packets, a step of some conversation each. */
export function run(packets: number): void {
  const p = router.packet;
  for (let n = 0; n < packets; n++) {
    if ((n & 63) === 0) {
      clock.now = (clock.now + 4) | 0;
      clock.wall += 0.004;
      router.sweep();
    }
    const i = (random.next() >>> 0) % AT_ONCE;
    const templates = SCRIPTS[script[i]], template = templates[step[i]];
    const { bytes, port: at, check } = template;
    p.bytes.set(bytes);
    p.reset(template.iface, bytes.length);
    const view = p.view;
    if (at >= 0) {
      // RFC 1624: the sum follows the port.
      let sum = (~view.getUint16(check) & 0xffff) + (~view.getUint16(at) & 0xffff) + port[i];
      sum = (sum & 0xffff) + (sum >> 16);
      sum = (sum & 0xffff) + (sum >> 16);
      view.setUint16(at, port[i]);
      view.setUint16(check, ~sum & 0xffff);
    }
    router.receive(p, template.iface);
    if (++step[i] === templates.length) begin(i);
  }
}

if (import.meta.main) {
  const { gc } = globalThis as unknown as { gc(): void };
  run(WARM);
  gc();
  // The collection has thrown away what V8 knew of functions: it allocates while it learns that anew.
  const { heapUsed } = Deno.memoryUsage();
  run(SETTLE);
  const settled = Deno.memoryUsage().heapUsed - heapUsed;
  const before = emitted, began = Date.now();
  run(Number(Deno.args[0]));
  const ms = Date.now() - began;
  gc();
  const flows = router.conntrack.flows.count;
  Deno.stderr.writeSync(
    new TextEncoder().encode(JSON.stringify({ emitted: emitted - before, flows, ms, settled }) + "\n"),
  );
}
