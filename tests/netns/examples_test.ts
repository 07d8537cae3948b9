/** The other examples, started for real; gateway and the two NOTRACK ones have files of their own. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { FAMILIES, flows } from "./addresses.ts";
import { Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { startWeb } from "./services.ts";

const OWN_HELPER = `${ROOT}examples/own_helper.ts`;
const PARCEL = `${ROOT}tests/netns/parcel.ts`;

labTest("port_forward: the router's port 8080 is the LAN's web server", ["curl"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.weir(`${ROOT}examples/port_forward.ts`);
  await startWeb(lab, "lan", 80);
  for (const { lan, wan, weirWan, host } of FAMILIES) {
    const url = `http://${host(weirWan)}:8080`;
    assertEquals(await lab.ok("wan", "curl", "-sS", "--max-time", "10", `${url}/`), `hello, ${wan}\n`);
    assertEquals(
      (await lab.ok("wan", "curl", "-sS", "--max-time", "10", `${url}/bytes/3000000`)).length,
      3_000_000,
    );
    assertMatch(
      await flows(lab),
      new RegExp(`^tcp .*src=${wan} dst=${weirWan} .*dport=8080 src=${lan} dst=${wan} sport=80 `, "m"),
    );
    const other = await lab.run("wan", "curl", ["-sS", "--max-time", "1", `http://${host(weirWan)}:80/`]);
    assertEquals(other.code, 7, `another port is Weir's own, and closed: ${other.stderr}`);
  }
});

labTest("custom_match: the function decides, packet by packet", ["curl"], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.weir(`${ROOT}examples/custom_match.ts`);
  await startWeb(lab, "wan", 8080);
  await startWeb(lab, "wan", 8081);
  for (const { lan, wan, host } of FAMILIES) {
    assertEquals(
      await lab.ok("lan", "curl", "-sS", "--max-time", "5", `http://${host(wan)}:8080/`),
      `hello, ${lan}\n`,
    );
    const odd = await lab.run("lan", "curl", ["-sS", "--max-time", "5", `http://${host(wan)}:8081/`]);
    assertEquals(odd.code, 7, "an odd port is refused at once");
    assertStringIncludes(odd.stderr, "8081");
  }
});

/** Starts the parcel service in a namespace. */
async function startParcels(lab: Lab, where: string): Promise<void> {
  const server = lab.spawn(where, Deno.execPath(), ["run", "--no-config", "-N", PARCEL, "serve", "7000"]);
  await server.waitFor(/^parcel service on port/m);
}

/** Orders a parcel in `where` from a service; returns what comes. */
async function order(lab: Lab, where: string, service: string, own: string, port: number): Promise<string> {
  const args = ["order", service, "7000", own, `${port}`];
  const { code, stdout, stderr } = await lab.run(where, Deno.execPath(), [
    ...["run", "--no-config", "-N", PARCEL],
    ...args,
  ]);
  assertEquals(code, 0, stderr);
  return stdout;
}

labTest(
  "own_helper: parcels come to who sits behind MASQUERADE, and none without the helper",
  [],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    await startParcels(lab, "wan");
    const blind = lab.write(
      "blind.ts",
      `
import { defineRouter } from "${ROOT}mod.ts";
import router from "${OWN_HELPER}";
export default defineRouter({
  interfaces: router.interfaces,
  tables: { nat: router.tables.nat, filter: { FORWARD: { policy: "DROP", rules: [
    { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
    { inInterface: "lan", protocol: "tcp", dport: 7000, state: "NEW", jump: "ACCEPT" },
    { protocol: "tcp", jump: "REJECT", rejectWith: "tcp-reset" }, // nobody has to wait for a refusal
  ] } } },
});
`,
    );
    const weir = await lab.weir(blind);
    for (const { lan, wan } of FAMILIES) {
      assertMatch(await order(lab, "lan", wan, lan, 5000), new RegExp(`^not delivered to ${lan} 5000: `));
    }
    await weir.stop();
    await lab.weir(OWN_HELPER);
    for (const { lan, wan, weirWan } of FAMILIES) {
      assertEquals(await order(lab, "lan", wan, lan, 5000), `a parcel for ${weirWan} 5000\n`);
      const parcel = `src=${wan} dst=${weirWan} sport=\\d+ dport=5000 src=${lan} dst=${wan} sport=5000 `;
      assertMatch(await flows(lab), new RegExp(parcel));
    }
  },
);

labTest("own_helper: parcels come to who asks a service behind DNAT", [], async () => {
  await using lab = await Lab.private("lan", "wan");
  await startParcels(lab, "lan");
  const nat = FAMILIES.map(({ weirWan, lan }) =>
    `{ destination: "${weirWan}", protocol: "tcp", dport: 7000, jump: "DNAT", toDestination: "${lan}" },`
  );
  await lab.weir(lab.write(
    "behind.ts",
    `
import { defineRouter } from "${ROOT}mod.ts";
import router, { parcel } from "${OWN_HELPER}";
export default defineRouter({
  interfaces: router.interfaces,
  tables: { nat: { PREROUTING: [${nat.join("\n")}] }, filter: { FORWARD: { policy: "DROP", rules: [
    { state: "ESTABLISHED", jump: "ACCEPT" },
    { state: "RELATED", helper: "parcel", jump: "ACCEPT" },
    { inInterface: "wan", protocol: "tcp", dport: 7000, state: "NEW", jump: "ACCEPT" },
  ] } } },
  helpers: [parcel],
});
`,
  ));
  for (const { lan, wan, weirWan } of FAMILIES) {
    assertEquals(await order(lab, "wan", weirWan, wan, 5000), `a parcel for ${wan} 5000\n`);
    // Who brings it seems to be the service that was asked.
    const parcel = `src=${lan} dst=${wan} sport=\\d+ dport=5000 src=${wan} dst=${weirWan} sport=5000 `;
    assertMatch(await flows(lab), new RegExp(parcel));
  }
});
