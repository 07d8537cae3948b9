/** What a flow takes of the table's memory, and what is left of it when the process is killed. */
import { assert, assertEquals } from "@std/assert";
import { ExpectTable } from "../../src/conntrack/expect.ts";
import { CT_STATUS, FLOW_WORDS, IPS_SIDE, PROTO_WORDS } from "../../src/conntrack/flow.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { gre, icmpEcho, ip, sctp, SCTP_CHUNK, sctpInit, tcp, udp, udplite } from "../kit/mod.ts";
import { Rig, type RigOptions } from "./rig.ts";

const SERVER = "198.51.100.7", CAPACITY = 64;
/** As Linux, Weir takes no UDP-Lite checksum for right. */
const UNCHECKED = { checksum: 0 };

/** Both ends of flow `n` as the packets of each say them. */
function ends(n: number) {
  const client = { src: `192.0.2.${n + 2}`, sport: 4000, dst: SERVER, dport: 80 };
  return [client, { src: client.dst, sport: 80, dst: client.src, dport: 4000 }] as const;
}
type End = ReturnType<typeof ends>[number];

/** One packet of each end. */
const both = (packet: (end: End, i: number) => Uint8Array) => (n: number) => ends(n).map(packet);

interface Talk {
  readonly protocol: string;
  readonly further: boolean;
  /** Packets of both ends by turns, of flow `n`. */
  readonly packets: (n: number) => Uint8Array[];
}

const TALKS: Talk[] = [
  { protocol: "UDP", further: false, packets: both(udp) },
  { protocol: "UDP-Lite", further: false, packets: both(udplite) },
  { protocol: "ICMP", further: false, packets: both((end, i) => icmpEcho({ ...end, reply: i === 1 })) },
  { protocol: "GRE", further: false, packets: both(gre) },
  { protocol: "an unknown protocol", further: false, packets: both((end) => ip({ ...end, protocol: 89 })) },
  {
    protocol: "TCP",
    further: true,
    packets: (n) => {
      const [c, s] = ends(n);
      return [
        tcp({ ...c, flags: "S", seq: 100 }),
        tcp({ ...s, flags: "SA", seq: 900, ack: 101 }),
        tcp({ ...c, flags: "A", seq: 101, ack: 901 }),
        tcp({ ...s, flags: "PA", seq: 901, ack: 101, payload: 9 }),
      ];
    },
  },
  {
    protocol: "SCTP",
    further: true,
    packets: (n) => {
      const [c, s] = ends(n), body = [1, 2, 3, 4];
      return [
        sctp({ ...c, vtag: 0, chunks: [sctpInit(7, 1)] }),
        sctp({ ...s, vtag: 7, chunks: [sctpInit(8, 1, true)] }),
        sctp({ ...c, vtag: 8, chunks: [{ type: SCTP_CHUNK.COOKIE_ECHO, flags: 0, body }] }),
        sctp({ ...s, vtag: 7, chunks: [{ type: SCTP_CHUNK.COOKIE_ACK, flags: 0, body }] }),
      ];
    },
  },
];

for (const { protocol, further, packets } of TALKS) {
  Deno.test(`a flow of ${protocol} takes its record${further ? " and a line beside" : ", no more"}`, () => {
    const rig = new Rig({ capacity: CAPACITY, sysctl: UNCHECKED }),
      { flows } = rig.conntrack,
      { words } = flows;
    const lines: number[] = [];
    for (let n = 0; n < 3; n++) {
      packets(n).forEach((packet, i) => assertEquals(rig.send(packet), i === 0 ? "NEW" : "ESTABLISHED"));
      assertEquals(words[rig.p.ct * FLOW_WORDS + CT_STATUS] & IPS_SIDE, 0);
      lines.push(flows.proto(rig.p.ct));
    }
    assertEquals([rig.flows().length, new Set(lines).size], [3, 3]);
    let beside = 0;
    for (let at = CAPACITY * FLOW_WORDS; at < words.length; at++) {
      if (words[at] === 0) continue;
      beside++;
      assert(lines.some((line) => at >= line && at < line + PROTO_WORDS), `word ${at}`);
    }
    assertEquals(beside > 0, further);
  });
}

Deno.test("flows of all protocols outlive their process, and the room of all others is to be had", () => {
  const memory = new ArrayBuffer(FlowTable.bytes(CAPACITY) + ExpectTable.bytes(64));
  const o: RigOptions = { capacity: CAPACITY, sysctl: { ...UNCHECKED, acct: 1, timestamp: 1 } };
  const before = new Rig({ ...o, memory });
  for (let n = 0; n < 6; n++) {
    for (const { packets } of TALKS) for (const packet of packets(n)) before.send(packet);
  }
  before.clock.advance(1000);
  const { flows } = before.conntrack, all: number[] = [];
  for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) all.push(ct);
  assertEquals(all.length, 6 * TALKS.length);
  for (const ct of all) if (ct % 3 === 0) before.conntrack.delete(ct);
  const there = before.flows();
  assert(
    there.length < all.length && there.every((line) => line.includes("delta-time=1 ")),
    there.join("\n"),
  );

  // It is killed while it makes one flow of each kind.
  let left = memory;
  const [short, long] = [TALKS[0].packets(9)[0], TALKS[5].packets(9)[0]];
  before.send(short, {
    between: () => before.conntrack.flows.alloc(true) >= 0 && (left = memory.slice(0)),
  });
  const after = new Rig({ ...o, memory: left });
  after.clock.advance(1000);
  assertEquals(after.flows(), there);
  assertEquals([after.send(short), after.send(long)], ["NEW", "NEW"]);

  const states = TALKS.flatMap(({ packets }) =>
    [0, 1, 2, 3, 4, 5].map((n) => after.send(packets(n).at(-1)!))
  );
  assertEquals(states.filter((state) => state === "ESTABLISHED").length, there.length);
  const used = after.conntrack.flows.count;
  let made = 0;
  for (; made <= CAPACITY; made++) {
    const end = { ...ends(10)[0], sport: made + 1 };
    if (after.send(made % 2 === 0 ? udp(end) : tcp({ ...end, flags: "S" })) !== "NEW") break;
  }
  assertEquals([made, after.conntrack.flows.count], [CAPACITY - used, CAPACITY]);
});
