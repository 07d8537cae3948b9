/** What `iptables -m NAME -h` says of a match: which options can be negated, and the names of ICMP types. */
import { assert, assertEquals } from "@std/assert";
import { validate } from "../../src/config/validate.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import { UNSUPPORTED } from "../../src/config/unsupported.ts";
import { MATCHES } from "../../src/matches/mod.ts";
import { kernelAvailable } from "../oracle/kernel.ts";

/** Said by no help text, and taken by the program all the same. */
const UNSAID = [
  "hashlimit-upto",
  "hashlimit-above",
  "connlimit-upto",
  "connlimit-above",
  "update-counters",
  "update-subcounters",
];
/** An option that the help text has no line for. */
const NO_LINE = ["time contiguous"];

const program = (family: 4 | 6) => family === 4 ? "iptables-legacy" : "ip6tables-legacy";

function ask(name: string, args: string[]): string {
  const { stdout, stderr, success } = new Deno.Command(name, { args }).outputSync();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert(success, `${name} ${args.join(" ")}: ${text(stderr)}`);
  return text(stdout);
}

/** What the help text has more with these arguments than without. */
function help(family: 4 | 6, args: string[]): string {
  const general = new Set(ask(program(family), ["-h"]).split("\n"));
  return ask(program(family), [...args, "-h"]).split("\n").filter((line) => !general.has(line)).join("\n");
}

Deno.test({
  name: "matches: an option can be negated if iptables' help says so, and only then",
  ignore: !kernelAvailable(),
  fn() {
    const unknown: string[] = [], wrong: string[] = [];
    for (const { name, families, options } of MATCHES) {
      if (name === "function") continue; // Weir's own
      const text = (families ?? [4, 6]).map((family) => help(family, ["-m", name])).join("\n");
      for (const { flag, aliases = [], negatable = false } of Object.values(options)) {
        const marks = [...text.matchAll(/(\[!\] *)?--([\w-]+)/g)].filter(([, , said]) =>
          said === flag || aliases.includes(said)
        );
        if (marks.length === 0) unknown.push(`${name} ${flag}`);
        else if (marks.some(([, mark]) => mark !== undefined) !== negatable && !UNSAID.includes(flag)) {
          wrong.push(`${name} --${flag}`);
        }
      }
    }
    assertEquals(unknown.filter((option) => !NO_LINE.includes(option)), []);
    assertEquals(wrong, []);
  },
});

/** Spellings that the help texts leave out, or do not say of that they can be negated. */
const UNSAID_OPTIONS = [
  "dccp sport",
  "dccp dport",
  "ipcomp compres",
  "rateest rateest",
  "rateest rateest-bps",
  "rateest rateest-pps",
];

Deno.test({
  name: "unsupported matches and targets have the options that iptables' help says, negated where it says so",
  ignore: !kernelAvailable(),
  fn() {
    const wrong: string[] = [];
    let asked = 0;
    for (const { name, options } of UNSUPPORTED) {
      const letter = name === name.toUpperCase() ? "-j" : "-m";
      const said = new Map<string, boolean>();
      for (const family of [4, 6] as const) {
        // Some are of one family, some of another version of iptables or of none.
        const { success } = new Deno.Command(program(family), { args: [letter, name, "-h"] }).outputSync();
        if (!success) continue;
        for (const [, not, flag] of help(family, [letter, name]).matchAll(/(\[!\] *)?--([\w-]+)/g)) {
          said.set(flag, not !== undefined || said.get(flag) === true);
        }
        asked++;
      }
      if (said.size === 0) continue;
      for (const flag of new Set([...said.keys(), ...Object.values(options).map((option) => option.flag)])) {
        const known = options[flag], here = `${name} ${flag}`;
        if (UNSAID_OPTIONS.includes(here)) continue;
        if (known === undefined || !said.has(flag) || said.get(flag) !== (known.negatable ?? false)) {
          wrong.push(here);
        }
      }
    }
    assert(asked > 40, `${asked}`);
    assertEquals(wrong, []);
  },
});

for (const [family, protocol, option] of [[4, "icmp", "icmp"], [6, "ipv6-icmp", "icmpv6"]] as const) {
  Deno.test({
    name: `matches: every name of a type that ${program(family)} lists means the same number`,
    ignore: !kernelAvailable(),
    fn() {
      const list = help(family, ["-p", protocol]).split(/^Valid ICMP.*$/m)[1];
      const names = list.match(/[A-Za-z][\w-]+/g)!;
      assert(names.length >= 27 && names.includes("echo-request"), names.join());
      const rules = names.map((name) => `-A INPUT -p ${protocol} --${option}-type ${name}\n`).join("");
      const text = `*filter\n:INPUT ACCEPT [0:0]\n${rules}COMMIT\n`;
      const file = Deno.makeTempFileSync();
      try {
        Deno.writeTextFileSync(file, text);
        const script = `XTABLES_LOCKFILE=${file}.lock; export XTABLES_LOCKFILE; ${
          program(family)
        }-restore ${file} &&
          ${program(family)}-save -t filter; rm -f ${file}.lock`;
        const rulesOf = (text: string) => text.split("\n").filter((line) => line.startsWith("-A "));
        const linux = rulesOf(ask("unshare", ["-n", "sh", "-c", script]));
        const own = validate({
          interfaces: { lan: { addresses: [] } },
          [family === 4 ? "iptables" : "ip6tables"]: text,
        }).rules;
        assertEquals(rulesOf(saveRules(family === 4 ? own.ipv4 : own.ipv6)), linux);
        assertEquals(linux.length, names.length);
      } finally {
        Deno.removeSync(file);
      }
    },
  });
}
