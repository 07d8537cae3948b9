/** The index beside a Map, while it grows, shrinks, and stands half-way. */
import { assert, assertEquals } from "@std/assert";
import { type Arena, HeapArena, MappedArena } from "../../src/arena.ts";
import { below, Xoshiro } from "../../src/clock.ts";
import { HashIndex } from "../../src/conntrack/hash_index.ts";

/** The values of a hash, in the order in which they are met. */
function met(index: HashIndex, hash: number): number[] {
  const found: number[] = [], { slots } = index;
  for (let at = index.home(hash); slots[at + 1] !== 0; at += 2) {
    if (slots[at] === hash) found.push(slots[at + 1]);
  }
  return found;
}

/** An index, and what is in it. */
class Both {
  readonly index: HashIndex;
  readonly entries: [hash: number, value: number][] = [];
  readonly #byHash = new Map<number, number[]>();
  #next = 1;

  constructor(most: number, arena: Arena = new HeapArena()) {
    this.index = new HashIndex(most, arena);
  }

  add(hash: number, index = this.index): void {
    const value = this.#next++;
    index.add(hash, value);
    this.note(hash, value);
  }

  /** An entry is in the index, in front of those of its hash. */
  note(hash: number, value: number): void {
    const values = this.#byHash.get(hash);
    this.#next = value + 1;
    this.entries.push([hash, value]);
    if (values === undefined) this.#byHash.set(hash, [value]);
    else values.unshift(value);
  }

  /** Takes out the n-th of `entries`. */
  remove(n: number, index = this.index): void {
    const [hash, value] = this.entries[n], values = this.#byHash.get(hash)!;
    index.remove(hash, value);
    this.entries[n] = this.entries[this.entries.length - 1];
    this.entries.pop();
    values.splice(values.indexOf(value), 1);
    if (values.length === 0) this.#byHash.delete(hash);
  }

  check(index = this.index): void {
    let filled = 0;
    const begin = index.home(0);
    for (let i = begin + 1; i < index.slots.length; i += 2) if (index.slots[i] !== 0) filled++;
    assertEquals([index.count, filled], [this.entries.length, this.entries.length]);
    for (const [hash, values] of this.#byHash) assertEquals(met(index, hash), values);
  }
}

/** True while the first homes are of the smaller size and the last ones of the larger. */
function half(index: HashIndex): boolean {
  const step = 2 ** 32 / index.size;
  return index.home(step) === index.home(0) && index.home(-1) - index.home(0) === 2 * index.size - 2;
}

for (const seed of [1, 2, 3]) {
  Deno.test(`HashIndex holds what was put in and nothing else, through growth and shrinking, seed ${seed}`, () => {
    const MOST = 12_000, random = new Xoshiro(seed), both = new Both(MOST), sizes = new Set<number>();
    // Some hashes come often, one very often.
    const pool = Int32Array.from({ length: 2000 }, () => random.next());
    const draw = () => {
      switch (below(random, 8)) {
        case 0:
          return below(random, 8) === 0 ? pool[0] : random.next();
        case 1:
        case 2:
          return pool[below(random, pool.length)];
        default:
          return random.next();
      }
    };
    let halves = 0;
    for (
      const [adds, steps] of [[9, 15_000], [4, 30_000], [7, 20_000], [1, 20_000], [6, 9000], [1, 12_000]]
    ) {
      for (let step = 0; step < steps; step++) {
        const { entries } = both;
        if (entries.length < MOST && below(random, 10) < adds) both.add(draw());
        else if (entries.length > 0) both.remove(below(random, entries.length));
        sizes.add(both.index.size);
        if (step % 701 !== 0) continue;
        if (half(both.index)) halves++;
        both.check();
      }
    }
    while (both.entries.length > 0) both.remove(0);
    both.check();
    assert(sizes.size >= 5, [...sizes].join());
    assert(halves > 10, `${halves} looks while it moved`);
  });
}

Deno.test("HashIndex: what is not in it is not found, and removing it changes nothing", () => {
  const both = new Both(3000), random = new Xoshiro(8);
  for (let i = 0; i < 2000; i++) {
    both.add(random.next());
    const hash = random.next();
    both.index.remove(hash, 1_000_000);
    both.index.remove(both.entries[0][0], 1_000_000);
    assertEquals(met(both.index, hash), []);
    assertEquals(both.index.slots[both.index.find(hash) + 1], 0);
    assertEquals(both.index.slots[both.index.find(both.entries[0][0]) + 1], both.entries[0][1]);
  }
  both.check();
});

Deno.test("HashIndex moves a bounded number of entries with each that comes or goes", () => {
  const MOST = 1 << 15, both = new Both(MOST), { index } = both, random = new Xoshiro(4);
  let before = index.slots.slice(), most = 0;
  const changed = () => {
    let n = 0;
    for (let i = 1; i < before.length; i += 2) if (before[i] !== index.slots[i]) n++;
    before = index.slots.slice();
    most = Math.max(most, n);
  };
  while (both.entries.length < MOST) {
    both.add(random.next());
    if (both.entries.length % 37 === 0) {
      before = index.slots.slice();
      both.add(random.next());
      changed();
    }
  }
  assertEquals(index.size, 2 * MOST);
  while (both.entries.length > 1) {
    both.remove(below(random, both.entries.length));
    if (both.entries.length % 37 === 0) {
      before = index.slots.slice();
      both.remove(0);
      changed();
    }
  }
  assertEquals(index.size, 1024);
  assert(most < 100, `${most} slots changed at once`);
});

Deno.test("HashIndex is never too small for what it was made for, even if all hashes are one", () => {
  for (const hash of [0, 1, -1, 0x7fffffff, -(2 ** 31)]) {
    const both = new Both(500);
    for (let i = 0; i < 500; i++) both.add(hash);
    both.check();
    for (let i = 500; i > 0; i--) both.remove((i * 7) % i);
    both.check();
  }
  const both = new Both(1);
  both.add(-1);
  both.check();
});

for (const count of [0, 1, 300, 3000, 3001, 60_000, 100_000]) {
  Deno.test(`HashIndex.fill with ${count} entries is as good as adding them one by one`, () => {
    const MOST = 100_000, both = new Both(MOST), random = new Xoshiro(count);
    const pairs = new Int32Array(count * 2 + 10).fill(7);
    // The last homes of all, one hash many times, and whatever comes.
    for (let i = 0; i < count; i++) {
      both.note(i % 50 === 0 ? -1 - below(random, 3) : i % 31 === 0 ? 99 : random.next(), i + 1);
      pairs[2 * (count - 1 - i)] = both.entries[i][0];
      pairs[2 * (count - 1 - i) + 1] = i + 1;
    }
    both.index.fill(pairs, count);
    assert(
      both.index.size >= 1024 && both.index.size <= Math.max(1024, count * 4),
      `${both.index.size} homes`,
    );
    both.check();
    for (let step = 0; step < 5000; step++) {
      if (both.entries.length < MOST && below(random, 2) === 0) both.add(random.next());
      else if (both.entries.length > 0) both.remove(below(random, both.entries.length));
    }
    both.check();
  });
}

Deno.test("HashIndex.fill asks what stands for two entries of one hash", () => {
  const index = new HashIndex(5000, new HeapArena()),
    random = new Xoshiro(3),
    chains = new Map<number, number[]>();
  const pairs = new Int32Array(10_000), links = new Map<number, number>();
  for (let i = 0; i < 5000; i++) {
    const hash = below(random, 3) === 0 ? Math.imul(below(random, 40), 0x9e3779b9) : random.next();
    pairs[2 * i] = hash;
    pairs[2 * i + 1] = i + 1;
    chains.set(hash, [i + 1, ...chains.get(hash) ?? []]);
  }
  index.fill(pairs, 5000, (there, value) => {
    links.set(value, there);
    return value;
  });
  assertEquals(index.count, chains.size);
  for (const [hash, values] of chains) {
    const [head, ...others] = met(index, hash), found = [head];
    assertEquals(others, []);
    for (let link = links.get(head); link !== undefined; link = links.get(link)) found.push(link);
    assertEquals(found, values);
  }
});

Deno.test("HashIndex: indices over one arena are one index", () => {
  const buffer = new ArrayBuffer(1 << 20), both = new Both(4000, new MappedArena(buffer, true));
  const all = [both.index, ...[1, 2].map(() => new HashIndex(4000, new MappedArena(buffer, false)))];
  const random = new Xoshiro(5);
  for (let step = 0; step < 30_000; step++) {
    const index = all[below(random, 3)], growing = Math.floor(step / 6000) % 2 === 0;
    if (both.entries.length < 4000 && below(random, 10) < (growing ? 8 : 2)) both.add(random.next(), index);
    else if (both.entries.length > 0) both.remove(below(random, both.entries.length), index);
    if (step % 997 === 0) { for (const one of all) both.check(one); }
  }
});
