/** ICMP errors from beyond NAT, with ping: `conntrack_icmp_related.sh` of the kernel's own tests. */

import { assertEquals, assertMatch } from "@std/assert";
import { Lab } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { type Description, forwarding, IMPLEMENTATIONS, ROUTER_PROGRAMS, withoutDad } from "./routers.ts";

/** Errors pass only as what they are: RELATED to an echo. */
const rules = (icmp: string, echo: string, error: string) =>
  `*nat
-A POSTROUTING -o middle -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -p ${icmp} -m ${error} -m conntrack --ctstate RELATED -j ACCEPT
-A FORWARD -p ${icmp} -m ${echo}-request -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT
-A FORWARD -p ${icmp} -m ${echo}-reply -m conntrack --ctstate ESTABLISHED -j ACCEPT
COMMIT
`;

/** `client` — the router — `middle` — a link of 1280 bytes — `server`. */
const ROUTER: Description = {
  networks: {
    client: {
      router: ["192.0.2.1/24", "2001:db8:1::1/64"],
      peer: ["192.0.2.2/24", "2001:db8:1::2/64"],
    },
    middle: {
      router: ["198.51.100.1/24", "2001:db8:2::1/64"],
      peer: ["198.51.100.2/24", "2001:db8:2::2/64"],
    },
  },
  routes: [
    { destination: "203.0.113.0/24", via: "198.51.100.2", interface: "middle" },
    { destination: "2001:db8:3::/64", via: "2001:db8:2::2", interface: "middle" },
  ],
  iptables: rules("icmp", "icmp --icmp-type echo", "icmp --icmp-type fragmentation-needed"),
  ip6tables: rules("ipv6-icmp", "icmp6 --icmpv6-type echo", "icmp6 --icmpv6-type packet-too-big"),
};

/** The link beyond `middle`. */
async function startSmallLink(lab: Lab): Promise<void> {
  await withoutDad(lab, "middle", "server");
  await lab.ok(
    "middle",
    "ip",
    "link",
    "add",
    "small",
    "type",
    "veth",
    "peer",
    "name",
    "small",
    "netns",
    "server",
  );
  for (const [where, end] of [["middle", "1"], ["server", "2"]]) {
    await lab.ok(where, "ip", "address", "add", `203.0.113.${end}/24`, "dev", "small");
    await lab.ok(where, "ip", "address", "add", `2001:db8:3::${end}/64`, "dev", "small", "nodad");
    await lab.ok(where, "ip", "link", "set", "small", "mtu", "1280", "up");
  }
  for (const gateway of ["203.0.113.1", "2001:db8:3::1"]) {
    await lab.ok("server", "ip", "route", "add", "default", "via", gateway);
  }
  await forwarding(lab, "middle");
}

const FAMILIES = [
  {
    version: 4,
    server: "203.0.113.2",
    iptables: "iptables-legacy",
    error: ["-p", "icmp", "--icmp-type", "destination-unreachable"],
    bytes: 576, // as much of the packet as RFC 1812, 4.3.2.3, allows
    says: /^From 198\.51\.100\.2 icmp_seq=1 Frag needed and DF set \(mtu = 1280\)$/m,
  },
  {
    version: 6,
    server: "2001:db8:3::2",
    iptables: "ip6tables-legacy",
    error: ["-p", "icmpv6", "--icmpv6-type", "packet-too-big"],
    bytes: 1280, // RFC 4443, 2.4 (c)
    says: /^From 2001:db8:2::2 icmp_seq=1 Packet too big: mtu=1280$/m,
  },
] as const;

for (const { name, start } of IMPLEMENTATIONS) {
  labTest(
    `E16 ${name} as the router: an error from beyond MASQUERADE reaches the client as RELATED, one packet of 576 bytes`,
    ["ping", ...ROUTER_PROGRAMS],
    async () => {
      await using lab = await Lab.private("client", "middle", "server");
      await start(lab, ROUTER);
      await startSmallLink(lab);
      for (const { version, server, iptables, error, bytes, says } of FAMILIES) {
        for (const state of ["RELATED", "INVALID,NEW,ESTABLISHED,UNTRACKED"]) {
          await lab.ok("client", iptables, "-A", "INPUT", ...error, "-m", "conntrack", "--ctstate", state);
        }
        const ping = ["ping", `-${version}`, "-c", "1", "-W", "2", "-M", "do"];
        assertMatch(await lab.ok("client", ping[0], ...ping.slice(1), "-s", "1000", server), / 1 received/);
        const { stdout, stderr } = await lab.run("client", ping[0], [...ping.slice(1), "-s", "1300", server]);
        assertMatch(stdout + stderr, says);
        const counted = (await lab.ok("client", iptables, "-nvxL", "INPUT")).trim().split("\n").slice(2)
          .map((line) => line.trim().split(/\s+/).slice(0, 2).map(Number));
        assertEquals(counted, [[1, bytes], [0, 0]], `IPv${version}`);
      }
    },
  );
}
