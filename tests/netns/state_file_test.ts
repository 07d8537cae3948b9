/** The state file of a running router: whose it is, and what is not in it. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { flows } from "./addresses.ts";
import { HERE, Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { startFtp } from "./services.ts";

const PASSWORD = "open-sesame@example.net",
  NAME = "quarterly-figures",
  TEXT = "nobody is to know this line\n";

labTest(
  "X14 the state file is for its owner alone, and holds nothing of what the programs said",
  ["curl", "vsftpd", "setpriv"],
  async () => {
    await using lab = await Lab.private("lan", "wan");
    await startFtp(lab, "wan", { [NAME]: TEXT.repeat(1000) });
    const config = `
import { defineRouter, ftp } from "${ROOT}mod.ts";
import gateway from "${ROOT}examples/gateway.ts";
export default defineRouter({ ...gateway, helpers: [ftp({ strict: false })] });
`;
    await lab.weir(lab.write("gw.ts", config));
    const login = ["--user", `anonymous:${PASSWORD}`, "-sS", "--max-time", "10", "-P", "-"];
    assertStringIncludes(await lab.ok("lan", "curl", ...login, `ftp://198.51.100.2/${NAME}`), TEXT);
    // Somebody stands in the middle of a command, whose beginning Weir holds back.
    const conversation = [
      { send: ["USER anonymous\r\n"], answers: 1 },
      { send: [`PASS ${PASSWORD}\r\n`], answers: 1 },
      { send: ["PORT 192,0,2,2,1"], answers: 1 },
    ];
    const client = lab.spawn("lan", Deno.execPath(), [
      ...["run", "--no-config", "-N", `${ROOT}tests/netns/helpers/ftp_client.ts`],
      ...["198.51.100.2", "192.0.2.2", "40000", JSON.stringify(conversation)],
    ]);
    await client.waitFor(/^230 /m);

    const file = "/run/weir/gw.state";
    assertEquals(await lab.ok(HERE, "stat", "-c", "%a %U", file), "600 root\n");
    const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    const { code, stderr } = await lab.run(HERE, "setpriv", [...nobody, "cat", file]);
    assertEquals(code, 1);
    assertMatch(stderr, /Permission denied/);
    assertMatch(await flows(lab), /dport=21 .*helper=ftp/, "the conversation is in it");
    const words = [
      PASSWORD,
      "anonymous",
      NAME,
      TEXT.trim(),
      "USER ",
      "PASS ",
      "RETR ",
      "PORT",
      "192,0,2,2",
      "230 ",
    ];
    for (const text of words) {
      const found = await lab.run(HERE, "grep", ["-c", "-a", "-F", "-e", text, file]);
      assertEquals([found.stdout, found.stderr], ["0\n", ""], text);
    }
  },
);
