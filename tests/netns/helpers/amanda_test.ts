/**
 * Amanda with `auth bsd` through Weir: the backup server asks over UDP, and dials the ports that the client's answer
 * names. Each dump is restored from its virtual tape and compared.
 *
 * Amanda keeps its files at fixed places, so its programs run in mount namespaces where those are the lab's.
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
  type Way,
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
class Amanda {
  readonly dir: string;
  readonly #lab: Lab;

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

  /** Starts a program as root. */
  #spawn(where: string, program: string, args: readonly string[]): Running {
    return this.#lab.spawn(where, "unshare", ["--mount", "sh", `${this.dir}/place.sh`, program, ...args]);
  }

  /** Runs a program as the package's user, to its end. */
  run(where: string, program: string, ...args: string[]): Promise<Ended> {
    const asUser = ["setpriv", "--reuid=backup", "--regid=backup", "--init-groups", find(program) ?? program];
    return this.#lab.run(where, "unshare", ["--mount", "sh", `${this.dir}/place.sh`, ...asUser, ...args], {
      timeout: 60_000,
    });
  }

  /** Starts the client that is asked: inetd, and amandad for each request. */
  async startClient(where: string): Promise<void> {
    const config = this.#lab.write(
      `inetd-${where}.conf`,
      "amanda dgram udp wait backup /usr/lib/amanda/amandad amandad -auth=bsd amdump\n",
    );
    const inetd = this.#spawn(where, find("inetd") ?? "inetd", ["-d", config]);
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
tapecycle 1
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

/** The name by which a way's backup server asks its client. */
function hostOf(way: Way): string {
  return way === DNAT ? "outer.example.net" : "wan.example.net";
}

labTest("probe", PROGRAMS, async () => {
  await using lab = await helperLab();
  const amanda = await Amanda.in(lab);
  await withHelper(lab, CONTROL);
  await amanda.startClient("wan");
  const way = WAYS[0];
  await amanda.configure("weir", hostOf(way));
  const t = performance.now();
  console.log(await amanda.run(way.client, "amcheck", "-c", "weir"), performance.now() - t);
  console.log(await amanda.run(way.client, "amcheck", "-t", "-l", "weir"), performance.now() - t);
  console.log(await amanda.run(way.client, "amdump", "weir"), performance.now() - t);
  console.log(await amanda.run(way.client, "amreport", "weir"), performance.now() - t);
  console.log(await lab.ok("wan", "sh", "-c", `cd ${amanda.dir}; find . -type f; cat log/amandad/*`));
  console.log(await flows(lab));
});
