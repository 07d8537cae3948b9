/** Random sets of each type and random packets: Linux beside Weir, rule counters and contents of sets included. */
import { assertEquals } from "@std/assert";
import { Chance } from "../fuzz/chance.ts";
import { find } from "../netns/programs.ts";
import { compare } from "../oracle/compare.ts";
import { askKernel, kernelAvailable } from "../oracle/kernel.ts";
import { udp } from "../kit/mod.ts";
import { inNewNetns } from "../oracle/netns.ts";
import { dumpOf, packet, type Scenario } from "../oracle/scenario.ts";
import { askWeir } from "../oracle/weir.ts";
import { comparable } from "./lines.ts";
import { scenario, TYPES } from "./random_sets.ts";

const able = kernelAvailable() && find("ipset") !== null;
const SEEDS = Number(Deno.env.get("WEIR_SET_SEEDS") ?? 12),
  FIRST = Number(Deno.env.get("WEIR_SET_FIRST") ?? 1);

/** Whether this machine's kernel has a type. */
function kernelHas(type: string): boolean {
  return inNewNetns(() => {
    const range = type === "bitmap:ip"
      ? ["range", "192.0.2.0/24"]
      : type === "bitmap:port"
      ? ["range", "0-9"]
      : [];
    return new Deno.Command("ipset", { args: ["create", "x", type, ...range], stderr: "null" }).outputSync()
      .success;
  });
}

for (const type of TYPES) {
  for (const family of type.startsWith("bitmap:") ? [4] as const : [4, 6] as const) {
    Deno.test({
      name: `sets: Linux and Weir agree about random sets of type ${type}, IPv${family}`,
      ignore: !able || !kernelHas(type),
      fn() {
        for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
          const asked = scenario(new Chance(seed * 100 + TYPES.indexOf(type)), type, family);
          const kernel = askKernel(asked), weir = askWeir(asked, 1 + seed % 2);
          const rules = asked.iptables ?? asked.ip6tables;
          const what = `seed ${seed}\n${asked.ipset}${rules}`;
          assertEquals(compare(asked, kernel, weir), [], what);
          assertEquals(comparable(dumpOf(weir).ipset!), comparable(dumpOf(kernel).ipset!), what);
        }
      },
    });
  }
}

Deno.test({
  name: "sets: members end in Linux when they end in Weir, and begin anew when a packet adds them again",
  ignore: !able,
  fn() {
    const sent = [2, 3, 4].map((host) =>
      packet("lan", udp({ src: `192.0.2.${host}`, dst: "203.0.113.9", sport: 1, dport: 2 }))
    );
    const wait = { do: "wait", milliseconds: 1500 } as const;
    const asked: Scenario = {
      interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["203.0.113.1/24"] } },
      ipset: [
        "create given hash:ip timeout 1",
        "add given 192.0.2.2",
        "add given 192.0.2.3 timeout 600",
        "create seen hash:ip timeout 1",
        "create list list:set timeout 1",
        "add list given",
        "",
      ].join("\n"),
      iptables: [
        "*filter",
        "-A FORWARD -m set --match-set given src",
        "-A FORWARD -m set --match-set list src",
        "-A FORWARD -m set --match-set seen src",
        "-A FORWARD -s 192.0.2.2/31 -j SET --add-set seen src",
        "-A FORWARD -s 192.0.2.4 -j SET --add-set seen src --exist --timeout 900",
        "COMMIT",
        "",
      ].join("\n"),
      steps: [...sent, ...sent, wait, ...sent, ...sent, wait, ...sent],
    };
    const kernel = askKernel(asked), weir = askWeir(asked);
    assertEquals(compare(asked, kernel, weir), []);
    const lasting = (text: string) => comparable(text).filter((line) => !line.endsWith("timeout 100"));
    assertEquals(lasting(dumpOf(weir).ipset!), lasting(dumpOf(kernel).ipset!));
  },
});
