/**
 * Rows that look at the same fields under the same masks, put together: the groups of an index.
 *
 * Every group costs each packet a lookup. So where prefix lengths and ranges make too many shapes, they are made
 * coarser, which lets more rows be asked than need be: first prefix lengths and blocks of ports are rounded, then the
 * shapes with the fewest rows join others that look at less.
 *
 * @module
 */
import type { Family } from "../netfilter.ts";
import { ADDRESS_WORDS, prefixMask } from "../packet/address.ts";
import * as I from "./row_index.ts";
import { fieldsOf, NOTHING, type Shape, type Wanted } from "./row_wanted.ts";

/** Most groups of a chain. */
const MOST_GROUPS = 24;
/** Prefix lengths are rounded down to multiples of these, one after the other, while there are too many groups. */
const COARSER = [4, 8];
/** What a field is worth when some must go, in bits of an address. */
const PROTOCOL_BITS = 4, STANDING_BITS = 2;

/** A shape, its rows, and whether they have joined another. */
export interface Group {
  readonly shape: Shape;
  readonly wanted: Wanted[];
  rows: number;
  into: Group | null;
}

/** The groups of a chain. */
export function groupsOf(family: Family, wanted: readonly Wanted[]): Group[] {
  let groups = gather(wanted, (shape) => shape);
  for (const multiple of COARSER) {
    if (groups.length <= MOST_GROUPS) return groups;
    const rounded = new Rounding(family, multiple);
    groups = gather(wanted, (shape) => rounded.shape(shape));
  }
  return groups.length <= MOST_GROUPS ? groups : joined(family, groups);
}

function gather(wanted: readonly Wanted[], shaped: (shape: Shape) => Shape): Group[] {
  const groups = new Map<string, Group>();
  for (const one of wanted) {
    const shape = shaped(one.shape), { source: s, destination: d } = shape;
    const key = `${shape.fields} ${shape.ports} ${shape.mark} ${s[0]} ${s[1]} ${s[2]} ${s[3]} ${d[0]} ${
      d[1]
    } ${d[2]} ${d[3]}`;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, group = { shape, wanted: [], rows: 0, into: null });
    group.wanted.push(one);
    group.rows++;
  }
  return [...groups.values()];
}

/** Prefix lengths rounded down, and the sizes of blocks of ports up. */
class Rounding {
  readonly #family: Family;
  readonly #masks: readonly Int32Array[];

  constructor(family: Family, multiple: number) {
    const bits = family === 4 ? 32 : 128, step = family === 4 ? multiple : multiple * 2;
    this.#family = family;
    this.#masks = Array.from({ length: bits + 1 }, (_, n) => prefixMask(family, n - n % step));
  }

  shape(shape: Shape): Shape {
    const source = this.#mask(shape.source), destination = this.#mask(shape.destination);
    const rest = shape.fields &
      ~(I.BY_SOURCE | I.BY_SOURCE_WIDE | I.BY_DESTINATION | I.BY_DESTINATION_WIDE);
    const fields = rest | fieldsOf(source, I.BY_SOURCE, I.BY_SOURCE_WIDE) |
      fieldsOf(destination, I.BY_DESTINATION, I.BY_DESTINATION_WIDE);
    // Of the bits of each port a multiple of four.
    const ports = shape.ports & (rounded(shape.ports >>> 16) << 16 | rounded(shape.ports & 0xffff));
    return { ...shape, fields: ports === 0 ? fields & ~I.BY_PORTS : fields, source, destination, ports };
  }

  #mask(mask: Int32Array): Int32Array {
    return this.#masks[leadingOnes(this.#family, mask)];
  }
}

/** A port's mask without the last bits that are not four. */
function rounded(mask: number): number {
  const bits = bitsOf(mask);
  return (0xffff << (16 - (bits - bits % 4))) & 0xffff;
}

/** Length of the prefix that a mask begins with, whatever follows. */
function leadingOnes(family: Family, mask: Int32Array): number {
  const words = family === 4 ? 1 : ADDRESS_WORDS;
  for (let i = 0; i < words; i++) if (mask[i] !== -1) return 32 * i + Math.clz32(~mask[i]);
  return 32 * words;
}

/** Has the shapes with the fewest rows join others, or give up fields, until there are few enough. */
function joined(family: Family, groups: readonly Group[]): Group[] {
  let open = [...groups];
  while (open.length > MOST_GROUPS) {
    const least = open.filter(({ shape }) => shape.fields !== 0).reduce((a, b) => b.rows < a.rows ? b : a);
    let into: Group | null = null, most = -1;
    for (const other of open) {
      if (other === least || !covers(other.shape, least.shape)) continue;
      const worth = worthOf(family, other.shape);
      if (worth > most) [into, most] = [other, worth];
    }
    open = open.filter((group) => group !== least);
    // Nobody looks at less: it gives up a field, and may meet others so.
    if (into === null) {
      open.push(into = { shape: lessened(family, least.shape), wanted: [], rows: 0, into: null });
    }
    least.into = into;
    into.rows += least.rows;
  }
  for (const group of groups) {
    if (group.into === null) continue;
    let into = group.into;
    while (into.into !== null) into = into.into;
    for (const one of group.wanted) into.wanted.push(one);
  }
  for (const group of open) group.wanted.sort((a, b) => a.row - b.row);
  return open;
}

/** Whether `general` looks at nothing that `special` does not look at. */
function covers(general: Shape, special: Shape): boolean {
  if (
    (general.fields & ~special.fields) !== 0 || (general.ports & ~special.ports) !== 0 ||
    (general.mark & ~special.mark) !== 0
  ) return false;
  for (let i = 0; i < ADDRESS_WORDS; i++) {
    if ((general.source[i] & ~special.source[i]) !== 0) return false;
    if ((general.destination[i] & ~special.destination[i]) !== 0) return false;
  }
  return true;
}

function bitsOf(word: number): number {
  let bits = 0;
  for (let left = word; left !== 0; left &= left - 1) bits++;
  return bits;
}

/** How many packets a shape tells apart, roughly as a logarithm. */
function worthOf(family: Family, { fields, source, destination, ports, mark }: Shape): number {
  const scale = family === 4 ? 1 : 4;
  const standing = bitsOf(fields & (I.BY_IN | I.BY_OUT | I.BY_RELATION));
  return (leadingOnes(family, source) + leadingOnes(family, destination)) / scale + bitsOf(ports) +
    bitsOf(mark) +
    STANDING_BITS * standing + ((fields & I.BY_PROTOCOL) !== 0 ? PROTOCOL_BITS : 0);
}

/** The shape without the field that is worth least. */
function lessened(family: Family, shape: Shape): Shape {
  const { fields } = shape;
  const without: Shape[] = [];
  for (const field of [I.BY_RELATION, I.BY_OUT, I.BY_IN]) {
    if ((fields & field) !== 0) without.push({ ...shape, fields: fields & ~field });
  }
  if ((fields & I.BY_MARK) !== 0) without.push({ ...shape, fields: fields & ~I.BY_MARK, mark: 0 });
  if ((fields & I.BY_PORTS) !== 0) {
    for (const half of [0xffff, 0xffff << 16]) {
      const ports = shape.ports & half;
      if (ports !== shape.ports) {
        without.push({ ...shape, fields: fields & ~(ports === 0 ? I.BY_PORTS : 0), ports });
      }
    }
  } else if ((fields & I.BY_PROTOCOL) !== 0) without.push({ ...shape, fields: fields & ~I.BY_PROTOCOL });
  if ((fields & I.BY_SOURCE) !== 0) {
    without.push({ ...shape, fields: fields & ~(I.BY_SOURCE | I.BY_SOURCE_WIDE), source: NOTHING });
  }
  if ((fields & I.BY_DESTINATION) !== 0) {
    without.push({
      ...shape,
      fields: fields & ~(I.BY_DESTINATION | I.BY_DESTINATION_WIDE),
      destination: NOTHING,
    });
  }
  return without.reduce((a, b) => worthOf(family, b) > worthOf(family, a) ? b : a);
}
