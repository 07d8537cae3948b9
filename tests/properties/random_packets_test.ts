/**
 * Whatever comes in: random bytes, and real packets with bytes, lengths, order and offload promises broken, through the
 * whole router with every table, NAT and a helper on. No exception, no memory that grows with packets.
 */
import { assert, assertEquals } from "@std/assert";
import { defineRouter } from "../../src/config/define.ts";
import { validate } from "../../src/config/validate.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 } from "../../src/packet/packet.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import {
  fragments,
  icmpEcho,
  icmpError,
  ip,
  sctp,
  sctpInit,
  seeded,
  tcp,
  type TcpOptions,
  udp,
} from "../kit/mod.ts";

const PACKETS = 1_000_000;

const CONFIG = defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
    wan: { addresses: ["198.51.100.1/24", "2001:db8:2::1/64"], mtu: 1280 },
  },
  routes: [{ destination: "default", interface: "wan", via: "198.51.100.254" }],
  tables: {
    raw: { PREROUTING: [{ protocol: "udp", dport: 9, jump: "NOTRACK" }] },
    mangle: {
      PREROUTING: [{ protocol: "tcp", tcpFlags: "SYN,ACK SYN", jump: "MARK", setMark: 7 }],
      FORWARD: [{ ctstate: "INVALID", jump: "RETURN" }],
    },
    nat: {
      PREROUTING: [{ inInterface: "wan", protocol: "tcp", dport: 8080, jump: "REDIRECT", toPorts: 80 }],
      POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }],
    },
    filter: {
      INPUT: [{ protocol: "tcp", dport: 25, jump: "REJECT", rejectWith: "tcp-reset" }],
      FORWARD: {
        policy: "DROP",
        rules: [
          { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
          { protocol: "udp", dport: 7, jump: "REJECT" },
          { limit: "5/second", jump: "LOG", logPrefix: "new: " },
          { inInterface: "lan", jump: "ACCEPT" },
          { protocol: "tcp", dport: [21, "80:90"], jump: "ACCEPT" },
        ],
      },
    },
  },
  helpers: [ftp()],
  sysctl: { "net.netfilter.nf_conntrack_max": 4096, "net.ipv4.ipfrag_high_thresh": 262144 },
});

/** Packets as hosts send them: the beginnings of everything that the router knows. */
function seeds(): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (
    const [lan, wan, own] of [
      ["192.0.2.2", "203.0.113.7", "198.51.100.1"],
      ["2001:db8:1::2", "2001:db8:2::7", "2001:db8:2::1"],
    ]
  ) {
    const there = (o: Partial<TcpOptions> & { flags: string }) =>
      tcp({ src: lan, sport: 40000, dst: wan, dport: 21, ...o });
    const back = (o: Partial<TcpOptions> & { flags: string }) =>
      tcp({ src: wan, sport: 21, dst: own, dport: 40000, ...o });
    out.push(
      there({ flags: "S", seq: 1000 }),
      back({ flags: "SA", seq: 5000, ack: 1001 }),
      there({ flags: "A", seq: 1001, ack: 5001 }),
      back({ flags: "PA", seq: 5001, ack: 1001, payload: "220 ready\r\n" }),
      there({ flags: "PA", seq: 1001, ack: 5012, payload: "USER x\r\n" }),
      there({ flags: "PA", seq: 1009, ack: 5012, payload: "PORT 192,0,2,2,195,80\r\n" }),
      there({ flags: "PA", seq: 1032, ack: 5012, payload: "EPRT |2|2001:db8:1::2|50000|\r\n" }),
      back({
        flags: "PA",
        seq: 5012,
        ack: 1032,
        payload: "227 Entering Passive Mode (203,0,113,7,200,1)\r\n",
      }),
      back({
        flags: "PA",
        seq: 5012,
        ack: 1032,
        payload: "229 Entering Extended Passive Mode (|||51201|)\r\n",
      }),
      there({ flags: "FA", seq: 1032, ack: 5060 }),
      back({ flags: "R", seq: 5060 }),
      tcp({ src: wan, sport: 50, dst: own, dport: 8080, flags: "S" }),
      udp({ src: lan, sport: 5353, dst: wan, dport: 53, payload: 40 }),
      udp({ src: wan, sport: 53, dst: own, dport: 5353, payload: 400 }),
      udp({ src: lan, sport: 9, dst: wan, dport: 9, payload: 1200 }),
      udp({ src: lan, sport: 9, dst: wan, dport: 7 }),
      icmpEcho({ src: lan, dst: wan, echoId: 7 }),
      icmpEcho({ src: wan, dst: own, echoId: 7, reply: true }),
      icmpEcho({ src: lan, dst: own, echoId: 8, payload: 64 }),
      icmpError({
        src: wan,
        dst: own,
        type: own.includes(":") ? 1 : 3,
        code: own.includes(":") ? 4 : 3,
        quoted: udp({ src: own, sport: 5353, dst: wan, dport: 53, payload: 40 }),
      }),
      sctp({ src: lan, sport: 3000, dst: wan, dport: 3000, vtag: 0, chunks: [sctpInit(77, 1)] }),
      ip({ src: lan, dst: wan, protocol: 47, payload: 60 }),
      ip({ src: lan, dst: wan, protocol: 253, payload: 60 }),
      ...fragments(udp({ src: lan, sport: 4000, dst: wan, dport: 4000, payload: 3000, df: false }), 1000),
      ...fragments(icmpEcho({ src: wan, dst: own, echoId: 9, payload: 2000, df: false }), 600),
    );
  }
  out.push(
    tcp({
      src: "192.0.2.2",
      sport: 1,
      dst: "203.0.113.7",
      dport: 80,
      flags: "S",
      ipOptions: [7, 7, 4, 0, 0, 0, 0, 0],
    }),
  );
  return out;
}

Deno.test("Router survives 1,000,000 random and mutated packets with flat memory", () => {
  let emitted = 0;
  const router = new VirtualRouter(validate(CONFIG), { seed: 3, emit: () => emitted++ });
  const random = seeded(20);
  const below = (n: number) => (random.next() >>> 0) % n;
  const valid = seeds();
  const r = router.router, p = r.packet;
  const gso = [GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, 2];

  const run = (count: number) => {
    for (let i = 0; i < count; i++) {
      if ((i & 63) === 0) router.moveTo((router.clock.wall + below(2000) / 1000) * 1000);
      const kind = below(16);
      let length: number;
      if (kind === 0) { // noise, half of it with an IP version
        length = below(100);
        for (let k = 0; k < length; k++) p.bytes[k] = random.next();
        if (length > 0 && below(2) === 0) p.bytes[0] = below(2) === 0 ? 0x45 : 0x60;
      } else {
        const bytes = valid[below(valid.length)];
        p.bytes.set(bytes);
        length = bytes.length;
        if (kind > 4) {
          for (let k = below(6); k >= 0; k--) p.bytes[below(Math.min(length, 96))] = random.next();
          if (p.bytes[0] >> 4 === 4 && below(2) === 0) fixHeader(p.view);
        }
        if (kind > 13) length = below(length + 40);
      }
      p.reset(1 + below(2), length);
      const offload = below(20);
      if (offload === 0) {
        p.gsoType = gso[below(gso.length)];
        p.gsoSize = below(1500);
        p.partialChecksum = below(2) === 0;
      } else if (offload === 1) {
        p.partialChecksum = true;
      }
      if (p.gsoType !== GSO_NONE && below(2) === 0) p.length = Math.min(length + 4000, 65535);
      r.receive(p, p.inInterface);
    }
  };

  run(PACKETS / 5);
  const before = Deno.memoryUsage();
  run(PACKETS - PACKETS / 5);
  const after = Deno.memoryUsage();
  const grown = (after.rss - before.rss) / 1e6;
  assert(grown < 48, `resident memory grew by ${grown.toFixed(1)} MB over ${PACKETS * 0.8} packets`);
  assert(emitted > PACKETS / 20, `${emitted} packets left: the traffic did not reach the depths`);
  assert(r.conntrack.flows.count <= 4096);
  assertEquals(p.raw.byteLength, 68 * 1024);
});

/** The IPv4 header checksum of what stands there, so that the mutation is seen by more than the first check. */
function fixHeader(view: DataView): void {
  const length = (view.getUint8(0) & 15) * 4;
  view.setUint16(10, 0);
  let sum = 0;
  for (let i = 0; i < length; i += 2) sum += view.getUint16(i);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  view.setUint16(10, ~sum & 0xffff);
}
