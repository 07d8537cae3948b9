import { assertEquals } from "@std/assert";
import { COMMA, CR, FtpAddress, parseIpv6, parseNumbers, parsePort } from "../../src/helpers/ftp_numbers.ts";
import { formatAddress } from "../../src/packet/address.ts";

const bytes = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
const BAR = 0x7c;

Deno.test("parseNumbers takes what Linux's try_number takes", () => {
  const numbers = new Int32Array(6);
  const cases: [text: string, terminator: number, end: number, last: number][] = [
    ["10,0,0,2,7,208\r\n", CR, 14, 208],
    ["10,0,0,2,7,208)", 0, 14, 208],
    ["10,0,0,2,7,208", CR, -1, 208],
    ["10,0,0,2,7,208", 0, -1, 208],
    ["10,0,0,2,7\r", CR, -1, 0],
    ["10,0,0,2,7,208,\r", CR, -1, 208],
    ["10,0,0,2,7 ,208\r", CR, -1, 0],
    [",,,,,\r", CR, 5, 0],
    ["0,0,0,0,0,4294967296\r", CR, 20, 0],
  ];
  for (const [text, terminator, end, last] of cases) {
    assertEquals(parseNumbers(bytes(text), 0, text.length, numbers, 6, COMMA, terminator), end, text);
    if (end >= 0) assertEquals(numbers[5], last, text);
  }
});

Deno.test("parseNumbers and parsePort do not read behind the packet", () => {
  const b = bytes("1,2,3,4,5,6\r"), a = new FtpAddress();
  for (let end = 0; end < b.length; end++) assertEquals(parseNumbers(b, 0, end, a.numbers, 6, COMMA, CR), -1);
  const q = bytes("6275|");
  for (let end = 0; end < q.length; end++) assertEquals(parsePort(q, 0, end, BAR, a), -1);
});

Deno.test("parsePort counts modulo 65536 and refuses 0", () => {
  const cases: [text: string, port: number | null][] = [
    ["6275|", 6275],
    ["000006275|", 6275],
    ["70000|", 4464],
    ["65536|", null],
    ["0|", null],
    ["|", null],
    ["62 75|", null],
    ["6275", null],
  ];
  for (const [text, port] of cases) {
    const a = new FtpAddress();
    const end = parsePort(bytes(text), 0, text.length, BAR, a);
    assertEquals(end < 0 ? null : a.port, port, text);
    if (end >= 0) assertEquals(end, text.length);
  }
});

Deno.test("parseIpv6 takes what Linux's in6_pton takes", () => {
  const cases: [text: string, address: string | null, end?: number][] = [
    ["2001:db8:1::2|", "2001:db8:1::2"],
    ["2001:0DB8:1:0:0:0:0:2|", "2001:db8:1::2"],
    ["::|", "::"],
    ["::1|", "::1"],
    ["1::|", "1::"],
    ["1:2:3:4:5:6:7::|", "1:2:3:4:5:6:7:0"],
    ["::2:3:4:5:6:7:8|", "0:2:3:4:5:6:7:8"],
    ["1:2:3:4:5:6:7:8|", "1:2:3:4:5:6:7:8"],
    ["000002001:db8:1::2|", "2001:db8:1::2"],
    ["::ffff:192.0.2.1|", "::ffff:192.0.2.1"],
    ["::192.0.2.1|", "::192.0.2.1"],
    ["1:2:3:4:5:6:192.0.2.1|", "1:2:3:4:5:6:c000:201"],
    ["2001:db8:1::2", "2001:db8:1::2", 13],
    ["2001:db8:1::2\x006275|", "2001:db8:1::2", 13],
    ["2001:db8::0.0.0.2:6275|", "2001:db8::2", 17],
    ["1:2:3:4:5:6:7:8:9|", null],
    ["1:2:3:4:5:6:7|", null],
    ["1::2:3:4:5:6:7:8|", null],
    ["1::2::3|", null],
    ["1:::2|", null],
    [":1::2|", null],
    ["1::2:|", null],
    ["12345::1|", null],
    ["10000::1|", null],
    ["fff0::1|", "fff0::1"],
    ["a::A|", "a::a"],
    ["1::g|", null],
    ["|", null],
    ["", null],
    ["::1.2.3|", null],
    ["::1.2.3.4.5|", null],
    ["::1.2.3.256|", null],
    ["::1..3.4|", null],
    ["::a.2.3.4|", null],
    ["1.2.3.4|", null],
    ["1:2:3:4:5:6:7:1.2.3.4|", null],
  ];
  for (const [text, address, end] of cases) {
    const out = new Int32Array(4);
    const stop = parseIpv6(bytes(text), 0, text.length, out, BAR);
    assertEquals(stop < 0 ? null : formatAddress(6, out, 0), address, text);
    if (stop >= 0) assertEquals(stop, end ?? text.length - 1, text);
  }
});
