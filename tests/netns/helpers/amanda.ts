/**
 * The real Amanda in a lab: backup servers, clients that are asked, and tapes that are folders.
 *
 * Debian builds Amanda without IPv6. It keeps its files at fixed places, so its programs run in mount namespaces where
 * those are the lab's.
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Ended, Lab, Running } from "../lab.ts";
import { find } from "../programs.ts";
import { assertSameFile, bound, type Control, makeFile } from "./kit.ts";

export const CONTROL: Control = { helper: "amanda", protocol: "udp", port: 10080 };
export const PROGRAMS = ["amdump", "amservice", "inetd", "unshare", "setpriv"];

/** Files of the directory that is kept. */
const FILES: Readonly<Record<string, number>> = { "one.bin": 1_000_001, "deep/two.bin": 300_000 };

/** One for each dump that a server makes: all are whole ones. */
const TAPES = ["slot1", "slot2", "slot3"];

/** Who is where: both sides know each other by name, and believe no address that has none. */
const HOSTS = `127.0.0.1 localhost ${Deno.hostname()}
198.51.100.1 outer.example.net
198.51.100.2 wan.example.net
203.0.113.130 plain.example.net
192.0.2.2 lan.example.net
203.0.113.2 lan2.example.net
`;

/** The place where everything of Amanda lies, and the programs that find it where Amanda looks for it. */
export class Amanda implements AsyncDisposable {
  readonly dir: string;
  readonly #lab: Lab;
  readonly #auth: string;
  readonly #started: Running[] = [];

  private constructor(lab: Lab, auth: string) {
    this.#lab = lab;
    this.#auth = auth;
    this.dir = `${lab.dir}/amanda`;
  }

  /** The place in a lab; `auth` is how server and client speak with each other. */
  static async in(lab: Lab, auth: "bsd" | "bsdudp" = "bsd"): Promise<Amanda> {
    const amanda = new Amanda(lab, auth), dir = amanda.dir;
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
      `amanda dgram udp wait backup /usr/lib/amanda/amandad amandad -auth=${this.#auth} amdump\n`,
    );
    const inetd = this.#spawn(where, "inetd", "-d", config);
    await bound(this.#lab, where, 4, CONTROL.port, inetd);
  }

  /** Configures a backup server of that name, which keeps the directory of the client at `host` on virtual tapes. */
  async configure(name: string, host: string, port = CONTROL.port): Promise<void> {
    const etc = `${this.dir}/etc/${name}`, state = `${this.dir}/state-${name}`;
    for (const folder of [etc, ...TAPES.map((slot) => `${state}/vtapes/${slot}`), `${state}/log`]) {
      Deno.mkdirSync(folder, { recursive: true });
    }
    Deno.writeTextFileSync(`${etc}/disklist`, `${host} kept ${this.dir}/kept kept\n`);
    Deno.writeTextFileSync(
      `${etc}/amanda.conf`,
      `org "${name}"
mailto ""
dumpuser "backup"
inparallel 1
dumpcycle 0
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
  auth "${this.#auth}"
  client-port "${port}"
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

  /** Runs a program that has to end with 0; returns what it wrote to standard output. */
  async ok(where: string, program: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(where, program, ...args);
    assertEquals(code, 0, `${program} ${args.join(" ")} in ${where}:\n${stdout}${stderr}`);
    return stdout;
  }

  /** The server `name` in `where` asks after its client. */
  async check(where: string, name: string): Promise<void> {
    assertStringIncludes(await this.ok(where, "amcheck", name), "Client check: 1 host checked");
  }

  /** The server `name` in `where` keeps the directory. */
  async dump(where: string, name: string): Promise<void> {
    const { code } = await this.run(where, "amdump", name);
    const report = await this.ok(where, "amreport", name);
    assertEquals(code, 0, report);
    assertMatch(report, /DLEs Dumped +1 +1 +0/);
  }

  /** What comes back from the last tape of the server `name` in `where`, which asked `host`, is what was kept. */
  async restore(where: string, name: string, host: string): Promise<void> {
    const logs = [...Deno.readDirSync(`${this.dir}/state-${name}/log`)].map(({ name }) => name);
    const date = logs.filter((log) => /^log\.\d{14}\.0$/.test(log)).sort().at(-1)!.split(".")[1];
    const back = `${this.dir}/back-${name}-${date}`;
    const script = `mkdir ${back} && amfetchdump -p ${name} ${host} kept ${date} | tar -x -C ${back}`;
    await this.ok(where, "sh", "-c", script);
    for (const file of Object.keys(FILES)) {
      await assertSameFile(`${back}/${file}`, `${this.dir}/kept/${file}`, `${file}, kept by ${name}`);
    }
  }

  /** What stands in files whose names begin like that; nothing if there are none yet. */
  async contents(beginning: string): Promise<string> {
    return (await this.#lab.run("wan", "sh", ["-c", `cat ${this.dir}/${beginning}*`])).stdout;
  }
}
