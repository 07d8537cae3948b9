/** Where the commands write: standard output for what was asked for, standard error for reasons. */

const encoder = new TextEncoder();

/** A line (or several) to standard output. */
export function print(text: string): void {
  write(Deno.stdout, `${text}\n`);
}

/** A line (or several) to standard error. */
export function complain(text: string): void {
  write(Deno.stderr, `${text}\n`);
}

function write(to: typeof Deno.stdout | typeof Deno.stderr, text: string): void {
  let bytes = encoder.encode(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(to.writeSync(bytes));
  } catch (error) {
    // `weir conntrack -L | head`: nobody reads any more, which is no reason to stop half-way.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
