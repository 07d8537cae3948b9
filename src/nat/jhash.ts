/**
 * Bob Jenkins' lookup3 over 32-bit words (burtleburtle.net/bob/c/lookup3.c, public domain), as Linux seeds it. It is
 * how Linux spreads clients over a pool of addresses, and it has no random key there: the same client gets the same
 * address on every boot and on every machine, so on Weir, too.
 */

const SEED = 0xdeadbeef | 0;

/** Hash of four words, an int32. */
export function jhash4(k0: number, k1: number, k2: number, k3: number, initval: number): number {
  let a = (SEED + 16 + initval) | 0, b = a, c = a;
  a = (a + k0) | 0;
  b = (b + k1) | 0;
  c = (c + k2) | 0;
  // mix
  a = (a - c) ^ (c << 4 | c >>> 28);
  c = (c + b) | 0;
  b = (b - a) ^ (a << 6 | a >>> 26);
  a = (a + c) | 0;
  c = (c - b) ^ (b << 8 | b >>> 24);
  b = (b + a) | 0;
  a = (a - c) ^ (c << 16 | c >>> 16);
  c = (c + b) | 0;
  b = (b - a) ^ (a << 19 | a >>> 13);
  a = (a + c) | 0;
  c = (c - b) ^ (b << 4 | b >>> 28);
  b = (b + a) | 0;
  // final
  a = (a + k3) | 0;
  c = ((c ^ b) - (b << 14 | b >>> 18)) | 0;
  a = ((a ^ c) - (c << 11 | c >>> 21)) | 0;
  b = ((b ^ a) - (a << 25 | a >>> 7)) | 0;
  c = ((c ^ b) - (b << 16 | b >>> 16)) | 0;
  a = ((a ^ c) - (c << 4 | c >>> 28)) | 0;
  b = ((b ^ a) - (a << 14 | a >>> 18)) | 0;
  return ((c ^ b) - (b << 24 | b >>> 8)) | 0;
}

/** The same word with its bytes in the other order: how a little-endian machine reads an address. */
export function swap32(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** `hash * n / 2³²`, rounded down: a number below `n`, both unsigned (reciprocal_scale). */
export function scale(hash: number, n: number): number {
  const low = (hash & 0xffff) * (n >>> 0), high = (hash >>> 16) * (n >>> 0);
  return Math.floor((high + Math.floor(low / 65536)) / 65536);
}
