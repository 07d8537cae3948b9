/** What goes on when a router takes over from one with another configuration, in one thread and packet by packet. */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { arrange, follow, type Order } from "../../src/config/order.ts";
import { ruleNames, summarize } from "../../src/config/summary.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { validate } from "../../src/config/validate.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import type { ValidConfig } from "../../src/config/valid.ts";
import { namesOf } from "../../src/control/reload.ts";
import { copyPieces, Share, SharedArena } from "../../src/dataplane/shared_arena.ts";
import { CT_EXPIRES, CT_HELPER, CT_STATE, FLOW_CONFIRMED, FLOW_WORDS } from "../../src/conntrack/flow.ts";
import { ftp, tftp } from "../../src/helpers/mod.ts";
import { geometryOf } from "../../src/geometry.ts";
import { type Gone, Router, type TakenOver } from "../../src/router.ts";
import { Memory } from "../../src/memory.ts";
import { test } from "../ffi/netns.ts";
import { fragments, seeded, tcp, udp, VirtualClock } from "../kit/mod.ts";

const LAN = 1, WAN = 2, C = "192.0.2.2", S = "198.51.100.2";

/** A router whose configuration is changed now and then. */
class Changing implements Disposable {
  readonly clock = new VirtualClock();
  config!: ValidConfig;
  router!: Router;
  memory!: Memory;
  sent = 0;
  readonly #lasting = new Share();
  readonly #fragments = new Share();
  readonly #owns: Share[] = [];
  readonly #layouts = new Set<number>();
  #order: Order | null = null;
  #own: SharedArena | null = null;

  constructor(config: Partial<RouterConfig>) {
    this.change(config);
  }

  /** Another configuration; the old one routes until the last moment: `meanwhile`. */
  change(
    more: Partial<RouterConfig>,
    zero = false,
    gone: Gone = { interfaces: [], addresses: [] },
    meanwhile = () => {},
  ): TakenOver | null {
    const written: RouterConfig = {
      interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } },
      ...more,
      sysctl: { "net.netfilter.nf_conntrack_max": 64, ...more.sysctl },
    };
    const valid = validate(written), order = follow(namesOf(summarize(valid)), this.#order);
    const config = arrange(valid, order),
      geometry = geometryOf(config),
      before = this.#own === null ? undefined : this.memory;
    const memory = before === undefined
      ? Memory.create(new ArrayBuffer(Memory.bytes(geometry) + (1 << 24)), geometry)
      : before.successor(geometry);
    order.interfaces.forEach((name, i) => memory.generation.setInterfaceName(i + 1, name));
    const share = new Share(), own = new SharedArena(share, true), first = before === undefined;
    this.#owns.push(share);
    const arena = new SharedArena(this.#lasting, first);
    const router = new Router({
      config,
      clock: this.clock,
      random: seeded(3),
      memory,
      arena,
      own,
      gathering: new SharedArena(this.#fragments, first),
      before,
      names: ruleNames(valid),
      emit: () => this.sent++,
      log: () => {},
    });
    this.#layouts.add(arena.layout);
    assertEquals(this.#layouts.size, 1, "all lay out the same");
    meanwhile();
    let taken: TakenOver | null = null;
    if (before !== undefined) {
      copyPieces(this.#own!.pieces, own.pieces);
      taken = router.takeOver(before, gone, zero);
    }
    Object.assign(this, { config, router, memory });
    this.#order = order;
    this.#own = own;
    return taken;
  }

  /** True if the packet left. */
  send(iface: number, bytes: Uint8Array): boolean {
    const { router } = this, p = router.packet, before = this.sent;
    p.bytes.set(bytes);
    p.reset(iface, bytes.length);
    router.receive(p, iface);
    router.sweep();
    return this.sent > before;
  }

  /** Rules of IPv4 with their packets, as `[packets] rule`. */
  get counters(): string[] {
    return [
      ...saveRules(this.config.rules.ipv4, { counters: this.memory.generation.rules }).matchAll(
        /^\[(\d+):\d+\] -A (.*)$/gm,
      ),
    ]
      .map(([, packets, rule]) => `${packets} ${rule}`);
  }

  get flows(): number {
    return this.router.conntrack.flows.count;
  }

  [Symbol.dispose](): void {
    for (const share of [this.#lasting, this.#fragments, ...this.#owns]) share.close();
  }
}

const ask = (sport = 4000) => udp({ src: C, dst: S, sport, dport: 53, payload: 10 });
const syn = (dport = 21, sport = 4000) => tcp({ src: C, dst: S, sport, dport, flags: "S" });

test("takeOver: counters and what rules remember stay with their text; what is new begins", () => {
  const forward = (...first: string[]) => ({
    iptables: [
      "*filter",
      ...first,
      "-A FORWARD -p udp -m limit --limit 1/hour --limit-burst 3 -j ACCEPT",
      "-A FORWARD -p udp -m statistic --mode nth --every 3 --packet 0 -j ACCEPT",
      "-A FORWARD -j DROP",
      "COMMIT",
      "",
    ].join("\n"),
  });
  using weir = new Changing(forward());
  // Three by the burst, then each third one.
  assertEquals([1, 2, 3, 4, 5].map(() => weir.send(LAN, ask())), [true, true, true, true, false]);
  weir.change(forward("-A FORWARD -s 203.0.113.9 -j DROP"), false, undefined, () => {
    assertEquals(weir.send(LAN, ask()), false, "the old one routes while the new one is made");
  });
  assertEquals(weir.counters, [
    "0 FORWARD -s 203.0.113.9/32 -j DROP",
    "3 FORWARD -p udp -m limit --limit 1/hour --limit-burst 3 -j ACCEPT",
    "1 FORWARD -p udp -m statistic --mode nth --every 3 --packet 0 -j ACCEPT",
    "2 FORWARD -j DROP",
  ]);
  assertEquals([1, 2, 3, 4].map(() => weir.send(LAN, ask())), [true, false, false, true]);
  weir.change(forward(), true);
  assertEquals(weir.counters.map((line) => line[0]), ["0", "0", "0"]);
  assertEquals(weir.send(LAN, ask()), false, "only the counters begin anew");
});

test("takeOver: addresses that recent has seen and buckets of hashlimit stay, if the rules ask the same of them", () => {
  const forward = (hits: number, burst: number, first = "") => ({
    iptables: [
      "*filter",
      first,
      `-A FORWARD -m recent --update --seconds 60 --hitcount ${hits} --name seen -j DROP`,
      "-A FORWARD -m recent --set --name seen",
      `-A FORWARD -m hashlimit --hashlimit-above 1/hour --hashlimit-burst ${burst} --hashlimit-mode srcip ` +
      "--hashlimit-name per -j DROP",
      "COMMIT",
      "",
    ].filter((line) => line !== "").join("\n"),
  });
  using weir = new Changing(forward(4, 3));
  const sent = (n: number) => Array.from({ length: n }, () => weir.send(LAN, ask()));
  assertEquals(sent(2), [true, true]);
  weir.change(forward(4, 3, "-A FORWARD -s 203.0.113.9 -j DROP"));
  // The third of the bucket; the fourth is one too many for it, and the fifth has been seen four times before.
  assertEquals(sent(3), [true, false, false]);
  assertEquals(weir.counters.map((line) => line[0]), ["0", "1", "4", "1"]);
  // Room for more times is another list, and another burst another bucket.
  weir.change(forward(5, 4));
  assertEquals(sent(5), [true, true, true, true, false]);
});

test("takeOver: what a quota has left stays with its rule", () => {
  const rule = (quota: number, first = "") => ({
    iptables: [
      "*filter",
      first,
      `-A FORWARD -m quota --quota ${quota} -j ACCEPT`,
      "-A FORWARD -j DROP",
      "COMMIT",
      "",
    ]
      .filter((line) => line !== "" || first !== "").join("\n"),
  });
  // Packets of 38 bytes.
  using weir = new Changing(rule(100));
  assertEquals(weir.send(LAN, ask()), true);
  weir.change(rule(100, "-A FORWARD -s 203.0.113.9 -j DROP"));
  assertEquals([1, 2, 3].map(() => weir.send(LAN, ask())), [true, false, false]);
  weir.change(rule(101));
  assertEquals([1, 2, 3].map(() => weir.send(LAN, ask())), [true, true, false]);
});

test("takeOver: the connections that a rule has counted stay counted, as long as the rule is the same", () => {
  const rule = (limit: number, first = "") => ({
    iptables: ["*filter", first, `-A FORWARD -m connlimit --connlimit-above ${limit} -j DROP`, "COMMIT", ""]
      .filter((line) => line !== "" || first !== "").join("\n"),
  });
  using weir = new Changing(rule(2));
  const sent = (from: number, n: number) =>
    Array.from({ length: n }, (_, i) => weir.send(LAN, ask(from + i)));
  assertEquals(sent(4000, 2), [true, true]);
  weir.change(rule(2, "-A FORWARD -s 203.0.113.9 -j DROP"));
  weir.clock.now += 100;
  assertEquals(sent(4010, 2), [false, false]);
  // Another rule begins anew.
  weir.change(rule(3));
  weir.clock.now += 100;
  assertEquals(sent(4020, 4), [true, true, true, false]);
});

test("takeOver: flows and their translations stay, and are judged by the new rules at once", () => {
  const source = (toSource: string, policy: "ACCEPT" | "DROP" = "ACCEPT") => ({
    tables: {
      ipv4: { nat: { POSTROUTING: [{ outInterface: "wan", jump: "SNAT", toSource } as const] } },
      filter: { FORWARD: { policy, rules: [] } },
    },
  });
  using weir = new Changing(source("198.51.100.50"));
  const answer = (dst: string) => udp({ src: S, dst, sport: 53, dport: 4000, payload: 10 });
  for (let i = 0; i < 3; i++) assert(weir.send(LAN, ask()) && weir.send(WAN, answer("198.51.100.50")));
  weir.change(source("198.51.100.60"));
  assert(weir.send(WAN, answer("198.51.100.50")), "the old flow has its old translation");
  assert(weir.send(LAN, ask()));
  assert(weir.send(LAN, ask(4001)));
  assert(weir.send(WAN, udp({ src: S, dst: "198.51.100.60", sport: 53, dport: 4001, payload: 10 })));
  const flows = weir.flows;
  weir.change(source("198.51.100.60", "DROP"));
  assertEquals([weir.send(LAN, ask()), weir.send(WAN, answer("198.51.100.50")), weir.flows], [
    false,
    false,
    flows,
  ]);
  weir.change(source("198.51.100.60"));
  assert(weir.send(LAN, ask()));
});

test("takeOver: timeouts hold from the next packet on; a flow keeps the policy that a rule gave it", () => {
  const with_ = (unreplied: number, web: number | null, rules: boolean): Partial<RouterConfig> => ({
    sysctl: { "net.netfilter.nf_conntrack_udp_timeout": unreplied },
    timeouts: web === null ? {} : { web: { protocol: "udp", unreplied: web } },
    tables: {
      filter: { FORWARD: [{ state: "INVALID", jump: "DROP" }] },
      raw: {
        PREROUTING: rules
          ? [
            { protocol: "udp", dport: 53, sport: 4001, jump: "CT", timeout: "web" },
            { protocol: "udp", dport: 53, sport: 4002, jump: "CT", timeout: { unreplied: 77 } },
          ]
          : [],
      },
    },
  });
  using weir = new Changing(with_(30, 100, true));
  const left = () => {
    const { flows } = weir.router.conntrack, { words } = flows, all: number[] = [];
    for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) {
      if (words[ct * FLOW_WORDS + CT_STATE] !== FLOW_CONFIRMED) continue;
      all.push((words[ct * FLOW_WORDS + CT_EXPIRES] - weir.clock.now) / 1000);
    }
    return all;
  };
  const talk = () => [4000, 4001, 4002].forEach((sport) => weir.send(LAN, ask(sport)));
  talk();
  assertEquals(left(), [30, 100, 77]);
  weir.change(with_(60, 200, false));
  assertEquals(left(), [30, 100, 77], "until the next packet");
  talk();
  assertEquals(left(), [60, 200, 77]);
  weir.change(with_(60, null, false));
  talk();
  assertEquals(left(), [60, 60, 77], "a policy that has gone is nobody's any more");
});

test("takeOver: a set with the same text keeps its members, another one begins", () => {
  const list = (entries: string[], more: string[] = []) => ({
    sets: { seen: { type: "hash:ip", timeout: 60, comment: true, entries } as const },
    iptables: [
      "*filter",
      ...more,
      "-A FORWARD -p udp --dport 53 -j SET --add-set seen src",
      "-A FORWARD -m set --match-set seen src -j ACCEPT",
      "-A FORWARD -j DROP",
      "COMMIT",
      "",
    ].join("\n"),
  });
  const passes = () => weir.send(LAN, udp({ src: C, dst: S, sport: 9, dport: 99, payload: 1 }));
  using weir = new Changing(list(["192.0.2.9"]));
  assertEquals(passes(), false);
  weir.send(LAN, ask());
  assertEquals(passes(), true);
  const { elements } = weir.router.sets.get("seen").ipv4!;
  elements.setComment(1, "of a command");
  weir.change(list(["192.0.2.9"], ["-A FORWARD -s 203.0.113.9 -j DROP"]));
  assertEquals(passes(), true, "what packets have added stays");
  const now = weir.router.sets.get("seen").ipv4!.elements;
  assertEquals([now.count, now.comment(1)], [2, ""]);
  weir.clock.advance(59_000);
  assertEquals(passes(), true);
  weir.clock.advance(2_000);
  assertEquals(passes(), false, "with the time that it had");
  weir.send(LAN, ask());
  weir.change(list(["192.0.2.8"]));
  assertEquals([passes(), weir.router.sets.get("seen").count], [false, 1]);
});

test("takeOver: helpers and interfaces that are gone let go of their flows; others keep them by their numbers", () => {
  const masquerade = { ipv4: { nat: { POSTROUTING: [{ jump: "MASQUERADE" }] } } } as const;
  using weir = new Changing({ helpers: [tftp(), ftp()], tables: masquerade });
  assert(weir.send(LAN, syn()) && weir.send(LAN, ask()));
  const helperOf = (): (string | null)[] => {
    const { flows, helpers } = weir.router.conntrack, { words } = flows, all: (string | null)[] = [];
    for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) {
      all.push(helpers[words[ct * FLOW_WORDS + CT_HELPER] - 1]?.name ?? null);
    }
    return all;
  };
  assertEquals(helperOf(), [null, "ftp"], "TCP has the handles at the end");
  assertEquals(weir.change({ helpers: [ftp()], tables: masquerade }), {
    unhelped: 0,
    expectations: 0,
    ended: 0,
  });
  assertEquals(helperOf(), [null, "ftp"], "TCP has the handles at the end");
  assertEquals(weir.change({ helpers: [tftp()], tables: masquerade })?.unhelped, 1);
  assertEquals(helperOf(), [null, null]);
  const other = { lan: { addresses: ["192.0.2.1/24"] }, out: { addresses: ["198.51.100.1/24"] } };
  assertEquals(
    weir.change({ interfaces: other, tables: masquerade }, false, { interfaces: [WAN], addresses: [] })
      ?.ended,
    2,
  );
  assertEquals([weir.flows, weir.router.interfaces.byName("out"), weir.router.interfaces.byName("wan")], [
    0,
    3,
    0,
  ]);
  assert(weir.send(LAN, ask()));
  const words = Int32Array.of(0xc6336401, 0, 0, 0);
  const moved = { ...other, out: { addresses: ["198.51.100.7/24"] } };
  assertEquals(
    weir.change({ interfaces: moved, tables: masquerade }, false, {
      interfaces: [],
      addresses: [{ iface: 3, words }],
    })?.ended,
    1,
  );
});

test("takeOver: a datagram whose fragments came before and after becomes whole", () => {
  const tables = { filter: { FORWARD: [{ state: "INVALID", jump: "DROP" }] } } as const;
  using weir = new Changing({ tables });
  const pieces = fragments(udp({ src: C, dst: S, sport: 1, dport: 2, payload: 2000, id: 7 }), 1000);
  assertGreater(pieces.length, 1);
  assertEquals(weir.send(LAN, pieces[0]), false);
  weir.change({ tables: { filter: { FORWARD: [...tables.filter.FORWARD, { jump: "ACCEPT" }] } } });
  assertEquals(pieces.slice(1).map((piece) => weir.send(LAN, piece)).at(-1), true);
});
