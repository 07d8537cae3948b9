/** The other examples, started for real; gateway and the two NOTRACK ones have files of their own. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { FAMILIES, flows } from "./addresses.ts";
import { Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { startWeb } from "./services.ts";

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
