/** `weir helpers` and `weir pinholes`, of a router that is this process. */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Refused } from "../../src/cli/command.ts";
import { change, listHelpers } from "../../src/cli/helpers.ts";
import { listPinholes } from "../../src/cli/pinholes.ts";
import { ftp, tftp } from "../../src/helpers/mod.ts";
import { libc } from "deno_tun";
import { CLIENT, OwnRouter, SERVER } from "./router.ts";
import { weir } from "./weir.ts";

// Opened once for all, before a test could be blamed for leaving it open.
libc();

const TABLES = {
  raw: { PREROUTING: [{ protocol: "tcp", dport: 2121, jump: "CT", helper: "ftp" }] },
} as const;

Deno.test("helpers lists what each serves, has and has done", () => {
  using own = new OwnRouter({
    tables: TABLES,
    helpers: [ftp({ minPort: 1024 }), tftp({ autoAssign: false })],
  });
  own.connect();
  own.say("PORT 192,0,2,2,19,136\r\n");
  own.say("PORT 192,0,2,2,0,22\r\n");
  const nothing = { flows: 0, expectations: 0, opened: 0, refused: 0, failed: 0, blind: 0 };
  const served = { families: [4, 6] as const, records: false, loaded: true };
  assertEquals(listHelpers(undefined, own.folder.path), [
    {
      ...nothing,
      ...served,
      name: "ftp",
      protocol: "tcp",
      ports: [21],
      autoAssign: true,
      flows: 1,
      expectations: 1,
      opened: 1,
      refused: 1,
    },
    { ...nothing, ...served, name: "tftp", protocol: "udp", ports: [69], autoAssign: false },
  ]);
});

Deno.test("helpers --unload lets go of flows and expectations, --load makes it serve new flows", async () => {
  using own = new OwnRouter({ tables: TABLES, helpers: [ftp(), tftp()] });
  const directory = own.folder.path, ask = (load: boolean) => change("ftp", load, "gateway", directory);
  own.connect();
  own.say("PORT 192,0,2,2,19,136\r\n");
  const done = { helper: "ftp", loaded: false, changed: true, flows: 1, expectations: 1 };
  assertEquals(await ask(false), done);
  assertEquals(await ask(false), { ...done, changed: false, flows: 0, expectations: 0 });
  const ftpNow = () => listHelpers("gateway", directory)[0];
  assertEquals([ftpNow().loaded, ftpNow().flows, ftpNow().expectations], [false, 0, 0]);
  own.say("PORT 192,0,2,2,19,137\r\n");
  own.connect(4001);
  own.say("PORT 192,0,2,2,19,138\r\n", 4001);
  assertEquals(ftpNow().opened, 1);
  assertEquals(await ask(true), { helper: "ftp", loaded: true, changed: true, flows: 0, expectations: 0 });
  assertEquals((await ask(true)).changed, false);
  own.connect(4002);
  own.say("PORT 192,0,2,2,19,139\r\n", 4002);
  assertEquals([ftpNow().loaded, ftpNow().flows, ftpNow().opened], [true, 1, 2]);
});

Deno.test("helpers --unload refuses a name that is not there, and says which are", async () => {
  using own = new OwnRouter({ tables: TABLES, helpers: [ftp(), tftp()] });
  const refused = (name: string, reason: string) =>
    assertRejects(() => change(name, false, undefined, own.folder.path), Refused, reason);
  await refused("fpt", 'there is no helper "fpt"; there are ftp, tftp');
  using bare = new OwnRouter({});
  await assertRejects(
    () => change("ftp", false, undefined, bare.folder.path),
    Refused,
    'there is no helper "ftp"; none is listed',
  );
});

Deno.test("helpers refuses where nothing answers", async () => {
  using own = new OwnRouter({ tables: TABLES, helpers: [ftp()] });
  Deno.removeSync(`${own.folder.path}/gateway.sock`);
  await assertRejects(
    () => change("ftp", false, undefined, own.folder.path),
    Refused,
    "cannot reach the router at",
  );
  Deno.writeTextFileSync(`${own.folder.path}/gateway.sock`, ""); // what close() removes
});

Deno.test("pinholes tells flow, rule and bytes, and where bytes are not recorded", () => {
  for (const record of [true, false]) {
    using own = new OwnRouter({ tables: TABLES, helpers: [ftp({ record })] });
    own.connect();
    own.say("PORT 192,0,2,2,19,136\r\n");
    const [pinhole, ...more] = listPinholes(undefined, own.folder.path);
    assertEquals(more, []);
    assertEquals(pinhole, {
      number: 1,
      time: pinhole.time,
      helper: "ftp",
      assigned: "port",
      rule: "autoAssign tcp 21",
      id: pinhole.id,
      flow: `tcp ${CLIENT}:4000 → ${SERVER}:21`,
      expected: `tcp ${SERVER} → ${CLIENT}:5000`,
      announced: record ? "192,0,2,2,19,136" : null,
    });
    assertEquals(Math.abs(pinhole.time - Date.now() / 1000) < 60, true);
  }
});

Deno.test("helpers, pinholes and metrics are refused with 1 without a router, and with 2 for wrong usage", async () => {
  for (const command of [["helpers"], ["helpers", "--unload", "ftp"], ["pinholes"], ["metrics"]]) {
    const refused = await weir([...command, "--name", "no-such-router"]);
    assertEquals(refused.code, 1);
    // Others may run on this machine, and are named then.
    assertMatch(refused.stderr, /^weir: no router is running that is called no-such-router\b/);
  }
  const wrong = [
    ["helpers", "ftp"],
    ["helpers", "--load", "a", "--unload", "b"],
    ["helpers", "--unload="],
    ["helpers", "--lod", "ftp"],
    ["pinholes", "ftp"],
    ["metrics", "--json"],
  ];
  for (const args of wrong) assertEquals((await weir(args)).code, 2, args.join(" "));
});
