/** Where results are kept, and the pages that show them. */
import { ROOT } from "../tree.ts";
import type { Results } from "./results.ts";
import { fullTable, targetTable } from "./table.ts";

export const JSON_PATH = "tests/bench/results/latest.json";
export const FULL_PATH = "tests/bench/results/README.md";
const BEGIN = "<!-- bench: written by `deno task bench --write` -->\n";
const END = "<!-- bench: end -->";

/** README.md with the table of these results. */
export function readmeWith(readme: string, results: Results): string {
  const from = readme.indexOf(BEGIN), to = readme.indexOf(END);
  if (from < 0 || to < from) {
    throw new Error(`README.md has no place for the table: ${BEGIN.trim()} … ${END}`);
  }
  return formatted(`${readme.slice(0, from)}${BEGIN}\n${targetTable(results)}\n${readme.slice(to)}`);
}

/** The page beside the JSON. */
export function fullPage(results: Results): string {
  return formatted(
    `# What the benchmark measured\n\nWritten by \`deno task bench --write\` from [latest.json](latest.json), which has ` +
      `the raw samples.\n\n${fullTable(results)}`,
  );
}

/** As `deno fmt` wants it: table columns in line, text wrapped. */
function formatted(markdown: string): string {
  const path = Deno.makeTempFileSync({ suffix: ".md" });
  try {
    Deno.writeTextFileSync(path, markdown);
    const { success, stderr } = new Deno.Command(Deno.execPath(), {
      args: ["fmt", "--quiet", "--config", `${ROOT}deno.json`, path],
      stdin: "null",
    }).outputSync();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return Deno.readTextFileSync(path);
  } finally {
    Deno.removeSync(path);
  }
}

/** The results that are kept. */
export function keptResults(path = ROOT + JSON_PATH): Results {
  return JSON.parse(Deno.readTextFileSync(path));
}

/** Keeps these results, and has both pages show them. */
export function writePages(results: Results): void {
  const readme = readmeWith(Deno.readTextFileSync(`${ROOT}README.md`), results);
  const full = fullPage(results);
  Deno.writeTextFileSync(ROOT + JSON_PATH, JSON.stringify(results, null, 2) + "\n");
  Deno.writeTextFileSync(ROOT + FULL_PATH, full);
  Deno.writeTextFileSync(`${ROOT}README.md`, readme);
}
