/** Rules as text, through iptables-legacy-restore and iptables-legacy-save on one side and Weir on the other. */

import { assert, assertEquals } from "@std/assert";
import { restoreRules } from "../../src/config/iptables_restore.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import { Problems } from "../../src/config/problems.ts";
import type { RuleSet } from "../../src/tables/entry.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { idleHelper } from "../tables/rig.ts";
import { type Fixture, FIXTURES, reversedTables, withLegacy } from "./fixtures/legacy.ts";

function read({ name, family, text }: Fixture): RuleSet {
  const problems = new Problems(), warnings = new Problems();
  const helpers = [idleHelper("ftp", 6, 21), idleHelper("tftp", 17, 69)];
  const set = restoreRules(text, name, {
    family,
    interfaces: [],
    helpers,
    timeouts: null,
    problems,
    warnings,
  });
  assertEquals(problems.list, []);
  return set;
}

const rulesOf = (text: string) => text.split("\n").filter((line) => /^(\[.*\] )?-A /.test(line));

for (const fixture of FIXTURES) {
  const { name, family, text } = fixture;

  Deno.test({
    name: `B02 roundtrip: ${name} is printed as iptables-legacy-save -c prints it, byte for byte`,
    ignore: !kernelAvailable(),
    fn() {
      const printed = saveRules(read(fixture), { initial: true });
      const kernel = withLegacy((legacy) => {
        assertEquals(legacy.restore(text, family, "-c"), null);
        return legacy.save(family, "-c");
      });
      // Linux lists tables in the order in which they came into use, Weir in that in which packets meet them.
      const sorted = (tables: string) => tables.split(/(?<=^COMMIT\n)/m).sort().join("");
      assertEquals(sorted(printed), sorted(kernel));
      const again = withLegacy((legacy) => {
        assertEquals(legacy.restore(reversedTables(printed), family, "-c"), null);
        return legacy.save(family, "-c");
      });
      assertEquals(printed, again);
    },
  });

  Deno.test({
    name: `B02 roundtrip: ${name} without counters is printed as iptables-legacy-save prints it`,
    ignore: !kernelAvailable(),
    fn() {
      const printed = saveRules(read(fixture));
      const kernel = withLegacy((legacy) => {
        assertEquals(legacy.restore(reversedTables(printed), family), null);
        return legacy.save(family);
      });
      assertEquals(printed, kernel);
    },
  });

  Deno.test(`B02 roundtrip: ${name} is read again as it was printed, with its counters`, () => {
    const printed = saveRules(read(fixture), { initial: true });
    assertEquals(saveRules(read({ ...fixture, text: printed }), { initial: true }), printed);
  });
}

Deno.test("roundtrip: the texts have more than 300 different rules, of every match and target", () => {
  const lines = new Set<string>();
  for (const fixture of FIXTURES) {
    const printed = rulesOf(saveRules(read(fixture)));
    for (const line of printed) lines.add(`${fixture.family} ${line.replace(/^-A \S+/, "")}`);
  }
  assert(lines.size >= 400, `${lines.size} rules`);
});

/** Rules that fit less than what iptables-legacy-save prints of them. */
const LOST: readonly (readonly [rule: string, printed: string])[] = [
  ["-A INPUT -p tcp -m tcp ! --sport 0:65535 -j DROP", "-A INPUT -p tcp -m tcp -j DROP"],
  ["-A INPUT -p udp -m udp ! --dport 0:65535 -j DROP", "-A INPUT -p udp -m udp -j DROP"],
  ["-A INPUT ! -i + -j DROP", "-A INPUT -j DROP"],
  [
    "-A INPUT -p icmp -m icmp --icmp-type 3/2:9 -j DROP",
    "-A INPUT -p icmp -m icmp --icmp-type 3/2 -j DROP",
  ],
];

for (const [rule, printed] of LOST) {
  Deno.test({
    name: `roundtrip: where iptables-legacy-save loses a part of the rule, Weir keeps it: ${rule}`,
    ignore: !kernelAvailable(),
    fn() {
      const text = `*filter\n${rule}\nCOMMIT\n`;
      assertEquals(rulesOf(saveRules(read({ name: "lost", family: 4, text }))), [rule]);
      const kernel = withLegacy((legacy) => {
        assertEquals(legacy.restore(text, 4), null);
        return legacy.save(4);
      });
      assertEquals(rulesOf(kernel), [printed]);
    },
  });
}
