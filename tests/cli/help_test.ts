/** What --help prints fits the terminal. */
import { assertEquals, assertMatch } from "@std/assert";
import { helpOf, overview } from "../../src/cli/help.ts";
import { allCommands } from "../../src/cli/mod.ts";

const COMMANDS = await allCommands();

const squeezed = (text: string) => text.replace(/\s+/g, " ").trim();

for (const width of [60, 80]) {
  Deno.test(`help: no line is longer than ${width} columns but those of examples, and no word is lost`, () => {
    for (const command of COMMANDS) {
      const text = helpOf(command, width), [before] = text.split(/^Examples?:$/m);
      assertEquals(before.split("\n").filter((line) => line.length > width), [], command.name);
      assertEquals(squeezed(text), squeezed(helpOf(command)), command.name);
    }
    assertEquals(overview(COMMANDS, width).split("\n").filter((line) => line.length > width), []);
  });
}

Deno.test("help: what an option means stands in a column of its own", () => {
  const check = COMMANDS.find(({ name }) => name === "conntrack")!;
  assertMatch(helpOf(check, 70), /\n {2}-S, --stats {4}prints what [^\n]*\n {17}\S/);
});

Deno.test("help: every command has an example", () => {
  for (const command of COMMANDS) assertMatch(helpOf(command), /\nExamples?:\n {2}\$ .*weir /, command.name);
});
