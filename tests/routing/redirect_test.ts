/** ICMP redirects: who is told of a shorter way, how often, and what Linux says to the same packets. */
import { assertEquals } from "@std/assert";
import type { Reason } from "../../src/netfilter.ts";
import { validate } from "../../src/config/validate.ts";
import { VirtualRouter } from "../../src/replay/virtual.ts";
import { fragments, icmpEcho, icmpError, parse, show, tcp, udp, type UdpOptions } from "../kit/mod.ts";
import { assertAlike } from "../oracle/ask.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { packet, type Scenario, type Step, wait } from "../oracle/scenario.ts";

const NET = {
  interfaces: {
    lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64", "fe80::1/64", "fe80::2/64"] },
    wan: { addresses: ["203.0.113.1/24", "2001:db8:3::1/64"] },
  },
  routes: [
    { destination: "198.51.100.0/24", interface: "lan", via: "192.0.2.254" },
    { destination: "198.51.101.0/24", interface: "lan" },
    { destination: "198.51.102.0/24", interface: "lan", via: "192.0.2.253" },
    { destination: "0.0.0.0/0", interface: "wan", via: "203.0.113.254" },
    { destination: "2001:db8:a::/48", interface: "lan", via: "fe80::99" },
    { destination: "2001:db8:b::/48", interface: "lan", via: "2001:db8:1::99" },
    { destination: "2001:db8:c::/48", interface: "lan" },
    { destination: "::/0", interface: "wan" },
  ],
};
const SEND = "net.ipv4.conf.all.send_redirects";
const datagram = (src: string, dst: string, o: Partial<UdpOptions> = {}) =>
  udp({ src, dst, sport: 1, dport: 2, payload: 4, ...o });

/** What the router sends when these packets come in at `lan`, 100 milliseconds apart unless said otherwise. */
function told(packets: readonly Uint8Array[], sysctl: Record<string, number> = {}, pause = 100): string[] {
  const out: string[] = [],
    router = new VirtualRouter(validate({ ...NET, sysctl }), {
      emit: (iface, bytes) => {
        const p = parse(bytes);
        if (p.type === 5 || p.type === 137) out.push(`${NAMES[iface]} ${show(bytes)}`);
      },
    });
  let now = 1000;
  for (const bytes of packets) {
    router.moveTo(now += pause);
    router.receive(1, bytes);
  }
  return out;
}
const NAMES = ["", "lan", "wan"];

Deno.test("a neighbour is told of the next hop, and the packet goes on", () => {
  const [said, ...more] = told([datagram("192.0.2.2", "198.51.100.7")]);
  assertEquals(more, []);
  // 192.0.2.254 stands where other errors have their MTU.
  assertEquals(
    said.replace(/ id \d+/g, ""),
    "lan ICMP 192.0.2.1 > 192.0.2.2 type 5 code 1 rest 3221226238 " +
      "ttl 64 tos 0xc0 len 60 {UDP 192.0.2.2:1 > 198.51.100.7:2 ttl 63 DF len 32}",
  );
});

Deno.test("nobody is told when it is off, when the sender is behind a gateway, or when the packet dies", () => {
  assertEquals(told([datagram("192.0.2.2", "198.51.100.7")], { [SEND]: 0 }), []);
  assertEquals(told([datagram("198.51.102.9", "198.51.100.7")]), []);
  assertEquals(told([datagram("192.0.2.2", "198.51.100.7", { ttl: 1 })]), []);
  assertEquals(told([datagram("192.0.2.2", "198.51.100.7", { payload: 1600 })]), []);
});

Deno.test("who does not listen is told less and less often, at most nine times", () => {
  const many = new Array(200).fill(datagram("192.0.2.2", "198.51.100.7"));
  assertEquals(told(many, {}, 100).length, 9);
  assertEquals(told(many.slice(0, 20), {}, 21_000).length, 20, "after a silence, anew");
  assertEquals(told(many.slice(0, 6), {}, 41).length, 3, "at 0, 41 and 123 milliseconds");
});

Deno.test("an IPv6 redirect names the target, comes from a link-local address, and holds the packet", () => {
  const sent = datagram("2001:db8:1::2", "2001:db8:a::7", { payload: 3 });
  let redirect: Uint8Array | undefined;
  const router = new VirtualRouter(validate(NET), {
    emit: (_, bytes) => parse(bytes).type === 137 && (redirect = bytes),
  });
  router.moveTo(1);
  router.receive(1, sent);
  const p = parse(redirect!);
  assertEquals([p.src, p.dst, redirect![7], p.errors], ["fe80::1", "2001:db8:1::2", 255, []]);
  assertEquals(redirect!.slice(48, 64), address("fe80::99"));
  assertEquals(redirect!.slice(64, 80), address("2001:db8:a::7"));
  assertEquals([...redirect!.slice(80, 82)], [4, 7]);
  assertEquals(redirect!.slice(88), sent.slice(0, 48), "whole eights only");
});

function address(text: string): Uint8Array {
  return icmpEcho({ src: text, dst: text, echoId: 1 }).slice(8, 24);
}

Deno.test("in IPv6 six are sent at once, then one a second; for a sender, and for a destination", () => {
  const hosts = Array.from({ length: 9 }, (_, i) => i);
  assertEquals(told(hosts.map(() => datagram("2001:db8:1::2", "2001:db8:c::7")), {}, 1).length, 6);
  assertEquals(told(hosts.map((i) => datagram("2001:db8:1::2", `2001:db8:c::${i}`)), {}, 1).length, 6);
  assertEquals(told(hosts.map((i) => datagram(`2001:db8:1::${i + 2}`, "2001:db8:c::7")), {}, 1).length, 6);
  assertEquals(told(hosts.map(() => datagram("2001:db8:1::2", "2001:db8:c::7")), {}, 1001).length, 9);
});

Deno.test("a translated flow's packet turns back without a redirect, which would tell inside of outside", () => {
  const router = new VirtualRouter(
    validate({ ...NET, iptables: "*nat\n-A POSTROUTING -o lan -j MASQUERADE\nCOMMIT\n" }),
    { emit: (_, bytes) => assertEquals(parse(bytes).type, undefined) },
  );
  router.moveTo(1);
  router.receive(1, datagram("192.0.2.2", "198.51.100.7"));
  assertEquals(router.drops().map(([name]) => name), ["nat-icmp-failed" satisfies keyof typeof Reason]);
});

/** Packets that turn back, and some that do not. */
function steps(): Step[] {
  const lan = (src: string, dst: string, o: Partial<UdpOptions> = {}) => packet("lan", datagram(src, dst, o));
  const T = "198.51.100.7", quoted = datagram(T, "192.0.2.6");
  const pieces = fragments(datagram("192.0.2.10", T, { payload: 2000, df: false }), 1000, 5);
  const hosts = Array.from({ length: 9 }, (_, i) => i);
  return [
    ...["192.0.2.2", "192.0.2.2", "198.51.101.9", "198.51.102.9", "203.0.113.9", "8.8.8.8", "192.0.2.255"]
      .map((src) => lan(src, T)),
    lan("192.0.2.3", "198.51.101.7"),
    lan("192.0.2.4", "192.0.2.77"),
    lan("192.0.2.5", T, { ttl: 1 }),
    packet("lan", icmpError({ src: "192.0.2.6", dst: T, type: 3, code: 1, quoted })),
    lan("192.0.2.7", T, { payload: 1600 }),
    lan("192.0.2.8", T, { payload: 1600, df: false }),
    lan("192.0.2.9", T, { payload: 1000 }),
    ...pieces.map((piece) => packet("lan", piece)),
    packet("lan", icmpEcho({ src: "192.0.2.11", dst: T, echoId: 3 })),
    packet("lan", tcp({ src: "192.0.2.12", sport: 1, dst: T, dport: 2, flags: "S", seq: 1 })),
    packet("wan", datagram("203.0.113.9", "8.8.8.8")),
    packet("wan", datagram("8.8.4.4", "8.8.8.8")),
    ...["a::7", "b::8", "c::9"].map((to, i) => lan(`2001:db8:1::${i + 2}`, `2001:db8:${to}`)),
    lan("2001:db8:1::5", "2001:db8:1::77"),
    lan("2001:db8:9::5", "2001:db8:c::78"),
    lan("2001:db8:a::5", "2001:db8:c::79"),
    lan("2001:db8:3::5", "2001:db8:c::81"),
    lan("fe80::5", "2001:db8:c::80"),
    lan("fe80::6", "fe80::7"),
    lan("2001:db8:1::12", "fe80::7"),
    lan("2001:db8:1::6", "2001:db8:c::90", { payload: 1600 }),
    lan("2001:db8:1::7", "2001:db8:c::91", { payload: 1400 }),
    lan("2001:db8:1::8", "2001:db8:c::92", { payload: 1191 }),
    lan("2001:db8:1::9", "2001:db8:c::93", { ttl: 1 }),
    packet("wan", datagram("2001:db8:3::9", "2001:db8:9::8")),
    ...hosts.map(() => lan("2001:db8:1::20", "2001:db8:c::a0")),
    ...hosts.map((i) => lan("2001:db8:1::21", `2001:db8:c::b${i}`)),
    ...hosts.map((i) => lan(`2001:db8:1::3${i}`, "2001:db8:c::c0")),
  ];
}

const TRACKING =
  "*filter\n-A OUTPUT -m conntrack --ctstate RELATED\n-A OUTPUT -m conntrack --ctstate INVALID\n" +
  "-A OUTPUT -m conntrack --ctstate NEW\nCOMMIT\n";
const SCENARIOS: [says: string, scenario: Scenario][] = [
  ["redirects", { ...NET, sysctl: { [SEND]: 1 }, steps: steps() }],
  ["redirects that are switched off", { ...NET, sysctl: { [SEND]: 0 }, steps: steps() }],
  ["redirects and flows", {
    ...NET,
    sysctl: { [SEND]: 1 },
    iptables: TRACKING,
    ip6tables: TRACKING,
    steps: steps(),
  }],
  ["the pauses between redirects", {
    ...NET,
    sysctl: { [SEND]: 1 },
    steps: [0, 20, 40, 50, 60, 120, 70, 290, 60, 600].flatMap((milliseconds) => [
      wait(milliseconds),
      packet("lan", datagram("192.0.2.2", "198.51.100.7")),
    ]),
  }],
];
for (const [says, scenario] of SCENARIOS) {
  Deno.test({
    name: `Linux and Weir agree about ${says}`,
    // Needs root, /dev/net/tun and iptables.
    ignore: !kernelAvailable(),
    fn: () => assertAlike(scenario),
  });
}
