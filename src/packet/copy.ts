/**
 * Copies between packets without the views that `TypedArray.set` would need: nothing is allocated.
 *
 * @module
 */
import { fold } from "./checksum.ts";

/** Copies `length` bytes from `source` at `from` to `target` at `to`. The two are different buffers. */
export function copyBytes(
  source: DataView,
  from: number,
  target: DataView,
  to: number,
  length: number,
): void {
  let i = 0;
  for (; i + 16 <= length; i += 16) {
    target.setInt32(to + i, source.getInt32(from + i));
    target.setInt32(to + i + 4, source.getInt32(from + i + 4));
    target.setInt32(to + i + 8, source.getInt32(from + i + 8));
    target.setInt32(to + i + 12, source.getInt32(from + i + 12));
  }
  for (; i < length; i++) target.setUint8(to + i, source.getUint8(from + i));
}

/** `copyBytes` that returns the folded sum of what it copied and `initial`, as `sum16` would. */
export function copySum(
  source: DataView,
  from: number,
  target: DataView,
  to: number,
  length: number,
  initial: number,
): number {
  let low = 0;
  let high = 0;
  let i = 0;
  for (; i + 8 <= length; i += 8) {
    const a = source.getInt32(from + i);
    const b = source.getInt32(from + i + 4);
    target.setInt32(to + i, a);
    target.setInt32(to + i + 4, b);
    low = (low + (a & 0xffff) + (b & 0xffff)) | 0;
    high = (high + (a >>> 16) + (b >>> 16)) | 0;
  }
  for (; i < length; i++) {
    const byte = source.getUint8(from + i);
    target.setUint8(to + i, byte);
    low = (low + ((i & 1) === 0 ? byte << 8 : byte)) | 0;
  }
  return fold(fold(low) + fold(high) + fold(initial));
}
