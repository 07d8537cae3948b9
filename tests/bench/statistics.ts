/** Medians and spreads of a few samples. */

/** What several rounds say together. */
export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Null for no samples at all. */
export function summary(values: readonly number[]): Summary | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, least: sorted[0], most: sorted.at(-1)! };
}

/** Quotients round by round, since what disturbs a machine disturbs both of a round; rounds with one alone do not count. */
export function ratios(
  above: readonly (number | undefined)[],
  below: readonly (number | undefined)[],
): number[] {
  return above.flatMap((value, i) => {
    const other = below[i];
    return value === undefined || other === undefined || other === 0 ? [] : [value / other];
  });
}
