/**
 * Two words that stand for a text: two hashes of it (FNV-1a, and the same backwards).
 *
 * @module
 */

/** Writes the two words of a text; the first is never 0. */
export function writeKey(keys: Int32Array, at: number, name: string): void {
  let forth = 0x811c9dc5 | 0, back = 0x1b873593 | 0;
  for (let i = 0, n = name.length; i < n; i++) {
    forth = Math.imul(forth ^ name.charCodeAt(i), 0x01000193);
    back = Math.imul(back ^ name.charCodeAt(n - 1 - i), 0x01000193);
  }
  keys[at] = forth | 1;
  keys[at + 1] = back;
}
