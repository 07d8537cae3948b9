/**
 * L16 (scale: 15 % of all packets are lost or changed on their way over both links, four web and two FTP transfers of
 * 100 kB): real programs over bad lines, with Weir between these. The lines are a relay's, as not every kernel has
 * sch_netem.
 *
 * ```
 *  client ═ bad line ═ lan ─ Weir ─ wan ═ bad line ═ server
 *  203.0.113.2   .1        MASQUERADE      .65     203.0.113.66
 * ```
 */
import { assert, assertEquals } from "@std/assert";
import { flows } from "./addresses.ts";
import { Lab, ROOT } from "./lab.ts";
import { labTest } from "./lab_testing.ts";
import { forwarding } from "./routers.ts";
import { startFtp, startWeb } from "./services.ts";

const CLIENT = "203.0.113.2", SERVER = "203.0.113.66", SIZE = 100_000, WEB = 4, SEED = 16, PERCENT = 4;

const CONFIG = `import { defineRouter, ftp } from "${ROOT}mod.ts";
export default defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24"], peer: { netns: "lan", addresses: ["192.0.2.2/24"], routes: ["default"] } },
    wan: { addresses: ["198.51.100.1/24"], peer: { netns: "wan", addresses: ["198.51.100.2/24"] } },
  },
  routes: [
    { destination: "203.0.113.0/26", interface: "lan", via: "192.0.2.2" },
    { destination: "203.0.113.64/26", interface: "wan", via: "198.51.100.2" },
  ],
  tables: {
    nat: { POSTROUTING: [{ outInterface: "wan", jump: "MASQUERADE" }] },
    filter: { FORWARD: { policy: "DROP", rules: [
      { state: "INVALID", jump: "DROP" },
      { state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" },
      { inInterface: "lan", outInterface: "wan", jump: "ACCEPT" },
    ] } },
  },
  helpers: [ftp()],
});`;

labTest(
  "L16 over lines that lose and change what they carry, every transfer ends byte by byte as it was sent",
  ["curl", "lftp", "vsftpd"],
  async () => {
    await using lab = await Lab.private("client", "lan", "wan", "server");
    await lab.weir(lab.write("bad.ts", CONFIG));
    const relay = lab.spawn("", Deno.execPath(), [
      ...["run", "-A", "--no-prompt", `${ROOT}tests/netns/lossy_relay.ts`],
      ...[`${SEED}`, `${PERCENT}`, `${PERCENT}`, "client:lan", "server:wan"],
    ]);
    await relay.waitFor(/^relay ready/m);
    for (
      const [where, address] of [["client", `${CLIENT}/26`], ["lan", "203.0.113.1/26"], [
        "wan",
        "203.0.113.65/26",
      ], ["server", `${SERVER}/26`]]
    ) {
      await lab.ok(where, "ip", "address", "add", address, "dev", "line");
      await lab.ok(where, "ip", "link", "set", "line", "up");
    }
    // What is lost is missed soon: the lines are short.
    await lab.ok("client", "ip", "route", "add", "default", "via", "203.0.113.1", "rto_min", "20ms");
    await lab.ok("server", "ip", "route", "add", "default", "via", "203.0.113.65", "rto_min", "20ms");
    await forwarding(lab, "lan");
    await forwarding(lab, "wan");
    await startWeb(lab, "server", 8080);
    const document = Array.from({ length: SIZE / 20 }, (_, i) => `line ${i}`.padEnd(19) + "\n").join("");
    await startFtp(lab, "server", { document }, 21, "pasv_address=203.0.113.66\n");

    const get = async (url: string, ...options: string[]) => {
      const { code, stdout, stderr } = await lab.run("client", "curl", ["-sS", "-m", "80", ...options, url], {
        timeout: 90_000,
      });
      assertEquals([code, stderr], [0, ""], url);
      return stdout;
    };
    // curl gives up when the server's connection is late.
    const active = async () => {
      const settings = [
        "net:max-retries 1",
        "net:timeout 60",
        "ftp:ssl-allow off",
        "ftp:use-feat off",
        "ftp:passive-mode off",
      ];
      const script = [
        "debug 5",
        ...settings.map((setting) => `set ${setting}`),
        `open ftp://${SERVER}`,
        "cat document",
      ]
        .join("; ");
      const { code, stdout, stderr } = await lab.run("client", "lftp", ["-c", script], { timeout: 90_000 });
      assertEquals(code, 0, stderr);
      return stdout;
    };
    const web = `http://${SERVER}:8080/bytes/${SIZE}`, ftp = `ftp://${SERVER}/document`;
    const expected = await lab.ok("server", "curl", "-sS", `http://127.0.0.1:8080/bytes/${SIZE}`);
    const got = await Promise.all([
      get(ftp, "--disable-epsv"),
      active(),
      ...Array.from({ length: WEB }, () => get(web)),
    ]);
    assertEquals(got.slice(0, 2).map((text) => text === document), [true, true]);
    assertEquals(got.slice(2).map((text) => text === expected), Array(WEB).fill(true));
    const [, lost, corrupted] = [...relay.text.matchAll(/lost (\d+) corrupted (\d+)/g)].at(-1)!.map(Number);
    assert(lost > 30 && corrupted > 30, relay.text);

    // Nothing that was changed on its way has made a flow. What comes too late is for Weir itself.
    const ports = "sport=\\d+ dport=\\d+ (?:\\[UNREPLIED\\] )?", own = "198.51.100.1";
    const between = (...pairs: [string, string][]) =>
      pairs.map(([src, dst]) => `src=${src} dst=${dst} ${ports}`).join("");
    const right = new RegExp(
      `^tcp +6 \\d+ [A-Z_0-9]+ (?:${between([CLIENT, SERVER], [SERVER, own])}|` +
        `${between([SERVER, own], [CLIENT, SERVER])}|${between([SERVER, own], [own, SERVER])})`,
    );
    const lines = (await flows(lab)).split("\n").filter((line) => line !== "" && !/^icmpv6 /.test(line));
    assert(lines.length >= WEB + 2, lines.join("\n"));
    for (const line of lines) assert(right.test(line), line);
  },
);
