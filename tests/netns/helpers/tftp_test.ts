/**
 * TFTP through Weir: the server answers from a port of its own choice, which the closed rule set lets in because the
 * helper has read the request. Two servers, three clients, both directions.
 */

import { assertEquals, assertMatch } from "@std/assert";
import { flows } from "../addresses.ts";
import type { Lab } from "../lab.ts";
import { labTest } from "../lab_testing.ts";
import { find } from "../programs.ts";
import { IMPLEMENTATIONS, ROUTER_PROGRAMS } from "../routers.ts";
import type { Running } from "../running.ts";
import {
  assertSameFile,
  blind,
  bound,
  type Control,
  DNAT,
  helperLab,
  host,
  makeFile,
  routerBeside,
  SNAT,
  until,
  type Way,
  WAYS,
  withHelper,
} from "./kit.ts";

const CONTROL: Control = { helper: "tftp", protocol: "udp", port: 69 };
/** Offered by every server; what is put comes from a folder of the same files. */
const FILES: Readonly<Record<string, number>> = {
  "large.bin": 4 * 1024 * 1024,
  "1mb.bin": 1024 * 1024,
  "middle.bin": 1_000_000,
  "small.bin": 100_001,
};

/** A server of one kind, and how one is started that offers `root` and takes uploads there. */
interface Server {
  readonly program: string;
  readonly start: (lab: Lab, where: string, root: string) => Running;
}

const SERVERS: readonly Server[] = [
  {
    program: "in.tftpd",
    start: (lab, where, root) =>
      lab.spawn(where, find("in.tftpd") ?? "in.tftpd", ["-L", "-c", "-p", "-u", "root", "-s", root]),
  },
  {
    // By itself it listens for IPv4 alone, whatever address it is told.
    program: "atftpd",
    start: (lab, where, root) => {
      const service = (protocol: string) =>
        `tftp dgram ${protocol} wait root ${find("atftpd")} atftpd --user root.root ${root}\n`;
      const config = lab.write(`inetd-${where}.conf`, service("udp") + service("udp6"));
      return lab.spawn(where, find("inetd") ?? "inetd", ["-d", config]);
    },
  },
];

/** One transfer: the program's arguments to get `file` to a path, or to put that path under a name. */
interface Transfer {
  readonly program: "tftp" | "atftp" | "curl";
  readonly what: string;
  readonly file: string;
  readonly put?: true | undefined;
  readonly args: (address: string, remote: string, local: string, version: 4 | 6) => string[];
}

const hpa = (verb: "get" | "put"): Transfer["args"] => (address, remote, local, version) => [
  `-${version}`,
  "-m",
  "binary",
  address,
  "-c",
  verb,
  ...(verb === "get" ? [remote, local] : [local, remote]),
];

const atftp = (verb: "get" | "put", ...options: string[]): Transfer["args"] => (address, remote, local) => [
  `--${verb}`,
  ...options.flatMap((option) => ["--option", option]),
  "-l",
  local,
  "-r",
  remote,
  address,
];

const curl = (verb: "get" | "put", ...options: string[]): Transfer["args"] => (address, remote, local) => [
  "-sS",
  "--max-time",
  "15",
  ...options,
  verb === "get" ? "-o" : "-T",
  local,
  `tftp://${host(address)}/${remote}`,
];

const TRANSFERS: readonly Transfer[] = [
  { program: "tftp", what: "get", file: "small.bin", args: hpa("get") },
  { program: "tftp", what: "put", file: "small.bin", put: true, args: hpa("put") },
  { program: "atftp", what: "get", file: "small.bin", args: atftp("get") },
  { program: "atftp", what: "get, blksize 1428", file: "middle.bin", args: atftp("get", "blksize 1428") },
  {
    program: "atftp",
    what: "put, blksize 1428",
    file: "middle.bin",
    put: true,
    args: atftp("put", "blksize 1428"),
  },
  {
    program: "atftp",
    what: "get, blksize 8192, in fragments",
    file: "middle.bin",
    args: atftp("get", "blksize 8192"),
  },
  {
    program: "atftp",
    what: "put, blksize 8192, in fragments",
    file: "middle.bin",
    put: true,
    args: atftp("put", "blksize 8192"),
  },
  { program: "curl", what: "get", file: "small.bin", args: curl("get") },
  {
    program: "curl",
    what: "get, blksize 1024",
    file: "middle.bin",
    args: curl("get", "--tftp-blksize", "1024"),
  },
  {
    program: "curl",
    what: "put, blksize 1024",
    file: "middle.bin",
    put: true,
    args: curl("put", "--tftp-blksize", "1024"),
  },
  { program: "curl", what: "get, no options", file: "small.bin", args: curl("get", "--tftp-no-options") },
];

/** 8192 blocks of the protocol's own size: the same for every server, so once a way is enough. */
const LARGE: readonly Transfer[] = [
  { program: "tftp", what: "get, 4 MB", file: "large.bin", args: hpa("get") },
  { program: "tftp", what: "put, 4 MB", file: "large.bin", put: true, args: hpa("put") },
];

function rootOf(lab: Lab, where: string): string {
  return `${lab.dir}/tftp-${where}`;
}

async function startTftp(lab: Lab, where: string, server: Server): Promise<Running> {
  const root = rootOf(lab, where);
  Deno.mkdirSync(root);
  Deno.chmodSync(root, 0o777);
  Object.entries(FILES).forEach(([name, size], i) => makeFile(`${root}/${name}`, size, i));
  const running = server.start(lab, where, root);
  for (const version of [4, 6] as const) await bound(lab, where, version, CONTROL.port, running);
  return running;
}

async function move(lab: Lab, way: Way, transfer: Transfer, version: 4 | 6): Promise<void> {
  const { program, what, file, put, args } = transfer;
  const name = `${program}, ${what}, IPv${version}, ${way.name}`;
  const offered = `${rootOf(lab, way.server)}/${file}`;
  const local = put ? offered : `${lab.dir}/arrived.bin`, remote = put ? "put.bin" : file;
  const arrived = put ? `${rootOf(lab, way.server)}/put.bin` : local;
  const { code, stdout, stderr } = await lab.run(
    way.client,
    program,
    args(way.asked[version], remote, local, version),
  );
  assertEquals(code, 0, `${name}: ${stdout}${stderr}`);
  if (put) {
    // A server may acknowledge the last block before it has written it.
    await until(
      () => Deno.statSync(arrived).size === Deno.statSync(offered).size ? true : null,
      () => `${name}: ${Deno.statSync(arrived).size} bytes arrived`,
      2_000,
    );
  }
  await assertSameFile(arrived, offered, `${name}: ${stdout}${stderr}`);
  await Deno.remove(arrived);
}

for (const server of SERVERS) {
  for (const way of WAYS) {
    labTest(
      `TFTP, ${server.program}, ${way.name}: every client gets and puts`,
      [server.program, "inetd", "tftp", "atftp", "curl"],
      async () => {
        await using lab = await helperLab();
        await startTftp(lab, way.server, server);
        await withHelper(lab, CONTROL);
        for (const version of [4, 6] as const) {
          for (const transfer of TRANSFERS) await move(lab, way, transfer, version);
        }
        if (server === SERVERS[0]) {
          for (const transfer of LARGE) await move(lab, way, transfer, 4);
        }
        // The server's own flow, from a port of its choice to where it saw the client.
        const table = await flows(lab);
        for (const version of [4, 6] as const) {
          const inside = version === 4 ? "192.0.2.2" : "2001:db8:1::2";
          const src = way === DNAT ? inside : way.asked[version], dst = way.seen[version];
          const answers = way === SNAT ? inside : dst, answered = way.asked[version];
          assertMatch(
            table,
            new RegExp(`^udp .*src=${src} dst=${dst} sport=(?!69 ).* src=${answers} dst=${answered} `, "m"),
          );
        }
      },
    );
  }
}

labTest(
  "TFTP, the closed rule set: no answer without the helper, whole files with it",
  ["in.tftpd", "curl"],
  async () => {
    await using lab = await helperLab();
    for (const where of ["wan", "lan"]) await startTftp(lab, where, SERVERS[0]);
    const cases = WAYS.flatMap((way) => ([4, 6] as const).map((version) => ({ way, version })));
    /** Gets the file in all cases at once; the exit codes. */
    const outcomes = (): Promise<number[]> =>
      Promise.all(cases.map(async ({ way, version }, i) => {
        const to = `${lab.dir}/closed-${i}.bin`;
        const url = `tftp://${host(way.asked[version])}/small.bin`;
        const { code } = await lab.run(way.client, "curl", ["-sS", "--max-time", "3", "-o", to, url]);
        if (code === 0) {
          await assertSameFile(to, `${rootOf(lab, way.server)}/small.bin`, `${way.name}, ${url}`);
        }
        return code;
      }));
    const without = await blind(lab, CONTROL);
    assertEquals(await outcomes(), cases.map(() => 28), "curl waited in vain");
    // All requests went out, and nothing belongs to them.
    assertEquals((await flows(lab)).match(/^udp .* dport=69 \[UNREPLIED\]/gm)?.length, cases.length);
    await without.stop();
    await withHelper(lab, CONTROL);
    assertEquals(await outcomes(), cases.map(() => 0));
  },
);

for (const { name, start, list } of IMPLEMENTATIONS) {
  labTest(
    `P07 ${name} as the router: curl gets 1 MB from in.tftpd and puts 1 MB there, by way of SNAT`,
    ["in.tftpd", "curl", ...ROUTER_PROGRAMS],
    async () => {
      await using lab = await helperLab();
      await startTftp(lab, SNAT.server, SERVERS[0]);
      await start(lab, routerBeside(CONTROL));
      for (const verb of ["get", "put"] as const) {
        const what = `${verb}, 1 MB`, put = verb === "put" || undefined;
        await move(lab, SNAT, { program: "curl", what, file: "1mb.bin", put, args: curl(verb) }, 4);
      }
      const flows = await list(lab, 4);
      const request = /src=192\.0\.2\.2 dst=198\.51\.100\.2 sport=\d+ dport=69 .*helper=tftp/g;
      const answer =
        /src=198\.51\.100\.2 dst=198\.51\.100\.1 sport=\d+ dport=\d+ src=192\.0\.2\.2 dst=198\.51\.100\.2 /g;
      assertEquals([flows.match(request)?.length, flows.match(answer)?.length], [2, 2], flows);
    },
  );
}
