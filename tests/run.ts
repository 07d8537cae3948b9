/**
 * `deno task test`: installs from Debian what the tests need, runs them all, and ends with a line
 * `N passed, N failed`. What cannot run here is left out, and the reason is said.
 *
 * `deno task test PATH…` runs only the tests under those paths.
 */

import { unavailable } from "./netns/lab.ts";
import { cannotInstall, install, PACKAGES } from "./netns/programs.ts";
import { print } from "../src/cli/output.ts";

const ROOT = new URL("..", import.meta.url).pathname;

/** Sanitizers are off by default since Deno 2.8. */
const FLAGS = ["test", "-A", "--no-prompt", "--sanitize-ops", "--sanitize-resources"];

/** With failures in more files than this nothing is run a second time. */
const UNSTEADY = 3;

/** What one `deno test` counted. */
interface Count {
  passed: number;
  failed: number;
  skipped: number;
  /** Files with a test that failed. */
  readonly files: readonly string[];
}

/** Runs `deno test`, shows what it shows, and counts. */
async function runTests(args: readonly string[]): Promise<Count> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...FLAGS, ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of child.stdout) {
    Deno.stdout.writeSync(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  const { success } = await child.status;
  // deno-lint-ignore no-control-regex
  const plain = text.replace(/\x1b\[[\d;]*m/g, "");
  const line = [
    ...plain.matchAll(/^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed(?: \((\d+) steps?\))?(.*)$/gm),
  ].at(-1);
  // Without a line it did not come to its end: a type error, a crash.
  if (!line) return { passed: 0, failed: 1, skipped: 0, files: [] };
  const failed = Number(line[2]);
  return {
    files: failedFiles(plain),
    passed: Number(line[1]),
    failed: success ? failed : Math.max(1, failed), // an error outside any test counts as one
    skipped: Number(/(\d+) ignored/.exec(line[4])?.[1] ?? 0),
  };
}

/**
 * The files that a report names above a test that failed. Its summary at the end tells where `Deno.test` was called,
 * which for the tests in a lab is the file that they all share.
 */
function failedFiles(report: string): string[] {
  const files = new Set<string>();
  let file = "";
  for (const line of report.split("\n")) {
    const heading = /^running \d+ tests? from \.\/(\S+)$/.exec(line);
    if (heading) file = heading[1];
    else if (/ \.\.\. FAILED( \(\S+\))?$/.test(line) && file !== "") files.add(file);
  }
  return [...files];
}

/** All test files under `folder`. */
function testFiles(folder: string): string[] {
  const files: string[] = [];
  for (const { name, isDirectory } of Deno.readDirSync(ROOT + folder)) {
    if (isDirectory) files.push(...testFiles(`${folder}/${name}`));
    else if (name.endsWith("_test.ts")) files.push(`${folder}/${name}`);
  }
  return files.sort();
}

async function main(paths: readonly string[]): Promise<number> {
  const missing = await install(Object.keys(PACKAGES), print);
  if (missing.length > 0) {
    const why = cannotInstall() ?? "apt-get did not install them";
    print(`not installed: ${missing.join(", ")} (${why}). Tests that need them are left out.`);
  }
  const why = unavailable();
  if (why !== null) print(`Tests in network namespaces are left out: ${why}.`);

  const all = testFiles("tests");
  const inNamespaces = (file: string) => file.startsWith("tests/netns/");
  const groups: [string, readonly string[]][] = paths.length > 0 ? [["tests", paths]] : [
    ["unit tests", all.filter((file) => !inNamespaces(file))],
    ["namespace tests: real programs through Weir", all.filter(inNamespaces)],
  ];
  const sum = { passed: 0, failed: 0, skipped: 0 }, unsteady: string[] = [];
  for (const [title, paths] of groups) {
    print(`\n── ${title} ──`);
    const { passed, failed, skipped, files } = await runTests(paths);
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped += skipped;
    if (files.length === 0 || files.length > UNSTEADY) continue;
    // Real programs, Linux's own timers and a busy machine: what fails has to fail twice, and is named either way.
    print(`\n── once more: ${files.join(", ")} ──`);
    const again = await runTests(files);
    if (again.failed > 0) continue;
    sum.passed += failed;
    sum.failed -= failed;
    unsteady.push(...files);
  }
  if (unsteady.length > 0) print(`\nFailed once and passed when run again: ${unsteady.join(", ")}`);
  if (sum.skipped > 0 && why !== null) print(`\n${sum.skipped} tests were left out: ${why}.`);
  print(`\n${sum.passed} passed, ${sum.failed} failed${sum.skipped > 0 ? `, ${sum.skipped} skipped` : ""}`);
  return sum.failed === 0 ? 0 : 1;
}

if (import.meta.main) {
  // Ctrl-C reaches the running tests as well; they clean up, and so does the installation.
  Deno.addSignalListener("SIGINT", () => {});
  Deno.exit(await main(Deno.args));
}
