import { assertEquals } from "@std/assert";
import { Reason, REASONS } from "../../src/netfilter.ts";
import { IPV4_DF, writeHeaderChecksum } from "../../src/packet/ipv4.ts";
import { GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, type Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import {
  FORWARD_DROP,
  FORWARD_ERROR,
  FORWARD_FRAGMENT,
  FORWARD_OK,
  FORWARD_SEGMENT,
  wireLength,
} from "../../src/routing/forward.ts";
import { fromHex, INTERFACES, ROUTES, TestRouter } from "./setup.ts";

const router = new TestRouter(INTERFACES, ROUTES);
const lan = router.interfaces.byName("lan");
const narrow = router.interfaces.byName("nar");
const wan = router.interfaces.byName("wan");

interface Shape {
  protocol?: 6 | 17;
  length: number;
  df?: boolean;
  gso?: number;
  fragMaxSize?: number;
  out?: number;
  hops?: number;
}

/** A packet of this shape, routed from lan to `out`. */
function packet(family: 4 | 6, s: Shape): Packet {
  const bytes = new Uint8Array(s.length);
  const protocol = s.protocol ?? 17;
  const l4 = family === 4 ? 20 : 40;
  bytes.set(
    family === 4
      ? fromHex("45000000000000004000" + "0000" + "c0000202" + "c6120002")
      : fromHex("6000000000001140" + "20010db8000100000000000000000002" + "20010db8000900000000000000000002"),
  );
  bytes[family === 4 ? 9 : 6] = protocol;
  bytes[family === 4 ? 8 : 7] = s.hops ?? 64;
  if (protocol === 6) bytes[l4 + 12] = 0x80;
  const p = router.load(lan, bytes);
  if (family === 4) {
    p.view.setUint16(2, s.length);
    p.view.setUint16(6, s.df ? IPV4_DF : 0);
    writeHeaderChecksum(p);
  } else p.view.setUint16(4, s.length - 40);
  if (s.gso !== undefined) {
    p.gsoType = protocol === 17 ? GSO_UDP_L4 : family === 4 ? GSO_TCPV4 : GSO_TCPV6;
    p.gsoSize = s.gso;
  }
  assertEquals(parse(p), 0);
  p.fragMaxSize = s.fragMaxSize ?? 0;
  p.outInterface = s.out ?? narrow;
  return p;
}

Deno.test("wireLength counts headers and one segment of an offloaded packet", () => {
  assertEquals(wireLength(packet(4, { length: 9000 })), 9000);
  assertEquals(wireLength(packet(4, { protocol: 6, length: 9000, gso: 1000 })), 20 + 32 + 1000);
  assertEquals(wireLength(packet(6, { protocol: 6, length: 9000, gso: 1000 })), 40 + 32 + 1000);
  assertEquals(wireLength(packet(4, { length: 9000, gso: 1000 })), 20 + 8 + 1000);
});

Deno.test("Forwarder judges size, hop limit and fragments before FORWARD", () => {
  const cases: [what: string, family: 4 | 6, shape: Shape, result: number, reason: number, info: number][] = [
    ["fits", 4, { length: 1280, df: true }, FORWARD_OK, 0, 0],
    ["too big with DF", 4, { length: 1281, df: true }, FORWARD_ERROR, Reason["packet-too-big"], 1280],
    ["too big without DF", 4, { length: 1281 }, FORWARD_OK, 0, 0],
    ["segments fit", 4, { protocol: 6, length: 60000, df: true, gso: 1228 }, FORWARD_OK, 0, 0],
    [
      "segments too big",
      4,
      { protocol: 6, length: 60000, df: true, gso: 1229 },
      FORWARD_ERROR,
      Reason["packet-too-big"],
      1280,
    ],
    ["segments too big without DF", 4, { protocol: 6, length: 60000, gso: 1448 }, FORWARD_OK, 0, 0],
    ["gathered from small pieces", 4, { length: 3000, df: true, fragMaxSize: 1280 }, FORWARD_OK, 0, 0],
    [
      "gathered from large pieces with DF",
      4,
      { length: 3000, df: true, fragMaxSize: 1400 },
      FORWARD_ERROR,
      Reason["packet-too-big"],
      1280,
    ],
    ["last hop", 4, { length: 100, hops: 1 }, FORWARD_ERROR, Reason["ttl-exceeded"], 0],
    [
      "last hop before size",
      4,
      { length: 1400, df: true, hops: 1 },
      FORWARD_ERROR,
      Reason["ttl-exceeded"],
      0,
    ],
    ["fits", 6, { length: 1280 }, FORWARD_OK, 0, 0],
    ["too big", 6, { length: 1281 }, FORWARD_ERROR, Reason["packet-too-big"], 1280],
    ["segments fit", 6, { protocol: 6, length: 60000, gso: 1208 }, FORWARD_OK, 0, 0],
    [
      "segments too big",
      6,
      { protocol: 6, length: 60000, gso: 1209 },
      FORWARD_ERROR,
      Reason["packet-too-big"],
      1280,
    ],
    ["datagrams fit", 6, { length: 60000, gso: 1232 }, FORWARD_OK, 0, 0],
    ["gathered from small pieces", 6, { length: 3000, fragMaxSize: 1280 }, FORWARD_OK, 0, 0],
    [
      "gathered from large pieces",
      6,
      { length: 3000, fragMaxSize: 1400 },
      FORWARD_ERROR,
      Reason["packet-too-big"],
      1280,
    ],
    ["last hop", 6, { length: 100, hops: 1 }, FORWARD_ERROR, Reason["ttl-exceeded"], 0],
  ];
  for (const [what, family, shape, result, reason, info] of cases) {
    const p = packet(family, shape);
    const name = `IPv${family} ${what}`;
    assertEquals(router.forwarder.forward(p), result, name);
    assertEquals(REASONS[p.reason], REASONS[reason], name);
    if (result === FORWARD_ERROR) assertEquals(router.forwarder.icmpInfo, info, name);
    if (result === FORWARD_OK) assertEquals(p.bytes[family === 4 ? 8 : 7], 63, name);
  }
});

Deno.test("Forwarder keeps the IPv4 header checksum right at every TTL", () => {
  for (let hops = 2; hops <= 255; hops++) {
    const p = packet(4, { length: 100, hops });
    router.forwarder.forward(p);
    const checksum = p.view.getUint16(10);
    writeHeaderChecksum(p);
    assertEquals(checksum, p.view.getUint16(10), String(hops));
  }
});

Deno.test("Forwarder fragments, segments or refuses behind POSTROUTING", () => {
  const cases: [what: string, family: 4 | 6, shape: Shape, own: boolean, result: number, mtu: number][] = [
    ["fits", 4, { length: 1280 }, false, FORWARD_OK, 0],
    ["too big", 4, { length: 1281 }, false, FORWARD_FRAGMENT, 1280],
    ["grown with DF", 4, { length: 1281, df: true }, false, FORWARD_ERROR, 0],
    ["gathered and small", 4, { length: 900, fragMaxSize: 600 }, false, FORWARD_FRAGMENT, 600],
    ["gathered and large", 4, { length: 2900, fragMaxSize: 1400 }, false, FORWARD_FRAGMENT, 1280],
    ["gathered with DF", 4, { length: 2900, df: true, fragMaxSize: 600 }, false, FORWARD_FRAGMENT, 600],
    ["segments fit", 4, { protocol: 6, length: 60000, gso: 1228 }, false, FORWARD_OK, 0],
    ["segments too big", 4, { protocol: 6, length: 60000, gso: 1229 }, false, FORWARD_SEGMENT, 0],
    ["fits", 6, { length: 1280 }, false, FORWARD_OK, 0],
    ["grown", 6, { length: 1281 }, false, FORWARD_ERROR, 0],
    ["own", 6, { length: 1281 }, true, FORWARD_FRAGMENT, 1280],
    ["gathered and small", 6, { length: 1279, fragMaxSize: 1200 }, false, FORWARD_FRAGMENT, 1280],
    ["gathered", 6, { length: 2900, fragMaxSize: 1400, out: wan }, false, FORWARD_FRAGMENT, 1400],
    ["gathered, too large", 6, { length: 2900, fragMaxSize: 1400 }, false, FORWARD_ERROR, 0],
    ["segments too big", 6, { length: 60000, gso: 1233 }, false, FORWARD_SEGMENT, 0],
  ];
  for (const [what, family, shape, own, result, mtu] of cases) {
    const p = packet(family, shape);
    assertEquals(router.forwarder.finish(p, own), result, `IPv${family} ${what}`);
    if (result === FORWARD_FRAGMENT) assertEquals(router.forwarder.fragmentMtu, mtu, `IPv${family} ${what}`);
  }
});

Deno.test("Forwarder forwards no IPv6 where forwarding is off", () => {
  const host = new TestRouter(INTERFACES, ROUTES, { "net.ipv6.conf.all.forwarding": 0 });
  const p = packet(6, { length: 100 });
  assertEquals(host.forwarder.forward(p), FORWARD_DROP);
  assertEquals(REASONS[p.reason], "not-forwardable");
});

Deno.test("an offloaded packet is quoted whole by its first bytes", () => {
  const p = packet(4, { protocol: 6, length: 60000, df: true, gso: 1448 });
  const { forwarder, errors, made } = router;
  assertEquals(forwarder.forward(p), FORWARD_ERROR);
  assertEquals(
    errors.make(made, p, forwarder.icmpType, forwarder.icmpCode, forwarder.icmpInfo),
    true,
  );
  assertEquals([made.length, made.gsoType, made.partialChecksum], [576, GSO_NONE, false]);
  assertEquals(made.view.getUint16(20 + 6), 1280);
});
