/**
 * Makes the index of a chain (see row_index.ts): what each row can be looked up by, the groups that come of it, and
 * their hash tables.
 *
 * Overview: a row says which fields it looks at and which values it wants there. A range of ports is cut into blocks of
 * equal, aligned size and stands under each of them; an interface pattern stands under each interface that fits. Fields
 * and masks together are the row's shape, and each shape is a group.
 *
 * Every group costs each packet a lookup. So where prefix lengths and ranges make too many shapes, they are made
 * coarser, which lets more rows be asked than need be: first prefix lengths are rounded down, then the shapes with the
 * fewest rows join others that look at less.
 *
 * Limits: a negated address, port or protocol is not looked up by. What stands behind a condition that counts, or may
 * drop the packet, by being asked is none either: the row has to be asked as far as there.
 *
 * @module
 */
import type { Family } from "../netfilter.ts";
import { ADDRESS_WORDS, maskLength, prefixMask } from "../packet/address.ts";
import type { Match, PortRange, PortSpan } from "./extension.ts";
import * as I from "./row_index.ts";
import * as T from "./table.ts";

/** Most groups of a chain. */
const MOST_GROUPS = 24;
/** Prefix lengths are rounded down to multiples of these, one after the other, while there are too many groups. */
const COARSER = [4, 8];
/** Most blocks that a range of ports is cut into, and most places where one row stands. */
const MOST_BLOCKS = 8, MOST_COPIES = 64;
/** Bits of a port that blocks are told apart by. */
const BLOCK_BITS = [16, 14, 12, 10, 8, 6, 4];
/** What a field is worth when some must go, in bits of an address. */
const PROTOCOL_BITS = 4, STANDING_BITS = 2;

/** Rows and what they point to, as far as compiled. */
export interface Rows {
  readonly family: Family;
  readonly rows: Int32Array;
  readonly interfaceSets: Uint8Array;
  /** Bytes of an interface set. */
  readonly interfaces: number;
  readonly matches: readonly Match[];
}

/** An address under a mask. */
interface Masked {
  readonly words: Int32Array;
  readonly mask: Int32Array;
}

/** Fields and masks. */
interface Shape {
  readonly fields: number;
  readonly source: Int32Array;
  readonly destination: Int32Array;
  readonly ports: number;
  readonly mark: number;
}

/** What a row wants, by field. A list stands for any of its values. */
interface Wanted {
  readonly row: number;
  readonly shape: Shape;
  readonly source: Int32Array;
  readonly destination: Int32Array;
  readonly protocol: number;
  readonly inInterfaces: readonly number[];
  readonly outInterfaces: readonly number[];
  readonly relations: readonly number[];
  /** The source port in the upper half. */
  readonly ports: readonly number[];
  readonly mark: number;
}

/** A shape, its rows, and whether they have joined another. */
interface Group {
  readonly shape: Shape;
  readonly wanted: Wanted[];
  rows: number;
  into: Group | null;
}

const NOTHING = new Int32Array(ADDRESS_WORDS);
const EVERYWHERE: Masked = { words: NOTHING, mask: NOTHING };
const ANY: readonly number[] = [0];

/** Makes the index of rows `first` to `last`, of which the last is the chain's end. */
export function indexRows(program: Rows, first: number, last: number): I.RowIndex {
  return makeIndex(program, first, last, makeIndex(program, first, last, null));
}

function makeIndex(program: Rows, first: number, last: number, plain: I.RowIndex | null): I.RowIndex {
  const wanted: Wanted[] = [];
  for (let row = first; row <= last; row++) {
    const one = readRow(program, row, plain === null);
    if (one !== null) wanted.push(one);
  }
  return layOut(program.family, groupsOf(program.family, wanted), plain);
}

// ── what a row wants ────────────────────────────────────────────────────────────────────────────────────────────

/** What is asked behind the basic part, where asking has changed nothing so far. */
interface Later {
  readonly source: Masked;
  readonly destination: Masked;
  readonly sports: readonly PortSpan[] | null;
  readonly dports: readonly PortSpan[] | null;
  readonly relations: number;
  readonly mark: { readonly value: number; readonly mask: number };
}

/** Null for a row that no packet fits. `plain`: by its basic part alone. */
function readRow(program: Rows, row: number, plain: boolean): Wanted | null {
  const { rows, interfaceSets, interfaces, family } = program;
  const at = row * T.ROW_WORDS, flags = rows[at + T.FLAGS];
  const has = (flag: number) => (flags & flag) !== 0;
  const network = (asked: boolean, from: number): Masked =>
    asked ? { words: rows.subarray(from, from + 4), mask: rows.subarray(from + 4, from + 8) } : EVERYWHERE;
  const accepted = (flag: number, from: number) => {
    if (!has(flag)) return null;
    const list: number[] = [];
    for (let i = 0; i < interfaces; i++) if (interfaceSets[rows[from] + i] === 1) list.push(i);
    return list;
  };
  const basic: Later = {
    source: network(has(T.ROW_SRC) && !has(T.ROW_SRC_INVERT), at + T.SRC),
    destination: network(has(T.ROW_DST) && !has(T.ROW_DST_INVERT), at + T.DST),
    sports: null,
    dports: null,
    relations: -1,
    mark: { value: 0, mask: 0 },
  };
  const inInterfaces = accepted(T.ROW_IN, at + T.IN), outInterfaces = accepted(T.ROW_OUT, at + T.OUT);
  const { source, destination, sports, dports, relations, mark } = plain
    ? basic
    : readLater(program, at, basic);
  if (inInterfaces?.length === 0 || outInterfaces?.length === 0 || relations === 0) return null;
  if (sports?.length === 0 || dports?.length === 0) return null;

  let copies = 1;
  /** The values, or null where there are too many. */
  const few = (values: readonly number[] | null, most: number) => {
    if (values === null || values.length > most || copies * values.length > MOST_COPIES) return null;
    copies *= values.length;
    return values;
  };
  // IPv6 headers can be cut so that every protocol may be meant.
  const asksProtocol = has(T.ROW_PROTOCOL) && !has(T.ROW_PROTOCOL_INVERT) && !(plain && family === 6);
  const protocol = asksProtocol ? rows[at + T.PROTOCOL] : 0;
  const sport = protocol === 0 ? null : blocksOf(sports), dport = protocol === 0 ? null : blocksOf(dports);
  const dportValues = few(dport && dport.values, MOST_COPIES),
    sportValues = few(sport && sport.values, MOST_COPIES);
  const ins = few(inInterfaces, MOST_BLOCKS), outs = few(outInterfaces, MOST_BLOCKS);
  const kinds = few(relations === -1 ? null : I.relationKinds(relations), 2);
  const portsMask = (sportValues === null ? 0 : sport!.mask << 16) | (dportValues === null ? 0 : dport!.mask);
  const ports = (sportValues ?? ANY).flatMap((s) => (dportValues ?? ANY).map((d) => s << 16 | d));
  const fields = fieldsOf(source.mask, I.BY_SOURCE, I.BY_SOURCE_WIDE) |
    fieldsOf(destination.mask, I.BY_DESTINATION, I.BY_DESTINATION_WIDE) |
    (portsMask !== 0 ? I.BY_PORTS : 0) | (protocol !== 0 ? I.BY_PROTOCOL : 0) |
    (ins !== null ? I.BY_IN : 0) | (outs !== null ? I.BY_OUT : 0) |
    (kinds !== null ? I.BY_RELATION : 0) | (mark.mask !== 0 ? I.BY_MARK : 0);
  return {
    row,
    shape: { fields, source: source.mask, destination: destination.mask, ports: portsMask, mark: mark.mask },
    source: source.words,
    destination: destination.words,
    protocol,
    inInterfaces: ins ?? ANY,
    outInterfaces: outs ?? ANY,
    relations: kinds ?? ANY,
    ports,
    mark: mark.value,
  };
}

/** The row's ports and relation, and its matches as far as asking them changes nothing. */
function readLater({ rows, matches, family }: Rows, at: number, basic: Later): Later {
  const flags = rows[at + T.FLAGS];
  const span = (invert: number, from: number): readonly PortSpan[] | null => {
    if ((flags & T.ROW_PORTS) === 0 || (flags & invert) !== 0) return null;
    return [{ min: rows[at + from], max: rows[at + from + 1] }];
  };
  let { source, destination, mark } = basic;
  let sports = span(T.ROW_SPORT_INVERT, T.SPORT_MIN), dports = span(T.ROW_DPORT_INVERT, T.DPORT_MIN);
  let relations = (flags & T.ROW_RELATION) !== 0 ? rows[at + T.RELATIONS] : -1;
  for (let m = rows[at + T.MATCHES]; m < rows[at + T.MATCHES_END]; m++) {
    const match = matches[m], { needs = {}, ports } = match;
    if (needs.source !== undefined) source = narrowerNetwork(source, needs.source, family);
    if (needs.destination !== undefined) {
      destination = narrowerNetwork(destination, needs.destination, family);
    }
    sports = narrower(sports, needs.sports ?? (ports && upright(ports.sport)));
    dports = narrower(dports, needs.dports ?? (ports && upright(ports.dport)));
    relations &= needs.relations ?? match.relations ?? -1;
    if (mark.mask === 0 && needs.mark !== undefined) mark = needs.mark;
    if (match.pure !== true) break;
  }
  return { source, destination, sports, dports, relations, mark };
}

/** A mask of prefix length 0 looks at nothing. */
function fieldsOf(mask: Int32Array, narrow: number, wide: number): number {
  if ((mask[1] | mask[2] | mask[3]) !== 0) return narrow | wide;
  return mask[0] !== 0 ? narrow : 0;
}

/** Of two networks that must both hold, the one with the longer prefix. */
function narrowerNetwork(a: Masked, b: Masked, family: Family): Masked {
  return maskLength(family, a.mask) < maskLength(family, b.mask) ? b : a;
}

function upright({ min, max, invert }: PortRange): readonly PortSpan[] | undefined {
  return invert ? undefined : [{ min, max }];
}

/** Of two lists that must both hold, the one with fewer ports. */
function narrower(
  a: readonly PortSpan[] | null,
  b: readonly PortSpan[] | undefined,
): readonly PortSpan[] | null {
  const ports = (list: readonly PortSpan[]) => list.reduce((n, { min, max }) => n + max - min + 1, 0);
  return b === undefined || a !== null && ports(a) <= ports(b) ? a : b;
}

/** The ranges as blocks of equal size, small enough and not too many; null where that would be half of all ports. */
function blocksOf(spans: readonly PortSpan[] | null): { mask: number; values: number[] } | null {
  if (spans === null) return null;
  const most = Math.max(MOST_BLOCKS, spans.length);
  for (const bits of BLOCK_BITS) {
    const shift = 16 - bits;
    const blocks = spans.reduce((n, { min, max }) => n + (max >> shift) - (min >> shift) + 1, 0);
    if (blocks > most || blocks > 1 << (bits - 1)) continue;
    const values = new Set<number>();
    for (const { min, max } of spans) {
      for (let block = min >> shift; block <= max >> shift; block++) values.add(block << shift);
    }
    return { mask: (0xffff << shift) & 0xffff, values: [...values] };
  }
  return null;
}

// ── shapes ──────────────────────────────────────────────────────────────────────────────────────────────────────

function groupsOf(family: Family, wanted: readonly Wanted[]): Group[] {
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

// ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Hash tables and lists of all groups, each in one array. */
function layOut(family: Family, groups: readonly Group[], plain: I.RowIndex | null): I.RowIndex {
  const table = new Int32Array(groups.length * I.GROUP_WORDS);
  const buckets = groups.map(({ shape, wanted }) => bucketsOf(shape, wanted));
  const sizes = buckets.map(({ size }) => 2 << (32 - Math.clz32(size)));
  const slots = new Int32Array(sizes.reduce((n, size) => n + size, 0) * I.SLOT_WORDS);
  const lists = new Int32Array(
    buckets.reduce((n, map) => [...map.values()].reduce((m, rows) => m + rows.length + 2, n), 0),
  );
  let nextSlot = 0, nextList = 0;
  groups.forEach(({ shape, wanted }, i) => {
    const at = i * I.GROUP_WORDS;
    table[at + I.FIELDS] = shape.fields;
    table.set(shape.source, at + I.SOURCE_MASK);
    table.set(shape.destination, at + I.DESTINATION_MASK);
    table[at + I.PORTS_MASK] = shape.ports;
    table[at + I.MARK_MASK] = shape.mark;
    table[at + I.SLOTS] = nextSlot;
    table[at + I.SLOTS_MASK] = sizes[i] - 1;
    table[at + I.LAST] = wanted.at(-1)!.row;
    for (const [hash, rows] of buckets[i]) {
      let slot = hash & (sizes[i] - 1);
      while (slots[nextSlot + slot * I.SLOT_WORDS + 1] !== 0) slot = (slot + 1) & (sizes[i] - 1);
      lists[nextList++] = rows.length;
      slots[nextSlot + slot * I.SLOT_WORDS] = hash;
      slots[nextSlot + slot * I.SLOT_WORDS + 1] = nextList;
      lists.set(rows, nextList);
      nextList += rows.length;
      lists[nextList++] = I.END_OF_LIST;
    }
    nextSlot += sizes[i] * I.SLOT_WORDS;
  });
  return new I.RowIndex(family, table, slots, lists, plain);
}

/** The group's rows by the hash of what they want. */
function bucketsOf(shape: Shape, wanted: readonly Wanted[]): Map<number, number[]> {
  const buckets = new Map<number, number[]>();
  const { fields } = shape;
  const by = (field: number, values: readonly number[]) => (fields & field) !== 0 ? values : ANY;
  for (const one of wanted) {
    const protocol = (fields & I.BY_PROTOCOL) !== 0 ? one.protocol : 0;
    for (const inInterface of by(I.BY_IN, one.inInterfaces)) {
      for (const outInterface of by(I.BY_OUT, one.outInterfaces)) {
        for (const relation of by(I.BY_RELATION, one.relations)) {
          const standing = I.standing(protocol, inInterface, outInterface, relation);
          for (const ports of by(I.BY_PORTS, one.ports)) {
            const hash = I.hashOf(
              fields,
              standing,
              ports & shape.ports,
              one.mark & shape.mark,
              one.source,
              shape.source,
              one.destination,
              shape.destination,
            );
            const rows = buckets.get(hash);
            if (rows === undefined) buckets.set(hash, [one.row]);
            else if (rows.at(-1) !== one.row) rows.push(one.row);
          }
        }
      }
    }
  }
  return buckets;
}
