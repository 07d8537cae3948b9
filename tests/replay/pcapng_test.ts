import { assert, assertEquals, assertThrows } from "@std/assert";
import { LINKTYPE_RAW, PcapngError, PcapngWriter, readPcapng } from "../../src/replay/pcapng.ts";
import { Xoshiro } from "../../src/clock.ts";

const TIME = 1_700_000_000_123_456_789n;

/** Numbers of 16 or 32 bits in a byte order. */
function numbers(little: boolean) {
  const bytes = (n: number, size: number) => {
    const list = Array.from({ length: size }, (_, i) => Math.floor(n / 256 ** i) % 256);
    return little ? list : list.reverse();
  };
  return { u16: (n: number) => bytes(n, 2), u32: (n: number) => bytes(n, 4) };
}

/** Blocks by hand, so that they can be wrong. */
function blocks(little: boolean) {
  const { u16, u32 } = numbers(little);
  const block = (type: number, body: number[], length = body.length + 12, again = length) => [
    ...u32(type),
    ...u32(length),
    ...body,
    ...u32(again),
  ];
  const pad = (list: number[]) => [...list, ...new Array((4 - list.length % 4) % 4).fill(0)];
  const option = (
    code: number,
    value: number[],
    length = value.length,
  ) => [...u16(code), ...u16(length), ...pad(value)];
  return {
    u16,
    u32,
    block,
    option,
    section: (major = 1, options: number[] = []) =>
      block(0x0a0d0d0a, [
        ...u32(0x1a2b3c4d),
        ...u16(major),
        ...u16(0),
        ...new Array(8).fill(255),
        ...options,
      ]),
    iface: (name: string, options: number[] = [], link = LINKTYPE_RAW, snap = 0) =>
      block(1, [
        ...u16(link),
        ...u16(0),
        ...u32(snap),
        ...option(2, [...new TextEncoder().encode(name)]),
        ...options,
      ]),
    packet: (iface: number, ticks: bigint, data: number[], options: number[] = []) =>
      block(6, [
        ...u32(iface),
        ...u32(Number(ticks >> 32n)),
        ...u32(Number(ticks & 0xffffffffn)),
        ...u32(data.length),
        ...u32(data.length),
        ...pad(data),
        ...options,
      ]),
  };
}

const file = (...parts: number[][]) => Uint8Array.from(parts.flat());
const L = blocks(true), B = blocks(false);

function refuses(bytes: Uint8Array, message: string, offset: number): void {
  const error = assertThrows(() => readPcapng(bytes), PcapngError, message) as PcapngError;
  assertEquals(error.offset, offset);
}

Deno.test("PcapngWriter and readPcapng agree in both byte orders and both resolutions", () => {
  for (const littleEndian of [true, false]) {
    for (const resolution of ["nanoseconds", "microseconds"] as const) {
      const writer = new PcapngWriter({ littleEndian, resolution });
      const lan = writer.interface({ name: "lan" }),
        wan = writer.interface({ name: "wan-ü", snapLength: 96 });
      const packets = [1, 2, 3, 4, 5, 1500].map((n) => new Uint8Array(n).fill(n));
      packets.forEach((bytes, i) => writer.packet(i % 2 ? wan : lan, TIME + BigInt(i), bytes));
      writer.packet(wan, TIME, packets[4], 9000);
      const read = readPcapng(writer.bytes());
      assertEquals(read.interfaces.map((i) => [i.name, i.linkType, i.snapLength]), [["lan", 101, 0], [
        "wan-ü",
        101,
        96,
      ]]);
      assertEquals(read.packets.map((p) => p.interface), [0, 1, 0, 1, 0, 1, 1]);
      packets.forEach((bytes, i) => {
        const time = TIME + BigInt(i);
        assertEquals([...read.packets[i].bytes], [...bytes]);
        assertEquals(read.packets[i].time, resolution === "nanoseconds" ? time : time / 1000n * 1000n);
      });
      assertEquals(read.packets[6].originalLength, 9000);
    }
  }
});

Deno.test("PcapngWriter grows, and gives the same bytes for the same calls", () => {
  const write = () => {
    const writer = new PcapngWriter();
    writer.interface({ name: "lan" });
    for (let i = 0; i < 100; i++) writer.packet(0, TIME + BigInt(i), new Uint8Array(1500).fill(i));
    return writer.bytes();
  };
  assertEquals(write(), write());
  assertEquals(readPcapng(write()).packets[99].bytes[1499], 99);
  assertThrows(() => new PcapngWriter().packet(0, 0n, new Uint8Array()), RangeError);
});

Deno.test("X10 readPcapng reads two sections, each in its own byte order with its own interfaces", () => {
  const read = readPcapng(file(
    L.section(),
    L.iface("a"),
    L.packet(0, 1n, [1]),
    B.section(),
    B.iface("b"),
    B.iface("c"),
    B.packet(1, 2n, [2]),
    B.packet(0, 3n, [3]),
  ));
  assertEquals(read.packets.map((p) => read.interfaces[p.interface].name), ["a", "c", "b"]);
  refuses(
    file(L.section(), L.iface("a"), B.section(), B.packet(0, 1n, [1])),
    "interface 0, of which there are 0",
    84,
  );
});

Deno.test("readPcapng understands every resolution and offset of timestamps", () => {
  const time = (resolution: number | null, ticks: bigint, offset?: number) => {
    const options = [
      ...resolution === null ? [] : L.option(9, [resolution]),
      ...offset === undefined ? [] : L.option(14, [...L.u32(offset), ...L.u32(0)]),
      ...L.option(0, []),
    ];
    return readPcapng(file(L.section(), L.iface("a", options), L.packet(0, ticks, []))).packets[0].time;
  };
  assertEquals(time(null, 5n), 5000n);
  assertEquals(time(0, 5n), 5_000_000_000n);
  assertEquals(time(3, 5n), 5_000_000n);
  assertEquals(time(9, TIME), TIME);
  assertEquals(time(12, 5_999n), 5n);
  assertEquals(time(128 | 10, 1536n), 1_500_000_000n);
  assertEquals(time(6, 5n, 100), 100_000_005_000n);
});

Deno.test("readPcapng skips blocks and options that it does not know", () => {
  const read = readPcapng(file(
    L.section(1, [...L.option(1, [65, 66]), ...L.option(0, [])]),
    L.block(0x0bad, [1, 2, 3, 4]),
    L.iface("a", [...L.option(11, [0, 1, 2]), ...L.option(0, []), 255, 255, 255, 255]),
    L.block(4, []),
    L.packet(0, 1n, [7, 8, 9], [...L.option(2, [0, 0, 0, 1]), ...L.option(0, [])]),
    L.block(5, [0, 0, 0, 0]),
  ));
  assertEquals([...read.packets[0].bytes], [7, 8, 9]);
});

Deno.test("readPcapng reads simple and obsolete packet blocks", () => {
  const read = readPcapng(file(
    L.section(),
    L.iface("a", [], LINKTYPE_RAW, 4),
    L.block(2, [...L.u16(0), ...L.u16(9), ...L.u32(0), ...L.u32(7), ...L.u32(3), ...L.u32(3), 1, 2, 3, 0]),
    L.block(3, [...L.u32(6), 1, 2, 3, 4]),
  ));
  assertEquals(read.packets.map((p) => [[...p.bytes], p.time, p.originalLength]), [
    [[1, 2, 3], 7000n, 3],
    [[1, 2, 3, 4], 7000n, 6],
  ]);
});

Deno.test("X10 readPcapng says what is wrong, and where", () => {
  const head = file(L.section());
  const start = head.length, withIface = file(L.section(), L.iface("lan"));
  const at = withIface.length;
  refuses(new Uint8Array(), "the file is empty", 0);
  refuses(file([1, 2, 3]), "not a pcapng file", 0);
  refuses(file([0xd4, 0xc3, 0xb2, 0xa1, 0, 0, 0, 0]), "editcap -F pcapng", 0);
  refuses(new TextEncoder().encode("# Generated by"), "not a pcapng file", 0);
  refuses(file(L.section().map((b, i) => i === 8 ? 0 : b)), "byte order", 0);
  refuses(file(L.section(2)), "version 2.0", 0);
  refuses(file(L.section(), L.block(6, [], 0)), "impossible length 0", start);
  refuses(file(L.section(), L.block(6, [1, 2, 3, 4], 15)), "impossible length 15", start);
  refuses(file(L.section(), L.block(6, [1, 2, 3, 4], 4096)), "cut off", start);
  refuses(file(L.section(), L.block(6, [1, 2, 3, 4], 0xfffffffc)), "cut off", start);
  refuses(file(L.section(), L.block(9, [1, 2, 3, 4], 16, 20)), "ends with 20", start);
  refuses(file(L.section(), L.iface("lan", [], 1)), "interface “lan” has link type 1", start);
  refuses(file(L.section(), L.iface("lan", L.option(9, [6, 6]))), "interface option 9", start);
  refuses(
    file(L.section(), L.iface("lan", L.option(12, [1, 2, 3, 4], 400))),
    "option 12 of 400 bytes",
    start,
  );
  refuses(file(L.section(), L.packet(0, 0n, [1])), "interface 0, of which there are 0", start);
  refuses(file([...withIface], L.packet(1, 0n, [1])), "interface 1, of which there are 1", at);
  refuses(file([...withIface], L.block(6, new Array(8).fill(0))), "packet block of 20 bytes", at);
  const long = L.packet(0, 0n, [1, 2, 3, 4]);
  long[8 + 12] = 200;
  refuses(file([...withIface], long), "packet of 200 bytes", at);
  refuses(file([...withIface], L.packet(0, 0n, [1], L.option(1, [], 90))), "option 1 of 90 bytes", at);
});

Deno.test("readPcapng refuses a file cut at any byte that is not a block's end", () => {
  const parts = [L.section(), L.iface("lan"), L.packet(0, 1n, [1, 2, 3]), L.packet(0, 2n, [4])];
  const whole = file(...parts), ends = new Set<number>();
  parts.reduce((sum, part) => (ends.add(sum + part.length), sum + part.length), 0);
  for (let n = 0; n < whole.length; n++) {
    if (ends.has(n)) readPcapng(whole.subarray(0, n));
    else assertThrows(() => readPcapng(whole.subarray(0, n)), PcapngError);
  }
});

Deno.test("X10 readPcapng takes 65,000 interfaces", () => {
  const writer = new PcapngWriter();
  for (let i = 0; i < 65000; i++) writer.interface({ name: `if${i}` });
  writer.packet(64999, TIME, Uint8Array.of(1));
  const read = readPcapng(writer.bytes());
  assertEquals(read.interfaces[read.packets[0].interface].name, "if64999");
});

Deno.test("X10 readPcapng gives a result or a PcapngError for any bytes", () => {
  const writer = new PcapngWriter({ littleEndian: false });
  writer.interface({ name: "lan" });
  for (let i = 0; i < 5; i++) writer.packet(0, TIME, new Uint8Array(10 * i));
  const good = writer.bytes(), random = new Xoshiro(7);
  let read = 0;
  for (let round = 0; round < 5000; round++) {
    const bytes = good.slice();
    for (let n = 0; n < 1 + (random.next() & 3); n++) {
      bytes[(random.next() >>> 0) % bytes.length] = random.next();
    }
    try {
      readPcapng(bytes);
      read++;
    } catch (error) {
      if (!(error instanceof PcapngError)) throw error;
    }
  }
  assert(read > 500 && read < 4500, `${read} were read, the rest refused`);
});
