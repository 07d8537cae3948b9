/**
 * What a row of a table wants of a packet, as far as it can be looked up by it.
 *
 * Limits: a negated address, port or protocol is none. What stands behind a condition that counts, or may drop the
 * packet, by being asked is none either: the row has to be asked as far as there.
 *
 * @module
 */
import type { Family } from "../netfilter.ts";
import { ADDRESS_WORDS, maskLength } from "../packet/address.ts";
import type { Match, PortRange, PortSpan } from "./extension.ts";
import * as I from "./row_index.ts";
import * as R from "./row.ts";

/** Most blocks that a range of ports is cut into, and most places where one row stands. */
const MOST_BLOCKS = 8, MOST_COPIES = 64;
/** Bits of a port that blocks are told apart by. */
const BLOCK_BITS = [16, 14, 12, 10, 8, 6, 4];

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
export interface Shape {
  readonly fields: number;
  readonly source: Int32Array;
  readonly destination: Int32Array;
  readonly ports: number;
  readonly mark: number;
}

/** What a row wants, by field. A list stands for any of its values. */
export interface Wanted {
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

/** Looks at nothing. */
export const NOTHING = new Int32Array(ADDRESS_WORDS);
const EVERYWHERE: Masked = { words: NOTHING, mask: NOTHING };
/** The value of a field that is not looked at. */
export const ANY: readonly number[] = [0];

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
export function readRow(program: Rows, row: number, plain: boolean): Wanted | null {
  const { rows, interfaceSets, interfaces, family } = program;
  const at = row * R.ROW_WORDS, flags = rows[at + R.FLAGS];
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
    source: network(has(R.ROW_SRC) && !has(R.ROW_SRC_INVERT), at + R.SRC),
    destination: network(has(R.ROW_DST) && !has(R.ROW_DST_INVERT), at + R.DST),
    sports: null,
    dports: null,
    relations: -1,
    mark: { value: 0, mask: 0 },
  };
  const inInterfaces = accepted(R.ROW_IN, at + R.IN), outInterfaces = accepted(R.ROW_OUT, at + R.OUT);
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
  const asksProtocol = has(R.ROW_PROTOCOL) && !has(R.ROW_PROTOCOL_INVERT) && !(plain && family === 6);
  const protocol = asksProtocol ? rows[at + R.PROTOCOL] : 0;
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
  const flags = rows[at + R.FLAGS];
  const span = (invert: number, from: number): readonly PortSpan[] | null => {
    if ((flags & R.ROW_PORTS) === 0 || (flags & invert) !== 0) return null;
    return [{ min: rows[at + from], max: rows[at + from + 1] }];
  };
  let { source, destination, mark } = basic;
  let sports = span(R.ROW_SPORT_INVERT, R.SPORT_MIN), dports = span(R.ROW_DPORT_INVERT, R.DPORT_MIN);
  let relations = (flags & R.ROW_RELATION) !== 0 ? rows[at + R.RELATIONS] : -1;
  for (let m = rows[at + R.MATCHES]; m < rows[at + R.MATCHES_END]; m++) {
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

/** The bits of BY_* that an address makes under a mask. One of prefix length 0 looks at nothing. */
export function fieldsOf(mask: Int32Array, narrow: number, wide: number): number {
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
