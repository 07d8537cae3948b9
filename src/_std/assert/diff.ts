/** What a failed comparison shows: the two values printed, and the lines in which they differ marked. */

/** A value as people read it, with stable key order, nothing cut. */
export function format(value: unknown): string {
  return Deno.inspect(value, {
    depth: Infinity,
    sorted: true,
    trailingComma: true,
    compact: false,
    iterableLimit: Infinity,
    strAbbreviateSize: Infinity,
  });
}

/** Lines above which a full table of common lines costs too much; then the texts are shown one after the other. */
const MAX_LINES = 2000;

/** Lines of `actual` marked `-`, lines of `expected` marked `+`, common lines indented. */
export function diff(actual: string, expected: string): string {
  const a = actual.split("\n"), b = expected.split("\n");
  if (a.length > MAX_LINES || b.length > MAX_LINES) {
    return [...a.map((line) => `-   ${line}`), ...b.map((line) => `+   ${line}`)].join("\n");
  }
  // Longest common subsequence, from the end, so that the walk below goes forward.
  const width = b.length + 1;
  const common = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * width + j] = a[i] === b[j]
        ? common[(i + 1) * width + j + 1] + 1
        : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  const lines: string[] = [];
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push(`    ${a[i]}`);
      i++;
      j++;
    } else if (j >= b.length || (i < a.length && common[(i + 1) * width + j] >= common[i * width + j + 1])) {
      lines.push(`-   ${a[i++]}`);
    } else {
      lines.push(`+   ${b[j++]}`);
    }
  }
  return lines.join("\n");
}
