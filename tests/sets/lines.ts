/**
 * Texts of `ipset save` in a form that can be compared: the kernel's order of a hash, its table's size and seed, and the
 * seconds that have passed meanwhile are its own.
 *
 * @module
 */

/** Lines in an order of their own. Timeouts in the tests are whole hundreds of seconds. */
export function comparable(text: string): string[] {
  return text.split("\n").filter((line) => line !== "").map((line) =>
    line.replace(/ initval 0x[0-9a-f]+/, "").replace(/ hashsize \d+/, "")
      .replace(/^(add .* timeout )(\d+)/, (_, before, seconds) => before + Math.ceil(seconds / 100) * 100)
  ).sort();
}
