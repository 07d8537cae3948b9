import { assert, assertEquals } from "@std/assert";
import { REASONS } from "../../src/netfilter.ts";
import { ipv4HeaderOk } from "../../src/packet/checksum.ts";
import { checkOptions } from "../../src/packet/options.ts";
import { Packet } from "../../src/packet/packet.ts";
import { parse } from "../../src/packet/parse.ts";
import * as kit from "../kit/mod.ts";

const v4 = { src: "192.0.2.2", dst: "198.51.100.7", sport: 1000, dport: 80, payload: "hello" };
const v6 = { src: "2001:db8:1::2", dst: "2001:db8:2::7", sport: 1000, dport: 80, payload: "hello" };
const p = new Packet();

function loadOptions(ipOptions: number[]): void {
  assertEquals(parse(kit.load(p, kit.udp({ ...v4, ipOptions }))), 0);
}

Deno.test("checkOptions refuses and points as ip_options_compile does", () => {
  const cases: readonly (readonly [number[], string, number])[] = [
    [[1, 1, 1, 0], "none", -1],
    [[148, 4, 0, 0], "none", -1],
    [[130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "none", -1],
    [[77, 4, 9, 9], "none", -1],
    [[131, 7, 4, 198, 51, 100, 1, 0], "source-route", -1],
    [[1, 137, 7, 4, 198, 51, 100, 1], "source-route", -1],
    [[131, 7, 4, 0, 0, 0, 0, 131, 7, 4, 0, 0, 0, 0, 0, 0], "bad-option", 27],
    [[131, 2, 1, 1], "bad-option", 21],
    [[7, 7, 4, 0, 0, 0, 0, 0], "none", -1],
    [[7, 7, 8, 0, 0, 0, 0, 0], "none", -1],
    [[7, 7, 3, 0, 0, 0, 0, 0], "bad-option", 22],
    [[7, 7, 5, 0, 0, 0, 0, 0], "bad-option", 22],
    [[7, 2, 1, 1], "bad-option", 21],
    [[1, 1, 1, 7], "bad-option", 23],
    [[7, 40, 4, 0], "bad-option", 20],
    [[148, 1, 0, 0], "bad-option", 20],
    [[148, 3, 0, 0], "bad-option", 21],
    [[134, 8, 0, 0, 0, 1, 0, 0], "bad-option", 22],
    [[68, 8, 5, 0, 0, 0, 0, 0], "none", -1],
    [[68, 8, 9, 0xf0, 0, 0, 0, 0], "bad-option", 23],
    [[68, 8, 5, 1, 0, 0, 0, 0], "bad-option", 22],
    [[68, 12, 5, 2, 0, 0, 0, 0, 0, 0, 0, 0], "none", -1],
    [[0, 131, 7, 4], "none", -1],
  ];
  for (const [options, reason, pointer] of cases) {
    loadOptions(options);
    assertEquals([REASONS[checkOptions(p)], p.errorPointer], [reason, pointer], `${options}`);
  }
  loadOptions([131, 7, 4, 198, 51, 100, 1, 0]);
  assertEquals(checkOptions(p, true), 0);
});

Deno.test("checkOptions clears what hides behind the end of options", () => {
  loadOptions([1, 0, 131, 7, 4, 1, 2, 3]);
  assertEquals(checkOptions(p), 0);
  assertEquals([...p.bytes.subarray(20, 28)], [1, 0, 0, 0, 0, 0, 0, 0]);
  assert(ipv4HeaderOk(p.view, 0, p.l4));
});

Deno.test("hop-by-hop options are judged on receipt, as ipv6_parse_hopopts does", () => {
  const cases: readonly (readonly [number[], string, number])[] = [
    [[1, 4, 0, 0, 0, 0], "none", -1],
    [[5, 2, 0, 0, 1, 0], "none", -1],
    [[0, 0, 0, 0, 0, 0], "none", -1],
    [[0x1e, 4, 9, 9, 9, 9], "none", -1],
    [[1, 4, 0, 0, 0, 1], "bad-extension-header", -1],
    [[1, 5, 0, 0, 0, 0], "bad-extension-header", -1],
    [[5, 1, 0, 0, 0, 0], "bad-extension-header", -1],
    [[0, 1, 4, 0, 0, 0, 0, 0, 0, 0x1e, 2, 0, 0, 0], "bad-extension-header", -1],
    [[0x5e, 4, 0, 0, 0, 0], "bad-extension-header", -1],
    [[0x9e, 4, 0, 0, 0, 0], "bad-option", 42],
    [[0, 0, 0xde, 2, 0, 0], "bad-option", 44],
    [[0xc2, 4, 0, 0, 0, 9], "bad-option", 44],
    [[0xc2, 4, 0, 1, 0, 0], "bad-option", 42],
    [[0xc2, 3, 0, 1, 0, 0], "bad-extension-header", -1],
    [[4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0], "none", -1],
    [[4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 1, 0, 0, 0], "bad-extension-header", -1],
  ];
  for (const [body, reason, pointer] of cases) {
    const bytes = kit.udp({ ...v6, extensions: [{ header: "hop", body }] });
    assertEquals([REASONS[parse(kit.load(p, bytes))], p.errorPointer], [reason, pointer], `${body}`);
  }
  const toGroup = kit.udp({
    ...v6,
    dst: "ff0e::1",
    extensions: [{ header: "hop", body: [0xde, 4, 0, 0, 0, 0] }],
  });
  assertEquals(REASONS[parse(kit.load(p, toGroup))], "bad-extension-header");
});
