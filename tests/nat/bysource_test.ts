/** The by-source index beside a list of what is in it. */
import { assert, assertEquals } from "@std/assert";
import { HeapArena } from "../../src/arena.ts";
import { below, Xoshiro } from "../../src/clock.ts";
import {
  CT_BYSOURCE_NEXT,
  CT_ORIGINAL,
  CT_STATE,
  CT_STATUS,
  FLOW_CONFIRMED,
  FLOW_WORDS,
  IPS_SRC_NAT_DONE,
} from "../../src/conntrack/flow.ts";
import { FlowTable } from "../../src/conntrack/table.ts";
import { newTuple, PORTS, PROTO, SRC } from "../../src/conntrack/tuple.ts";
import { BySource } from "../../src/nat/bysource.ts";

const FLOWS = 600, SOURCES = 200;

/** Source number `n`: addresses, ports, protocols and zones that differ in one of them only. */
function source(t: Int32Array, at: number, n: number): void {
  t[at + SRC] = 0x0a000000 | (n >> 4);
  t[at + PORTS] = ((5000 + (n & 3)) << 16) | 53;
  t[at + PROTO] = ((n >> 3 & 1) << 16) | (4 << 8) | ((n & 4) !== 0 ? 6 : 17);
}

Deno.test("BySource lists the flows of each source, the newest first, whatever comes and goes", () => {
  const random = new Xoshiro(3),
    flows = new FlowTable(new ArrayBuffer(FlowTable.bytes(FLOWS)), 0, FLOWS, random);
  let index = new BySource(flows, random, new HeapArena());
  const w = flows.words, there: number[][] = Array.from({ length: SOURCES }, () => []), t = newTuple();
  let count = 0, longest = 0;
  const list = (n: number) => {
    source(t, 0, n);
    const found: number[] = [];
    for (let link = index.first(t, 0, t[PROTO]); link !== 0;) {
      if (index.sameSource(link - 1, t, 0, t[PROTO])) found.push(link - 1);
      link = w[(link - 1) * FLOW_WORDS + CT_BYSOURCE_NEXT];
    }
    return found;
  };
  for (let step = 0; step < 20_000; step++) {
    // Few sources have many flows.
    const n = below(random, 2) === 0 ? below(random, 4) : below(random, SOURCES);
    if (count < FLOWS && below(random, count < 300 ? 3 : 2) > 0) {
      const ct = flows.alloc(), at = ct * FLOW_WORDS;
      source(w, at + CT_ORIGINAL, n);
      w[at + CT_STATUS] |= IPS_SRC_NAT_DONE;
      w[at + CT_STATE] = FLOW_CONFIRMED;
      index.add(ct);
      there[n].unshift(ct);
      count++;
    } else if (there[n].length > 0) {
      const [ct] = there[n].splice(below(random, there[n].length), 1);
      index.remove(ct);
      flows.free(ct);
      count--;
    }
    longest = Math.max(longest, there[n].length);
    assertEquals(list(n), there[n], `source ${n} at step ${step}`);
    const other = below(random, SOURCES);
    assertEquals(list(other), there[other]);
  }
  assert(longest > 20, `${longest} flows of one source`);
  index = new BySource(flows, random, new HeapArena());
  for (const cts of there) for (const ct of cts) index.adopt(ct);
  index.rebuild();
  for (let n = 0; n < SOURCES; n++) assertEquals(list(n).sort(), there[n].toSorted());
  for (let n = 0; n < SOURCES; n++) {
    while (there[n].length > 0) {
      index.remove(there[n].splice(below(random, there[n].length), 1)[0]);
      assertEquals(list(n).sort(), there[n].toSorted());
    }
  }
});
