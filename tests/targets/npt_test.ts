/** IPv6 prefix translation (RFC 6296): SNPT and DNPT. */
import { assertEquals } from "@std/assert";
import { below } from "../../src/clock.ts";
import { ACCEPT, DROP, POSTROUTING, PREROUTING } from "../../src/netfilter.ts";
import { formatAddress, parseAddress } from "../../src/packet/address.ts";
import {
  fragments,
  icmpEcho,
  icmpError,
  parse,
  type Payload,
  sctp,
  sctpInit,
  seeded,
  tcp,
  udp,
  type UdpOptions,
} from "../kit/mod.ts";
import { assertAlike } from "../oracle/ask.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { packet, type Scenario, type Step } from "../oracle/scenario.ts";
import { Rig, type Stand } from "../tables/rig.ts";
import { type Spec, specify } from "../tables/spec.ts";

const datagram = (o: Omit<UdpOptions, "sport" | "dport"> & Partial<UdpOptions>) =>
  udp({ sport: 1, dport: 2, ...o });
const INSIDE = "fd01:203:405::/48", OUTSIDE = "2001:db8:1::/48", S6 = "2001:db8:9::7";
const snpt = (srcPfx: string, dstPfx: string, more: Partial<Spec> = {}): Spec => ({
  rule: { jump: "SNPT", srcPfx, dstPfx },
  table: "mangle",
  chain: "POSTROUTING",
  ...more,
});

specify("SNPT", [
  snpt(INSIDE, OUTSIDE, { save6: `-j SNPT --src-pfx ${INSIDE} --dst-pfx ${OUTSIDE}` }),
  snpt("fd01:0::/64", "2001:db8::/ffff:ffff:ffff:ff00::", {
    save6: "-j SNPT --src-pfx fd01::/64 --dst-pfx 2001:db8::/56",
  }),
  snpt("::/0", OUTSIDE, { save6: `-j SNPT --dst-pfx ${OUTSIDE}` }),
  snpt(INSIDE, OUTSIDE, { chain: "INPUT", save6: `-j SNPT --src-pfx ${INSIDE} --dst-pfx ${OUTSIDE}` }),
  snpt("fd01::/65", OUTSIDE, { refused: [".srcPfx", "longer than 64 bits"] }),
  snpt("fd01::", OUTSIDE, { refused: [".srcPfx", "longer than 64 bits"] }),
  snpt(INSIDE, "2001:db8::1:0:0:0:1/64", { refused: [".dstPfx", 'write "2001:db8:0:1::/64"'] }),
  snpt("10.0.0.0/8", OUTSIDE, { refused: [".srcPfx", "IPv6 prefix"] }),
  snpt(INSIDE, OUTSIDE, { table: "filter", chain: "INPUT", refused: [".jump", "mangle"] }),
  snpt(INSIDE, OUTSIDE, { chain: "PREROUTING", refused: [".jump", "PREROUTING"] }),
  snpt(INSIDE, OUTSIDE, { chain: "FORWARD", refused: [".jump", "FORWARD"] }),
  { ...snpt(INSIDE, OUTSIDE), rule: { jump: "SNPT", srcPfx: INSIDE }, refused: [".jump", "dstPfx"] },
]);
specify("DNPT", [
  snpt(OUTSIDE, INSIDE, {
    rule: { jump: "DNPT", srcPfx: OUTSIDE, dstPfx: INSIDE },
    chain: "PREROUTING",
    save6: `-j DNPT --src-pfx ${OUTSIDE} --dst-pfx ${INSIDE}`,
  }),
  snpt(OUTSIDE, INSIDE, {
    rule: { jump: "DNPT", srcPfx: OUTSIDE, dstPfx: INSIDE },
    chain: "POSTROUTING",
    refused: [".jump", "POSTROUTING"],
  }),
]);

/** Out through SNPT, and the answer back through DNPT. */
function rig(inside: string, outside: string): Rig {
  return new Rig({
    ipv6: {
      mangle: {
        PREROUTING: [{ jump: "DNPT", srcPfx: outside, dstPfx: inside }],
        POSTROUTING: [{ jump: "SNPT", srcPfx: inside, dstPfx: outside }],
      },
    },
  });
}

const ROUND_TRIPS: [inside: string, outside: string, from: string, to: string][] = [
  // RFC 6296, 2.4 and appendix B
  ["fd01:203:405::/48", "2001:db8:1::/48", "fd01:203:405:1::1234", "2001:db8:1:d550::1234"],
  ["fd01:203:405::/48", "2001:db8:1::/48", "fd01:203:405:ffff::1", "2001:db8:1:d54f::1"],
  ["fd01:203:405:6::/64", "2001:db8:1:7::/64", "fd01:203:405:6::1", "2001:db8:1:7:d54e::1"],
  ["fd01:203:405:6::/64", "2001:db8:1:7::/64", "fd01:203:405:6:ffff::1", "2001:db8:1:7:ffff:d54e:0:1"],
];
for (const [inside, outside, from, to] of ROUND_TRIPS) {
  Deno.test(`SNPT makes ${from} of ${inside} ${to}, and DNPT makes it what it was`, () => {
    const r = rig(inside, outside);
    const there = change(r, datagram({ src: from, dst: S6, payload: 5 }), { hook: POSTROUTING });
    assertEquals([parse(there).src, parse(there).errors], [short(to), []]);
    const back = change(r, datagram({ src: S6, dst: to, payload: 5 }), { hook: PREROUTING });
    const dst = from.includes("405:ffff:") ? from.replace("405:ffff", "405:0") : from;
    assertEquals([parse(back).dst, parse(back).errors], [short(dst), []]);
  });
}

/** A packet as the mangle table leaves it. */
function change(r: Rig, bytes: Uint8Array, stand: Stand): Uint8Array {
  assertEquals(r.run("mangle", bytes, stand), ACCEPT);
  return r.bytes();
}

/** As addresses are printed. */
function short(address: string): string {
  return formatAddress(6, parseAddress(address)!.words);
}

Deno.test("SNPT drops what no word can carry, and says so to the sender", () => {
  const r = rig("fd01:203:405:6::/64", "2001:db8:1:7::/64");
  const src = "fd01:203:405:6:ffff:ffff:ffff:ffff";
  assertEquals(r.run("mangle", datagram({ src, dst: S6 }), { hook: POSTROUTING }), DROP);
  assertEquals(r.problems, [8]);
});

Deno.test("SNPT and DNPT turn the packet back that an ICMPv6 error quotes", () => {
  const r = rig(INSIDE, OUTSIDE), host = "fd01:203:405:1::1234", known = "2001:db8:1:d550::1234";
  const refusal = icmpError({
    src: host,
    dst: S6,
    type: 1,
    code: 4,
    quoted: datagram({ src: S6, dst: host }),
  });
  const out = parse(change(r, refusal, { hook: POSTROUTING }));
  assertEquals([out.src, out.quoted!.dst, out.errors], [known, known, []]);
  const exceeded = icmpError({ src: S6, dst: known, type: 3, quoted: datagram({ src: known, dst: S6 }) });
  const back = parse(change(r, exceeded, { hook: PREROUTING }));
  assertEquals([back.dst, back.quoted!.src, back.errors], [host, host, []]);
  // Of another prefix: as it is.
  const stranger = icmpError({ src: host, dst: S6, type: 1, quoted: datagram({ src: S6, dst: "fd02::1" }) });
  assertEquals(parse(change(r, stranger, { hook: POSTROUTING })).quoted!.dst, "fd02::1");
  const cut = icmpError({ src: host, dst: S6, type: 1, quoted: datagram({ src: S6, dst: host }), quote: 8 });
  assertEquals(parse(change(r, cut, { hook: POSTROUTING })).src, known);
});

const PREFIXES: [inside: string, outside: string][] = [
  ["fd01:203:405::/48", "2001:db8:1::/48"],
  ["fd01:203:405:6::/64", "2001:db8:1:7::/64"],
  ["fd01:203:400::/40", "2001:db8:1::/48"],
  ["fd01:203:405:6::/64", "2001:db8:1:700::/56"],
  ["fd01:203:405:600::/57", "2001:db8:1:780::/57"],
  ["fd01:203:405:6::/64", "2001:db8::/32"],
  ["fd01:203:405:6::/63", "2001:db8:1:7::/64"],
  ["fd01::/16", "fd01::/16"],
  ["::/0", "2001:db8:1::/48"],
  ["fd01:203:405::/48", "::/0"],
];

/** Random packets both ways through both targets. */
function scenario(inside: string, outside: string, seed: number): Scenario {
  const random = seeded(seed), n = (most: number) => below(random, most);
  const word = () => n(3) === 0 ? ["ffff", "0", "1", "fffe"][n(4)] : n(65536).toString(16);
  const host = () => n(9) === 0 ? "ffff:ffff:ffff:ffff" : [word(), word(), word(), word()].join(":");
  const steps: Step[] = [];
  for (let i = 0; i < 50; i++) {
    const src = `fd01:203:405:${n(2) ? "6" : word()}:${host()}`,
      o = { src, dst: S6, sport: 1000 + i, dport: 53 };
    const payload: Payload = 10 + n(9);
    steps.push(packet(
      "lan",
      [
        () => tcp({ ...o, flags: "S", seq: 1 }),
        () => icmpEcho({ ...o, echoId: i }),
        () => sctp({ ...o, vtag: 0, chunks: [sctpInit(3, 1)] }),
        () => datagram({ ...o, payload }),
        () => icmpError({ src, dst: S6, type: 1 + n(5), quoted: datagram({ src: S6, dst: src, payload }) }),
        () =>
          icmpError({ src, dst: S6, type: 1, quoted: datagram({ src: S6, dst: "2001:db8:5::1", payload }) }),
        () =>
          icmpError({ src, dst: S6, type: 1, quoted: datagram({ src: S6, dst: src, payload }), quote: 0 }),
      ][n(7)](),
    ));
    const dst = `2001:db8:1:${n(2) ? "7" : word()}:${host()}`,
      back = { src: S6, dst, sport: 53, dport: 1000 + i };
    steps.push(packet(
      "wan",
      [
        () => datagram({ ...back, payload }),
        () => datagram({ ...back, payload, ttl: 1 }),
        () =>
          icmpError({ src: "2001:db8:3::9", dst, type: 1 + n(4), quoted: datagram({ src: dst, dst: S6 }) }),
      ][n(3)](),
    ));
  }
  const pieces = fragments(datagram({ src: "fd01:203:405:6:1:2:3:4", dst: S6, payload: 3000 }), 1280, 77);
  steps.push(...pieces.map((piece) => packet("lan", piece)));
  return {
    interfaces: { lan: { addresses: ["2001:db8:2::1/64"] }, wan: { addresses: ["2001:db8:3::1/64"] } },
    routes: [{ destination: "fd01::/16", interface: "lan" }, { destination: "::/0", interface: "wan" }],
    ip6tables: `*mangle
-A PREROUTING -i wan -j DNPT --src-pfx ${outside} --dst-pfx ${inside}
-A POSTROUTING -o wan -j SNPT --src-pfx ${inside} --dst-pfx ${outside}
${
      seed % 2
        ? "-A FORWARD -m conntrack --ctstate INVALID\n-A FORWARD -m conntrack --ctstate RELATED\n"
        : ""
    }COMMIT
`,
    steps,
  };
}

PREFIXES.forEach(([inside, outside], seed) => {
  Deno.test({
    name: `N31 Linux and Weir agree about SNPT and DNPT between ${inside} and ${outside}`,
    // Needs root, /dev/net/tun, ip6tables and conntrack.
    ignore: !kernelAvailable(),
    fn() {
      assertAlike(scenario(inside, outside, seed));
    },
  });
});
