/**
 * Whether there is memory behind the addresses of the state. In a plain ArrayBuffer there always is. A mapped file has
 * holes, which take no space until they are touched; and whoever touches one when the file system is full dies (SIGBUS).
 * So who is about to use a part of the state for the first time asks for it, and does without when it is not to be had.
 */
export interface Space {
  /** Bytes `from` … `to` − 1 of the state can be read and written, from now on. */
  has(from: number, to: number): boolean;
}

/** Bytes of the pieces, counted from the state's beginning, that are there as a whole or not at all. */
export const PIECE = 1 << 15;

/** That of memory without holes. */
export const SOLID: Space = { has: () => true };
