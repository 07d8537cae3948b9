import { assert, assertEquals } from "@std/assert";
import { fixIpChecksum, fragments, icmpError, tcp, udp } from "../kit/packets.ts";
import { compare } from "./compare.ts";
import { type Answer, type Dump, packet, type Scenario } from "./scenario.ts";

const C = "192.0.2.2", S = "198.51.100.7", WAN = "203.0.113.1", LAN = "192.0.2.1";
const query = (o = {}) => udp({ src: C, sport: 1000, dst: S, dport: 53, id: 77, payload: "query", ...o });
const out = (o = {}) => query({ src: WAN, ttl: 63, ...o });

const scenario: Scenario = {
  interfaces: { lan: { addresses: [`${LAN}/24`] }, wan: { addresses: [`${WAN}/24`] } },
  iptables: "*nat\n-A POSTROUTING -j SNAT --to-source 203.0.113.1:2000-3000\nCOMMIT\n",
  steps: [packet("lan", query()), packet("lan", query({ sport: 1001 }))],
};

const nothing: Dump = { name: "end", conntrack: [], expect: [], iptables: "", ip6tables: "" };
/** An answer: packets of step 0 out of wan, and tables. */
const answer = (packets: Uint8Array[], dump: Partial<Dump> = {}, iface = "wan"): Answer => ({
  emitted: packets.map((bytes) => ({ iface, bytes, step: 0 })),
  dumps: [{ ...nothing, ...dump }],
});
const agree = (a: Answer, b: Answer) => assertEquals(compare(scenario, a, b), []);
const differ = (a: Answer, b: Answer) => assert(compare(scenario, a, b).length > 0, "taken for the same");

Deno.test("compare finds any changed byte", () => {
  const bytes = out();
  agree(answer([bytes]), answer([bytes]));
  for (let i = 0; i < bytes.length; i++) {
    const other = bytes.slice();
    other[i] ^= 1;
    differ(answer([bytes]), answer([other]));
  }
});

Deno.test("compare finds missing, added and exchanged packets", () => {
  const a = out(), b = out({ payload: "other" });
  differ(answer([a]), answer([]));
  differ(answer([a]), answer([a, a]));
  differ(answer([a, b]), answer([b, a]));
  differ(answer([a]), answer([a], {}, "lan"));
});

Deno.test("compare does not mind the order of packets on different interfaces", () => {
  const a = { iface: "lan", bytes: out(), step: 0 }, b = { iface: "wan", bytes: out(), step: 0 };
  agree({ emitted: [a, b], dumps: [] }, { emitted: [b, a], dumps: [] });
});

Deno.test("compare takes random ports that correspond one to one, in packets and listings", () => {
  const line = (port: number, n = 1000) =>
    `udp      17 29 src=${C} dst=${S} sport=${n} dport=53 [UNREPLIED] src=${S} dst=${WAN} sport=53 dport=${port} mark=0 use=1`;
  const one = (a: number, b: number) =>
    answer([out({ sport: a }), out({ sport: b }), out({ sport: a })], {
      conntrack: [line(a), line(b, 1001)],
    });
  agree(one(40001, 40002), one(50001, 50002));
  agree(one(40001, 40002), one(40002, 40001));
  differ(one(40001, 40002), one(50001, 50001));
  differ(one(40001, 40001), one(50001, 50002));
  differ(
    answer([out({ sport: 40001 })], { conntrack: [line(40001)] }),
    answer([out({ sport: 50001 })], { conntrack: [line(50002)] }),
  );
});

Deno.test("compare pairs random ports that only listings show", () => {
  const line = (port: number) =>
    `300 proto=6 src=${S} dst=${WAN} sport=0 dport=${port} mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535 master-src=${C} master-dst=${S} sport=1000 dport=21 class=0 helper=ftp`;
  agree(answer([], { expect: [line(40001)] }), answer([], { expect: [line(50001)] }));
  differ(answer([], { expect: [line(40001)] }), answer([], { expect: [line(1000)] }));
});

Deno.test("compare does not take a port for random that came in or that a rule names", () => {
  differ(answer([out({ sport: 1000 })]), answer([out({ sport: 40000 })]));
  differ(answer([out({ sport: 40000 })]), answer([out({ sport: 1001 })]));
  differ(answer([out({ dport: 53 })]), answer([out({ dport: 54 })]));
});

Deno.test("compare follows random ports into quoted packets and into the payload", () => {
  const error = (port: number) =>
    icmpError({ src: S, dst: WAN, type: 3, code: 3, id: 5, quoted: out({ sport: port }) });
  agree(answer([error(40001)]), answer([error(50001)]));
  const port = (n: number) =>
    tcp({
      src: WAN,
      sport: 1000,
      dst: S,
      dport: 21,
      flags: "PA",
      id: 6,
      payload: `PORT 203,0,113,1,${n >> 8},${n & 255}\r\n`,
    });
  agree(answer([port(40001)]), answer([port(40002)]));
  differ(answer([port(40001), out({ sport: 40001 })]), answer([port(40002), out({ sport: 40003 })]));
  const text = (s: string) =>
    answer([tcp({ src: WAN, sport: 1000, dst: S, dport: 21, flags: "PA", id: 6, payload: s })]);
  differ(text("PORT 1,2,3,4,5,6"), text("PORT 1,2,3,5,5,6"));
  differ(text("EPRT |1|1.2.3.4|40001|"), text("EPRT !1!1.2.3.4!40001!"));
});

Deno.test("compare lets the router choose ids of its own packets, but not of others", () => {
  const error = (id: number) => icmpError({ src: LAN, dst: C, type: 11, id, quoted: query() });
  agree(answer([error(500)]), answer([error(600)]));
  differ(answer([error(500)]), answer([error(0)]));
  differ(answer([out()]), answer([out({ id: 78 })]));
});

Deno.test("compare lets the router choose flow labels and fragment ids of IPv6, each consistently", () => {
  const big = udp({ src: "2001:db8::1", sport: 1, dst: "2001:db8::2", dport: 2, payload: 100 });
  const pieces = (...ids: number[]) =>
    answer(
      fragments(big, 48, 1).map((f, i) => {
        new DataView(f.buffer).setUint32(44, ids[i]);
        return f;
      }),
    );
  agree(pieces(5, 5, 5), pieces(6, 6, 6));
  differ(pieces(5, 5, 5), pieces(6, 7, 6));
  const labelled = (flowLabel: number) =>
    answer([udp({ src: "2001:db8::1", sport: 1, dst: "2001:db8::2", dport: 2, flowLabel })]);
  agree(labelled(5), labelled(6));
  differ(labelled(5), labelled(0));
});

Deno.test("compare wants checksums right where it may not compare them", () => {
  const wrong = out({ sport: 50001 });
  wrong[26] ^= 1;
  differ(answer([out({ sport: 40001 })]), answer([wrong]));
  const broken = fixIpChecksum(icmpError({ src: LAN, dst: C, type: 11, id: 9, quoted: query() }));
  broken[10] ^= 1;
  differ(answer([icmpError({ src: LAN, dst: C, type: 11, id: 8, quoted: query() })]), answer([broken]));
});

Deno.test("compare allows timers to differ by one second, and other orders and use counts of listings", () => {
  const line = (seconds: number, use = 1, port = 53) =>
    `udp      17 ${seconds} src=${C} dst=${S} sport=1000 dport=${port} src=${S} dst=${C} sport=${port} dport=1000 mark=0 use=${use}`;
  agree(
    answer([], { conntrack: [line(29), line(29, 2, 54)] }),
    answer([], { conntrack: [line(30, 1, 54), line(30)] }),
  );
  differ(answer([], { conntrack: [line(29)] }), answer([], { conntrack: [line(31)] }));
  differ(answer([], { conntrack: [line(29)] }), answer([]));
  differ(
    answer([], { conntrack: [line(29)] }),
    answer([], { conntrack: [line(29).replace(" src=198", " [UNREPLIED] src=198")] }),
  );
});

Deno.test("compare finds different counters, rules and policies; a table without rules need not be listed", () => {
  const table = (rule: string, policy = "ACCEPT [1:40]") =>
    answer([], { iptables: `*filter\n:FORWARD ${policy}\n${rule}COMMIT\n` });
  agree(table("[1:40] -A FORWARD -j DROP\n"), table("[1:40] -A FORWARD -j DROP\n"));
  differ(table("[1:40] -A FORWARD -j DROP\n"), table("[1:41] -A FORWARD -j DROP\n"));
  differ(table("", "ACCEPT [1:40]"), table("", "ACCEPT [0:0]"));
  differ(table("", "DROP [0:0]"), answer([]));
  agree(table(""), answer([]));
});

Deno.test("compare lets the router choose its own identifications, but not whether a packet with DF has one", () => {
  const error = (id: number, df: boolean) => {
    const bytes = icmpError({ src: WAN, dst: C, type: 3, code: 4, id, quoted: query() });
    bytes[6] = df ? 0x40 : 0;
    fixIpChecksum(bytes);
    return answer([bytes], {}, "lan");
  };
  agree(error(5, false), error(6, false));
  agree(error(0, false), error(6, false)); // one in 65,536 of Linux's own is 0
  agree(error(5, true), error(6, true));
  differ(error(0, true), error(6, true));
});
