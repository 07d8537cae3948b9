/** Where the commands write: standard output for what was asked for, standard error for reasons. */
import { Refused } from "./command.ts";

const encoder = new TextEncoder();

/**
 * A line (or several) to standard output. False when nobody reads it any more: `weir conntrack -L | head` is no reason
 * to stop half-way.
 *
 * @throws Refused where it cannot be written, as on a full disk
 */
export function print(text: string): boolean {
  try {
    write(Deno.stdout, text);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) return false;
    throw new Refused(
      `standard output: ${(error as Error).message}; what was to be written there is not whole`,
    );
  }
}

/** A line (or several) to standard error, if that takes it: nobody could be told that it does not. */
export function complain(text: string): void {
  try {
    write(Deno.stderr, text);
  } catch { /* a closed or full one */ }
}

function write(to: typeof Deno.stdout | typeof Deno.stderr, text: string): void {
  let bytes = encoder.encode(`${text}\n`);
  while (bytes.length > 0) bytes = bytes.subarray(to.writeSync(bytes));
}

/**
 * Rows under each other, each column as wide as its widest entry; numbers stand to the right. Two blanks are between
 * them, or one where two make the rows wider than `width`.
 */
export function columns(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  width = Infinity,
): string {
  const numeric = head.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === "number"));
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => String(row[i]).length)));
  const wide = widths.reduce((sum, each) => sum + each + 2, -2) > width, between = wide ? " " : "  ";
  return [head, ...rows].map((row) =>
    row.map((cell, i) => numeric[i] ? String(cell).padStart(widths[i]) : String(cell).padEnd(widths[i]))
      .join(between).trimEnd()
  ).join("\n");
}

/** How wide a text for people may be: what a terminal has, and no bound where none is. */
export function helpWidth(to: typeof Deno.stdout | typeof Deno.stderr): number {
  return to.isTerminal() ? Math.max(40, Deno.consoleSize().columns) : Infinity;
}

/** What standard output is: a terminal has a width, and colours unless NO_COLOR says no. */
export function screen(): { width?: number; color: boolean } {
  if (!Deno.stdout.isTerminal()) return { color: false };
  return { width: Math.max(40, Deno.consoleSize().columns), color: !Deno.noColor };
}
