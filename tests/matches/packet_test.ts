/** Matches that look at the packet itself: mark, length, TTL, hop limit, TOS, DSCP, comment, addrtype, functions. */
import { assertEquals } from "@std/assert";
import { FORWARD, INPUT } from "../../src/netfilter.ts";
import { tcp, udp } from "../kit/mod.ts";
import { LAN, Rig, WAN } from "../tables/rig.ts";
import { type Spec, specify } from "../tables/spec.ts";

const A = { src: "10.0.0.2", dst: "203.0.113.9" }, A6 = { src: "2001:db8:1::2", dst: "2001:db8:2::9" };
const d = (more: object = {}) => udp({ ...A, sport: 1, dport: 2, payload: 72, ...more });
const d6 = (more: object = {}) => udp({ ...A6, sport: 1, dport: 2, payload: 72, ...more });

const mark: Spec[] = [
  {
    rule: { mark: 1, jump: "ACCEPT" },
    save: "-m mark --mark 0x1 -j ACCEPT",
    fits: [[d(), { mark: 1 }]],
    not: [[d(), { mark: 3 }]],
  },
  {
    rule: { mark: "0x1/0xff" },
    save: "-m mark --mark 0x1/0xff",
    fits: [[d(), { mark: 0x301 }]],
    not: [[d(), { mark: 0x302 }]],
  },
  {
    rule: { mark: "! 0xffffffff" },
    save: "-m mark ! --mark 0xffffffff",
    fits: [[d(), { mark: 1 }]],
    not: [[d(), { mark: -1 }]],
  },
  { rule: { mark: "0x1/0x0" }, save: "-m mark --mark 0x1/0x0", not: [[d(), { mark: 1 }]] },
  { rule: { mark: "4294967296" }, refused: [".mark", "32-bit number"] },
  { rule: { mark: -1 }, refused: [".mark", "32-bit number"] },
];
const length: Spec[] = [
  {
    rule: { length: "100:200" },
    save: "-m length --length 100:200",
    fits: [d(), d6()],
    not: [d({ payload: 71 }), d({ payload: 173 })],
  },
  { rule: { length: 100 }, save: "-m length --length 100", fits: [d()], not: [d({ payload: 73 }), d6()] },
  {
    rule: { length: { not: ":99" } },
    save: "-m length ! --length 0:99",
    fits: [d()],
    not: [d({ payload: 1 })],
  },
  { rule: { length: 70000 }, refused: [".length", "up to 65535"] },
];
const ttl: Spec[] = [
  { rule: { ttlEq: 64 }, save: "-m ttl --ttl-eq 64", fits: [d({ ttl: 64 })], not: [d({ ttl: 63 }), d6()] },
  {
    rule: { ttlEq: "! 64" as unknown as number },
    save: "-m ttl ! --ttl-eq 64",
    fits: [d({ ttl: 63 })],
    not: [d({ ttl: 64 })],
  },
  { rule: { ttlLt: 5 }, save: "-m ttl --ttl-lt 5", fits: [d({ ttl: 4 })], not: [d({ ttl: 5 })] },
  { rule: { ttlGt: 5 }, save: "-m ttl --ttl-gt 5", fits: [d({ ttl: 6 })], not: [d({ ttl: 5 })] },
  { rule: { ttlGt: 5, ttlLt: 9 }, refused: [".ttlGt", "exclude each other"] },
  { rule: { ttlEq: 256 }, refused: [".ttlEq", "from 0 to 255"] },
  {
    rule: { hlLt: 5 },
    save6: "-m hl --hl-lt 5",
    fits: [d6({ ttl: 4 })],
    not: [d6({ ttl: 5 }), d({ ttl: 4 })],
  },
  { rule: { hlEq: { not: 7 } }, save6: "-m hl ! --hl-eq 7", fits: [d6({ ttl: 4 })], not: [d6({ ttl: 7 })] },
  { rule: { hlGt: 7 }, save6: "-m hl --hl-gt 7", fits: [d6({ ttl: 8 })] },
  { rule: { hlGt: 7, ttlGt: 7 }, refused: [".ttlGt", "speaks of IPv4, but hlGt of IPv6"] },
];
const tos: Spec[] = [
  {
    rule: { tos: "Minimize-Delay" },
    save: "-m tos --tos 0x10/0x3f",
    fits: [d({ tos: 0x10 }), d6({ tos: 0xd0 })],
    not: [d({ tos: 0x08 })],
  },
  { rule: { tos: 0x08 }, save: "-m tos --tos 0x08/0xff", fits: [d({ tos: 8 })], not: [d({ tos: 9 })] },
  {
    rule: { tos: "! 0x00/0xfc" },
    save: "-m tos ! --tos 0x00/0xfc",
    fits: [d({ tos: 4 })],
    not: [d({ tos: 3 })],
  },
  { rule: { tos: 256 }, refused: [".tos", "from 0 to 255"] },
  {
    rule: { dscp: 46 },
    save: "-m dscp --dscp 0x2e",
    fits: [d({ tos: 0xb8 }), d({ tos: 0xb9 }), d6({ tos: 0xb8 })],
    not: [d({ tos: 0xb0 })],
  },
  { rule: { dscpClass: "EF" }, save: "-m dscp --dscp 0x2e" },
  { rule: { dscpClass: "! AF11" }, save: "-m dscp ! --dscp 0x0a", fits: [d()], not: [d({ tos: 0x28 })] },
  { rule: { dscp: 64 }, refused: [".dscp", "from 0 to 63"] },
  { rule: { dscpClass: "AF14" }, refused: [".dscpClass", "AF11 to AF43"] },
];
const seg = (flags: string, more = {}) => tcp({ ...A, sport: 1, dport: 2, flags, ...more });
const ecn: Spec[] = [
  {
    rule: { ecnIpEct: 2 },
    save: "-m ecn --ecn-ip-ect 2",
    fits: [d({ tos: 2 }), d6({ tos: 0xba })],
    not: [d(), d({ tos: 3 })],
  },
  {
    rule: { protocol: "tcp", ecnTcpCwr: true, ecnTcpEce: false, ecnIpEct: { not: 0 } },
    save: "-p tcp -m ecn ! --ecn-tcp-ece --ecn-tcp-cwr ! --ecn-ip-ect 0",
    fits: [seg("SC", { tos: 1 })],
    not: [seg("SCE", { tos: 1 }), seg("S", { tos: 1 }), seg("SC")],
  },
  { rule: { ecnTcpEce: true }, refused: [".ecnTcpEce", "needs the protocol tcp"] },
  { rule: { ecnIpEct: 4 }, refused: [".ecnIpEct", "from 0 to 3"] },
];
const u32: Spec[] = [
  {
    rule: { destination: "203.0.113.0/24", u32: "6 & 0xff = 1 && 0>>22&0x3C@0>>24=010:0x10 , 3" },
    save: '-d 203.0.113.0/24 -m u32 --u32 "0x6&0xff=0x1&&0x0>>0x16&0x3c@0x0>>0x18=0x8:0x10,0x3"',
  },
  { rule: { u32: "! 0>>28=4" }, save: '-m u32 ! --u32 "0x0>>0x1c=0x4"', fits: [d6()], not: [d()] },
  { rule: { u32: "0=3:1" }, refused: [".u32", "letter 6: a range ends before it begins"] },
  { rule: { u32: "0>>32=1" }, refused: [".u32", "a shift is 31 at most"] },
  { rule: { u32: "0&&1=2" }, refused: [".u32", "letter 3: a number of 32 bits"] },
  { rule: { u32: "0=1 2" }, refused: [".u32", 'letter 5: a "," or "&&"'] },
  { rule: { u32: "0 1=2" }, refused: [".u32", "letter 3: an operator"] },
  { rule: { u32: "0=1&&" }, refused: [".u32", "letter 6: a number of 32 bits"] },
  { rule: { u32: "0=0x100000000" }, refused: [".u32", "letter 3: a number of 32 bits"] },
  { rule: { u32: Array(11).fill("0=1").join("&&") }, refused: [".u32", "more than 10 tests"] },
  { rule: { u32: `0=${Array(11).fill("1")}` }, refused: [".u32", "more than 10 values"] },
  { rule: { u32: `${Array(11).fill("1").join("&")}=1` }, refused: [".u32", "more than 10 numbers"] },
];
const owner: Spec[] = [
  {
    rule: { uidOwner: "! 1000-1999", gidOwner: 5, supplGroups: true, socketExists: true },
    chain: "OUTPUT",
    save: "-m owner --socket-exists ! --uid-owner 1000-1999 --gid-owner 5 --suppl-groups",
    not: [d()],
  },
  { rule: { uidOwner: "root" }, chain: "POSTROUTING", table: "mangle", save: "-m owner --uid-owner 0" },
  { rule: { uidOwner: 1 }, refused: [".uidOwner", "use it in OUTPUT or POSTROUTING"] },
  { rule: { uidOwner: "alice" }, chain: "OUTPUT", refused: [".uidOwner", "what `id` says of alice"] },
  { rule: { uidOwner: "9-5" }, chain: "OUTPUT", refused: [".uidOwner", "ends before it begins"] },
  { rule: { supplGroups: true }, chain: "OUTPUT", refused: [".supplGroups", "needs socketExists, uidOwner"] },
  {
    rule: { uidOwner: 1, supplGroups: true },
    chain: "OUTPUT",
    refused: [".uidOwner", "supplGroups goes with gidOwner"],
  },
];
const headers: Spec[] = [
  { rule: { protocol: "esp", espSpi: "256:512" }, save: "-p esp -m esp --espspi 256:512" },
  { rule: { espSpi: 1 }, refused: [".espSpi", 'needs protocol: "esp"'] },
  {
    rule: { source: "10.0.0.2", protocol: "ah", ahSpi: "! 7" },
    save: "-s 10.0.0.2/32 -p ah -m ah ! --ahspi 7",
  },
  { rule: { source: "10.0.0.2", ahSpi: 7 }, refused: [".ahSpi", "ah needs the protocol ah"] },
  { rule: { source: "10.0.0.2", protocol: "ah", ahLen: 16 }, refused: [".ahLen", "in IPv6 only"] },
  {
    rule: { source: "2001:db8::/32", ahSpi: "1:", ahLen: { not: 16 }, ahRes: true },
    save6: "-s 2001:db8::/32 -m ah --ahspi 1:4294967295 ! --ahlen 16 --ahres",
  },
  {
    rule: { fragId: "0:4294967295", fragFirst: true, fragMore: true },
    save6: "-m frag --fragfirst --fragmore",
    not: [d6()],
  },
  { rule: { fragMore: true, fragLast: true }, refused: [".fragMore", "exclude each other"] },
  { rule: { hbhLen: 8, hbhOpts: "5:2,0,1" }, save6: "-m hbh --hbh-len 8 --hbh-opts 5:2,0,1", not: [d6()] },
  { rule: { dstLen: { not: 8 }, dstOpts: 1 }, save6: "-m dst ! --dst-len 8 --dst-opts 1", not: [d6()] },
  { rule: { hbhOpts: "256" }, refused: [".hbhOpts", "a list of option types"] },
  { rule: { dstOpts: "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17" }, refused: [".dstOpts", "more than 16"] },
  {
    rule: { ipv6Header: ["frag", "hop"], ipv6HeaderSoft: true },
    save6: "-m ipv6header --header hop-by-hop,ipv6-frag --soft",
    not: [d6()],
  },
  { rule: { ipv6Header: "! hop" }, save6: "-m ipv6header ! --header hop-by-hop", fits: [d6()] },
  { rule: { ipv6Header: "fragment" }, refused: [".ipv6Header", "one or several of hop, dst"] },
  { rule: { ipv6HeaderSoft: true }, refused: [".ipv6HeaderSoft", "needs ipv6Header"] },
];
const comment: Spec[] = [
  {
    rule: { comment: "plain-word", jump: "ACCEPT" },
    save: "-m comment --comment plain-word -j ACCEPT",
    fits: [d()],
  },
  {
    rule: { comment: 'say "no", it\'s \\ done' },
    save: `-m comment --comment "say \\"no\\", it\\'s \\\\ done"`,
  },
  { rule: { comment: "! not a negation" }, save: '-m comment --comment "! not a negation"' },
  { rule: { comment: "x".repeat(256) }, refused: [".comment", "256 bytes long"] },
  { rule: { comment: "two\nlines" }, refused: [".comment", "line end"] },
];
const addrtype: Spec[] = [
  {
    rule: { dstType: "LOCAL" },
    save: "-m addrtype --dst-type LOCAL",
    fits: [d({ dst: "203.0.113.1" }), d({ dst: "10.0.0.1" }), d6({ dst: "2001:db8:2::1" })],
    not: [d(), d6()],
  },
  {
    rule: { srcType: "! unicast" },
    save: "-m addrtype ! --src-type UNICAST",
    fits: [d({ src: "10.0.0.1" })],
    not: [d()],
  },
  {
    rule: { dstType: ["BROADCAST", "MULTICAST"] },
    save: "-m addrtype --dst-type BROADCAST,MULTICAST",
    fits: [
      d({ dst: "10.0.0.255" }),
      d({ dst: "255.255.255.255" }),
      d({ dst: "224.0.0.1" }),
      d6({ dst: "ff02::1" }),
    ],
    not: [d()],
  },
  {
    rule: { dstType: "LOCAL", limitIfaceIn: true },
    chain: "INPUT",
    save: "-m addrtype --dst-type LOCAL --limit-iface-in",
    fits: [[d({ dst: "10.0.0.1" }), { hook: INPUT, in: LAN }]],
    not: [[d({ dst: "10.0.0.1" }), { hook: INPUT, in: WAN }]],
  },
  {
    rule: { dstType: "LOCAL", limitIfaceOut: true },
    chain: "INPUT",
    refused: [".dstType", "use limitIfaceIn"],
  },
  { rule: { limitIfaceIn: true }, refused: [".limitIfaceIn", "needs srcType or dstType"] },
  { rule: { dstType: "NEAR" }, refused: [".dstType", '"NEAR" is not one of'] },
];

for (
  const [name, specs] of Object.entries({
    mark,
    length,
    ttl,
    tos,
    ecn,
    u32,
    owner,
    headers,
    comment,
    addrtype,
  })
) {
  specify(name, specs);
}

specify("statistic", [
  {
    rule: { mode: "random", probability: { not: 0.5 } },
    save: "-m statistic --mode random ! --probability 0.50000000000",
  },
  {
    rule: { mode: "nth", every: { not: 5 }, packet: 2 },
    save: "-m statistic --mode nth ! --every 5 --packet 2",
  },
  {
    rule: { mode: "random", probability: 1 },
    save: "-m statistic --mode random --probability 1.00000000000",
    fits: [d(), d()],
  },
  { rule: { mode: "random", probability: 0 }, not: [d(), d()] },
  { rule: { mode: "random", probability: 1.1 }, refused: [".probability", "from 0 to 1"] },
  { rule: { probability: 1 }, refused: [".probability", "statistic needs mode"] },
  { rule: { mode: "nth", every: 5 }, refused: [".mode", "needs every and packet"] },
  { rule: { mode: "nth", every: 5, packet: 5 }, refused: [".mode", "never reached"] },
  { rule: { mode: "nth", every: 5, packet: 4, probability: 1 }, refused: [".mode", "go with mode nth"] },
]);

Deno.test("statistic nth takes turns, so three rules share packets evenly", () => {
  const rig = new Rig({
    filter: {
      FORWARD: [
        { mode: "nth", every: 3, packet: 0, jump: "ACCEPT" },
        { mode: "nth", every: 2, packet: 0, jump: "ACCEPT" },
        { jump: "ACCEPT" },
      ],
    },
  });
  const seen: number[] = [];
  for (let i = 0; i < 9; i++) {
    const before = rig.count("filter", "FORWARD").map(([n]) => n);
    rig.run("filter", d());
    seen.push(rig.count("filter", "FORWARD").findIndex(([n], at) => n > before[at]));
  }
  assertEquals(seen, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
});

const range = "10.0.0.2-10.0.1.4";
specify("iprange", [
  {
    rule: { srcRange: range },
    save: `-m iprange --src-range ${range}`,
    fits: [d(), d({ src: "10.0.1.4" }), d({ src: "10.0.0.255" })],
    not: [d({ src: "10.0.0.1" }), d({ src: "10.0.1.5" }), d6()],
  },
  {
    rule: { dstRange: `! ${range}` },
    save: `-m iprange ! --dst-range ${range}`,
    fits: [d()],
    not: [d({ dst: "10.0.0.9" })],
  },
  { rule: { srcRange: "10.0.0.2" }, save: "-m iprange --src-range 10.0.0.2-10.0.0.2", fits: [d()] },
  {
    rule: { srcRange: "2001:db8:1::1-2001:db8:1::10", dstRange: "2001:db8:2::-2001:db8:3::" },
    save6: "-m iprange --src-range 2001:db8:1::1-2001:db8:1::10 --dst-range 2001:db8:2::-2001:db8:3::",
    fits: [d6(), d6({ dst: "2001:db8:3::" })],
    not: [d6({ src: "2001:db8:1::11" }), d6({ dst: "2001:db8:3::1" })],
  },
  { rule: { srcRange: "10.0.0.9-10.0.0.2" }, refused: [".srcRange", "range of addresses"] },
]);

Deno.test("custom asks the function, and takes only true for a match", () => {
  const rig = new Rig({
    filter: {
      FORWARD: [{ match: (p) => p.length > 90, jump: "DROP" }, {
        match: () => 1 as unknown as boolean,
        jump: "DROP",
      }],
    },
  });
  assertEquals(rig.says("filter", d()), "rule-drop");
  assertEquals(rig.says("filter", d({ payload: 1 })), "ACCEPT");
});

Deno.test("custom drops a packet on which the function throws, and tells it once", () => {
  const rig = new Rig({
    filter: {
      FORWARD: [{
        match: function broken(): boolean {
          throw new Error("no such field");
        },
        jump: "ACCEPT",
      }],
    },
  });
  assertEquals(
    rig.says("filter", tcp({ ...A, sport: 1, dport: 2, flags: "S" }), { hook: FORWARD }),
    "match-hotdrop",
  );
  assertEquals(rig.says("filter", d()), "match-hotdrop");
  assertEquals(rig.lines, ["weir: the match function broken threw: Error: no such field"]);
});

specify("custom", [{
  rule: { match: "p.length" as unknown as () => boolean },
  refused: [".match", "cannot be given as text"],
}]);
