/**
 * Amanda with `auth bsd` through Weir: the backup server asks over UDP, and dials the ports that the client's answer
 * names. Each dump is restored from its tape and compared. The same rule set without the helper lets the questions and
 * answers through, but none of what they announce.
 *
 * Debian builds Amanda without IPv6. It keeps its files at fixed places, so its programs run in mount namespaces where those are the lab's.
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { flows } from "../addresses.ts";
import type { Ended, Lab, Running } from "../lab.ts";
import { labTest } from "../lab_testing.ts";
import { find } from "../programs.ts";
import {
  assertSameFile,
  blind,
  bound,
  type Control,
  DNAT,
  helperLab,
  makeFile,
  PLAIN,
  until,
  WAYS,
  withHelper,
} from "./kit.ts";

const CONTROL: Control = { helper: "amanda", protocol: "udp", port: 10080 };
const PROGRAMS = ["amdump", "amservice", "inetd", "unshare", "setpriv"];

/** Files of the directory that is kept. */
const FILES: Readonly<Record<string, number>> = { "one.bin": 1_000_001, "deep/two.bin": 300_000 };

/** Who is where: both sides know each other by name, and believe no address that has none. */
const HOSTS = `127.0.0.1 localhost ${Deno.hostname()}
198.51.100.1 outer.example.net
198.51.100.2 wan.example.net
203.0.113.130 plain.example.net
192.0.2.2 lan.example.net
`;

/** The place where everything of Amanda lies, and the programs that find it where Amanda looks for it. */
class Amanda implements AsyncDisposable {
  readonly dir: string;
  readonly #lab: Lab;
  readonly #started: Running[] = [];

  private constructor(lab: Lab) {
    this.#lab = lab;
    this.dir = `${lab.dir}/amanda`;
  }

  static async in(lab: Lab): Promise<Amanda> {
    const amanda = new Amanda(lab), dir = amanda.dir;
    for (const folder of ["etc", "lib/gnutar-lists", "log", "shm", "kept/deep"]) {
      Deno.mkdirSync(`${dir}/${folder}`, { recursive: true });
    }
    Object.entries(FILES).forEach(([name, size], i) => makeFile(`${dir}/kept/${name}`, size, i + 1));
    const names = HOSTS.matchAll(/ (\S+\.net)$/gm);
    const files: Record<string, string> = {
      "hosts": HOSTS,
      "services": "amanda 10080/udp\namanda 10080/tcp\n",
      "amandahosts": [...names].map(([, name]) => `${name} backup amdump\n`).join(""),
      "lib/amandates": "",
      // Its own /tmp, with nothing in it but the lab.
      "place.sh": `set -e
mkdir -p /run/lab
mount --bind ${lab.dir} /run/lab
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p ${lab.dir}
mount --bind /run/lab ${lab.dir}
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount --bind ${dir}/hosts /etc/hosts
mount --bind ${dir}/services /etc/services
mount --bind ${dir}/amandahosts /etc/amandahosts
mount --bind ${dir}/etc /etc/amanda
mount --bind ${dir}/lib /var/lib/amanda
mount --bind ${dir}/log /var/log/amanda
cd ${dir}
exec "$@"
`,
    };
    for (const [name, text] of Object.entries(files)) Deno.writeTextFileSync(`${dir}/${name}`, text);
    Deno.chmodSync(`${dir}/amandahosts`, 0o600);
    await lab.ok("wan", "chown", "-R", "backup:backup", dir);
    return amanda;
  }

  /** Starts a program at that place. Whatever it starts itself ends with it. */
  #spawn(where: string, program: string, ...args: string[]): Running {
    const own = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const place = [...own, "sh", `${this.dir}/place.sh`, find(program) ?? program];
    const running = this.#lab.spawn(where, "unshare", [...place, ...args]);
    this.#started.push(running);
    return running;
  }

  /** Starts a program as the package's user. */
  start(where: string, program: string, ...args: string[]): Running {
    const user = ["--reuid=backup", "--regid=backup", "--init-groups"];
    return this.#spawn(where, "setpriv", ...user, find(program) ?? program, ...args);
  }

  /** Runs a program as the package's user, to its end. */
  async run(where: string, program: string, ...args: string[]): Promise<Ended> {
    const running = this.start(where, program, ...args);
    const timer = setTimeout(() => running.kill(), 30_000);
    try {
      return await running.ended;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#started.map((running) => running.stop("SIGKILL"))); // unshare hears nothing else
  }

  /** Starts the client that is asked: inetd, and amandad for each request. */
  async startClient(where: string): Promise<void> {
    const config = this.#lab.write(
      `inetd-${where}.conf`,
      "amanda dgram udp wait backup /usr/lib/amanda/amandad amandad -auth=bsd amdump\n",
    );
    const inetd = this.#spawn(where, "inetd", "-d", config);
    await bound(this.#lab, where, 4, CONTROL.port, inetd);
  }

  /** Configures a backup server of that name, which keeps the directory of the client at `host` on a virtual tape. */
  async configure(name: string, host: string): Promise<void> {
    const etc = `${this.dir}/etc/${name}`, state = `${this.dir}/state-${name}`;
    for (const folder of [etc, `${state}/vtapes/slot1`, `${state}/log`]) {
      Deno.mkdirSync(folder, { recursive: true });
    }
    Deno.writeTextFileSync(`${etc}/disklist`, `${host} ${this.dir}/kept kept\n`);
    Deno.writeTextFileSync(
      `${etc}/amanda.conf`,
      `org "${name}"
mailto ""
dumpuser "backup"
inparallel 1
dumpcycle 1
runspercycle 1
tapecycle 3
runtapes 1
ctimeout 10
etimeout 10
dtimeout 10
connect-tries 1
rep-tries 2
tpchanger "chg-disk:${state}/vtapes"
tapetype virtual
labelstr "^${name}-[0-9]+$"
autolabel "${name}-%" any
infofile "${state}/info"
logdir "${state}/log"
indexdir "${state}/index"
tapelist "${state}/tapelist"
define tapetype virtual {
  length 50 mbytes
  filemark 1 kbyte
}
define dumptype kept {
  auth "bsd"
  program "GNUTAR"
  compress none
  index yes
  holdingdisk never
  estimate client
}
`,
    );
    await this.#lab.ok("wan", "chown", "-R", "backup:backup", etc, state);
  }
}

/** What a way's backup server asks, and what it calls that. */
const CONFIGURATIONS = WAYS.map((way, i) => ({
  way,
  name: `kept${i}`,
  host: way === DNAT ? "outer.example.net" : "wan.example.net",
}));

/** Clients at both places where servers are, and a backup server for each way. */
async function startAmanda(lab: Lab): Promise<Amanda> {
  const amanda = await Amanda.in(lab);
  try {
    for (const where of ["wan", "lan"]) await amanda.startClient(where);
    for (const { name, host } of CONFIGURATIONS) await amanda.configure(name, host);
    return amanda;
  } catch (error) {
    await amanda[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs a program that has to end with 0; returns what it wrote to standard output. */
async function ok(amanda: Amanda, where: string, program: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await amanda.run(where, program, ...args);
  assertEquals(code, 0, `${program} ${args.join(" ")} in ${where}:\n${stdout}${stderr}`);
  return stdout;
}

/** Keeps the directory by way of `way`, and compares what comes back from the tape. */
async function keep(amanda: Amanda, { way, name, host }: (typeof CONFIGURATIONS)[number]): Promise<void> {
  assertStringIncludes(await ok(amanda, way.client, "amcheck", name), "Client check: 1 host checked");
  const { code } = await amanda.run(way.client, "amdump", name);
  const report = await ok(amanda, way.client, "amreport", name);
  assertEquals(code, 0, report);
  assertMatch(report, /DLEs Dumped +1 +1 +0/);
  const back = `${amanda.dir}/back-${name}`;
  const script = `mkdir ${back} && amfetchdump -p ${name} ${host} | tar -x -C ${back}`;
  await ok(amanda, way.client, "sh", "-c", script);
  for (const file of Object.keys(FILES)) {
    await assertSameFile(`${back}/${file}`, `${amanda.dir}/kept/${file}`, `${file}, ${way.name}`);
  }
}

/** What stands in files whose names begin like that; nothing if there are none yet. */
async function contents(lab: Lab, beginning: string): Promise<string> {
  return (await lab.run("wan", "sh", ["-c", `cat ${beginning}*`])).stdout;
}

/** The answer of a client, as the helper reads it: a port for each stream. */
const ANSWER = /^CONNECT DATA 50\d{3} MESG 50\d{3} INDEX 50\d{3} STATE 50\d{3}$/gm;

labTest(
  "Amanda, without NAT, with MASQUERADE, with DNAT: amcheck, amdump, and the directory comes back as it was",
  PROGRAMS,
  async () => {
    await using lab = await helperLab();
    await using amanda = await startAmanda(lab);
    await withHelper(lab, CONTROL);
    for (const configuration of CONFIGURATIONS) await keep(amanda, configuration);
    const answers = await contents(lab, `${amanda.dir}/log/amandad/`);
    assertEquals(answers.match(ANSWER)?.length, CONFIGURATIONS.length, "one dump, one answer");
    const table = await flows(lab);
    // Who asks whom, and what the other one sees of it.
    const streams = [
      "src=203.0.113.130 dst=198.51.100.2 .* src=198.51.100.2 dst=203.0.113.130 ",
      "src=192.0.2.2 dst=198.51.100.2 .* src=198.51.100.2 dst=198.51.100.1 ",
      "src=198.51.100.2 dst=198.51.100.1 .* src=192.0.2.2 dst=198.51.100.2 ",
    ];
    for (const stream of streams) {
      assertEquals(table.match(new RegExp(`^tcp .* ${stream}`, "gm"))?.length, 4, `${stream}\n${table}`);
    }
  },
);

labTest(
  "Amanda, the closed rule set: the client answers without the helper, but nothing can be kept",
  PROGRAMS,
  async () => {
    await using lab = await helperLab();
    await using amanda = await startAmanda(lab);
    await blind(lab, CONTROL);
    // The client that the first two share serves one request at a time, hence one of them.
    const configurations = CONFIGURATIONS.filter(({ way }) => way !== PLAIN);
    await Promise.all(configurations.map(async ({ way, name }) => {
      await ok(amanda, way.client, "amcheck", "-c", name);
      // It would try again later, which is not waited for.
      const dump = amanda.start(way.client, "amdump", name);
      await until(
        async () => {
          const log = await contents(lab, `${amanda.dir}/state-${name}/log/`);
          return /FAIL dumper .*could not connect DATA stream: .*Connection refused/.test(log) ? true : null;
        },
        () => `amdump ${name} goes on: ${dump.text}`,
        20_000,
      );
      await dump.stop("SIGKILL");
    }));
    assertEquals((await flows(lab)).match(/^tcp /gm), null, "no stream came through");
  },
);
