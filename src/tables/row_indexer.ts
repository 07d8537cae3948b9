/**
 * Makes the index of a chain (see row_index.ts): what each row can be looked up by, the groups that come of it, and
 * their hash tables.
 *
 * A range of ports is cut into blocks of equal, aligned size, and its row stands under each of them; one that asks for
 * an interface by a pattern stands under each that fits. So a row may be found in several places, by itself in each.
 *
 * @module
 */
import type { Family } from "../netfilter.ts";
import { type Group, groupsOf } from "./row_groups.ts";
import * as I from "./row_index.ts";
import { ANY, readRow, type Rows, type Shape, type Wanted } from "./row_wanted.ts";

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
