import { assertEquals } from "@std/assert";
import { gre, icmp, icmpEcho, icmpError, ip, sctp, sctpInit, tcp, udp } from "../kit/mod.ts";
import { PLAIN, Rig } from "./rig.ts";

const C = "192.0.2.2", S = "198.51.100.7", R = "203.0.113.254", C6 = "2001:db8:1::2", S6 = "2001:db8:2::7";

/** Packets of both directions of a flow of each protocol, between two addresses. */
const FLOWS: Record<string, (c: string, s: string) => [Uint8Array, Uint8Array]> = {
  tcp: (c, s) => [
    tcp({ src: c, sport: 1000, dst: s, dport: 80, flags: "S" }),
    tcp({ src: s, sport: 80, dst: c, dport: 1000, flags: "SA", ack: 1 }),
  ],
  udp: (c, s) => [
    udp({ src: c, sport: 1000, dst: s, dport: 53, payload: 40 }),
    udp({ src: s, sport: 53, dst: c, dport: 1000, payload: 40 }),
  ],
  icmp: (
    c,
    s,
  ) => [icmpEcho({ src: c, dst: s, echoId: 7 }), icmpEcho({ src: s, dst: c, echoId: 7, reply: true })],
  sctp: (c, s) => [
    sctp({ src: c, sport: 1000, dst: s, dport: 80, vtag: 0, chunks: [sctpInit(1, 1)] }),
    sctp({ src: s, sport: 80, dst: c, dport: 1000, vtag: 1, chunks: [sctpInit(2, 1, true)] }),
  ],
  gre: (c, s) => [gre({ src: c, dst: s, payload: 40 }), gre({ src: s, dst: c, payload: 40 })],
  generic: (c, s) => [
    ip({ src: c, dst: s, protocol: 253, payload: 40 }),
    ip({ src: s, dst: c, protocol: 253, payload: 40 }),
  ],
};

for (const [name, make] of Object.entries(FLOWS)) {
  for (const [c, s, r] of [[C, S, R], [C6, S6, "2001:db8:3::fe"]]) {
    const types = c === C ? [3, 4, 5, 11, 12] : [1, 2, 3, 4, 100];
    Deno.test(`E01 E02 E03 E15 icmp error: about ${name} from ${c} is RELATED, changes nothing, in both directions`, () => {
      const rig = new Rig(), [there, back] = make(c, s);
      rig.send(there);
      const before = rig.flow();
      for (const type of types) {
        assertEquals(
          rig.send(icmpError({ src: r, dst: c, type, quoted: there, quote: 8 })),
          "RELATED",
          `type ${type}`,
        );
        assertEquals(rig.p.ctinfo, 4, "it goes the way of the answers");
      }
      assertEquals(rig.flow(), before, "E14: state and time are as before");
      rig.send(back);
      for (const type of types) {
        assertEquals(
          rig.send(icmpError({ src: c, dst: s, type, quoted: back, quote: 8 })),
          "RELATED",
          `type ${type}`,
        );
        assertEquals(rig.p.ctinfo, 1, "E11: it goes the way of the opener");
      }
    });
  }
}

const there = FLOWS.udp(C, S)[0];
const fragment = Uint8Array.from(there);
fragment[7] = 5;
const CASES: [string, string, Uint8Array][] = [
  ["E05", "quotes the IP header only", icmpError({ src: R, dst: C, type: 3, quoted: there, quote: 0 })],
  ["E05", "quotes three bytes of ports", icmpError({ src: R, dst: C, type: 3, quoted: there, quote: 3 })],
  ["E05", "quotes nothing", icmp({ src: R, dst: C, type: 3 })],
  [
    "E07",
    "quotes another source port",
    icmpError({
      src: R,
      dst: C,
      type: 3,
      quoted: udp({ src: C, sport: 1001, dst: S, dport: 53 }),
    }),
  ],
  [
    "E07",
    "quotes another source",
    icmpError({
      src: R,
      dst: "192.0.2.3",
      type: 3,
      quoted: udp({ src: "192.0.2.3", sport: 1000, dst: S, dport: 53 }),
    }),
  ],
  ["E08", "goes to another host", icmpError({ src: R, dst: "192.0.2.3", type: 3, quoted: there })],
  ["E10", "quotes a later fragment", icmpError({ src: R, dst: C, type: 3, quoted: fragment })],
  [
    "E10",
    "is about an error",
    icmpError({
      src: R,
      dst: C,
      type: 3,
      quoted: icmpError({ src: C, dst: R, type: 3, quoted: there }),
    }),
  ],
  ["E10", "has a wrong checksum", icmpError({ src: R, dst: C, type: 3, quoted: there, badChecksum: true })],
];
for (const [id, says, bytes] of CASES) {
  Deno.test(`${id} icmp error: one that ${says} is INVALID`, () => {
    const rig = new Rig();
    rig.send(there);
    assertEquals(rig.send(bytes), "INVALID");
  });
}

Deno.test("E09 icmp error: IP options in the quoted header are passed over", () => {
  const rig = new Rig();
  const quoted = udp({ src: C, sport: 1000, dst: S, dport: 53, ipOptions: [1, 1, 1, 1, 1, 1, 1, 1] });
  rig.send(there);
  assertEquals(rig.send(icmpError({ src: R, dst: C, type: 3, quoted })), "RELATED");
});

Deno.test("E15 icmp error: extension headers in the quoted header are passed over, a later fragment's are not", () => {
  const rig = new Rig();
  const o = { src: C6, sport: 1000, dst: S6, dport: 53, payload: 40 };
  rig.send(udp(o));
  const extensions = [{ header: "hop" }, { header: "destination" }] as const;
  assertEquals(
    rig.send(icmpError({ src: S6, dst: C6, type: 1, quoted: udp({ ...o, extensions }) })),
    "RELATED",
  );
  const first = udp({ ...o, extensions: [{ header: "fragment", offset: 0, mf: true }] });
  assertEquals(rig.send(icmpError({ src: S6, dst: C6, type: 1, quoted: first })), "RELATED");
  const later = udp({ ...o, extensions: [{ header: "fragment", offset: 800 }] });
  assertEquals(rig.send(icmpError({ src: S6, dst: C6, type: 1, quoted: later })), "INVALID");
});

Deno.test("E15 icmp error: a redirect counts only from the link itself and with what it quotes", () => {
  const o = { src: C6, sport: 1000, dst: S6, dport: 53, payload: 40 };
  const quoted = udp(o);
  const redirect = (src: string, ttl: number, option: number[]) =>
    icmp({ src, dst: C6, type: 137, ttl, payload: [...new Array(32).fill(0), ...option, ...quoted] });
  const rig = new Rig();
  rig.send(quoted);
  const header = [4, 12, 0, 0, 0, 0, 0, 0];
  assertEquals(rig.send(redirect("fe80::1", 255, header)), "RELATED");
  assertEquals(rig.send(redirect("fe80::1", 64, header)), "INVALID");
  assertEquals(rig.send(redirect(S6, 255, header)), "INVALID");
  assertEquals(rig.send(redirect("fe80::1", 255, [4, 0, 0, 0, 0, 0, 0, 0])), "INVALID");
  assertEquals(rig.send(redirect("fe80::1", 255, [2, 1, 0, 0, 0, 0, 0, 0])), "INVALID");
});

Deno.test("R04 icmp error: about an untracked flow is INVALID", () => {
  assertEquals(new Rig().send(icmpError({ src: R, dst: C, type: 3, quoted: there })), "INVALID");
});

Deno.test("icmp error: is looked for in the zone of its template", () => {
  const rig = new Rig(), zone = { ...PLAIN, zoneOriginal: 5, zoneReply: 5 };
  rig.send(there, { template: zone });
  const error = icmpError({ src: R, dst: C, type: 3, quoted: there });
  assertEquals(rig.send(error), "INVALID");
  assertEquals(rig.send(error, { template: zone }), "RELATED");
});
