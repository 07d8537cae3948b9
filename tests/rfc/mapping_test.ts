/** Endpoint-independent mappings in a crowd, over time, and over a restart. */
import { assert, assertEquals } from "@std/assert";
import { Xoshiro } from "../../src/clock.ts";
import { validate } from "../../src/config/validate.ts";
import { Router } from "../../src/router.ts";
import { icmpEcho, tcp, udp } from "../kit/packets.ts";
import { parse } from "../kit/show.ts";
import { readFlow } from "../oracle/listing.ts";
import { A, B, Gateway, MASQUERADE, OUTSIDE, S, T, trace } from "./gateway.ts";

/** What is wrong with the mappings that a list of flows shows: an end with two others. */
function inconsistent(flows: readonly string[]): string[] {
  const wrong: string[] = [], there = new Map<string, string>(), back = new Map<string, string>();
  for (const text of flows) {
    const { protocol, original, reply } = readFlow(text);
    if (reply.dst === original.src) continue; // to the router itself, or from outside
    const inside = `${protocol} ${original.src} ${original.sport ?? original.id}`;
    const outside = `${protocol} ${reply.dst} ${reply.dport ?? reply.id}`;
    if ((there.get(inside) ?? outside) !== outside) {
      wrong.push(`${inside} is ${there.get(inside)} and ${outside}`);
    }
    if ((back.get(outside) ?? inside) !== inside) {
      wrong.push(`${outside} is ${back.get(outside)} and ${inside}`);
    }
    there.set(inside, outside);
    back.set(outside, inside);
  }
  return wrong;
}

Deno.test("mappings stay one to one, whoever comes and goes", () => {
  for (let seed = 1; seed <= 5; seed++) {
    const random = new Xoshiro(seed), below = (n: number) => (random.next() >>> 0) % n;
    const g = new Gateway("rfc", {
      iptables: "*nat\n-A POSTROUTING -o wan -p udp -j MASQUERADE --to-ports 5000-5040\n" +
        "-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n",
    });
    let refused = 0, hairpins = 0, strangers = 0;
    for (let i = 0; i < 3000; i++) {
      const src = `10.0.0.${2 + below(10)}`, sport = 5000 + below(6), dst = `198.51.100.${1 + below(30)}`;
      switch (below(8)) {
        case 0:
          g.send("lan", tcp({ src, sport, dst, dport: 80, flags: "S", seq: 1 }));
          break;
        case 1:
          g.send("lan", icmpEcho({ src, dst, echoId: sport }));
          break;
        case 2:
          hairpins += g.send("lan", udp({ src, sport, dst: OUTSIDE, dport: 5000 + below(40) }))
            .filter((p) => p.type === undefined && p.src === OUTSIDE && p.iface === "lan").length;
          break;
        case 3:
          strangers += g.send("wan", udp({ src: dst, sport: 9, dst: OUTSIDE, dport: 5000 + below(40) }))
            .filter((p) => p.iface === "lan").length;
          break;
        case 4:
          if (below(8) === 0) g.wait(below(400));
          break;
        default:
          refused += g.send("lan", udp({ src, sport, dst, dport: 53 })).filter((p) => p.code === 13).length;
      }
      if (i % 50 === 0) assertEquals(inconsistent(g.flows()), [], `seed ${seed}, packet ${i}`);
    }
    assert(refused > 0 && hairpins > 0 && strangers > 0, `${refused} ${hairpins} ${strangers}`);
    // All forgotten: every port is free again.
    g.wait(1000);
    const ports = new Set<number>();
    for (let n = 0; n < 41; n++) ports.add(g.port(`10.0.0.${2 + n}`, 5000, S));
    assertEquals(ports.size, 41);
  }
});

Deno.test("mappings survive a restart, and with them who may come in", () => {
  const g = new Gateway("rfc");
  g.port(A, 5000, S);
  const port = g.port(B, 5000, S);
  g.pass("wan", udp({ src: T, sport: 9, dst: OUTSIDE, dport: port }));
  const out: string[] = [];
  const config = validate({
    interfaces: {
      lan: { addresses: ["10.0.0.1/24"] },
      wan: { addresses: [`${OUTSIDE}/24`] },
      dmz: { addresses: ["10.0.1.1/24"] },
    },
    routes: [{ destination: "0.0.0.0/0", interface: "wan" }],
    iptables: MASQUERADE,
    profile: "rfc",
    sysctl: { "net.netfilter.nf_conntrack_max": 1024, "net.netfilter.nf_conntrack_expect_max": 64 },
  });
  const router = new Router({
    config,
    clock: g.router.clock,
    random: new Xoshiro(9),
    memory: g.router.memory,
    recovered: true,
    emit: (iface, p) => {
      const bytes = p.bytes.slice(0, p.length);
      out.push(...trace([{ ...parse(bytes), bytes, iface: ["", "lan", "wan", "dmz"][iface] }]));
    },
    log: () => {},
  });
  const send = (iface: number, bytes: Uint8Array) => {
    const p = router.packet;
    p.bytes.set(bytes);
    p.reset(iface, bytes.length);
    router.receive(p, iface);
  };
  send(1, udp({ src: B, sport: 5000, dst: "198.51.100.99", dport: 53 }));
  send(2, udp({ src: "198.51.100.98", sport: 7, dst: OUTSIDE, dport: port }));
  send(1, udp({ src: A, sport: 6000, dst: OUTSIDE, dport: port }));
  send(1, udp({ src: B, sport: 5000, dst: T, dport: 9 }));
  assertEquals(out, [
    `wan ${OUTSIDE}:${port} > 198.51.100.99:53`,
    `lan 198.51.100.98:7 > ${B}:5000`,
    `lan ${OUTSIDE}:6000 > ${B}:5000`,
    `wan ${OUTSIDE}:${port} > ${T}:9`,
  ]);
});

Deno.test("mappings of SNAT to an address that is nobody's work the same way", () => {
  const g = new Gateway("rfc", {
    iptables: "*nat\n-A POSTROUTING -o wan -j SNAT --to-source 203.0.113.50\nCOMMIT\n",
  });
  g.port(A, 5000, S);
  const port = g.port(B, 5000, T);
  assert(port !== 5000);
  const to = (src: string, sport: number) => udp({ src, sport, dst: "203.0.113.50", dport: port });
  assertEquals(trace(g.send("wan", to(S, 99))), [`lan ${S}:99 > ${B}:5000`]);
  assertEquals(trace(g.send("lan", to(A, 5000))), [`lan 203.0.113.50:5000 > ${B}:5000`]);
  assertEquals(trace(g.send("dmz", to("10.0.1.2", 5000)))[0].startsWith("lan 203.0.113.50:"), true);
});

Deno.test("mappings work for IPv6, too", () => {
  const rules = "*nat\n-A POSTROUTING -o wan -j MASQUERADE\nCOMMIT\n";
  const g = new Gateway("rfc", {
    interfaces: { lan: { addresses: ["2001:db8:1::1/64"] }, wan: { addresses: ["2001:db8:2::1/64"] } },
    routes: [{ destination: "::/0", interface: "wan" }],
    iptables: "",
    ip6tables: rules,
  });
  const six = (src: string, dst: string, dport = 53, sport = 5000) => udp({ src, sport, dst, dport });
  g.pass("lan", six("2001:db8:1::2", "2001:db8:9::7"));
  const ports = ["2001:db8:9::7", "2001:db8:9::8"].map((dst) =>
    g.pass("lan", six("2001:db8:1::3", dst)).sport!
  );
  assertEquals(ports[0], ports[1]);
  assert(ports[0] !== 5000);
  const [hairpin] = g.send("lan", six("2001:db8:1::2", "2001:db8:2::1", ports[0]));
  assertEquals([hairpin.src, hairpin.sport, hairpin.dst, hairpin.dport, hairpin.errors], [
    "2001:db8:2::1",
    5000,
    "2001:db8:1::3",
    5000,
    [],
  ]);
});
