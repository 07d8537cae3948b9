/** What a set is created with: the line `create NAME TYPE …` as data. */
import type { Family } from "../netfilter.ts";
import type { SetType } from "./type.ts";

/** Members that a set can have when nothing else is said, and sets of a list, which are never fewer than the least. */
export const MAXELEM_DEFAULT = 65536, LIST_SIZE_DEFAULT = 8, LIST_SIZE_LEAST = 4;
/** Most members of a bitmap (IPSET_BITMAP_MAX_RANGE, and one). */
export const BITMAP_MOST = 65536;
/** Longest timeout in seconds (IPSET_MAX_TIMEOUT). */
export const TIMEOUT_MAX = 2147483;
/** Longest name of a set, and longest comment in bytes. */
export const NAME_MAX = 31, COMMENT_MAX = 255;

/** A set's header. Null: not given. */
export interface SetHeader {
  readonly name: string;
  readonly type: SetType;
  /** Family of its addresses; 4 where the type has none. */
  readonly family: Family;
  /** Seconds that members stay by default, 0 for ever; null when they have no timeouts. */
  readonly timeout: number | null;
  readonly counters: boolean;
  readonly comment: boolean;
  readonly skbinfo: boolean;
  /** Most members. */
  readonly maxelem: number;
  /** Only for printing: how large the kernel's table would be, its seed, its buckets, the size of a list. */
  readonly hashsize: number;
  readonly bucketsize: number;
  readonly initval: string | null;
  readonly size: number;
  /** When the set is full, a new member takes the place of another. */
  readonly forceadd: boolean;
  /** Mask of its addresses, and how it was given: as a prefix length, or as a mask of any form. */
  readonly mask: { readonly words: Int32Array; readonly length: number | null } | null;
  /** Mask of its marks. */
  readonly markmask: number;
  /** Smallest and largest member of a bitmap, unsigned. */
  readonly range: { readonly min: number; readonly max: number } | null;
}
