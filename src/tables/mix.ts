/** Folds one more word into a hash: for tables that the configuration fills, not the packets. */
export function mix(hash: number, word: number): number {
  const h = Math.imul(hash ^ word, 0x9e3779b1);
  return h ^ h >>> 15;
}
