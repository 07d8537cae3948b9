/**
 * Amanda through Weir: the backup server asks over UDP, and dials the ports that the client's answer names: one for each
 * stream with `auth bsd`, one for all of them with `bsdudp`. Each dump is restored from its tape and compared.
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
  async startClient(where: string, auth: string): Promise<void> {
    const config = this.#lab.write(
      `inetd-${where}.conf`,
      `amanda dgram udp wait backup /usr/lib/amanda/amandad amandad -auth=${auth} amdump\n`,
    );
    const inetd = this.#spawn(where, find("inetd") ?? "inetd", ["-d", config]);
    await bound(this.#lab, where, 4, CONTROL.port, inetd);
  }

  /** Configures a backup server of that name, which keeps the directory of the client at `host` on a virtual tape. */
  async configure(name: string, host: string, auth: string): Promise<void> {
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
  auth "${auth}"
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

/** A lab with clients at both places where servers are, and a backup server for each way. */
async function startAmanda(lab: Lab, auth: string): Promise<Amanda> {
  const amanda = await Amanda.in(lab);
  for (const where of ["wan", "lan"]) await amanda.startClient(where, auth);
  for (const { name, host } of CONFIGURATIONS) await amanda.configure(name, host, auth);
  return amanda;
}

function words({ stdout, stderr }: Ended): string {
  return stdout + stderr;
}

/** Ports that the answers of a client have named, by word, as amandad noted them. */
const NAMED = /^CONNECT DATA (\d+) MESG (\d+) INDEX (\d+)/m;

for (const auth of ["bsd", "bsdudp"]) {
  labTest(
    `Amanda, ${auth}, every way: amcheck finds the client, amdump keeps a directory, and it comes back as it was`,
    PROGRAMS,
    async () => {
      await using lab = await helperLab();
      const amanda = await startAmanda(lab, auth);
      await withHelper(lab, CONTROL);
      for (const { way, name, host } of CONFIGURATIONS) {
        const check = await amanda.run(way.client, "amcheck", name);
        assertEquals(check.code, 0, words(check));
        assertStringIncludes(check.stdout, "Client check: 1 host checked");
        const dump = await amanda.run(way.client, "amdump", name);
        const report = await amanda.run(way.client, "amreport", name);
        assertEquals(dump.code, 0, words(dump) + words(report));
        assertMatch(report.stdout, /DLEs Dumped +1 +1 +0/);
        const back = `${amanda.dir}/back-${name}`;
        const fetched = await amanda.run(
          way.client,
          ...["sh", "-c", `mkdir ${back} && amfetchdump -p ${name} ${host} | tar -x -C ${back}`] as const,
        );
        assertEquals(fetched.code, 0, words(fetched));
        for (const file of Object.keys(FILES)) {
          await assertSameFile(`${back}/${file}`, `${amanda.dir}/kept/${file}`, `${file}, ${way.name}`);
        }
      }
      const log = await lab.ok("wan", "sh", "-c", `cat ${amanda.dir}/log/amandad/*`);
      console.log(log.match(/^CONNECT.*/gm));
      console.log(await flows(lab));
    },
  );
}

labTest(
  "Amanda, the closed rule set: amcheck alone works without the helper, amdump with it",
  PROGRAMS,
  async () => {
    await using lab = await helperLab();
    const amanda = await startAmanda(lab, "bsd");
    await blind(lab, CONTROL);
    const t = performance.now();
    await Promise.all(CONFIGURATIONS.map(async ({ way, name }) => {
      const check = await amanda.run(way.client, "amcheck", "-c", name);
      assertEquals(check.code, 0, words(check));
      const dump = await amanda.run(way.client, "amdump", name);
      const report = await amanda.run(way.client, "amreport", name);
      console.log(way.name, dump, performance.now() - t, report.stdout);
    }));
    console.log(await flows(lab));
  },
);
