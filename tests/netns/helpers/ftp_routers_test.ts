/**
 * FTP between real programs through Linux and through Weir, one beside the other: the same rules, the same transfers,
 * the same flows afterwards.
 */

import { assertEquals, assertMatch } from "@std/assert";
import { Lab } from "../lab.ts";
import { labTest } from "../lab_testing.ts";
import { type Description, IMPLEMENTATIONS, ROUTER_PROGRAMS } from "../routers.ts";
import { startFtp } from "../services.ts";
import { assertSameFile, host, makeFile } from "./kit.ts";

const FILE = "document.bin";
const NAMESPACES = ["plain", "lan", "lan2", "wan"];

/** Rules of one family: nothing passes but control connections and what the helper has announced. */
const rules = (nat: string) =>
  `*raw
-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp
COMMIT
*nat
${nat}COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED -m helper --helper ftp -j ACCEPT
-A FORWARD -p tcp -m tcp --dport 21 -m conntrack --ctstate NEW -j ACCEPT
COMMIT
`;

/** `lan` is seen under a longer address, `lan2` under a shorter one; `plain` as it is. */
const ROUTER: Description = {
  networks: {
    plain: {
      router: ["203.0.113.129/25", "2001:db8:4::1/64"],
      peer: ["203.0.113.130/25", "2001:db8:4::2/64"],
    },
    lan: { router: ["192.0.2.1/24", "2001:db8:1::1/64"], peer: ["192.0.2.2/24", "2001:db8:1::2/64"] },
    lan2: { router: ["203.0.113.1/25"], peer: ["203.0.113.100/25"] },
    wan: {
      router: ["198.51.100.1/24", "198.51.100.100/24", "2001:db8:2::1/64", "2001:db8:2::100/64"],
      peer: ["198.51.100.2/24", "2001:db8:2::2/64"],
    },
  },
  iptables: rules(`-A PREROUTING -d 198.51.100.1 -p tcp -m tcp --dport 21 -j DNAT --to-destination 192.0.2.2
-A PREROUTING -d 198.51.100.100 -p tcp -m tcp --dport 21 -j DNAT --to-destination 192.0.2.2
-A POSTROUTING -o lan -m conntrack --ctorigdst 198.51.100.100 -j MASQUERADE
-A POSTROUTING -s 192.0.2.0/24 -o wan -j SNAT --to-source 198.51.100.100
-A POSTROUTING -s 203.0.113.0/25 -o wan -j SNAT --to-source 198.51.100.1
`),
  ip6tables: rules(
    `-A PREROUTING -d 2001:db8:2::1 -p tcp -m tcp --dport 21 -j DNAT --to-destination 2001:db8:1::2
-A PREROUTING -d 2001:db8:2::100 -p tcp -m tcp --dport 21 -j DNAT --to-destination 2001:db8:1::2
-A POSTROUTING -o lan -m conntrack --ctorigdst 2001:db8:2::100 -j MASQUERADE
-A POSTROUTING -s 2001:db8:1::/64 -o wan -j SNAT --to-source 2001:db8:2::100
`,
  ),
  helpers: { ftp: "" },
};

/** A vsftpd that offers the file. */
async function startServer(lab: Lab, where: string): Promise<void> {
  await startFtp(lab, where, {});
  makeFile(served(lab, where), 200_003);
}

function served(lab: Lab, where: string): string {
  return `${lab.dir}/ftp-${where}/${FILE}`;
}

/** A listing without what differs from run to run, in an order of its own. */
function flowsOf(listing: string): string[] {
  return listing.split("\n").map((line) =>
    line.trim().replace(/^(tcp +6) \d+/, "$1").replace(/port=(?!20 |21 )\d+/g, "port=#")
  ).sort();
}

for (const { name, start, list } of IMPLEMENTATIONS) {
  labTest(
    `F34 ${name} as the router: four active listings of lftp by way of SNAT to a longer and to a shorter address`,
    ["vsftpd", "lftp", ...ROUTER_PROGRAMS],
    async () => {
      for (
        const [client, own, seen] of [
          ["lan", "192.0.2.2", "198.51.100.100"],
          ["lan2", "203.0.113.100", "198.51.100.1"],
        ]
      ) {
        await using lab = await Lab.private(...NAMESPACES);
        await startServer(lab, "wan");
        await start(lab, ROUTER);
        const settings = ["net:max-retries 1", "net:timeout 5", "ftp:ssl-allow off", "ftp:passive-mode off"];
        const script = [...settings.map((setting) => `set ${setting}`), "open ftp://198.51.100.2"];
        const { code, stdout, stderr } = await lab.run(client, "lftp", [
          "-d",
          "-c",
          [...script, ...new Array(4).fill("rels")].join("; "),
        ]);
        assertEquals(code, 0, stdout + stderr);
        assertEquals((stdout + stderr).match(/^---> PORT /gm)?.length, 4, "announcements");
        assertEquals(stdout.match(new RegExp(` 200003 .* ${FILE}$`, "gm"))?.length, 4, stdout);
        const data = `tcp      6 TIME_WAIT src=198.51.100.2 dst=${seen} sport=20 dport=# ` +
          `src=${own} dst=198.51.100.2 sport=# dport=20 [ASSURED] mark=0 use=1`;
        const control = `tcp      6 TIME_WAIT src=${own} dst=198.51.100.2 sport=# dport=21 ` +
          `src=198.51.100.2 dst=${seen} sport=21 dport=# [ASSURED] mark=0 helper=ftp use=5`;
        assertEquals(flowsOf(await list(lab, 4)), [data, data, data, data, control].sort());
        assertEquals(await list(lab, 4, "expect"), "", "nothing is expected any more");
      }
    },
  );
}

/** What is asked, and where it leads. */
const WAYS = [
  { way: "none", client: "plain", asked: { 4: "198.51.100.2", 6: "2001:db8:2::2" }, server: "wan" },
  { way: "SNAT", client: "lan", asked: { 4: "198.51.100.2", 6: "2001:db8:2::2" }, server: "wan" },
  { way: "DNAT", client: "wan", asked: { 4: "198.51.100.1", 6: "2001:db8:2::1" }, server: "lan" },
  { way: "both", client: "wan", asked: { 4: "198.51.100.100", 6: "2001:db8:2::100" }, server: "lan" },
] as const;

/** Curl's options for an announcement, and the command by which it was made. */
const ANNOUNCEMENTS = [
  { options: ["--disable-epsv"], command: /^> PASV/m, versions: [4] }, // RFC 959 writes no IPv6 address
  { options: ["--disable-eprt", "-P", "-"], command: /^> PORT /m, versions: [4] },
  { options: [], command: /^> EPSV/m, versions: [4, 6] },
  { options: ["-P", "-"], command: /^> EPRT \|/m, versions: [4, 6] },
] as const;

for (const { name, start, list } of IMPLEMENTATIONS) {
  labTest(
    `F35 ${name} as the router: active and passive, old commands and new, no NAT, SNAT, DNAT and both, IPv4 and IPv6`,
    ["vsftpd", "curl", ...ROUTER_PROGRAMS],
    async () => {
      await using lab = await Lab.private(...NAMESPACES);
      for (const where of ["wan", "lan"]) await startServer(lab, where);
      await start(lab, ROUTER);
      for (const { way, client, asked, server } of WAYS) {
        for (const { options, command, versions } of ANNOUNCEMENTS) {
          for (const version of versions) {
            const to = `${lab.dir}/arrived.bin`, what = `${way}, ${command}, IPv${version}`;
            const url = `ftp://${host(asked[version])}/${FILE}`;
            const { code, stderr } = await lab.run(client, "curl", [
              ...["-sSv", "--connect-timeout", "5", "--max-time", "10"],
              ...options,
              ...["-o", to, url],
            ]);
            assertEquals(code, 0, `${what}:\n${stderr}`);
            assertMatch(stderr, command, what);
            await assertSameFile(to, served(lab, server), what);
            await Deno.remove(to);
          }
        }
      }
      // Each way was what its name says: original and answering direction of a control connection.
      const flows = { 4: await list(lab, 4), 6: await list(lab, 6) };
      const ends: [4 | 6, string, string, string, string][] = [
        [4, "203.0.113.130", "198.51.100.2", "198.51.100.2", "203.0.113.130"],
        [4, "192.0.2.2", "198.51.100.2", "198.51.100.2", "198.51.100.100"],
        [4, "198.51.100.2", "198.51.100.1", "192.0.2.2", "198.51.100.2"],
        [4, "198.51.100.2", "198.51.100.100", "192.0.2.2", "192.0.2.1"],
        [6, "2001:db8:4::2", "2001:db8:2::2", "2001:db8:2::2", "2001:db8:4::2"],
        [6, "2001:db8:1::2", "2001:db8:2::2", "2001:db8:2::2", "2001:db8:2::100"],
        [6, "2001:db8:2::2", "2001:db8:2::1", "2001:db8:1::2", "2001:db8:2::2"],
        [6, "2001:db8:2::2", "2001:db8:2::100", "2001:db8:1::2", "2001:db8:1::1"],
      ];
      for (const [version, from, to, answers, seen] of ends) {
        const flow =
          `src=${from} dst=${to} sport=\\d+ dport=21 src=${answers} dst=${seen} sport=21 .*helper=ftp`;
        assertMatch(flows[version], new RegExp(flow));
      }
    },
  );
}
