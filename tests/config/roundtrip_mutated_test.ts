/**
 * Texts with mistakes, made by chance: what iptables-legacy-restore takes, Weir takes, what it refuses, Weir refuses
 * with a place, and what both take is printed alike. `-- --seed 7 --texts 100000` asks for more.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { restoreRules } from "../../src/config/iptables_restore.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import { Problems } from "../../src/config/problems.ts";
import type { Family } from "../../src/netfilter.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { idleHelper } from "../tables/rig.ts";
import { FIXTURES, withLegacy } from "./fixtures/legacy.ts";
import { Chance, excerpt, mutate } from "./fixtures/mutate.ts";

const HELPERS = [idleHelper("ftp", 6, 21), idleHelper("tftp", 17, 69)];

function read(text: string, family: Family) {
  const problems = new Problems(), warnings = new Problems();
  const set = restoreRules(text, "text", {
    family,
    interfaces: [],
    helpers: HELPERS,
    timeouts: null,
    problems,
    warnings,
  });
  return { set, problems: problems.list };
}

/** Rules that iptables takes, though not for what they look like, and how Weir refuses them. */
const MISREAD: readonly (readonly [rule: string, printed: string, message: RegExp])[] = [
  // The whole word is the name.
  ["-A FORWARD -ilan", "-A FORWARD -i -ilan", /^-ilan needs a blank before its value/],
  // So is the exclamation mark.
  ["-A FORWARD -i ! -o wan", "-A FORWARD -i ! -o wan", /^the exclamation mark stands before -i/],
  // UDP alone takes ports modulo 65536.
  ["-A FORWARD -p udp --dport 65616", "-A FORWARD -p udp -m udp --dport 80", /^"65616" is not a port/],
  // What follows a class's name is not looked at.
  ["-A FORWARD -m dscp --dscp-class CS11", "-A FORWARD -m dscp --dscp 0x08", /^"CS11" is not a DSCP class/],
  // A quote that is never closed takes the line's end into the text.
  [
    '-A FORWARD -m comment --comment "open',
    '-A FORWARD -m comment --comment "open\n"',
    /^the double quote is never closed/,
  ],
];
/**
 * Beside them: words about a bracket, half a pair of counters and a comma behind ports are passed
 * over; numbers that are no address become one (inet_aton), and an address before /0 may be anything. Of bytes a second
 * the number counts up to the first odd letter.
 */
const MORE = [
  /^"[^"]*\[.*is not an address, a range of addresses/,
  /^"[^"]*\d,"? has no port or range/,
  /^the counters are not a pair/,
  /^"[^"]*" is not a number of bytes a second/,
  /^"[\d.x]+(\/[\d.]+)?" is not an (IPv4 )?address or a? ?network/,
  /^"[^"]*\/0+" is not an (IPv4 |IPv6 )?address/,
];

const HELP = /^(-h\S*|--h\w*) (has no place in a rule|cannot be negated)/;

/** All messages, about any value. */
const KNOWN = [...MISREAD.map(([, , message]) => similar(message)), ...MORE];

/** The same message about another value. */
function similar(message: RegExp): RegExp {
  return new RegExp(
    message.source.replace(/^\^"[^"]*"/, '^".*"').replace(/^\^-ilan/, "^-[sdio]\\S*").replace(
      "before -i",
      "before",
    ),
    "s",
  );
}

for (const [rule, printed, message] of MISREAD) {
  Deno.test({
    name: `roundtrip: what iptables takes for something else is refused: ${rule}`,
    ignore: !kernelAvailable(),
    fn() {
      const text = `*filter\n${rule}\nCOMMIT\n`;
      const kernel = withLegacy((legacy) => {
        assertEquals(legacy.restore(text, 4), null);
        return legacy.save(4);
      });
      assertEquals(/^-A [^]*(?=\nCOMMIT)/m.exec(kernel)?.[0], printed);
      const { problems } = read(text, 4);
      assertEquals(problems.length, 1);
      assertMatch(problems[0].path, /^text:2:\d+$/);
      assertMatch(problems[0].message, message);
    },
  });
}

/** What the text says of policies is all that is compared; the namespace keeps those of the text before. */
function listed(saved: string, text: string): string[] {
  const lines = saved.split("\n").filter((line) => {
    const policy = /^:(\S+) (ACCEPT|DROP) /.exec(line);
    return policy === null || new RegExp(`^:${policy[1]} +(ACCEPT|DROP) `, "m").test(text);
  });
  return lines.join("\n").split(/(?<=^COMMIT\n)/m).filter((table) => table.trim() !== "");
}

function option(name: string): number | undefined {
  const at = Deno.args.indexOf(name);
  return at < 0 ? undefined : Number(Deno.args[at + 1]);
}

const first = option("--seed") ?? 1, count = option("--texts") ?? 2000;

Deno.test({
  name: `X11 roundtrip: ${count} mutated texts are taken or refused as iptables-legacy-restore does`,
  ignore: !kernelAvailable(),
  fn() {
    const wrong: string[] = [];
    let taken = 0;
    withLegacy((legacy) => {
      for (let seed = first; seed < first + count; seed++) {
        const c = new Chance(seed), { family, text: whole } = c.one(FIXTURES);
        let text = mutate(excerpt(whole, c), c);
        // Weir does without the last line's end, and without counters where iptables-restore -c asks for them.
        if (!text.endsWith("\n")) text += "\n";
        text = text.replace(/^(:\S+ +(?:ACCEPT|DROP)) *$/gm, "$1 [0:0]");
        const { set, problems } = read(text, family);
        const said = legacy.restore(text, family, "-c");
        for (const { path } of problems) assertMatch(path, /^text:\d+:\d+$/);
        if (said !== null && problems.length === 0) {
          wrong.push(`seed ${seed}: taken, though: ${said}\n${text}`);
        }
        // Help ends the program before it has read the rest.
        if (problems.some(({ message }) => HELP.test(message))) continue;
        if (said === null && problems.length > 0) {
          const unexpected = problems.filter(({ message }) => !KNOWN.some((known) => known.test(message)));
          if (unexpected.length > 0) {
            wrong.push(`seed ${seed}: refused: ${JSON.stringify(unexpected)}\n${text}`);
          }
        }
        if (said !== null || problems.length > 0) continue;
        taken++;
        const kernel = listed(legacy.save(family, "-c"), text);
        const differs = listed(saveRules(set, { initial: true }), text).filter((table) =>
          !kernel.includes(table)
        );
        if (differs.length > 0) {
          wrong.push(`seed ${seed}: printed otherwise: ${differs.join("")}\n${kernel.join("")}`);
        }
      }
    });
    assertEquals(wrong.slice(0, 10).join("\n"), "", `${wrong.length} texts`);
    assert(taken > count / 10, `${taken} texts were taken`);
  },
});
