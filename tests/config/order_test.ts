import { assertEquals } from "@std/assert";
import { arrange, follow, type Order } from "../../src/config/order.ts";
import { MOST_HELPERS } from "../../src/conntrack/roster.ts";
import { ruleNames, summarize } from "../../src/config/summary.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { validate } from "../../src/config/validate.ts";
import { ftp, tftp } from "../../src/helpers/mod.ts";

const order = (interfaces: string[], helpers: string[] = []): Order => ({ interfaces, helpers });

Deno.test("follow keeps the numbers of who stays, and gives nobody's to who comes", () => {
  const cases: [now: string[], before: string[], order: string[]][] = [
    [["lan", "wan"], [], ["lan", "wan"]],
    [["wan", "lan"], ["lan", "wan"], ["lan", "wan"]],
    [["wan"], ["lan", "wan"], ["", "wan"]],
    [["dmz", "wan"], ["lan", "wan"], ["", "wan", "dmz"]],
    // The last one's number stays free for the flows that have it, and is gone when another order follows.
    [["lan"], ["lan", "wan"], ["lan", ""]],
    [["lan"], ["lan", ""], ["lan"]],
    [["lan", "dmz"], ["lan", "", "x", ""], ["lan", "", "", "", "dmz"]],
  ];
  for (const [now, before, expected] of cases) {
    assertEquals(follow(order(now), order(before)).interfaces, expected, `${now} after ${before}`);
  }
});

Deno.test("follow finds room for helpers where nobody's were, when all numbers were given", () => {
  const names = Array.from({ length: MOST_HELPERS }, (_, i) => `h${i}`), before = names.slice();
  before[5] = before[9] = "";
  const now = [...before.filter((name) => name !== "" && name !== "h7"), "new"];
  const { helpers } = follow(order([], now), order([], before));
  assertEquals([helpers[5], helpers[7], helpers[9], helpers.length], ["new", "", "", MOST_HELPERS]);
});

Deno.test("arrange puts interfaces and helpers at their numbers, and nobody at the others", () => {
  const config = validate({
    interfaces: { lan: {}, wan: { addresses: ["192.0.2.1/24"] } },
    helpers: [ftp()],
  });
  const { interfaces, helpers } = arrange(config, order(["", "wan", "lan"], ["tftp 17", "ftp 6"]));
  assertEquals(interfaces.map(({ index, name }) => [index, name]), [[1, ""], [2, "wan"], [3, "lan"]]);
  assertEquals(interfaces[1].addresses, ["192.0.2.1/24"]);
  assertEquals(helpers.map(({ name, ports }) => [name, ports.length]), [["", 0], ["ftp", 1]]);
});

Deno.test("ruleNames calls the same rule the same, wherever it stands, and a changed function another", () => {
  const names = (tables: RouterConfig["tables"]) => {
    const valid = validate({ interfaces: { lan: {} }, tables }), all = ruleNames(valid);
    assertEquals(
      [all.length, new Set(all).size],
      [valid.counters, valid.counters],
      "each name is there once",
    );
    return all.filter((name) => /^4 .* -/.test(name));
  };
  const a = { protocol: "tcp", jump: "ACCEPT" } as const, b = { protocol: "udp", jump: "ACCEPT" } as const;
  const first = names({ filter: { FORWARD: [a, b, a] } });
  assertEquals(first, [
    "4 filter FORWARD -p tcp -j ACCEPT",
    "4 filter FORWARD -p udp -j ACCEPT",
    "4 filter FORWARD -p tcp -j ACCEPT #1",
  ]);
  assertEquals(names({ filter: { FORWARD: [b, a] } }), [first[1], first[0]]);
  const by = (match: () => boolean) => names({ filter: { FORWARD: [{ match }] } })[0];
  assertEquals(by(() => true) === by(() => false), false);
});

Deno.test("summarize says what a configuration is in words that can be sent", () => {
  const written: RouterConfig = {
    interfaces: { lan: { addresses: ["192.0.2.1/24"] } },
    helpers: [tftp()],
    sets: { blocked: { type: "hash:ip", entries: ["192.0.2.7"] } },
    timeouts: { web: { protocol: "tcp", established: 60 } },
    tables: {
      filter: { FORWARD: { policy: "DROP", rules: [{ matchSet: "blocked src", match: () => true }] } },
    },
    sysctl: { "net.netfilter.nf_conntrack_max": 100 },
  };
  const summary = summarize(validate(written));
  assertEquals(structuredClone(summary), summary);
  assertEquals(summary.sysctl["net.netfilter.nf_conntrack_max"], 100);
  assertEquals(summary.helpers.map(({ key }) => key), ["tftp 17"]);
  assertEquals(summary.chains.filter(({ policy }) => policy === "DROP").length, 2);
  const other = { ...written, sets: { blocked: { type: "hash:ip", entries: ["192.0.2.8"] } } } as const;
  assertEquals(summarize(validate(other)).sets[0].text === summary.sets[0].text, false);
});
