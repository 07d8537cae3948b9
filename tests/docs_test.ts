/** What the documentation promises is there: commands, tasks, links, and configurations that check without a mistake. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { FULL_PATH, fullPage, keptResults, readmeWith } from "./bench/pages.ts";
import { SCENARIOS } from "./bench/scenarios/mod.ts";
import { allCommands } from "../src/cli/mod.ts";
import { files, read, ROOT } from "./tree.ts";

const PAGES = files().filter((path) => path.endsWith(".md"));
const TASKS = Object.keys(JSON.parse(read("deno.json")).tasks);

Deno.test("docs: every link to a file of the tree leads there", () => {
  const broken: string[] = [];
  for (const page of PAGES) {
    for (const [, target] of read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const path = new URL(target, `file://${ROOT}${page}`).pathname;
      try {
        Deno.statSync(path);
      } catch {
        broken.push(`${page}: ${target}`);
      }
    }
  }
  assertEquals(broken, []);
});

/** What a link calls a heading, as GitHub does it. */
function anchorsOf(page: string): string[] {
  const text = read(page).replaceAll(/^```[\s\S]*?^```/gm, "");
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\- _]/gu, "").replaceAll(" ", "-")
  );
}

Deno.test("docs: every link to a heading leads to one", () => {
  const broken: string[] = [];
  for (const page of PAGES) {
    for (const [, target, anchor] of read(page).matchAll(/\]\(([^)#\s]*)#([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const path = new URL(target || page.split("/").at(-1)!, `file://${ROOT}${page}`).pathname;
      if (!anchorsOf(path.slice(ROOT.length)).includes(anchor)) broken.push(`${page}: ${target}#${anchor}`);
    }
  }
  assertEquals(broken, []);
});

Deno.test("docs: every weir command that a page names exists, with its options", async () => {
  const commands = new Map((await allCommands()).map((command) => [command.name, command]));
  const unknown: string[] = [];
  let named = 0;
  for (const page of [...PAGES, "examples/weir@.service"]) {
    for (
      const [, name, words] of read(page).matchAll(
        /(?:`|\$ |^)(?:deno run -A mod\.ts|weir) (\w+)([^`\n#|]*)/gm,
      )
    ) {
      named++;
      const command = commands.get(name), help = `${command?.usage} ${command?.help}`;
      if (command === undefined) unknown.push(`${page}: weir ${name}`);
      for (const [, option] of words.matchAll(/ (--?[a-zA-Z][\w-]*)/g)) {
        // `-L` of two that are written -L|-E.
        if (!new RegExp(`(?<![\\w-])${option}(?![\\w-])`).test(help)) {
          unknown.push(`${page}: weir ${name} ${option}`);
        }
      }
    }
  }
  assertEquals(unknown, []);
  assert(named > 30, `only ${named} commands`);
});

Deno.test("docs: every task that a page or a script names exists", () => {
  const unknown: string[] = [];
  for (const page of [...PAGES, ".ci/run", "tests/run.ts", "tests/demo/demo.ts"]) {
    for (const [, task] of read(page).matchAll(/\b(?:deno|deno@[\d.]+) task (\w+)/g)) {
      if (!TASKS.includes(task)) unknown.push(`${page}: ${task}`);
    }
  }
  assertEquals(unknown, []);
});

Deno.test("docs: README.md names one version of Deno, the gate's", () => {
  const versions = new Set([read("README.md"), read(".ci/run"), read(".github/CONTRIBUTING.md")]
    .flatMap((text) => [...text.matchAll(/deno@([\d.]+)/g)].map((match) => match[1])));
  assertEquals([...versions], ["2.9.6"]);
  assertStringIncludes(read(".ci/run"), "npx --yes deno@2.9.6 task test");
});

Deno.test("docs: the hook diagram of README.md is that of src/netfilter.ts", () => {
  const lines = (text: string) =>
    text.split("\n").map((line) => line.replace(/^ \*/, "").trim()).filter(Boolean);
  const own = /```text\n( +┌[\s\S]*?)```/.exec(read("README.md"))?.[1];
  const source = /```\n( \* +┌[\s\S]*?) \* ```/.exec(read("src/netfilter.ts"))?.[1];
  assert(own && source);
  assertEquals(lines(own), lines(source));
});

Deno.test("docs: each decision has a title and five lines", () => {
  const decisions = read(".github/DECISIONS.md").split(/^## /m).slice(1);
  assert(decisions.length > 0);
  for (const decision of decisions) {
    const [title, ...rest] = decision.split("\n");
    // A long line is wrapped; what goes on is indented.
    const lines = rest.filter((line) => line.trim() !== "" && !line.startsWith("  "));
    assertEquals(lines.filter((line) => !line.startsWith("- ")), [], title);
    assertEquals(lines.length, 5, title);
  }
});

Deno.test("docs: the changelog keeps its form", () => {
  const text = read(".github/CHANGELOG.md");
  assertMatch(text, /^# Changelog\n/);
  const headings = [...text.matchAll(/^## (.*)$/gm)].map((match) => match[1]);
  assertEquals(headings[0], "[Unreleased]");
  for (const heading of headings.slice(1)) assertMatch(heading, /^\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d$/);
  const kinds = new Set([...text.matchAll(/^### (.*)$/gm)].map((match) => match[1]));
  const known = new Set(["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]);
  assertEquals([...kinds].filter((kind) => !known.has(kind)), []);
});

Deno.test("docs: every example begins with two lines of purpose and a drawing", () => {
  const examples = files("examples").filter((path) => path.endsWith(".ts"));
  assert(examples.length >= 5);
  for (const path of examples) {
    assertMatch(read(path), /^\/\*\*\n \* .+\n \* .+\n \*\n \* ```\n[\s\S]*?┌[\s\S]*? \* ```\n/, path);
    assertStringIncludes(read("README.md"), `(${path})`);
  }
});

Deno.test("docs: README.md and the page beside the results show what the results say", () => {
  const results = keptResults();
  assertEquals(read("README.md"), readmeWith(read("README.md"), results));
  assertEquals(read(FULL_PATH), fullPage(results));
});

Deno.test("docs: the results that are shown are of a whole run", () => {
  const { scenarios } = keptResults();
  assertEquals(Object.keys(scenarios), SCENARIOS.map((scenario) => scenario.name));
});
