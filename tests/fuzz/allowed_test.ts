import { assert, assertEquals } from "@std/assert";
import { be, fixIpChecksum, fragments, icmp, icmpEcho, icmpError, tcp, udp } from "../kit/packets.ts";
import type { Dump } from "../oracle/scenario.ts";
import { ALLOWED, type AllowedName, Judge } from "./allowed.ts";
import type { Sent } from "./sent.ts";

const C = "192.0.2.2", S = "198.51.100.7", WAN = "203.0.113.1", LAN = "192.0.2.1";
const C6 = "2001:db8:1::2", S6 = "2001:db8:ff::7";
const query = (o = {}) => udp({ src: C, sport: 2000, dst: S, dport: 53, id: 77, payload: "query", ...o });
const out = (o = {}) => query({ src: WAN, ttl: 63, ...o });
const sent = (...packets: (Uint8Array<ArrayBuffer> | [string, Uint8Array<ArrayBuffer>])[]): Sent[] =>
  packets.map((p) => p instanceof Uint8Array ? { iface: "wan", bytes: p } : { iface: p[0], bytes: p[1] });

type Packets = Parameters<typeof sent>;

/** Both agree, by this allowance and no other. */
function agree(
  name: AllowedName,
  came: Uint8Array,
  kernel: Packets,
  weir: Packets,
  judge = new Judge(),
): void {
  judge.met.clear();
  assertEquals(judge.packets(came, sent(...kernel), sent(...weir)), null);
  assertEquals([...judge.met.keys()], [name]);
}

function differ(came: Uint8Array, kernel: Packets, weir: Packets, judge = new Judge()): void {
  assert(judge.packets(came, sent(...kernel), sent(...weir)) !== null, "taken for the same");
}

const EMPTY: Dump = { name: "end", conntrack: [], expect: [], iptables: "", ip6tables: "" };
const dumps = (kernel: Partial<Dump>, weir: Partial<Dump>, judge = new Judge()) =>
  judge.dumps({ ...EMPTY, ...kernel }, { ...EMPTY, ...weir });

Deno.test("allowed: every byte that changes, every packet that is missing, added or exchanged is a difference", () => {
  const bytes = out();
  const judge = new Judge();
  assertEquals(judge.packets(query(), sent(bytes), sent(bytes)), null);
  assertEquals(judge.met.size, 0);
  for (let i = 0; i < bytes.length; i++) {
    const other = bytes.slice();
    other[i] ^= 1;
    differ(query(), [bytes], [other]);
  }
  differ(query(), [bytes], []);
  differ(query(), [], [bytes]);
  differ(query(), [bytes], [bytes, bytes]);
  differ(query(), [bytes], [["lan", bytes]]);
  differ(query(), [bytes, out({ id: 78 })], [out({ id: 78 }), bytes]);
  const burst = (...sizes: number[]) => sizes.map((burst): Sent => ({ iface: "wan", bytes, burst }));
  assertEquals(judge.packets(query(), burst(1448), burst(1448)), null);
  for (const [kernel, weir] of [[[1448], [0]], [[0], [1448]], [[1448, 0], [1448, 500]]]) {
    assert(judge.packets(query(), burst(...kernel), burst(...weir)) !== null, `${kernel} taken for ${weir}`);
  }
});

Deno.test("allowed random port: one to one, in the same class, not what came in, checksums right", () => {
  const judge = new Judge();
  agree("random port", query(), [out({ sport: 40001 })], [out({ sport: 50001 })], judge);
  agree("random port", query(), [out({ sport: 40001 })], [out({ sport: 50001 })], judge);
  differ(query(), [out({ sport: 40001 })], [out({ sport: 50002 })], judge);
  differ(query(), [out({ sport: 40002 })], [out({ sport: 50001 })], judge);
  differ(query(), [out({ sport: 700 })], [out({ sport: 40000 })]);
  differ(query(), [out({ sport: 500 })], [out({ sport: 600 })]);
  differ(query(), [out()], [out({ sport: 40000 })]);
  differ(query(), [out({ sport: 40000 })], [out()]);
  const wrong = out({ sport: 50001 });
  wrong[26] ^= 1;
  differ(query(), [out({ sport: 40001 })], [wrong]);
  const ping = (echoId: number, src = WAN, ttl = 63) => icmpEcho({ src, dst: S, echoId, ttl, id: 9 });
  agree("random port", ping(5, C, 64), [ping(300)], [ping(40000)]);
});

Deno.test("allowed random port: the same ports in quoted packets and in the listings", () => {
  const error = (port: number) =>
    icmpError({ src: S, dst: WAN, type: 3, code: 3, id: 5, quoted: out({ sport: port }) });
  const back = (port: number) =>
    icmpError({ src: S, dst: C, type: 3, code: 3, id: 5, ttl: 63, quoted: query({ sport: port }) });
  const judge = new Judge();
  agree("random port", query(), [out({ sport: 40001 })], [out({ sport: 50001 })], judge);
  assertEquals(judge.packets(error(40001), sent(back(2000)), sent(back(2000))), null);
  differ(error(40001), [back(2000)], [back(2001)], judge);
  const line = (port: number) =>
    `udp      17 29 src=${C} dst=${S} sport=2000 dport=53 [UNREPLIED] src=${S} dst=${WAN} sport=53 dport=${port} mark=0 use=1`;
  assertEquals(dumps({ conntrack: [line(40001)] }, { conntrack: [line(50001)] }, judge), []);
  assert(dumps({ conntrack: [line(40001)] }, { conntrack: [line(50)] }, judge).length > 0);
  assert(dumps({ conntrack: [line(40001)] }, { conntrack: [] }, judge).length > 0);
  const redirected = (port: number) =>
    `udp      17 29 src=${S} dst=${WAN} sport=2000 dport=53 [UNREPLIED] src=${WAN} dst=${S} sport=${port} dport=2000 mark=0 use=1`;
  const one = { conntrack: [redirected(1001)] }, other = { conntrack: [redirected(1002)] };
  assert(dumps(one, other).length > 0);
  assertEquals(
    dumps(one, other, new Judge("-A PREROUTING -p udp -j REDIRECT --to-ports 1000-1999 --random")),
    [],
  );
});

Deno.test("allowed random port: in an unfinished checksum that an error quotes, where nothing else shows it", () => {
  const quoting = (sum: number, port = 2000) => {
    const quoted = query({ sport: port });
    quoted.set([sum >> 8, sum & 255], 26);
    return sent(icmpError({ src: LAN, dst: C, type: 3, code: 13, id: 5, quoted }));
  };
  const rules = "-A POSTROUTING -j MASQUERADE", judge = new Judge(rules);
  const asks = (judge: Judge, other: Sent[], unfinished: boolean) =>
    judge.packets(query(), quoting(0x1234), other, query(), unfinished) === null;
  assert(asks(judge, quoting(0x1235), true));
  assertEquals([...judge.met.keys()], ["random port"]);
  assert(!asks(new Judge(rules), quoting(0x1235), false), "the checksum is finished");
  assert(!asks(new Judge(), quoting(0x1235), true), "nobody draws");
  assert(!asks(new Judge(rules), quoting(0x1235, 2001), true), "another port");
});

Deno.test("allowed random port: of a TFTP client in an expectation, where nothing else shows it", () => {
  const line = (port: number, master = 2000) =>
    `299 proto=17 src=${S} dst=${WAN} sport=0 dport=${port} mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535 master-src=${C} master-dst=${S} sport=${master} dport=69 class=0 helper=tftp`;
  assertEquals(dumps({ expect: [line(40001)] }, { expect: [line(50001)] }), []);
  assert(dumps({ expect: [line(40001)] }, { expect: [line(50)] }).length > 0);
  assert(dumps({ expect: [line(40001)] }, { expect: [line(50001, 2001)] }).length > 0);
  assert(dumps({ expect: [line(40001)] }, { expect: [] }).length > 0);
});

Deno.test("allowed router's id: of packets that nobody sent so", () => {
  const error = (id: number) => icmpError({ src: LAN, dst: C, type: 11, id, quoted: query() });
  agree("router's id", query(), [error(500)], [error(600)]);
  differ(query(), [error(500)], [error(0)]);
  differ(query(), [out()], [out({ id: 78 })]);
  const broken = fixIpChecksum(error(9));
  broken[10] ^= 1;
  differ(query(), [error(8)], [broken]);
});

Deno.test("allowed flow label: of packets that nobody sent so", () => {
  const reset = (flowLabel: number) =>
    tcp({ src: S6, sport: 80, dst: C6, dport: 2000, flags: "R", flowLabel });
  const came = tcp({ src: C6, sport: 2000, dst: S6, dport: 80, flags: "A", flowLabel: 7 });
  agree("flow label", came, [reset(5)], [reset(6)]);
  differ(came, [reset(5)], [reset(0)]);
  differ(came, [reset(7)], [reset(6)]);
});

Deno.test("allowed fragment id: of IPv6 datagrams that are cut, each its own", () => {
  const big = udp({ src: C6, sport: 1, dst: S6, dport: 2, payload: 100 });
  const pieces = (...ids: number[]) =>
    fragments(big, 48, 1).map((f, i) => {
      new DataView(f.buffer).setUint32(44, ids[i]);
      return f;
    });
  agree("fragment id", big, pieces(5, 5, 5), pieces(6, 6, 6));
  differ(big, pieces(5, 5, 5), pieces(6, 7, 6));
  const about = (id: number) => icmpError({ src: S6, dst: C6, type: 1, code: 4, quoted: pieces(id)[0] });
  const judge = new Judge();
  agree("fragment id", big, pieces(5, 5, 5), pieces(6, 6, 6), judge);
  agree("fragment id", about(5), [about(5)], [about(6)], judge);
  differ(about(5), [about(5)], [about(8)], judge);
});

Deno.test("allowed clock: what the router writes down, a second apart", () => {
  const stamp = (ms: number) =>
    icmp({ src: LAN, dst: C, type: 14, id: 3, payload: [0, 0, 0, 1, ...be(ms, 4), ...be(ms, 4)] });
  agree("clock", query(), [stamp(5000)], [stamp(6000)]);
  differ(query(), [stamp(5000)], [stamp(6001)]);
  const echo = (ms: number) =>
    icmpEcho({ src: LAN, dst: C, reply: true, id: 3, ipOptions: [68, 8, 9, 0, ...be(ms, 4)] });
  agree("clock", query(), [echo(5000)], [echo(4990)]);
  const data = (ms: number) => icmpEcho({ src: LAN, dst: C, reply: true, id: 3, payload: be(ms, 4) });
  differ(query(), [data(5000)], [data(5001)]);
});

Deno.test("allowed order: of different interfaces only", () => {
  const a: [string, Uint8Array<ArrayBuffer>] = ["lan", out()],
    b: [string, Uint8Array<ArrayBuffer>] = ["wan", out({ id: 78 })];
  agree("order", query(), [a, b], [b, a]);
  differ(query(), [a, ["lan", b[1]]], [["lan", b[1]], a]);
});

Deno.test("allowed timer, use count: a second, and the number after use=", () => {
  const line = (seconds: number, use = 1, state = "ESTABLISHED") =>
    `tcp      6 ${seconds} ${state} src=${C} dst=${S} sport=1 dport=2 src=${S} dst=${C} sport=2 dport=1 mark=0 use=${use}`;
  const judge = new Judge();
  assertEquals(dumps({ conntrack: [line(29)] }, { conntrack: [line(30)] }, judge), []);
  assertEquals([...judge.met.keys()], ["timer"]);
  assertEquals(dumps({ conntrack: [line(29, 2)] }, { conntrack: [line(29)] }), []);
  assertEquals(dumps({ conntrack: [line(29), line(299)] }, { conntrack: [line(300), line(29)] }), []);
  assert(dumps({ conntrack: [line(29)] }, { conntrack: [line(31)] }).length > 0);
  assert(dumps({ conntrack: [line(29)] }, { conntrack: [line(29, 1, "CLOSE")] }).length > 0);
  assert(dumps({ conntrack: [line(29)] }, { conntrack: [line(29), line(29)] }).length > 0);
});

Deno.test("allowed empty table: without rules and policies", () => {
  const table = (...lines: string[]) => `*filter\n${lines.join("\n")}\nCOMMIT\n`;
  const plain = table(":INPUT ACCEPT [0:0]"), judge = new Judge();
  assertEquals(dumps({ iptables: plain }, {}, judge), []);
  assertEquals([...judge.met.keys()], ["empty table"]);
  assert(dumps({ iptables: table(":INPUT DROP [0:0]") }, {}).length > 0);
  assert(dumps({ iptables: table(":INPUT ACCEPT [1:40]") }, { iptables: plain }).length > 0);
  assert(
    dumps({ ip6tables: table(":INPUT ACCEPT [0:0]", "[0:0] -A INPUT -j DROP") }, { ip6tables: plain })
      .length > 0,
  );
});

Deno.test("allowed: every difference in the list is named by a test here", async () => {
  const text = await Deno.readTextFile(new URL(import.meta.url));
  for (const name of Object.keys(ALLOWED)) {
    assert(new RegExp(`Deno\\.test\\("allowed [^:]*${name}`).test(text), name);
  }
});
