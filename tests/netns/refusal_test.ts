/** What cannot be: one clear line on standard error, exit code 1, and nothing left behind. */

import { assertEquals, assertMatch } from "@std/assert";
import { type Ended, HERE, Lab, ROOT, weirArgs } from "./lab.ts";
import { labTest } from "./lab_testing.ts";

const GATEWAY = `${ROOT}examples/gateway.ts`;

/** Runs `weir run` where it must refuse: exit 1, one line that fits, and the same devices as before. */
async function refuses(lab: Lab, run: () => Promise<Ended>, reason: RegExp): Promise<void> {
  const before = await devices(lab);
  const { code, stdout, stderr } = await run();
  assertEquals(code, 1, stdout + stderr);
  assertMatch(stderr, reason);
  assertEquals(stderr.trimEnd().split("\n").length, 1, `one line: ${stderr}`);
  assertEquals(await devices(lab), before);
}

async function devices(lab: Lab): Promise<string> {
  let text = "";
  for (const where of [HERE, "lan", "wan"]) text += await lab.ok(where, "ip", "-br", "address");
  return text + await lab.ok(HERE, "sh", "-c", "ls /run/weir 2>/dev/null || :");
}

labTest("weir run refuses without /dev/net/tun", [], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.ok(HERE, "mount", "-t", "tmpfs", "tmpfs", "/dev/net"); // in the lab's mount namespace alone
  await refuses(lab, () => lab.command(["run", GATEWAY]), /\/dev\/net\/tun/);
});

/** A router whose device stays in the namespace that Weir runs in. */
const PLAIN = `
  import { defineRouter } from "weir";
  export default defineRouter({ interfaces: { lan: { addresses: ["192.0.2.1/24"] } } });
`;

labTest("weir run refuses without the privilege", ["setpriv"], async () => {
  await using lab = await Lab.private("lan", "wan");
  const powerless = (config: string) =>
    lab.run(HERE, "setpriv", [
      "--bounding-set=-net_admin,-sys_admin",
      "--inh-caps=-net_admin,-sys_admin",
      Deno.execPath(),
      ...weirArgs(["run", config]),
    ]);
  await refuses(lab, () => powerless(GATEWAY), /^weir: .*missing privilege.*CAP_SYS_ADMIN/);
  await refuses(
    lab,
    () => powerless(lab.write("plain.ts", PLAIN)),
    /^weir: .*missing privilege.*CAP_NET_ADMIN/,
  );
});

labTest("weir run refuses a namespace that does not exist", [], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.ok(HERE, "ip", "netns", "del", "wan");
  await lab.ok(HERE, "ip", "netns", "add", "other");
  const { code, stderr } = await lab.command(["run", GATEWAY]);
  assertEquals(code, 1);
  assertMatch(stderr, /^weir: .*\bwan\b.*ip netns add wan.*\n$/);
  assertMatch(await lab.ok("lan", "ip", "-br", "link"), /^lo .*\n$/);
});

labTest("weir run refuses a device name that is in use", [], async () => {
  await using lab = await Lab.private("lan", "wan");
  await lab.ok("wan", "ip", "tuntap", "add", "dev", "wan", "mode", "tun");
  await refuses(lab, () => lab.command(["run", GATEWAY]), /^weir: .*\bwan\b.*\b(in use|exists|taken|busy)\b/);
});

labTest("weir run refuses to run the same router twice, and the first one goes on", ["ping"], async () => {
  await using lab = await Lab.private("lan", "wan");
  const first = await lab.weir(GATEWAY);
  await refuses(
    lab,
    () => lab.command(["run", GATEWAY]),
    new RegExp(`^weir: .*gateway runs already.*${first.pid}`),
  );
  await refuses(lab, () => lab.command(["run", GATEWAY, "--name", "second"]), /^weir: .*\blan\b.*in use/);
  await lab.ok("lan", "ping", "-c", "1", "-W", "2", "198.51.100.2");
});

labTest("weir run refuses an address that is there twice", [], async () => {
  await using lab = await Lab.private("lan", "wan");
  const config = lab.write(
    "twice.ts",
    `import { defineRouter } from "weir";
     export default defineRouter({
       interfaces: {
         lan: { addresses: ["192.0.2.1/24"], peer: { netns: "lan" } },
         wan: { addresses: ["192.0.2.1/24"], peer: { netns: "wan" } },
       },
     });`,
  );
  const before = await devices(lab);
  const { code, stderr } = await lab.command(["run", config]);
  assertEquals(code, 1);
  assertMatch(stderr, /interfaces\.wan\.addresses\[0\].*192\.0\.2\.1/);
  assertEquals(await devices(lab), before);
});
