import { assertEquals } from "@std/assert";
import { readVnetHeader, writeVnetHeader } from "../../src/dataplane/vnet.ts";
import {
  GSO_ECN,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  Packet,
  VNET_HDR_LENGTH,
} from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import { fold, ipv4HeaderChecksum, sum16 } from "../../src/packet/checksum.ts";

const TCP = 6, UDP = 17, DESTINATION_OPTIONS = 60;

/** A packet with `payload` bytes behind its headers; `extension` puts a destination options header between them. */
function packet(family: 4 | 6, protocol: number, payload: number, extension = false): Packet {
  const p = new Packet();
  const ip = family === 4 ? 20 : extension ? 48 : 40,
    l4 = protocol === TCP ? 20 : 8,
    length = ip + l4 + payload;
  const { bytes, view } = p;
  for (let i = 0; i < length; i++) bytes[i] = i * 7;
  if (family === 4) {
    bytes.fill(0, 0, 20);
    view.setUint8(0, 0x45);
    view.setUint16(2, length);
    bytes.set([64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7], 8);
    view.setUint16(10, ipv4HeaderChecksum(view, 0, 20));
  } else {
    bytes.fill(0, 0, 48);
    view.setUint8(0, 0x60);
    view.setUint16(4, length - 40);
    bytes.set([extension ? DESTINATION_OPTIONS : protocol, 64], 6);
    bytes[23] = bytes[39] = 1;
    bytes[8] = bytes[24] = 0x20;
    if (extension) bytes.set([protocol, 0, 1, 4, 0, 0, 0, 0], 40);
  }
  if (protocol === TCP) bytes[ip + 12] = 0x50;
  if (protocol === UDP) view.setUint16(ip + 4, l4 + payload);
  p.reset(1, length);
  parse(p);
  return p;
}

/** Writes a virtio-net header by its fields. */
function header(
  p: Packet,
  flags: number,
  type: number,
  hdr: number,
  size: number,
  start: number,
  offset: number,
): void {
  const view = new DataView(p.raw.buffer);
  view.setUint8(0, flags);
  view.setUint8(1, type);
  [hdr, size, start, offset].forEach((value, i) => view.setUint16(2 + i * 2, value, true));
}

const fields = (p: Packet) => Array.from(p.raw.subarray(0, VNET_HDR_LENGTH));

Deno.test("readVnetHeader: a packet that nothing is left to do for", () => {
  const p = packet(4, UDP, 10);
  header(p, 2, 0, 0, 0, 0, 0);
  assertEquals(readVnetHeader(p, VNET_HDR_LENGTH + 38), true);
  assertEquals([p.length, p.partialChecksum, p.checksumValid, p.gsoType, p.gsoSize], [
    38,
    false,
    true,
    GSO_NONE,
    0,
  ]);
});

const OFFLOADED: [name: string, family: 4 | 6, protocol: number, type: number, extension: boolean][] = [
  ["TCP over IPv4", 4, TCP, GSO_TCPV4, false],
  ["TCP over IPv4 with CWR", 4, TCP, GSO_TCPV4 | GSO_ECN, false],
  ["TCP over IPv6", 6, TCP, GSO_TCPV6, false],
  ["TCP over IPv6 with an extension header", 6, TCP, GSO_TCPV6, true],
  ["UDP over IPv4", 4, UDP, GSO_UDP_L4, false],
  ["UDP over IPv6", 6, UDP, GSO_UDP_L4, false],
];
for (const [name, family, protocol, type, extension] of OFFLOADED) {
  Deno.test(`readVnetHeader and writeVnetHeader: ${name} comes out as it went in`, () => {
    const p = packet(family, protocol, 5000, extension);
    const headers = p.l4 + (protocol === TCP ? 20 : 8);
    header(p, 1, type, headers, 1400, p.l4, protocol === TCP ? 16 : 6);
    const before = fields(p);
    assertEquals(readVnetHeader(p, VNET_HDR_LENGTH + p.length), true);
    assertEquals([p.partialChecksum, p.gsoType, p.gsoEcn, p.gsoSize], [true, type & 0x7f, type & 0x80, 1400]);
    p.raw.fill(0xee, 0, VNET_HDR_LENGTH);
    writeVnetHeader(p);
    assertEquals(fields(p), before);
  });
}

Deno.test("writeVnetHeader: an unfinished checksum without segments, and none at all", () => {
  const p = packet(4, UDP, 10);
  p.partialChecksum = true;
  p.raw.fill(0xee, 0, VNET_HDR_LENGTH);
  writeVnetHeader(p);
  assertEquals(fields(p), [1, 0, 0, 0, 0, 0, 20, 0, 6, 0]);
  p.partialChecksum = false;
  p.raw.fill(0xee, 0, VNET_HDR_LENGTH);
  writeVnetHeader(p);
  assertEquals(fields(p), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
});

Deno.test("readVnetHeader finishes a checksum that is not the outer transport's", () => {
  // A tunnel: the inner TCP header begins at 20 + 20, and the outer protocol is IP in IP.
  const p = packet(4, 4, 100);
  header(p, 1, 0, 0, 0, 40, 16);
  p.view.setUint16(56, 0x1234);
  const sum = ~fold(sum16(p.view, 40, p.length)) & 0xffff;
  assertEquals(readVnetHeader(p, VNET_HDR_LENGTH + p.length), true);
  assertEquals([p.partialChecksum, p.view.getUint16(56)], [false, sum]);
});

Deno.test("readVnetHeader refuses what makes no sense", () => {
  const refused: [name: string, set: (p: Packet) => void][] = [
    ["checksum behind the packet", (p) => header(p, 1, 0, 0, 0, p.length - 10, 16)],
    ["segments with a whole checksum", (p) => header(p, 0, GSO_TCPV4, 40, 1400, 0, 0)],
    ["segments without size", (p) => header(p, 1, GSO_TCPV4, 40, 0, 20, 16)],
    ["IPv6 segments of an IPv4 packet", (p) => header(p, 1, GSO_TCPV6, 40, 1400, 20, 16)],
    ["UDP segments of a TCP packet", (p) => header(p, 1, GSO_UDP_L4, 40, 1400, 20, 16)],
    ["unknown kind of segments", (p) => header(p, 1, 3, 40, 1400, 20, 16)],
    ["segments in a tunnel", (p) => header(p, 1, GSO_TCPV4, 40, 1400, 40, 16)],
  ];
  for (const [name, set] of refused) {
    const p = packet(4, TCP, 3000);
    set(p);
    assertEquals(readVnetHeader(p, VNET_HDR_LENGTH + p.length), false, name);
  }
});

Deno.test("readVnetHeader takes packets that are cut anywhere", () => {
  const p = packet(6, TCP, 100), whole = p.length;
  for (let length = 0; length <= whole; length++) {
    header(p, 1, 0, 0, 0, 40, 16);
    assertEquals(readVnetHeader(p, VNET_HDR_LENGTH + length), length >= 58, `${length} bytes`);
    assertEquals(p.length, length);
  }
});
