import { assertEquals } from "@std/assert";
import { parseAddress } from "../../src/packet/address.ts";
import {
  addressLabel,
  addressScope,
  commonPrefix,
  isLinkLocal,
  isMulticast6,
  isUnicast6,
} from "../../src/routing/address_scope.ts";

const words = (address: string) => parseAddress(address)!.words;
const NETWORK_END = "ffff:ffff:ffff:ffff:ffff:ffff";

/** Addresses at both ends of each prefix and beside it; labels as `ip addrlabel` lists them, scopes as RFC 4291 has them. */
const ADDRESSES: [address: string, label: number, scope: number][] = [
  ["::1", 0, 2],
  ["::", 3, 14],
  ["::2", 3, 14],
  ["::198.51.100.7", 3, 14],
  ["::ffff:198.51.100.7", 4, 14],
  ["::fffe:198.51.100.7", 1, 14],
  ["0:0:0:1::1", 1, 14],
  ["2001::", 6, 14],
  [`2001:0:${NETWORK_END}`, 6, 14],
  ["2001:1::", 1, 14],
  ["2001:10::", 7, 14],
  [`2001:1f:${NETWORK_END}`, 7, 14],
  ["2001:20::", 1, 14],
  ["2001:db8::1", 1, 14],
  ["3ffe::1", 12, 14],
  ["3fff::1", 1, 14],
  ["2002:c633:6407::1", 2, 14],
  ["2003::1", 1, 14],
  ["fbff::1", 1, 14],
  ["fc00::", 5, 14],
  [`fdff:ffff:${NETWORK_END}`, 5, 14],
  ["fe00::1", 1, 14],
  ["fe80::1", 1, 2],
  [`febf:ffff:${NETWORK_END}`, 1, 2],
  ["fec0::", 11, 5],
  [`feff:ffff:${NETWORK_END}`, 11, 5],
  ["ff01::1", 1, 1],
  ["ff02::1", 1, 2],
  ["ff05::2", 1, 5],
  ["ff3e::1", 1, 14],
];

Deno.test("addressLabel is that of Linux's policy table, addressScope says how far an address reaches", () => {
  for (const [address, label, scope] of ADDRESSES) {
    assertEquals([addressLabel(words(address), 0), addressScope(words(address), 0)], [label, scope], address);
  }
});

Deno.test("isLinkLocal, isMulticast6 and isUnicast6 tell addresses by their first bits", () => {
  const kinds = (address: string) =>
    [isLinkLocal, isMulticast6, isUnicast6].map((is) => is(words(address), 0));
  assertEquals(kinds("fe80::1"), [true, false, true]);
  assertEquals(kinds("fe7f::1"), [false, false, true]);
  assertEquals(kinds("fec0::1"), [false, false, true]);
  assertEquals(kinds("ff02::1"), [false, true, false]);
  assertEquals(kinds("feff::1"), [false, false, true]);
  assertEquals(kinds("::1"), [false, false, true]);
  assertEquals(kinds("::"), [false, false, false]);
  assertEquals(kinds("::ffff:198.51.100.7"), [false, false, false]);
});

Deno.test("commonPrefix counts the leading bits that two addresses share, in any word", () => {
  const shared = (a: string, b: string) => commonPrefix(words(a), 0, words(b), 0);
  assertEquals(shared("2001:db8::1", "2001:db8::1"), 128);
  assertEquals(shared("2001:db8::1", "2001:db8::"), 127);
  assertEquals(shared("2001:db8::1", "2001:db8:0:0:8000::1"), 64);
  assertEquals(shared("2001:db8:0:1::", "2001:db8:0:2::"), 62);
  assertEquals(shared("::", "8000::"), 0);
});
