/** The `weir` command: help, wrong usage, exit codes. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { allCommands } from "../../src/cli/mod.ts";
import { weir } from "./weir.ts";

const COMMANDS = await allCommands();

for (const args of [["help"], ["--help"], ["-h"]]) {
  Deno.test(`weir ${args.join(" ")} shows all commands and ends with 0`, async () => {
    const { code, stdout, stderr } = await weir(args);
    assertEquals([code, stderr], [0, ""]);
    for (const { name, summary } of COMMANDS) {
      assertMatch(stdout, new RegExp(`^  ${name} .*${summary}$`, "m"));
    }
  });
}

for (const { name, usage } of COMMANDS) {
  Deno.test(`weir ${name} --help says what it does, with an example`, async () => {
    const { code, stdout, stderr } = await weir([name, "--help"]);
    assertEquals([code, stderr], [0, ""]);
    assertStringIncludes(stdout, `Usage: weir ${name} ${usage}\n`);
    assertMatch(stdout, new RegExp(`^Examples?:\n  \\$ weir ${name}`, "m"));
    assertEquals((await weir(["help", name])).stdout, stdout);
  });
}

/** Arguments, what standard error has to say. */
const WRONG: [string[], RegExp][] = [
  [[], /^Weir, a router/],
  [["chekc", "x"], /there is no command chekc; did you mean check\?/],
  [["frobnicate"], /there is no command frobnicate\n/],
  [["help", "frobnicate"], /there is no command frobnicate\n/],
  [["check"], /^weir check: CONFIG is missing\nusage: weir check CONFIG/],
  [["check", "a.ts", "b.ts"], /one CONFIG only/],
  [["check", "--wrong", "a.ts"], /unknown option --wrong/],
  [["run"], /^weir run: CONFIG is missing\nusage: weir run CONFIG/],
  [["run", "-x", "a.ts"], /unknown option -x/],
  [["run", "--workers", "0", "a.ts"], /--workers 0: a number of threads from 1 to 64/],
  [["run", "--workers", "1.5", "a.ts"], /--workers 1.5: a number of threads/],
  [["run", "--workers", "65", "a.ts"], /--workers 65: a number of threads/],
  [["run", "--workers", "3x", "a.ts"], /--workers 3x: a number of threads/],
  [["conntrack"], /^weir conntrack: /],
  [["conntrack", "-X"], /unknown option -X/],
];

for (const [args, reason] of WRONG) {
  Deno.test(`weir ${args.join(" ")} is wrong usage: exit code 2, nothing on standard output`, async () => {
    const { code, stdout, stderr } = await weir(args);
    assertEquals([code, stdout], [2, ""]);
    assertMatch(stderr, reason);
  });
}
