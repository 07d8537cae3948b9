/**
 * Deletion from an index with open addressing and linear probing, whose slots are pairs: hash, value (0 is empty).
 *
 * @module
 */

/** Empties slot `hole`: what stands behind it and may stand in it moves there, until the run ends. No tombstones. */
export function vacate(index: Int32Array, mask: number, hole: number): void {
  for (let slot = hole;;) {
    slot = (slot + 1) & mask;
    if (index[slot * 2 + 1] === 0) break;
    const home = index[slot * 2] & mask;
    if (((slot - home) & mask) >= ((slot - hole) & mask)) {
      index[hole * 2] = index[slot * 2];
      index[hole * 2 + 1] = index[slot * 2 + 1];
      hole = slot;
    }
  }
  index[hole * 2 + 1] = 0;
}
