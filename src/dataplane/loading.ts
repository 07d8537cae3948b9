/**
 * Loads a configuration module, and says in one message what is wrong with one that cannot be loaded.
 *
 * The commands do it to check one, and each worker does it for itself: a module of functions cannot be sent, and a
 * thread imports a module, with all that it imports, only once. So a changed one is read by a new worker.
 *
 * @module
 */
import { type DefinedRouter, isDefinedRouter } from "../config/define.ts";
import { ConfigError, type Problem } from "../config/problems.ts";
import type { ValidConfig } from "../config/valid.ts";
import { validate } from "../config/validate.ts";

/** A configuration that cannot be used; its message tells everything, one mistake a line. */
export class LoadError extends Error {
  override readonly name = "LoadError";
}

/** Imports the module at `url`, called `path`, whose default export has to be made by `defineRouter`. */
export async function importConfig(url: URL, path: string): Promise<DefinedRouter> {
  let module: { default?: unknown };
  try {
    module = await import(url.href);
  } catch (error) {
    throw new LoadError(`${path}: ${reason(error, url)}`);
  }
  if (!("default" in module)) {
    throw new LoadError(`${path}: it has no default export; write: export default defineRouter({ … })`);
  }
  const config = module.default;
  if (!isDefinedRouter(config)) {
    throw new LoadError(
      `${path}: its default export was not made by defineRouter; write: export default defineRouter({ … })`,
    );
  }
  return config;
}

/** The loader's message without its own error name, the stack, and the file's address in front of every line. */
function reason(error: unknown, url: URL): string {
  if (!(error instanceof Error)) return `it threw ${Deno.inspect(error)} while it was loaded`;
  const own = place(error, url);
  const syntax = /^(?:The module's source code could not be parsed: |SyntaxError: )/.exec(error.message);
  if (syntax) {
    if (isSavedText(url)) return "it is iptables-save text; weir import makes a configuration of it";
    const message = error.message.slice(syntax[0].length).replaceAll(`${url.href}:`, "line ");
    return `syntax error: ${message.trimEnd()}`;
  }
  if (/^(Module not found|Import |Relative import path|Unable to load)/.test(error.message)) {
    return `it imports what is not there: ${error.message}`;
  }
  return `it threw ${error.name} while it was loaded${own}: ${error.message}`;
}

/** True for a file that iptables-save has printed. */
function isSavedText(url: URL): boolean {
  try {
    // Not only somewhere in it: a configuration may hold such text.
    return /^(?:#.*\r?\n|\s)*\*\w+\r?\n[:#-]/.test(Deno.readTextFileSync(url));
  } catch {
    return false;
  }
}

/** " (line 3)" if the error was thrown in the module itself. */
function place(error: Error, url: URL): string {
  const at = error.stack?.split("\n").find((line) => line.includes(`${url.href}:`));
  const line = at && /:(\d+):\d+\)?$/.exec(at)?.[1];
  return line ? ` (line ${line})` : "";
}

/** The validated configuration, or all its mistakes. */
export function judge(config: DefinedRouter): { valid: ValidConfig } | { problems: readonly Problem[] } {
  try {
    return { valid: validate(config) };
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems };
    throw error;
  }
}

/** The validated configuration; throws with all its mistakes, one a line, below a line that counts them. */
export function validated(path: string, config: DefinedRouter): ValidConfig {
  const result = judge(config);
  if ("valid" in result) return result.valid;
  throw new LoadError(listed(`${path}: ${counted(result.problems.length, "mistake")}`, result.problems));
}

/** A line, and below it one for each problem. */
export function listed(head: string, problems: readonly Problem[]): string {
  return [head, ...problems.map(({ path, message }) => `  ${path}: ${message}`)].join("\n");
}

/** "1 mistake", "10 mistakes". */
export function counted(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
