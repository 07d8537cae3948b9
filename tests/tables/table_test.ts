/** Walks through tables: jumps, returns, gotos, policies, and what is counted on the way. */
import { assert, assertEquals } from "@std/assert";
import { ACCEPT, FORWARD, INPUT, OUTPUT, POSTROUTING, PREROUTING } from "../../src/netfilter.ts";
import { icmpEcho, tcp, udp } from "../kit/mod.ts";
import { LAN, Rig, WAN } from "./rig.ts";

const C = "10.0.0.2", S = "203.0.113.9", C6 = "2001:db8:1::2", S6 = "2001:db8:2::9";
const syn = (dport: number) => tcp({ src: C, dst: S, sport: 1025, dport, flags: "S" });
const syn6 = (dport: number) => tcp({ src: C6, dst: S6, sport: 1025, dport, flags: "S" });
const datagram = udp({ src: C, dst: S, sport: 1025, dport: 53, payload: 72 });

Deno.test("Table ends in the policy when no rule decides, and counts it", () => {
  const rig = new Rig({
    filter: { FORWARD: { policy: "DROP", rules: [{ protocol: "tcp", jump: "ACCEPT" }] } },
  });
  assertEquals(rig.says("filter", syn(22)), "ACCEPT");
  assertEquals(rig.says("filter", datagram), "policy-drop");
  assertEquals(rig.count("filter", "FORWARD"), [[1, 40], [1, 100]]);
});

Deno.test("Table counts bytes as the length of the IP packet", () => {
  const rig = new Rig({ filter: { FORWARD: [{}] } });
  rig.run("filter", datagram);
  rig.run("filter", icmpEcho({ src: C, dst: S, payload: 56 }));
  assertEquals(rig.count("filter", "FORWARD"), [[2, 184], [2, 184]]);
});

Deno.test("Table stops at the first verdict, and a rule without a target goes on", () => {
  const rig = new Rig({
    filter: {
      FORWARD: [{ protocol: "tcp" }, { protocol: "tcp", jump: "DROP" }, { protocol: "tcp", jump: "ACCEPT" }],
    },
  });
  assertEquals(rig.says("filter", syn(22)), "rule-drop");
  assertEquals(rig.count("filter", "FORWARD"), [[1, 40], [1, 40], [0, 0], [0, 0]]);
});

Deno.test("Table accepts in hooks it has no chain for", () => {
  const rig = new Rig({ raw: { PREROUTING: [{ jump: "DROP" }] } });
  assertEquals(rig.run("raw", syn(22), { hook: INPUT }), ACCEPT);
  assertEquals(rig.says("raw", syn(22), { hook: PREROUTING }), "rule-drop");
});

Deno.test("Table jumps into a user chain and comes back behind the rule at its end", () => {
  const rig = new Rig({
    filter: {
      FORWARD: [{ jump: "web" }, { jump: "DROP" }],
      web: [{ protocol: "tcp", dport: 80, jump: "ACCEPT" }],
    },
  });
  assertEquals(rig.says("filter", syn(80)), "ACCEPT");
  assertEquals(rig.says("filter", syn(22)), "rule-drop");
  assertEquals(rig.count("filter", "FORWARD").map(([n]) => n), [2, 1, 0]);
  assertEquals(rig.count("filter", "web").map(([n]) => n).slice(0, 1), [1]);
});

Deno.test("Table RETURN in a user chain goes back to the caller, in a built-in chain to the policy", () => {
  const rig = new Rig({
    filter: {
      FORWARD: {
        policy: "DROP",
        rules: [{ jump: "a" }, { protocol: "udp", jump: "RETURN" }, { jump: "ACCEPT" }],
      },
      a: [{ protocol: "tcp", dport: 1, jump: "RETURN" }, { protocol: "tcp", jump: "DROP" }],
    },
  });
  assertEquals(rig.says("filter", syn(1)), "ACCEPT");
  assertEquals(rig.says("filter", syn(2)), "rule-drop");
  assertEquals(rig.says("filter", datagram), "policy-drop");
  assertEquals(rig.count("filter", "FORWARD").map(([n]) => n), [3, 1, 1, 1]);
});

Deno.test("Table goto does not come back to where it was called, but to that chain's caller", () => {
  const rig = new Rig({
    filter: {
      FORWARD: { policy: "DROP", rules: [{ jump: "a" }, { jump: "ACCEPT" }] },
      a: [{ protocol: "tcp", goto: "b" }, { jump: "DROP" }],
      b: [{ protocol: "tcp", dport: 9, jump: "DROP" }],
    },
  });
  // b returns to FORWARD's second rule, not to a's.
  assertEquals(rig.says("filter", syn(1)), "ACCEPT");
  assertEquals(rig.says("filter", syn(9)), "rule-drop");
  assertEquals(rig.says("filter", datagram), "rule-drop");
});

Deno.test("Table goto from a built-in chain ends in its policy", () => {
  const rig = new Rig({
    filter: {
      FORWARD: { policy: "DROP", rules: [{ goto: "a" }, { jump: "ACCEPT" }] },
      a: [{ protocol: "udp" }],
    },
  });
  assertEquals(rig.says("filter", syn(1)), "policy-drop");
  assertEquals(rig.count("filter", "FORWARD"), [[1, 40], [0, 0], [1, 40]]);
});

Deno.test("Table walks chains as deep as there are chains", () => {
  const chains: Record<string, { jump: string; protocol?: string }[]> = {};
  for (let i = 0; i < 20; i++) {
    chains[`c${i}`] = [{ jump: i < 19 ? `c${i + 1}` : "RETURN" }, { protocol: "tcp", jump: "RETURN" }];
  }
  const rig = new Rig({ filter: { FORWARD: [{ jump: "c0" }, { jump: "DROP" }], ...chains } });
  for (let round = 0; round < 3; round++) assertEquals(rig.says("filter", syn(1)), "rule-drop");
  assertEquals(rig.count("filter", "c19")[0], [3, 120]);
  assertEquals(rig.count("filter", "c0")[1], [3, 120]);
});

Deno.test("Table keeps its place while REJECT sends a packet through it", () => {
  const rig = new Rig({
    filter: {
      FORWARD: [{ jump: "a" }],
      a: [{ jump: "b" }],
      b: [{ protocol: "tcp", jump: "REJECT", rejectWith: "tcp-reset" }],
      OUTPUT: [{ jump: "a2" }, { jump: "ACCEPT" }],
      a2: [{ jump: "b2" }],
      b2: [{ protocol: "tcp" }],
    },
  });
  const reset = tcp({ src: S, dst: C, sport: 22, dport: 1025, flags: "R" });
  rig.onReject = () => {
    const inner = new Rig({});
    const p = inner.load(reset, { hook: OUTPUT, in: 0, out: LAN });
    assertEquals(rig.of(4).filter!.run(OUTPUT, p), ACCEPT);
  };
  assertEquals(rig.says("filter", syn(22)), "rule-reject");
  assertEquals(rig.says("filter", syn(22)), "rule-reject");
  assertEquals(rig.count("filter", "b2")[0][0], 2);
  assertEquals(rig.rejects, [256, 256]);
});

Deno.test("Table compares addresses under masks, and turned round", () => {
  const rig = new Rig({
    filter: {
      FORWARD: [
        { source: "10.0.0.0/8", destination: "203.0.113.9" },
        { source: "! 10.0.0.0/8" },
        { destination: "203.0.113.8/30" },
        { source: "10.0.0.2/255.0.0.255" },
        { source: ["10.0.0.3", "10.0.0.2"] },
        { source: "0.0.0.0/0" },
      ],
    },
  });
  rig.run("filter", syn(1));
  assertEquals(rig.count("filter", "FORWARD").map(([n]) => n), [1, 0, 1, 1, 0, 1, 1, 1]);
  rig.run("filter", tcp({ src: "11.0.0.2", dst: "203.0.113.10", sport: 1, dport: 1, flags: "S" }));
  assertEquals(rig.count("filter", "FORWARD").map(([n]) => n), [1, 1, 2, 1, 0, 1, 2, 2]);
});

Deno.test("Table compares all 128 bits of IPv6 addresses", () => {
  const rig = new Rig({
    filter: {
      FORWARD: [
        { source: "2001:db8:1::/64" },
        { source: "2001:db8:1::2" },
        { source: "2001:db8:1::3" },
        { destination: "! 2001:db8:2::/126" },
        { destination: "2001:db8:2::8/125" },
        { source: "::2/::ff" },
      ],
    },
  });
  rig.run("filter", syn6(1));
  assertEquals(rig.count("filter", "FORWARD", 6).map(([n]) => n), [1, 1, 0, 1, 1, 1, 1]);
  assertEquals(rig.count("filter", "FORWARD", 6)[0][1], 60);
  assertEquals(rig.config.rules.ipv4.filter, null);
});

Deno.test("Table compares interfaces by name, wildcard and negation, and no interface is none of them", () => {
  const rig = new Rig({
    mangle: {
      PREROUTING: [{ inInterface: "lan" }, { inInterface: "l+" }, { inInterface: "! lan" }, {
        inInterface: "+",
      }],
      POSTROUTING: [{ outInterface: "wan" }, { outInterface: "! wan" }],
      shared: [{ inInterface: "lan" }, { inInterface: "! lan" }],
      INPUT: [{ jump: "shared" }],
      OUTPUT: [{ jump: "shared" }],
    },
  });
  rig.run("mangle", syn(1), { hook: PREROUTING, in: LAN });
  assertEquals(rig.count("mangle", "PREROUTING").map(([n]) => n), [1, 1, 0, 1, 1]);
  rig.run("mangle", syn(1), { hook: PREROUTING, in: WAN });
  assertEquals(rig.count("mangle", "PREROUTING").map(([n]) => n), [1, 1, 1, 2, 2]);
  rig.run("mangle", syn(1), { hook: POSTROUTING, out: WAN });
  assertEquals(rig.count("mangle", "POSTROUTING").map(([n]) => n), [1, 0, 1]);
  rig.run("mangle", syn(1), { hook: OUTPUT, in: 0 });
  assertEquals(rig.count("mangle", "shared").map(([n]) => n).slice(0, 2), [0, 1]);
});

Deno.test("Table compares protocols, also in later fragments", () => {
  const rig = new Rig({
    filter: {
      FORWARD: [{ protocol: "udp" }, { protocol: "! udp" }, { protocol: 17, fragment: true }, {
        fragment: false,
      }],
    },
  });
  const later = udp({ src: C, dst: S, sport: 1, dport: 2, offset: 1480, payload: 32 });
  rig.run("filter", datagram);
  assertEquals(rig.count("filter", "FORWARD").map(([n]) => n), [1, 0, 0, 1, 1]);
  rig.run("filter", later);
  assertEquals(rig.count("filter", "FORWARD").map(([n]) => n), [2, 0, 1, 1, 2]);
});

Deno.test("Table keeps the counters of both families apart", () => {
  const rig = new Rig({ filter: { FORWARD: [{ protocol: "tcp" }] } });
  rig.run("filter", syn(1));
  rig.run("filter", syn6(1));
  rig.run("filter", syn6(1));
  assertEquals(rig.count("filter", "FORWARD", 4)[0], [1, 40]);
  assertEquals(rig.count("filter", "FORWARD", 6)[0], [2, 120]);
});

Deno.test("Table allocates nothing while it walks", () => {
  const rules = Array.from({ length: 50 }, (_, i) => ({ protocol: "tcp", dport: i + 1000 }));
  const rig = new Rig({
    filter: {
      FORWARD: [{ state: ["ESTABLISHED"], jump: "ACCEPT" }, ...rules, { jump: "a" }],
      a: [{ source: "! 10.0.0.0/8" }, { limit: "10/second" }, { mark: 3 }],
    },
  });
  const p = rig.load(syn(1));
  const table = rig.of(4).filter!;
  const walk = (n: number) => {
    for (let i = 0; i < n; i++) table.run(FORWARD, p);
  };
  walk(20_000);
  const before = heap();
  walk(200_000);
  const grown = heap() - before;
  assert(grown < 200_000, `the heap grew by ${grown} bytes in 200,000 walks`);
});

function heap(): number {
  return Deno.memoryUsage().heapUsed;
}
