import { assert, assertEquals } from "@std/assert";
import { REASONS } from "../../src/netfilter.ts";
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Packet } from "../../src/packet/packet.ts";
import { isFragment, parse } from "../../src/packet/parse.ts";
import * as kit from "../kit/mod.ts";

const v4 = { src: "192.0.2.2", dst: "198.51.100.7", sport: 1000, dport: 80, payload: "hello" };
const v6 = { src: "2001:db8:1::2", dst: "2001:db8:2::7", sport: 1000, dport: 80, payload: "hello" };
const p = new Packet();

/** The reason's name, `none` for an accepted packet. */
function verdict(bytes: Uint8Array): string {
  return REASONS[parse(kit.load(p, bytes))];
}

Deno.test("parse drops what ip_rcv and ipv6_rcv drop, each for its reason", () => {
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ["empty", new Uint8Array(0), "too-short"],
    ["version 5", kit.udp({ ...v4, version: 5 }), "bad-version"],
    ["version 0", kit.udp({ ...v4, version: 0 }), "bad-version"],
    ["19 bytes", kit.udp(v4).subarray(0, 19), "too-short"],
    ["IHL 4", kit.udp({ ...v4, ihl: 4 }), "bad-header-length"],
    ["options cut", kit.udp({ ...v4, ipOptions: [1, 1, 1, 0] }).subarray(0, 22), "too-short"],
    ["bad checksum", kit.udp({ ...v4, badIpChecksum: true }), "bad-header-checksum"],
    ["total length beyond the frame", kit.udp({ ...v4, totalLength: 99 }), "bad-total-length"],
    ["total length below the header", kit.udp({ ...v4, totalLength: 19 }), "bad-total-length"],
    ["39 bytes of IPv6", kit.udp(v6).subarray(0, 39), "too-short"],
    ["IPv6 payload beyond the frame", kit.udp({ ...v6, totalLength: 99 }), "bad-total-length"],
    ["from loopback", kit.udp({ ...v6, src: "::1" }), "martian-source"],
    ["to loopback", kit.udp({ ...v6, dst: "::1" }), "martian-destination"],
    ["from multicast", kit.udp({ ...v6, src: "ff02::5" }), "martian-source"],
    ["to interface-local multicast", kit.udp({ ...v6, dst: "ff01::1" }), "martian-destination"],
    ["to reserved multicast", kit.udp({ ...v6, dst: "ff00::1" }), "martian-destination"],
    ["good", kit.udp(v4), "none"],
    ["good IPv6", kit.udp(v6), "none"],
    ["record-route", kit.udp({ ...v4, ipOptions: [7, 7, 4, 0, 0, 0, 0, 0] }), "none"],
    [
      "source route, which is for checkOptions",
      kit.udp({ ...v4, ipOptions: [131, 7, 4, 0, 0, 0, 0, 0] }),
      "none",
    ],
    ["bad TCP, which is for conntrack", kit.tcp({ ...v4, flags: "S", badChecksum: true }), "none"],
  ];
  for (const [name, bytes, reason] of cases) assertEquals(verdict(bytes), reason, name);
});

Deno.test("parse cuts the padding behind the packet", () => {
  for (const a of [v4, v6]) {
    const bytes = kit.udp(a);
    assertEquals(verdict(kit.udp({ ...a, trailer: 18 })), "none");
    assertEquals(p.length, bytes.length);
  }
});

Deno.test("parse finds the transport header behind options and extension headers", () => {
  const cases: readonly (readonly [Uint8Array, number, number])[] = [
    [kit.udp(v4), 17, 20],
    [kit.tcp({ ...v4, flags: "S", ipOptions: [148, 4, 0, 0] }), 6, 24],
    [kit.udp(v6), 17, 40],
    [
      kit.udp({
        ...v6,
        extensions: [{ header: "hop", body: [1, 4] }, { header: "destination", body: [1, 4] }],
      }),
      17,
      56,
    ],
    [kit.udp({ ...v6, extensions: [{ header: "routing", body: [4, 0] }] }), 17, 48],
    [kit.ip({ ...v6, protocol: 59, payload: "x" }), 59, 40],
    [kit.ip({ ...v6, protocol: 50, payload: "xyz" }), 50, 40],
    // AH counts in words of four bytes less two.
    [
      kit.ip({ ...v6, protocol: 51, payload: [17, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8] }),
      17,
      52,
    ],
  ];
  for (const [bytes, protocol, l4] of cases) {
    assertEquals(verdict(bytes), "none");
    assertEquals([p.protocol, p.l4, p.headerChainCut], [protocol, l4, false], kit.show(bytes));
  }
});

Deno.test("parse lets packets with cut extension headers pass, marked", () => {
  for (const protocol of [60, 43, 44, 51]) {
    for (const payload of protocol === 44 ? [[], [17], [17, 9], [17, 0, 0]] : [[], [17]]) {
      assertEquals(verdict(kit.ip({ ...v6, protocol, payload })), "none");
      assertEquals([p.protocol, p.l4, p.headerChainCut], [59, p.length, true], `${protocol} ${payload}`);
    }
  }
  assertEquals(verdict(kit.ip({ ...v6, protocol: 0, payload: [17] })), "bad-extension-header");
});

Deno.test("parse finds the protocol behind an extension header whose own end is cut, and no byte of it", () => {
  for (const protocol of [60, 43, 44, 51]) {
    for (const payload of [[17, 9, 0, 0], [17, 0, 0, 0, 0]]) {
      assertEquals(verdict(kit.ip({ ...v6, protocol, payload })), "none");
      assertEquals([p.protocol, p.l4, p.headerChainCut], [17, p.length, false], `${protocol} ${payload}`);
    }
  }
});

Deno.test("parse reads fragments of both families", () => {
  const parts4 = kit.fragments(kit.udp({ ...v4, payload: 100, df: false }), 64, 9);
  assertEquals(verdict(parts4[0]), "none");
  assertEquals([p.fragmentOffset, p.moreFragments, p.l4, isFragment(p)], [0, true, 20, true]);
  assertEquals(verdict(parts4[1]), "none");
  assertEquals([p.fragmentOffset, p.moreFragments, p.l4, isFragment(p)], [64, false, 20, true]);

  const parts6 = kit.fragments(kit.udp({ ...v6, payload: 100 }), 64, 9);
  assertEquals(verdict(parts6[0]), "none");
  assertEquals([p.fragmentHeader, p.fragmentOffset, p.moreFragments, p.l4, p.protocol], [
    40,
    0,
    true,
    48,
    17,
  ]);
  assertEquals(verdict(parts6[1]), "none");
  assertEquals([p.fragmentHeader, p.fragmentOffset, p.moreFragments, p.l4, p.protocol], [
    40,
    64,
    false,
    48,
    17,
  ]);

  const atomic = kit.udp({ ...v6, extensions: [{ header: "fragment", id: 5 }] });
  assertEquals(verdict(atomic), "none");
  assertEquals([p.fragmentHeader, p.moreFragments, p.protocol, isFragment(p)], [40, false, 17, true]);
  assertEquals(verdict(kit.udp(v6)), "none");
  assertEquals([p.fragmentHeader, isFragment(p)], [0, false]);
});

Deno.test("parse refuses offload that does not fit the packet", () => {
  const cases: readonly (readonly [Uint8Array, number, number, string])[] = [
    [kit.tcp({ ...v4, flags: "A" }), GSO_TCPV4, 1000, "none"],
    [kit.tcp({ ...v6, flags: "A" }), GSO_TCPV6, 1000, "none"],
    [kit.udp(v6), GSO_UDP_L4, 1000, "none"],
    [kit.tcp({ ...v4, flags: "A" }), GSO_TCPV6, 1000, "bad-offload"],
    [kit.udp(v4), GSO_TCPV4, 1000, "bad-offload"],
    [kit.tcp({ ...v4, flags: "A" }), GSO_UDP_L4, 1000, "bad-offload"],
    [kit.tcp({ ...v4, flags: "A" }), GSO_TCPV4, 0, "bad-offload"],
    [kit.tcp({ ...v4, flags: "A" }), 3, 1000, "bad-offload"],
    [kit.udp({ ...v4, mf: true, df: false }), 0, 0, "bad-offload"],
  ];
  for (const [bytes, type, size, reason] of cases) {
    kit.load(p, bytes);
    p.gsoType = type;
    p.gsoSize = size;
    p.partialChecksum = true;
    assertEquals(REASONS[parse(p)], reason, kit.show(bytes));
  }
});

Deno.test("parse never leaves anything of the packet before", () => {
  assertEquals(verdict(kit.fragments(kit.udp({ ...v6, payload: 100 }), 64, 9)[1]), "none");
  assertEquals(verdict(kit.udp(v4)), "none");
  assertEquals([p.fragmentHeader, p.fragmentOffset, p.moreFragments, p.headerChainCut], [0, 0, false, false]);
  assert(!isFragment(p));
});
