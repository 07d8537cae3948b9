/** Sets and the fast path: what nothing changes is asked once, all else of every packet. */
import { assertEquals } from "@std/assert";
import { Chance } from "../fuzz/chance.ts";
import { udp } from "../kit/mod.ts";
import { askWeir } from "../oracle/weir.ts";
import { scenario, TYPES } from "../sets/random_sets.ts";
import { LAN, parted, Twins } from "./twins.ts";

const IPSET = [
  "create plain hash:net,port",
  "add plain 192.0.2.0/24,udp:5000",
  "create counted hash:ip counters",
  "add counted 192.0.2.2",
  "create forever hash:ip timeout 0",
  "add forever 192.0.2.2",
  "create mortal hash:ip timeout 100",
  "add mortal 192.0.2.2",
  "create filled hash:ip",
  "create marks hash:ip skbinfo",
  "add marks 192.0.2.2 skbmark 0x7",
  "create list list:set",
  "add list plain",
  "create mixed list:set",
  "add mixed mortal",
  "",
].join("\n");

/** Rules, and whether a flow that meets them can have a path. */
const RULES: readonly (readonly [rules: string[], fast: boolean])[] = [
  [["-m set --match-set plain src,dst"], true],
  [["-m set ! --match-set plain src,dst -j DROP"], true],
  [["-m set --match-set forever src"], true],
  [["-m set --match-set list src,dst"], true],
  [["-m set --match-set counted src"], false],
  [["-m set --match-set counted src ! --update-counters"], true],
  [["-m set --match-set counted src ! --update-counters --packets-gt 1"], false],
  [["-m set --match-set mortal src"], false],
  [["-m set --match-set mixed src"], false],
  [["-m set --match-set filled src", "-p tcp -j SET --add-set filled src"], false],
  [["-j SET --add-set filled src"], false],
  [["-p tcp -j SET --add-set filled src"], true],
];

const ask = () => udp({ src: "192.0.2.2", sport: 4000, dst: "198.51.100.7", dport: 5000, payload: "ask" });

function settles(twins: Twins): boolean {
  for (let i = 0; i < 6; i++) twins.quick(LAN, ask());
  return twins.quick(LAN, ask());
}

for (const [rules, fast] of RULES) {
  Deno.test(`FastPath ${fast ? "takes" : "leaves"} flows that meet ${rules.join(" and ")}`, () => {
    const lines = [...rules, "-m state --state NEW,ESTABLISHED"].map((rule) => `-A FORWARD ${rule}\n`).join(
      "",
    );
    assertEquals(settles(new Twins({ ipset: IPSET, iptables: `*filter\n${lines}COMMIT\n` })), fast);
  });
}

Deno.test("FastPath takes flows whose mark comes from a set that nothing changes", () => {
  const iptables =
    "*mangle\n-A FORWARD -j SET --map-set marks src --map-mark\n-A FORWARD -m mark --mark 7\nCOMMIT\n";
  assertEquals(settles(new Twins({ ipset: IPSET, iptables })), true);
});

Deno.test("FastPath answers packets that meet random sets as the long way does", () => {
  for (let seed = 1; seed <= 8; seed++) {
    for (const type of TYPES) {
      const asked = scenario(new Chance(seed), type, seed % 2 === 0 || type.startsWith("bitmap:") ? 4 : 6);
      const doubled = { ...asked, steps: [...asked.steps, ...asked.steps, ...asked.steps] };
      const [fast, long] = [1, 0].map((on) => askWeir({ ...doubled, sysctl: { "weir.fastpath": on } }));
      assertEquals(parted(fast, long), [], `${type}, seed ${seed}`);
    }
  }
});
