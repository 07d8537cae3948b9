import { assertEquals } from "@std/assert";
import {
  compareAddresses,
  formatAddress,
  formatIpv6Full,
  formatMasked,
  formatRange,
  maskLength,
  networkOf,
  parseAddress,
  parseMasked,
  parsePrefix,
  parseRange,
  prefixMask,
  readAddress,
  writeAddress,
} from "../../src/packet/address.ts";
import * as kit from "../kit/mod.ts";

/** Text read and written again; null when refused. */
function again(text: string): string | null {
  const a = parseAddress(text);
  return a === null ? null : formatAddress(a.family, a.words);
}

Deno.test("parseAddress takes a dotted quad and nothing like it", () => {
  for (const text of ["0.0.0.0", "192.0.2.1", "255.255.255.255", "10.20.30.40"]) {
    assertEquals(again(text), text);
  }
  const bad = [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "01.2.3.4",
    "1.2.3.04",
    "1..2.3",
    "1.2.3.",
    ".1.2.3",
    "1.2.3.4 ",
  ];
  for (const text of [...bad, "+1.2.3.4", "0x1.2.3.4", "1.2.3.-4", "1234567", "localhost", "1.2.3.00"]) {
    assertEquals(parseAddress(text), null, text);
  }
});

Deno.test("parseAddress reads all of RFC 4291, formatAddress writes RFC 5952", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["0:0:0:0:0:0:1:0", "::0.1.0.0"],
    ["1:0:0:0:0:0:0:0", "1::"],
    ["0:1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
    ["::ffff:192.0.2.1", "::ffff:192.0.2.1"],
    ["::FFFF:c000:0201", "::ffff:192.0.2.1"],
    ["::192.0.2.1", "::192.0.2.1"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
    ["fe80::1", "fe80::1"],
    ["ff02::1:ff00:0", "ff02::1:ff00:0"],
  ];
  for (const [text, canonical] of cases) assertEquals(again(text), canonical, text);
});

Deno.test("parseAddress refuses malformed IPv6", () => {
  const bad = [
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "::1:2:3:4:5:6:7:8",
  ];
  const more = [
    "12345::",
    "g::",
    ":1",
    "1:",
    "1:2:3:4:5:6:7:1.2.3.4",
    "::1.2.3",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "fe80::1%eth0",
  ];
  for (const text of [...bad, ...more, "::1/64", " ::1", "1:2:3:4::5:6:7:8", "::-1"]) {
    assertEquals(parseAddress(text), null, text);
  }
});

Deno.test("formatAddress and parseAddress are inverse on random addresses with many zeros", () => {
  const random = kit.seeded(5);
  for (let i = 0; i < 20000; i++) {
    const words = new Int32Array(4);
    for (let k = 0; k < 4; k++) {
      words[k] = random.next() & random.next() & (random.next() & 1 ? -1 : 0xffff0000);
    }
    assertEquals(parseAddress(formatAddress(6, words))?.words, words);
    const v4 = Int32Array.of(words[0], 0, 0, 0);
    assertEquals(parseAddress(formatAddress(4, v4))?.words, v4);
    assertEquals(parseAddress(formatIpv6Full(words))?.words, words);
  }
  assertEquals(formatIpv6Full(parseAddress("2001:db8::1")!.words), "2001:0db8:0000:0000:0000:0000:0000:0001");
});

Deno.test("parseMasked reads what iptables reads, formatMasked writes what it saves", () => {
  const cases: readonly (readonly [string, string | null])[] = [
    ["192.0.2.0/24", "192.0.2.0/24"],
    ["192.0.2.1", "192.0.2.1/32"],
    ["10.0.0.0/255.255.0.0", "10.0.0.0/16"],
    ["10.0.0.1/255.0.255.0", "10.0.0.1/255.0.255.0"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["2001:db8::/32", "2001:db8::/32"],
    ["2001:db8::1", "2001:db8::1/128"],
    ["::/0", "::/0"],
    ["2001:db8::/ffff:ffff::", "2001:db8::/32"],
    ["2001:db8::/ffff::ffff", "2001:db8::/ffff::ffff"],
    ["192.0.2.0/33", null],
    ["192.0.2.0/", null],
    ["192.0.2.0/-1", null],
    ["192.0.2.0/24/8", null],
    ["192.0.2.0/ffff::", null],
    ["2001:db8::/129", null],
    ["/24", null],
  ];
  for (const [text, want] of cases) {
    const m = parseMasked(text);
    assertEquals(m === null ? null : formatMasked(m.family, m.words, m.mask), want, text);
  }
});

Deno.test("maskLength knows every prefix and no other mask", () => {
  for (const family of [4, 6] as const) {
    for (let n = 0; n <= (family === 4 ? 32 : 128); n++) {
      assertEquals(maskLength(family, prefixMask(family, n)), n);
    }
  }
  assertEquals(maskLength(4, Int32Array.of(0x00ffffff, 0, 0, 0)), -1);
  assertEquals(maskLength(6, Int32Array.of(-1, 0, -1, 0)), -1);
  assertEquals(maskLength(6, Int32Array.of(0, -1, 0, 0)), -1);
});

Deno.test("parsePrefix insists on a length", () => {
  assertEquals(parsePrefix("192.0.2.1/24")?.length, 24);
  assertEquals(parsePrefix("2001:db8:1::1/64")?.length, 64);
  for (const text of ["192.0.2.1", "192.0.2.1/255.255.255.0", "192.0.2.1/033", "x/24"]) {
    assertEquals(parsePrefix(text), null, text);
  }
});

Deno.test("parseRange reads a-b within one family and in order", () => {
  const cases: readonly (readonly [string, string | null])[] = [
    ["192.0.2.1-192.0.2.9", "192.0.2.1-192.0.2.9"],
    ["192.0.2.1", "192.0.2.1"],
    ["192.0.2.1-192.0.2.1", "192.0.2.1"],
    ["127.255.255.255-128.0.0.0", "127.255.255.255-128.0.0.0"],
    ["2001:db8::1-2001:db8::f", "2001:db8::1-2001:db8::f"],
    ["192.0.2.9-192.0.2.1", null],
    ["192.0.2.1-2001:db8::1", null],
    ["192.0.2.1-", null],
    ["-192.0.2.1", null],
  ];
  for (const [text, want] of cases) {
    const r = parseRange(text);
    assertEquals(r === null ? null : formatRange(r.family, r.words, r.to), want, text);
  }
});

Deno.test("compareAddresses orders as unsigned numbers; networkOf applies masks", () => {
  const a = parseAddress("127.0.0.1")!.words;
  const b = parseAddress("128.0.0.1")!.words;
  assertEquals([compareAddresses(a, 0, b, 0), compareAddresses(b, 0, a, 0), compareAddresses(a, 0, a, 0)], [
    -1,
    1,
    0,
  ]);
  const net = parseMasked("2001:db8:1::/48")!;
  assertEquals(formatAddress(6, networkOf(parseAddress("2001:db8:1:2::3")!.words, net.mask)), "2001:db8:1::");
});

Deno.test("readAddress and writeAddress move addresses between packets and words", () => {
  const view = new DataView(new ArrayBuffer(64));
  const words = new Int32Array(9).fill(7);
  writeAddress(view, 6, 8, parseAddress("2001:db8::1")!.words);
  readAddress(view, 6, 8, words, 5);
  assertEquals(formatAddress(6, words, 5), "2001:db8::1");
  writeAddress(view, 4, 40, parseAddress("192.0.2.1")!.words);
  readAddress(view, 4, 40, words);
  assertEquals([...words.subarray(0, 4)], [0xc0000201 | 0, 0, 0, 0]);
  assertEquals(view.getInt32(44), 0);
});
