/**
 * The ideas that NOTRACK was made for, each with real programs, and what it costs.
 */

import { assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { FAMILIES, flows } from "./addresses.ts";
import { HERE, Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { startFtp, startWeb } from "./services.ts";

labTest(
  "NOTRACK router: what it forwards leaves no flow, its own services are stateful",
  ["curl", "ping"],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    await lab.weir(`${ROOT}examples/notrack_router.ts`);
    await startWeb(lab, "wan", 80);
    await startWeb(lab, HERE, 8080);
    for (const { lan, wan, weirLan, weirWan, host } of FAMILIES) {
      // Forwarded: whole, not translated, not tracked.
      assertEquals(await get(lab, "lan", `http://${host(wan)}/`), `hello, ${lan}\n`);
      await lab.ok("lan", "ping", "-c", "2", "-i", "0.1", "-W", "2", wan);
      assertNotMatch(await flows(lab), new RegExp(`src=${lan} dst=${wan} `), "nothing of it is tracked");

      // A program of this machine serves the LAN on Weir's address, through INPUT.
      assertEquals(await get(lab, "lan", `http://${host(weirLan)}:8080/`), `hello, ${lan}\n`);
      assertMatch(
        await flows(lab),
        new RegExp(
          `^tcp .*src=${lan} dst=${weirLan} .*dport=8080 src=${weirLan} dst=${lan} .*\\[ASSURED\\]`,
          "m",
        ),
      );
      // Not the outside: INPUT accepts that from lan alone, and drops the rest without a word.
      const refused = await lab.run("wan", "curl", [
        "-sS",
        "--max-time",
        "1",
        `http://${host(weirWan)}:8080/`,
      ]);
      assertEquals(refused.code, 28, refused.stderr);

      // A program of this machine asks the outside; the answer comes in because its flow is known.
      assertEquals(await get(lab, HERE, `http://${host(wan)}/`), `hello, ${weirWan}\n`);
      assertMatch(
        await flows(lab),
        new RegExp(`^tcp .*src=${weirWan} dst=${wan} .*dport=80 src=${wan} `, "m"),
      );
    }
  },
);

labTest(
  "NOTRACK web server: port 80 leaves no flow, everything else is stateful",
  ["curl", "ping"],
  async () => {
    await using lab = await Lab.private("wan");
    await lab.weir(`${ROOT}examples/notrack_web_server.ts`);
    await startWeb(lab, HERE, 80);
    await startWeb(lab, HERE, 22);
    await startWeb(lab, HERE, 8080);
    await startWeb(lab, "wan", 81);
    for (const { wan, weirWan, host } of FAMILIES) {
      assertEquals(await get(lab, "wan", `http://${host(weirWan)}/`), `hello, ${wan}\n`);
      assertEquals((await get(lab, "wan", `http://${host(weirWan)}/bytes/3000000`)).length, 3_000_000);
      const web = new RegExp(`src=${wan} dst=${weirWan} .*dport=80 `);
      assertNotMatch(await flows(lab), web);

      assertEquals(
        await get(lab, "wan", `http://${host(weirWan)}:22/`),
        `hello, ${wan}\n`,
        "another service, tracked",
      );
      assertMatch(await flows(lab), new RegExp(`^tcp .*src=${wan} dst=${weirWan} .*dport=22 `, "m"));
      const closed = await lab.run("wan", "curl", [
        "-sS",
        "--max-time",
        "1",
        `http://${host(weirWan)}:8080/`,
      ]);
      assertEquals(closed.code, 28, "a service that no rule opens");

      assertEquals(await get(lab, HERE, `http://${host(wan)}:81/`), `hello, ${weirWan}\n`, "asked from here");
      assertMatch(await flows(lab), new RegExp(`^tcp .*src=${weirWan} dst=${wan} .*dport=81 `, "m"));
      await lab.ok("wan", "ping", "-c", "1", "-W", "2", weirWan);
      assertNotMatch(await flows(lab), web);
    }
  },
);

/**
 * Two ports of the same closed server, one of them not tracked; the filter lets back in what belongs to a flow, and
 * answers of untracked TCP. The rest is what NOTRACK costs.
 */
const COST = `
import { defineRouter, ftp } from "weir";
export default defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"],
      peer: { netns: "lan", addresses: ["192.0.2.2/24", "2001:db8:1::2/64"], routes: ["default"] } },
    wan: { addresses: ["198.51.100.1/24", "2001:db8:2::1/64"],
      peer: { netns: "wan", addresses: ["198.51.100.2/24", "2001:db8:2::2/64"], routes: ["default"] } },
  },
  helpers: [ftp({ ports: [21, 2121] })],
  tables: {
    raw: { PREROUTING: [
      { protocol: "udp", dport: 4001, jump: "NOTRACK" },
      { inInterface: "lan", protocol: "tcp", dport: 2121, jump: "NOTRACK" },
      { inInterface: "wan", protocol: "tcp", sport: 2121, jump: "NOTRACK" },
    ] },
    filter: { FORWARD: { policy: "DROP", rules: [
      { inInterface: "lan", jump: "ACCEPT" },
      { inInterface: "wan", state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
      { inInterface: "wan", protocol: "tcp", sport: 2121, state: "UNTRACKED", jump: "ACCEPT" },
    ] } },
  },
});
`;

labTest(
  "NOTRACK costs RELATED: ICMP errors about an untracked flow do not come back",
  ["traceroute"],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    await lab.weir(lab.write("cost.ts", COST));
    for (const { option, wan } of FAMILIES) {
      // Each probe goes to a closed UDP port of wan; its port unreachable is RELATED to the probe's flow, if there is one.
      const probe = (port: string) =>
        lab.ok(
          "lan",
          ...[
            "traceroute",
            option,
            "-n",
            "-U",
            "-p",
            port,
            "-q",
            "1",
            "-w",
            "1",
            "-f",
            "2",
            "-m",
            "2",
            wan,
          ] as const,
        );
      assertMatch(await probe("4000"), new RegExp(`^ *2 +${wan} `, "m"), "tracked: wan's answer arrives");
      assertMatch(await probe("4001"), /^ *2 +\*/m, "not tracked: it does not");
      assertMatch(await flows(lab), new RegExp(`^udp .* dst=${wan} .*dport=4000 `, "m"));
      assertNotMatch(await flows(lab), /dport=4001/);
    }
  },
);

labTest(
  "NOTRACK costs the helper: active FTP over an untracked control connection fails",
  ["curl", "vsftpd"],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    await lab.weir(lab.write("cost.ts", COST));
    await startFtp(lab, "wan", { "document.txt": "hello\n" }, 2121);
    await startFtp(lab, "wan", { "document.txt": "hello\n" }, 21);
    for (const { wan, host } of FAMILIES) {
      const active = (port: number) =>
        lab.run("lan", "curl", [
          "-sS",
          "--max-time",
          "3",
          "-P",
          "-",
          `ftp://${host(wan)}:${port}/document.txt`,
        ]);
      const tracked = await active(21);
      assertEquals(tracked.stdout, "hello\n", tracked.stderr);
      const untracked = await active(2121);
      assertEquals(untracked.stdout, "");
      assertEquals(untracked.code, 28, `no data connection comes in: ${untracked.stderr}`);
      // Only the way in is missing: passive mode, where the LAN opens both connections, works.
      const passive = await lab.run("lan", "curl", [
        "-sS",
        "--max-time",
        "3",
        `ftp://${host(wan)}:2121/document.txt`,
      ]);
      assertEquals(passive.stdout, "hello\n", passive.stderr);
    }
  },
);

async function get(lab: Lab, where: string, url: string): Promise<string> {
  return await lab.ok(where, "curl", "-sS", "--max-time", "10", url);
}
