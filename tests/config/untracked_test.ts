import { assertEquals } from "@std/assert";
import { validate } from "../../src/config/validate.ts";
import { conntrackFtp, ftp, irc, tftp } from "../../src/helpers/mod.ts";

const interfaces = { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } };
const config = (o: object) => validate({ interfaces, ...o });
const warned = (PREROUTING: object[], helpers: object[] = [ftp()]) =>
  config({ helpers, tables: { raw: { PREROUTING } } }).warnings.flatMap(({ path, message }) => {
    const what = /helper "(.*)" is to read \((.*)\)/.exec(message)?.slice(1).join(" ");
    return what === undefined ? [] : [`${path}: ${what}`];
  });

Deno.test("validate warns of a rule that makes UNTRACKED what a helper is to read", () => {
  const { warnings } = config({
    helpers: [ftp()],
    tables: { raw: { PREROUTING: [{ protocol: "tcp", dport: 21, jump: "NOTRACK" }] } },
  });
  assertEquals(warnings, [{
    path: "tables.raw.PREROUTING[0]",
    message:
      'makes UNTRACKED what helper "ftp" is to read (tcp port 21): it gets no flow, and what is announced is ' +
      "not RELATED",
  }]);
});

Deno.test("validate warns whichever way the port is named, and for answers", () => {
  for (
    const rule of [
      { protocol: "tcp", dport: 21, jump: "CT", notrack: true },
      { protocol: "tcp", sport: 21, jump: "NOTRACK" },
      { protocol: "tcp", dport: "20:25", inInterface: "wan", jump: "NOTRACK" },
      { protocol: "tcp", dport: [21, 80], jump: "NOTRACK" },
      { protocol: "tcp", dport: "! 80", jump: "NOTRACK" },
      { protocol: "tcp", jump: "NOTRACK" },
      { jump: "NOTRACK" },
    ]
  ) assertEquals(warned([rule]), ["tables.raw.PREROUTING[0]: ftp tcp port 21"], JSON.stringify(rule));
});

Deno.test("validate does not warn of rules for others, nor of those that may be meant", () => {
  for (
    const rule of [
      { protocol: "tcp", dport: 80, jump: "NOTRACK" },
      { protocol: "udp", dport: 21, jump: "NOTRACK" },
      { protocol: "! tcp", jump: "NOTRACK" },
      { inInterface: "lan", jump: "NOTRACK" },
      { source: "192.0.2.9", protocol: "tcp", jump: "NOTRACK" },
      { dstType: "! LOCAL", jump: "NOTRACK" },
      { protocol: "tcp", dport: 21, jump: "CT", helper: "ftp" },
    ]
  ) assertEquals(warned([rule]), [], JSON.stringify(rule));
  assertEquals(warned([{ protocol: "tcp", dport: 21, jump: "NOTRACK" }], []), []);
  assertEquals(warned([{ jump: "NOTRACK" }], [ftp({ autoAssign: false })]), []);
});

Deno.test("validate does not warn where a rule before has settled the port", () => {
  const notrack = { protocol: "tcp", jump: "NOTRACK" };
  assertEquals(warned([{ protocol: "tcp", dport: 21, jump: "ACCEPT" }, notrack]), []);
  assertEquals(warned([{ protocol: "tcp", dport: 21, jump: "CT", helper: "ftp" }, notrack]), []);
  assertEquals(warned([notrack, { protocol: "tcp", dport: 21, jump: "ACCEPT" }]).length, 1);
});

Deno.test("validate warns of every port that a rule gives to a helper, and of each helper", () => {
  const give = { protocol: "tcp", dport: 2121, jump: "CT", helper: "ftp" };
  const take = { protocol: "tcp", dport: 2121, jump: "NOTRACK" };
  assertEquals(warned([take, give], [conntrackFtp({ autoAssign: false })]), [
    "tables.raw.PREROUTING[0]: ftp tcp port 2121",
  ]);
  assertEquals(warned([{ jump: "NOTRACK" }], [ftp({ ports: [21, 2121] }), irc(), tftp()]), [
    "tables.raw.PREROUTING[0]: ftp tcp port 21",
    "tables.raw.PREROUTING[0]: ftp-2121 tcp port 2121",
    "tables.raw.PREROUTING[0]: irc tcp port 6667",
    "tables.raw.PREROUTING[0]: tftp udp port 69",
  ]);
});

Deno.test("validate warns of rules in iptables text by their line, and only in families that the helper reads", () => {
  const text = "*raw\n-A PREROUTING -p tcp -m multiport --dports 6667,80 -j NOTRACK\nCOMMIT\n";
  const paths = (o: object) => config({ helpers: [irc()], ...o }).warnings.map(({ path }) => path);
  assertEquals(paths({ iptables: text }).map((path) => path.slice(0, 10)), ["iptables:2"]);
  assertEquals(paths({ ip6tables: text }), []);
});

Deno.test("validate warns of a helper that waits for rules which are not there", () => {
  const give = (helper: string) => ({ protocol: "tcp", dport: 2121, jump: "CT", helper });
  const ungiven = (rules: object[], family: "ipv4" | "ipv6" = "ipv4") =>
    config({
      helpers: [tftp(), ftp({ autoAssign: false, ports: [21, 2121] })],
      tables: { [family]: { raw: { OUTPUT: rules } } },
    }).warnings;
  assertEquals(ungiven([]), [{
    path: "helpers[1]",
    message:
      'serves no flow: with autoAssign: false it is for rules in raw, jump: "CT", helper: "ftp", and none says so',
  }]);
  assertEquals(ungiven([{ protocol: "tcp", helper: "ftp" }]).length, 1); // a match
  for (const name of ["ftp", "ftp-2121"]) {
    for (const family of ["ipv4", "ipv6"] as const) assertEquals(ungiven([give(name)], family), []);
  }
});
