/** The stand-in for `@std/cli/parse-args` keeps minimist's conventions. */

import { assertEquals } from "@std/assert";
import { parseArgs, type ParseOptions } from "@std/cli/parse-args";

/** Name, arguments (split at blanks), options, result. */
const CASES: [string, string, ParseOptions, Record<string, unknown>][] = [
  ["nothing", "", {}, { _: [] }],
  ["positional arguments", "run gateway.ts", {}, { _: ["run", "gateway.ts"] }],
  ["numbers among positional arguments", "a 5 0x10 1e3 -", {}, { _: ["a", 5, 16, 1000, "-"] }],
  ["positional arguments kept as text", "a 5", { string: ["_"] }, { _: ["a", "5"] }],
  ["an option with a value behind it", "--in lan x", {}, { _: ["x"], in: "lan" }],
  ["an option with =", "--in=lan x", {}, { _: ["x"], in: "lan" }],
  ["a value that contains =", "--in=a=b", {}, { _: [], in: "a=b" }],
  ["a number as value", "--seed 7", {}, { _: [], seed: 7 }],
  ["a number as value of a string option", "--seed 7", { string: "seed" }, { _: [], seed: "7" }],
  ["a string option without value", "--seed", { string: "seed" }, { _: [], seed: "" }],
  ["an option at the end", "--json", {}, { _: [], json: true }],
  ["an option before an option", "--json --help", {}, { _: [], json: true, help: true }],
  ["a boolean takes no value", "--json x", { boolean: ["json"] }, { _: ["x"], json: true }],
  ["an absent boolean is false", "", { boolean: ["json"] }, { _: [], json: false }],
  ["a boolean with true or false behind it", "--json false x", { boolean: "json" }, {
    _: ["x"],
    json: false,
  }],
  ["a boolean with =false", "--json=false", { boolean: "json" }, { _: [], json: false }],
  ["all options boolean", "--json x", { boolean: true }, { _: ["x"], json: true }],
  ["--no-NAME of a negatable option", "--no-color", { negatable: ["color"] }, { _: [], color: false }],
  ["--no-NAME of another option", "--no-color", {}, { _: [], "no-color": true }],
  ["short options", "-L -p 5", {}, { _: [], L: true, p: 5 }],
  ["short options in a group", "-abc x", {}, { _: [], a: true, b: true, c: "x" }],
  ["a group of booleans", "-ab x", { boolean: ["a", "b"] }, { _: ["x"], a: true, b: true }],
  ["a number glued to a short option", "-n5", {}, { _: [], n: 5 }],
  ["a value glued with =", "-n=5", {}, { _: [], n: 5 }],
  ["a negative number behind a short option", "-n -5", {}, { _: [], n: true, 5: true }],
  ["a lone dash as value", "-f -", {}, { _: [], f: "-" }],
  ["an alias", "-h", { boolean: ["help"], alias: { h: "help" } }, { _: [], h: true, help: true }],
  ["several aliases", "--a 1", { alias: { a: ["b", "c"] } }, { _: [], a: 1, b: 1, c: 1 }],
  ["a default", "", { default: { seed: 7 } }, { _: [], seed: 7 }],
  ["a default that is not needed", "--seed 8", { default: { seed: 7 } }, { _: [], seed: 8 }],
  ["a default of an alias", "", { alias: { s: "seed" }, default: { s: 1 } }, { _: [], s: 1, seed: 1 }],
  ["a repeated option: the last one counts", "--in a --in b", {}, { _: [], in: "b" }],
  ["a collected option", "--in a --in b", { collect: ["in"] }, { _: [], in: ["a", "b"] }],
  ["a collected string option that is absent", "", { string: ["in"], collect: ["in"] }, { _: [], in: [] }],
  ["dots make objects", "--a.b 1 --a.c x", {}, { _: [], a: { b: 1, c: "x" } }],
  ["-- ends the options", "--a 1 -- --b", {}, { _: ["--b"], a: 1 }],
  ["-- into a list of its own", "x -- --b 5", { "--": true }, { _: ["x"], "--": ["--b", "5"] }],
  ["stopEarly", "--a 1 run --b", { stopEarly: true }, { _: ["run", "--b"], a: 1 }],
  ["unknown options left out", "--a --b c", { boolean: ["a"], unknown: (_arg, key) => !key }, {
    _: [],
    a: true,
  }],
];

for (const [name, args, options, expected] of CASES) {
  Deno.test(`parseArgs: ${name}`, () => {
    assertEquals(parseArgs(args.split(" ").filter(Boolean), options) as Record<string, unknown>, expected);
  });
}

Deno.test("parseArgs tells unknown about every argument that no option names", () => {
  const seen: unknown[] = [];
  parseArgs(["x", "--a", "1", "-b", "--c=2"], {
    string: ["a"],
    unknown: (arg, key, value) => void seen.push([arg, key, value]),
  });
  assertEquals(seen, [["x", undefined, undefined], ["-b", "b", true], ["--c=2", "c", "2"]]);
});
