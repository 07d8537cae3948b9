/**
 * What a person sees and does of helpers while they work: `weir pinholes`, `weir helpers`, `weir metrics`, on a router
 * that gives FTP its helper by a rule, between vsftpd and its clients.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { HERE, type Lab } from "../lab.ts";
import { labTest } from "../lab_testing.ts";
import { startFtp } from "../services.ts";
import { assertSameFile, helperLab, makeFile } from "./kit.ts";

const FILE = "document.bin", SERVER = "198.51.100.2", OUTER = "198.51.100.1";

/** Closed but for the control port and what the helper has announced; the helper is given by a rule. */
const CONFIG = `
import { defineRouter, ftp, tftp } from "weir";
export default defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24"],
      peer: { netns: "lan", addresses: ["192.0.2.2/24"], routes: ["default"] } },
    wan: { addresses: ["198.51.100.1/24"],
      peer: { netns: "wan", addresses: ["198.51.100.2/24"], routes: ["default"] } },
  },
  helpers: [ftp({ autoAssign: false, record: true }), tftp()],
  iptables: \`*raw
-A PREROUTING -i lan -p tcp -m tcp --dport 21 -j CT --helper ftp
COMMIT
*nat
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED -m helper --helper ftp -j ACCEPT
-A FORWARD -i lan -p tcp -m tcp --dport 21 -j ACCEPT
-A FORWARD -p tcp -j REJECT --reject-with tcp-reset
COMMIT
\`,
});
`;
const RULE = "iptables:2:1 -A PREROUTING -i lan -p tcp -m tcp --dport 21 -j CT --helper ftp";

interface Listed {
  readonly name: string;
  readonly loaded: boolean;
  readonly autoAssign: boolean;
  readonly flows: number;
  readonly opened: number;
}

/** What `weir ARGS --json` prints. */
async function json<T>(lab: Lab, ...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await lab.command([...args, "--json"]);
  assertEquals(code, 0, stderr);
  return JSON.parse(stdout);
}

/** Fetches the file by curl or lftp; 0 when it came and is the same. */
async function fetch(lab: Lab, program: "curl" | "lftp", active: boolean): Promise<number> {
  const to = `${lab.dir}/arrived.bin`;
  const settings = [
    `set net:timeout 3`,
    "set net:max-retries 1",
    `set ftp:passive-mode ${active ? "off" : "on"}`,
  ];
  const args = program === "curl"
    ? ["-sS", "--max-time", "8", ...(active ? ["-P", "-"] : []), "-o", to, `ftp://${SERVER}/${FILE}`]
    : ["-c", `${settings.join("; ")}; open ftp://${SERVER}; get ${FILE} -o ${to}`];
  const { code } = await lab.run("lan", program, args, { timeout: 15_000 });
  if (code !== 0) return code;
  await assertSameFile(to, `${lab.dir}/ftp-wan/${FILE}`, `${program}, ${active ? "active" : "passive"}`);
  await Deno.remove(to);
  return 0;
}

labTest(
  "pinholes, helpers and metrics tell of real transfers, and an unloaded helper opens nothing",
  ["vsftpd", "curl", "lftp"],
  async () => {
    await using lab = await helperLab();
    await startFtp(lab, "wan", {});
    makeFile(`${lab.dir}/ftp-wan/${FILE}`, 100_003);
    const path = lab.write("ftp.ts", CONFIG);
    let router = await lab.weir(path);

    assertEquals(await fetch(lab, "curl", false), 0);
    assertEquals(await fetch(lab, "lftp", true), 0);
    const { stdout: text } = await lab.command(["pinholes"]);
    const [passive, active] = text.split(/^(?=\d{4}-)/m);
    assertMatch(passive, /^\S+ ftp: tcp 192\.0\.2\.2 → 198\.51\.100\.2:\d+\n/);
    assertMatch(passive, /announced by "\|\|\|\d+\|"/);
    assertMatch(active, new RegExp(`ftp: tcp ${SERVER} → ${OUTER}:\\d+\\n`));
    assertMatch(active, /announced by "192,0,2,2,\d+,\d+"/);
    for (const pinhole of [passive, active]) {
      assertMatch(pinhole, /\n {2}for tcp 192\.0\.2\.2:\d+ → 198\.51\.100\.2:21 \(id \d+\), by /);
      assertStringIncludes(pinhole, `, by ${RULE}\n`);
    }
    assertStringIncludes(router.text, `by ${RULE}): "192,0,2,2,`);
    const both = await json<{ rule: string; assigned: string }[]>(lab, "pinholes");
    assertEquals(both.map(({ assigned, rule }) => [assigned, rule]), [["rule", RULE], ["rule", RULE]]);

    const ftpNow = async () => (await json<Listed[]>(lab, "helpers")).find(({ name }) => name === "ftp")!;
    const opened = (await ftpNow()).opened;
    assertEquals([opened, (await ftpNow()).loaded, (await ftpNow()).autoAssign], [2, true, false]);
    assertMatch(
      (await lab.command(["helpers"])).stdout,
      /^HELPER +SERVES .*\nftp +tcp 21 +rules +yes .*\ntftp +udp 69 +autoAssign +yes /,
    );

    const metrics = await lab.command(["metrics"]);
    assertMatch(metrics.stdout, /^weir_helper_opened_total\{router="ftp",helper="ftp",protocol="tcp"\} 2$/m);
    assertMatch(metrics.stdout, /^weir_helper_opened_total\{router="ftp",helper="tftp",protocol="udp"\} 0$/m);
    const received = /^weir_interface_receive_bytes_total\{router="ftp",interface="wan"\} (\d+)$/m.exec(
      metrics.stdout,
    );
    assert(Number(received?.[1]) > 200_000, received?.[0]);
    assertMatch(
      (await lab.command(["conntrack", "-S"])).stdout,
      /^cpu=0 {3}\tfound=\d+ invalid=\d+ insert=[1-9]/,
    );
    assertMatch((await lab.command(["conntrack", "-C"])).stdout, /^[1-9]\d*\n$/);

    // A conversation that stands while its helper is taken away, and comes to need it.
    const client = lab.spawn("lan", "lftp", [
      "-d",
      "-c",
      `set net:timeout 3; set net:max-retries 1; open ftp://${SERVER}; cls; !sleep 4; cls; exit`,
    ]);
    await client.waitFor(/226 /);
    // Those that have ended are still in the table.
    assertEquals((await ftpNow()).flows, 3, client.text);
    const unloaded = await lab.command(["helpers", "--unload", "ftp"]);
    assertEquals([unloaded.code, unloaded.stdout], [
      0,
      "ftp is unloaded: 3 flows go on without it, 0 expectations are gone\n",
    ]);
    const { code: refused } = await client.ended;
    assert(refused !== 0, `without its helper it opens nothing: ${client.text}`);
    assert(await fetch(lab, "curl", false) !== 0, "nor does a new one");
    assert(await fetch(lab, "lftp", true) !== 0, "nor in active mode");
    assertEquals([(await ftpNow()).loaded, (await ftpNow()).flows], [false, 0]);
    const before = (await ftpNow()).opened;

    // Unloaded it stays, though its router is killed; loaded again it works.
    router.kill();
    await router.ended;
    router = await lab.weir(path);
    assertStringIncludes(router.text, "with the flows of the process before");
    assertEquals(await json(lab, "pinholes").then((list) => (list as unknown[]).length), before);
    assert(await fetch(lab, "curl", false) !== 0);
    const loaded = await lab.command(["helpers", "--load", "ftp"]);
    assertEquals([loaded.code, loaded.stdout], [0, "ftp is loaded: flows that begin from now on get it\n"]);
    assertEquals(await fetch(lab, "curl", false), 0);
    assertEquals(await fetch(lab, "lftp", true), 0);
    assertEquals((await ftpNow()).opened, before + 2);
    assertMatch((await lab.command(["metrics"])).stdout, /^weir_restarts_total\{router="ftp"\} 1$/m);

    const wrong = await lab.command(["helpers", "--unload", "fpt"]);
    assertEquals([wrong.code, wrong.stderr], [1, 'weir: there is no helper "fpt"; there are ftp, tftp\n']);
    assertEquals(
      (await lab.ok(HERE, "find", "/run/weir", "-type", "s", "-perm", "600")).trim(),
      "/run/weir/ftp.sock",
    );
    await router.stop();
    assertEquals(await lab.ok(HERE, "find", "/run/weir", "-type", "s"), "");
  },
);
