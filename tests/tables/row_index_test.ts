/**
 * Looking a packet up in a long chain and walking the chain row by row come to the same: verdicts and reasons, marks and
 * bytes, counters, log lines, what matches count by being asked, and flows.
 */
import { assert, assertEquals } from "@std/assert";
import type { RouterConfig } from "../../src/config/types.ts";
import { DROP, FORWARD, type Hook, INPUT, OUTPUT, POSTROUTING, PREROUTING } from "../../src/netfilter.ts";
import { parse } from "../../src/packet/parse.ts";
import { amanda, ftp, irc, tftp } from "../../src/helpers/mod.ts";
import type { TableName } from "../../src/tables/extension.ts";
import { Chance } from "../fuzz/chance.ts";
import { interfaces } from "../fuzz/net.ts";
import { makePlan } from "../fuzz/plan.ts";
import { load, show } from "../kit/mod.ts";
import { longRules, mergedRules, packetFor } from "./long_chains.ts";
import { LAN, Rig, WAN } from "./rig.ts";

/** Where a packet meets tables on its way through, and between them conntrack. */
const WAY: readonly (readonly [TableName | "track" | "confirm", Hook])[] = [
  ["raw", PREROUTING],
  ["track", PREROUTING],
  ["mangle", PREROUTING],
  ["mangle", FORWARD],
  ["filter", FORWARD],
  ["mangle", INPUT],
  ["filter", INPUT],
  ["mangle", OUTPUT],
  ["filter", OUTPUT],
  ["nat", POSTROUTING],
  ["mangle", POSTROUTING],
  ["confirm", POSTROUTING],
];

/** The same rules walked and looked up. */
class Pair {
  readonly walked: Rig;
  readonly lookedUp: Rig;
  packets = 0;

  constructor(more: Partial<RouterConfig>, indexFrom?: number) {
    this.walked = new Rig({}, more, Infinity);
    this.lookedUp = new Rig({}, more, indexFrom);
  }

  /** The packet's way, said in one line. */
  #way(rig: Rig, bytes: Uint8Array, iface: number, mark: number): string {
    const p = load(rig.p, bytes, iface);
    if (parse(p) !== 0) return "refused";
    p.mark = mark;
    const said: (number | string)[] = [];
    for (const [what, hook] of WAY) {
      p.hook = hook;
      p.inInterface = hook === OUTPUT || hook === POSTROUTING ? 0 : iface;
      p.outInterface = hook === PREROUTING || hook === INPUT ? 0 : 3 - iface;
      let verdict = -1;
      if (what === "track") verdict = p.fragmentOffset === 0 ? rig.conntrack.in(p) : -1;
      else if (what === "confirm") verdict = p.ct >= 0 ? rig.conntrack.confirm(p) : -1;
      else if (what !== "nat" || p.ct >= 0) verdict = rig.of(p.family)[what]?.run(hook, p) ?? -1;
      said.push(verdict, p.mark, p.reason);
      // It goes on as if it had passed, to meet more rules.
      if (verdict === DROP) p.reason = 0;
    }
    return `${said.join(" ")} ${p.bytes.slice(0, p.length).join(".")}`;
  }

  send(bytes: Uint8Array, iface = LAN, mark = 0): void {
    this.packets++;
    const expected = this.#way(this.walked, bytes, iface, mark);
    assertEquals(this.#way(this.lookedUp, bytes, iface, mark), expected, show(bytes));
  }

  /** What must be the same in the end. */
  compare(): void {
    const { walked, lookedUp } = this;
    for (let i = 0; i < walked.counters.length; i++) {
      if (walked.counters[i] !== lookedUp.counters[i]) {
        throw new Error(`counter ${i >> 1} is ${lookedUp.counters[i]}, not ${walked.counters[i]}`);
      }
    }
    assertEquals(lookedUp.lines, walked.lines);
    assertEquals(lookedUp.rejects, walked.rejects);
    assertEquals(lookedUp.conntrack.flows.words, walked.conntrack.flows.words);
  }

  /** Rules that have counted. */
  get hit(): number {
    return this.walked.counters.filter((n, i) => i % 2 === 0 && n > 0).length;
  }
}

Deno.test("RowIndex finds the rows that a walk finds in thousands of rules of the fuzzer", () => {
  let hit = 0;
  for (let seed = 1; seed <= 4; seed++) {
    const c = new Chance(seed);
    const pair = new Pair({
      interfaces: interfaces({}),
      helpers: [amanda, ftp, irc, tftp].map((helper) => helper({ autoAssign: false })),
      iptables: mergedRules(c.fork(), 4, 80),
      ip6tables: mergedRules(c.fork(), 6, 80),
    }, seed % 2 === 0 ? 1 : undefined);
    for (const step of makePlan({ seed, packets: 2000 }).steps) {
      pair.send(step.bytes, step.iface === "lan" ? LAN : WAN, c.below(4));
    }
    pair.compare();
    hit += pair.hit;
  }
  assert(hit > 4000, `only ${hit} rules were hit`);
});

Deno.test("RowIndex finds the rows that a walk finds where rules have everything that can be looked up", () => {
  let hit = 0;
  for (let seed = 1; seed <= 8; seed++) {
    const c = new Chance(seed), rules = [20, 100, 1000, 3000][seed % 4];
    const pair = new Pair({ iptables: longRules(c, 4, rules), ip6tables: longRules(c, 6, rules) });
    for (let i = 0; i < 2000; i++) {
      pair.send(packetFor(c, c.is(0.5) ? 4 : 6), c.pick([LAN, WAN]), c.pick([0, 1, 2, 0x10]));
    }
    pair.compare();
    hit += pair.hit;
  }
  assert(hit > 4000, `only ${hit} rules were hit`);
});
