/** What `weir`, `weir help` and `--help` print, as wide as the terminal at most. */

import type { Command } from "./command.ts";

/** One line about all commands for whom none is named. */
export function overview(commands: readonly Command[], width = Infinity): string {
  const names = Math.max(...commands.map((c) => c.name.length));
  return [
    "Weir, a router that is a TypeScript program.",
    "",
    "Usage: weir COMMAND …        (deno run -A mod.ts COMMAND …)",
    "",
    ...commands.map((c) => wrapped(`  ${c.name.padEnd(names)}  `, c.summary, width)),
    "",
    wrapped(
      "",
      "weir COMMAND --help says more, with an example; weir --version which Weir it is. Exit codes: 0 done, " +
        "1 refused, 2 wrong usage.",
      width,
    ),
  ].join("\n");
}

/** What `weir COMMAND --help` prints. Examples stay as they are. */
export function helpOf(command: Command, width = Infinity): string {
  const usage = wrapped(`Usage: weir ${command.name} `, command.usage, width);
  const [text, examples = ""] = command.help.trim().split(/^(?=Examples?:$)/m);
  return `${usage}\n\n${width === Infinity ? text : narrowed(text, width)}${examples}`;
}

/** Paragraphs, and options with what they mean beside them, cut into lines that fit. */
function narrowed(text: string, width: number): string {
  const blocks: { lead: string; words: string }[] = [];
  for (const line of text.split("\n")) {
    const option = /^( {2}\S.*?\S {2,})(\S.*)$/.exec(line), last = blocks.at(-1);
    if (option !== null) blocks.push({ lead: option[1], words: option[2] });
    else if (/^ {2}\S/.test(line)) blocks.push({ lead: "  ", words: line.trim() });
    else if (line === "" || last === undefined || last.words === "") {
      blocks.push({ lead: "", words: line.trim() });
    } else last.words += ` ${line.trim()}`;
  }
  return blocks.map(({ lead, words }) => wrapped(lead, words, width)).join("\n");
}

/** Words behind a lead; what does not fit stands below them. */
function wrapped(lead: string, words: string, width: number): string {
  // Below a lead that leaves no room.
  const below = lead.length > width / 2, indent = below ? 6 : lead.length;
  const lines: string[] = below ? [lead.trimEnd()] : [];
  let line = below ? " ".repeat(indent) : lead;
  let begun = false;
  for (const word of words.split(" ")) {
    if (begun && line.length + 1 + word.length > width) {
      lines.push(line);
      line = " ".repeat(indent) + word;
    } else line += begun ? ` ${word}` : word;
    begun = true;
  }
  return [...lines, line].join("\n");
}
