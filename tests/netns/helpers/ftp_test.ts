/**
 * FTP through Weir: two servers, three clients, every way to announce a data connection. The rule set lets in nothing
 * but control connections and what the helper has announced.
 */

import { assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { flows } from "../addresses.ts";
import type { Lab } from "../lab.ts";
import { labTest } from "../lab_testing.ts";
import { find } from "../programs.ts";
import type { Running } from "../running.ts";
import { listening, startFtp } from "../services.ts";
import {
  assertSameFile,
  blind,
  type Control,
  DNAT,
  helperLab,
  host,
  makeFile,
  OUTER,
  PLAIN,
  SNAT,
  type Way,
  WAYS,
  withHelper,
} from "./kit.ts";

const CONTROL: Control = { helper: "ftp", protocol: "tcp", port: 21 };
const FILE = "document.bin";
/** Several segments, and no round number. */
const SIZE = 200_003;

/** One client's way to fetch a file, and to put one: what it runs, and what it must have said to the server. */
interface Client {
  readonly program: "curl" | "lftp" | "tnftp";
  readonly mode: string;
  readonly versions: readonly (4 | 6)[];
  readonly args: (address: string, version: number, to: string) => string[];
  readonly stdin?: (to: string) => string;
  readonly said: Readonly<Partial<Record<4 | 6, RegExp>>>;
}

const CURL = (...options: string[]) => (address: string, _version: number, to: string) => [
  "-sSv",
  "--connect-timeout",
  "5",
  "--max-time",
  "10",
  ...options,
  "-o",
  to,
  `ftp://${host(address)}/${FILE}`,
];

const LFTP = (...settings: string[]) => (address: string, _version: number, to: string) => [
  "-d",
  "-c",
  lftpScript(settings, address, `get ${FILE} -o ${to}`),
];

/** tnftp reads the commands from its standard input. */
const TNFTP = (option: string) => (address: string, version: number) => [
  "-a",
  "-d",
  "-v",
  option,
  `-${version}`,
  address,
];
const TNFTP_GET = (...before: string[]) => (to: string) =>
  [...before, "binary", `get ${FILE} ${to}`, "quit", ""].join("\n");

const PASV = /^(?:> |---> )PASV/m, EPSV = /^(?:> |---> )EPSV/m;
const PORT = /^(?:> |---> )PORT \d/m, EPRT = /^(?:> |---> )EPRT \|[12]\|/m;

const CLIENTS: readonly Client[] = [
  { program: "curl", mode: "PASV", versions: [4], args: CURL("--disable-epsv"), said: { 4: PASV } },
  { program: "curl", mode: "EPSV", versions: [4, 6], args: CURL(), said: { 4: EPSV, 6: EPSV } },
  {
    program: "curl",
    mode: "PORT",
    versions: [4],
    args: CURL("--disable-eprt", "-P", "-"),
    said: { 4: PORT },
  },
  { program: "curl", mode: "EPRT", versions: [4, 6], args: CURL("-P", "-"), said: { 4: EPRT, 6: EPRT } },
  {
    program: "lftp",
    mode: "passive",
    versions: [4, 6],
    args: LFTP("ftp:passive-mode on"),
    said: { 4: PASV, 6: EPSV },
  },
  {
    program: "lftp",
    mode: "passive, EPSV preferred",
    versions: [4],
    args: LFTP("ftp:passive-mode on", "ftp:use-feat on", "ftp:prefer-epsv on"),
    said: { 4: EPSV },
  },
  {
    program: "lftp",
    mode: "active",
    versions: [4, 6],
    args: LFTP("ftp:passive-mode off"),
    said: { 4: PORT, 6: EPRT },
  },
  {
    program: "tnftp",
    mode: "passive",
    versions: [4, 6],
    args: TNFTP("-p"),
    stdin: TNFTP_GET(),
    said: { 4: EPSV, 6: EPSV },
  },
  {
    program: "tnftp",
    mode: "passive, no EPSV",
    versions: [4],
    args: TNFTP("-p"),
    stdin: TNFTP_GET("epsv4"),
    said: { 4: PASV },
  },
  {
    program: "tnftp",
    mode: "active",
    versions: [4, 6],
    args: TNFTP("-A"),
    stdin: TNFTP_GET(),
    said: { 4: EPRT, 6: EPRT },
  },
  {
    program: "tnftp",
    mode: "active, no EPRT",
    versions: [4],
    args: TNFTP("-A"),
    stdin: TNFTP_GET("epsv4"),
    said: { 4: PORT },
  },
];

/** A server of one kind: its program, and how one is started that offers `FILE` and takes uploads. */
interface Server {
  readonly program: string;
  readonly start: (lab: Lab, where: string) => Promise<Running>;
}

const SERVERS: readonly Server[] = [
  { program: "vsftpd", start: (lab, where) => startFtp(lab, where, {}) },
  { program: "pure-ftpd", start: startPureFtpd },
];

/** Starts pure-ftpd, one in a lab: its anonymous users are the user ftp, whose home becomes the server's folder. */
async function startPureFtpd(lab: Lab, where: string): Promise<Running> {
  const root = rootOf(lab, where);
  Deno.mkdirSync(`${root}/upload`, { recursive: true });
  Deno.chmodSync(`${root}/upload`, 0o777);
  const home = (await lab.ok(where, "getent", "passwd", "ftp")).split(":")[5];
  await lab.ok(where, "mount", "--bind", root, home);
  const options = ["-e", "-H", "-S", "21", "-g", `${lab.dir}/pure-ftpd.pid`, "-U", "133:022"];
  const server = lab.spawn(where, find("pure-ftpd") ?? "pure-ftpd", options);
  await listening(lab, where, 21, server);
  return server;
}

function rootOf(lab: Lab, where: string): string {
  return `${lab.dir}/ftp-${where}`;
}

/** A server with its file at both ends of the drawing where servers are. */
async function startServers(lab: Lab, server: Server, ...places: string[]): Promise<void> {
  for (const where of places) {
    await server.start(lab, where);
    makeFile(`${rootOf(lab, where)}/${FILE}`, SIZE);
  }
}

function lftpScript(settings: readonly string[], address: string, ...commands: string[]): string {
  const all = ["net:max-retries 1", "net:timeout 5", "ftp:ssl-allow off", "ftp:use-feat off", ...settings];
  return [...all.map((setting) => `set ${setting}`), `open ftp://${host(address)}`, ...commands].join("; ");
}

/** Fetches the file as `client` does, and compares. */
async function fetchFile(lab: Lab, way: Way, client: Client, version: 4 | 6): Promise<void> {
  const to = `${lab.dir}/arrived.bin`, what = `${client.program}, ${client.mode}, IPv${version}, ${way.name}`;
  const { code, stdout, stderr } = await lab.run(
    way.client,
    client.program,
    client.args(way.asked[version], version, to),
    { stdin: client.stdin?.(to), timeout: 15_000 },
  );
  assertEquals(code, 0, `${what}:\n${stdout}${stderr}`);
  assertMatch(stdout + stderr, client.said[version]!, what);
  await assertSameFile(to, `${rootOf(lab, way.server)}/${FILE}`, what);
  await Deno.remove(to);
}

for (const server of SERVERS) {
  for (const way of WAYS) {
    labTest(
      `FTP, ${server.program}, ${way.name}: every client, every announcement`,
      [server.program, "curl", "lftp", "tnftp"],
      async () => {
        await using lab = await helperLab();
        await startServers(lab, server, way.server);
        await withHelper(lab, CONTROL);
        for (const client of CLIENTS) {
          for (const version of client.versions) await fetchFile(lab, way, client, version);
        }
        // The flows are what the name of this test says.
        const table = await flows(lab);
        for (const version of [4, 6] as const) {
          const dst = way.asked[version];
          const [src, answers] = {
            [PLAIN.name]: [way.seen[version], dst],
            [SNAT.name]: [version === 4 ? "192.0.2.2" : "2001:db8:1::2", dst],
            [DNAT.name]: [way.seen[version], version === 4 ? "192.0.2.2" : "2001:db8:1::2"],
          }[way.name];
          assertMatch(
            table,
            new RegExp(
              `src=${src} dst=${dst} sport=\\d+ dport=21 src=${answers} dst=${way.seen[version]} sport=21 `,
            ),
          );
          // Active mode: the server dials from port 20 where it saw the client.
          assertMatch(table, new RegExp(`src=${answers} dst=${way.seen[version]} sport=20 `));
        }
      },
    );
  }
}

for (const way of WAYS) {
  labTest(
    `FTP, lftp, ${way.name}: fifty transfers over one control connection`,
    ["vsftpd", "lftp"],
    async () => {
      await using lab = await helperLab();
      await startServers(lab, SERVERS[0], way.server);
      await withHelper(lab, CONTROL);
      const sent = `${lab.dir}/sent.bin`, root = rootOf(lab, way.server);
      makeFile(sent, 20_001, 2);
      for (const version of [4, 6] as const) {
        const arrived = (i: number) => `${lab.dir}/arrived-${version}-${i}.bin`;
        const commands = Array.from({ length: 50 }, (_, i) => {
          const mode = `set ftp:passive-mode ${i % 4 < 2 ? "on" : "off"}`;
          return i % 2 === 0
            ? `${mode}; get ${FILE} -o ${arrived(i)}`
            : `${mode}; put ${sent} -o upload/${version}-${i}.bin`;
        });
        const { code, stdout, stderr } = await lab.run(
          way.client,
          "lftp",
          ["-d", "-c", lftpScript([], way.asked[version], ...commands)],
          { timeout: 30_000 },
        );
        const said = stdout + stderr;
        assertEquals(code, 0, said.slice(-4000));
        assertEquals(said.match(/^---> USER /gm)?.length, 1, "one control connection");
        assertEquals(said.match(/^---> (RETR|STOR) /gm)?.length, 50);
        assertEquals(said.match(/^---> (PASV|EPSV)/gm)?.length, 26);
        assertEquals(said.match(/^---> (PORT|EPRT)/gm)?.length, 24);
        for (let i = 0; i < 50; i++) {
          if (i % 2 === 0) await assertSameFile(arrived(i), `${root}/${FILE}`, `download ${i}`);
          else await assertSameFile(`${root}/upload/${version}-${i}.bin`, sent, `upload ${i}`);
        }
      }
    },
  );
}

labTest(
  "FTP, two clients behind one address at the same moment, active and passive, and each gets its own file",
  ["vsftpd", "curl"],
  async () => {
    await using lab = await helperLab();
    await startServers(lab, SERVERS[0], "wan");
    const pair = ["lan", "lan2"];
    pair.forEach((where, i) => makeFile(`${rootOf(lab, "wan")}/${where}.bin`, 2_000_003, 3 + i));
    await withHelper(lab, CONTROL);
    for (const version of [4, 6] as const) {
      const inside = version === 4 ? ["192.0.2.2", "203.0.113.2"] : ["2001:db8:1::2", "2001:db8:3::2"];
      const asked = SNAT.asked[version], outer = OUTER[version];
      for (const active of [true, false]) {
        // Slow enough for both to begin before one ends. As in Linux, an announced port that another client's established
        // data connection has outside is not changed, and the server cannot dial it twice: hence two ports.
        const transfers = pair.map((where, i) =>
          lab.spawn(where, "curl", [
            "-sSv",
            "--max-time",
            "15",
            "--limit-rate",
            "500k",
            ...(active ? ["-P", `${host(inside[i])}:${40000 + i}`] : []),
            "-o",
            `${lab.dir}/${where}.bin`,
            `ftp://${host(asked)}/${where}.bin`,
          ])
        );
        await Promise.all(transfers.map(async (transfer) => {
          await transfer.waitFor(/^< 150 /m);
          transfer.signal("SIGSTOP"); // until both have been looked at
        }));
        const table = await flows(lab);
        assertEquals(
          transfers.map((transfer) => transfer.over),
          [false, false],
          transfers.map(({ text }) => text).join("\n"),
        );
        for (const [i, address] of inside.entries()) {
          const flow = active
            ? `src=${asked} dst=${outer} sport=20 dport=\\d+ src=${address} dst=${asked} sport=${
              40000 + i
            } dport=20 `
            : `src=${address} dst=${asked} sport=\\d+ dport=(?!21 )\\d+ src=${asked} dst=${outer} `;
          assertMatch(table, new RegExp(flow));
        }
        for (const transfer of transfers) transfer.signal("SIGCONT");
        for (const [i, transfer] of transfers.entries()) {
          const { code } = await transfer.ended;
          assertEquals(code, 0, transfer.text);
          const file = `${pair[i]}.bin`;
          await assertSameFile(`${lab.dir}/${file}`, `${rootOf(lab, "wan")}/${file}`, file);
        }
      }
    }
  },
);

labTest(
  "FTP, the closed rule set: no data connection without the helper, all of them with it",
  ["vsftpd", "curl"],
  async () => {
    await using lab = await helperLab();
    await startServers(lab, SERVERS[0], "wan", "lan");
    const modes: [string, string[]][] = [["passive", []], ["active", ["-P", "-"]]];
    const cases = WAYS.flatMap((way) =>
      ([4, 6] as const).flatMap((version) =>
        modes.map(([mode, options]) => ({ way, version, mode, options }))
      )
    );
    /** All cases at once; for each, whether the server was reached, and whether the file came. */
    const outcomes = (): Promise<[string, boolean, boolean][]> =>
      Promise.all(cases.map(async ({ way, version, mode, options }, i) => {
        const to = `${lab.dir}/closed-${i}.bin`, url = `ftp://${host(way.asked[version])}/${FILE}`;
        const { code, stderr } = await lab.run(way.client, "curl", [
          "-sSv",
          "--connect-timeout",
          "2",
          "--max-time",
          "5",
          ...options,
          "-o",
          to,
          url,
        ]);
        if (code === 0) {
          await assertSameFile(
            to,
            `${rootOf(lab, way.server)}/${FILE}`,
            `${way.name}, IPv${version}, ${mode}`,
          );
        }
        return [`${way.name}, IPv${version}, ${mode}`, /^< 230 /m.test(stderr), code === 0];
      }));
    const expected = (whole: boolean) =>
      cases.map(({ way, version, mode }) => [`${way.name}, IPv${version}, ${mode}`, true, whole]);

    const without = await blind(lab, CONTROL);
    assertEquals(await outcomes(), expected(false));
    assertNotMatch(await flows(lab), /sport=20 |helper=/);
    await without.stop();
    await withHelper(lab, CONTROL);
    assertEquals(await outcomes(), expected(true));
  },
);
