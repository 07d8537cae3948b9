/**
 * talk through Weir: netkit's daemons under inetd, and people at terminals. Whoever is called asks the caller's own
 * daemon where the caller waits, and dials there, through a rule set that lets in nothing but what the helper has read.
 *
 * talk's messages have room for IPv4 alone.
 */

import { assert, assertEquals, assertFalse, assertMatch } from "@std/assert";
import { flows } from "../addresses.ts";
import { HERE, type Lab } from "../lab.ts";
import { labTest } from "../lab_testing.ts";
import { find } from "../programs.ts";
import type { Running } from "../running.ts";
import {
  blind,
  bound,
  type Control,
  DNAT,
  helperLab,
  PLAIN,
  SNAT,
  until,
  type Way,
  withHelper,
} from "./kit.ts";

const CONTROL: Control = { helper: "talk", protocol: "udp", port: 518 };
const PROGRAMS = ["talk", "in.ntalkd", "inetd", "script", "setpriv"];
/** Asking Weir's outer address leads to `lan`, so only the helper can know that `lan2` is meant. */
const MASQUERADE: Way = { ...SNAT, client: "lan2" };
/** Who lives in the lab. */
const USERS = { alice: 2001, bob: 2002 } as const;
type User = keyof typeof USERS;

/** A person at a terminal in a namespace, with a shell to begin with. */
class Person {
  readonly name: User;
  readonly tty: string;
  readonly #where: string;
  readonly #lab: Lab;
  readonly #terminal: Running;
  /** How much of the screen is older than what happens now. */
  #old = 0;

  private constructor(lab: Lab, where: string, name: User, terminal: Running, tty: string) {
    this.#lab = lab;
    this.#where = where;
    this.name = name;
    this.#terminal = terminal;
    this.tty = tty;
  }

  static async at(lab: Lab, where: string, name: User): Promise<Person> {
    const keyboard = `${lab.dir}/${name}`, uid = USERS[name];
    await lab.ok(HERE, "mkfifo", keyboard);
    // A terminal that its group may write to takes announcements (mesg y). Who logged in counts more to talk than who
    // runs it; where that cannot be written, nobody logged in.
    const session = lab.write(
      `session-${name}`,
      `stty rows 24 cols 80
chmod g+w "$(tty)"
echo ${uid} 2>/dev/null >/proc/self/loginuid
tty
exec setpriv --reuid ${uid} --clear-groups sh
`,
    );
    const terminal = lab.spawn(where, "sh", [
      "-c",
      `exec script --quiet --flush --command "sh ${session}" /dev/null <>${keyboard}`,
    ], { env: { TERM: "vt100", PS1: "$ " } });
    const [, tty] = await terminal.waitFor(/\/dev\/(pts\/\d+)\s[^]*\$ $/);
    return new Person(lab, where, name, terminal, tty);
  }

  /** What the terminal was told, the way of the cursor included. */
  get screen(): string {
    return this.#terminal.text.slice(this.#old);
  }

  /** Types keys; what is seen from now on is seen behind them. */
  async types(keys: string): Promise<void> {
    this.#old = this.#terminal.text.length;
    await Deno.writeTextFile(`${this.#lab.dir}/${this.name}`, keys, { create: false });
  }

  sees(pattern: RegExp): Promise<RegExpExecArray> {
    return until(
      () => pattern.exec(this.screen),
      () => `${this.name} does not see ${pattern}: ${JSON.stringify(this.#terminal.text)}`,
    );
  }

  /** Rings somebody up; returns what the message on their terminal tells them to type. */
  async rings(other: Person, way: Way): Promise<string> {
    await this.types(`talk ${other.name}@${way.asked[4]}\n`);
    const [, answer] = await other.sees(/talk: respond with: +(talk \S+)/);
    assertEquals(answer, `talk ${this.name}@${way.seen[4]}`);
    await this.sees(/Waiting for your party to respond/);
    return `${answer}\n`;
  }

  /** Says something, which the other one has to see. */
  async says(other: Person, line: string): Promise<void> {
    await this.types(`${line}\n`);
    await other.sees(new RegExp(line));
  }

  /** Leaves talk; the shell is back. */
  async leaves(): Promise<void> {
    await this.types("\x03");
    await this.sees(/\$ $/);
  }

  /** How many datagrams have left this namespace. */
  async datagrams(): Promise<number> {
    const lines = (await this.#lab.ok(this.#where, "cat", "/proc/net/snmp")).split("\n");
    const [names, numbers] = lines.filter((line) => line.startsWith("Udp: ")).map((line) => line.split(" "));
    return Number(numbers[names.indexOf("OutDatagrams")]);
  }
}

/** Calls, talks in both directions and hangs up. */
async function talks(caller: Person, callee: Person, way: Way): Promise<void> {
  await callee.types(await caller.rings(callee, way));
  await Promise.all([caller, callee].map((person) => person.sees(/Connection established/)));
  await caller.says(callee, `${caller.name} asks`);
  await callee.says(caller, `${callee.name} answers`);
  await caller.leaves();
  await callee.sees(/Connection closed/);
  await callee.leaves();
}

/** The lab's own accounts, and no names for addresses that somebody would have to be asked for. */
async function accounts(lab: Lab): Promise<void> {
  const users = Object.entries(USERS).map(([name, uid]) => `${name}:x:${uid}:${uid}::/:/bin/sh\n`);
  const files = {
    passwd: `root:x:0:0::/root:/bin/sh\n${users.join("")}`,
    "nsswitch.conf": "passwd: files\nhosts: files\nservices: files\nprotocols: files\n",
  };
  for (const [name, text] of Object.entries(files)) {
    await lab.ok(HERE, "mount", "--bind", lab.write(name, text), `/etc/${name}`);
  }
}

/** Starts the daemon in a namespace. */
async function startTalkd(lab: Lab, where: string): Promise<void> {
  const service = `ntalk dgram udp wait root ${find("in.ntalkd")} in.ntalkd\n`;
  const config = lab.write(`inetd-${where}.conf`, service);
  const inetd = lab.spawn(where, find("inetd") ?? "inetd", ["-d", config]);
  await bound(lab, where, 4, CONTROL.port, inetd);
}

/** Writes the list of who is logged in, which the daemons read: utmp(5). */
async function logIn(lab: Lab, people: readonly Person[]): Promise<void> {
  const size = Deno.build.arch === "aarch64" ? 400 : 384, line = 8, user = 44, USER_PROCESS = 7;
  const bytes = new Uint8Array(size * people.length), view = new DataView(bytes.buffer);
  const text = new TextEncoder();
  people.forEach(({ name, tty }, i) => {
    view.setInt16(i * size, USER_PROCESS, true);
    text.encodeInto(tty, bytes.subarray(i * size + line));
    text.encodeInto(name, bytes.subarray(i * size + user));
  });
  Deno.writeFileSync(`${lab.dir}/utmp`, bytes);
  await lab.ok(HERE, "cp", `${lab.dir}/utmp`, "/run/utmp");
}

/** Two people, each with a daemon: the client's and the server's side of a way. */
async function people(lab: Lab, way: Way): Promise<[caller: Person, callee: Person]> {
  await accounts(lab);
  for (const where of [way.client, way.server]) await startTalkd(lab, where);
  const caller = await Person.at(lab, way.client, "alice"), callee = await Person.at(lab, way.server, "bob");
  await logIn(lab, [caller, callee]);
  return [caller, callee];
}

/** The callee has dialled the caller through the router: a talk's connection. */
function dialled(way: Way): RegExp {
  const inside = way.client === "lan2" ? "203.0.113.2" : way.seen[4];
  const from = way === DNAT ? "192.0.2.2" : way.asked[4], answered = way.asked[4];
  return new RegExp(
    `^tcp .* src=${from} dst=${way.seen[4]} sport=\\d+ dport=(\\d+) src=${inside} dst=${answered} sport=\\1 `,
    "m",
  );
}

for (const way of [PLAIN, MASQUERADE, DNAT]) {
  labTest(`talk, ${way.name}: what one types the other sees, call after call`, PROGRAMS, async () => {
    await using lab = await helperLab();
    const [caller, callee] = await people(lab, way);
    await withHelper(lab, CONTROL);
    for (let call = 1; call <= 2; call++) await talks(caller, callee, way);
    const table = await flows(lab);
    assertMatch(table, dialled(way));
    assertEquals(table.match(/^tcp /gm)?.length, 2, table);
  });
}

for (const way of [PLAIN, MASQUERADE]) {
  labTest(`talk, ${way.name}, the closed rule set: no answer without the helper`, PROGRAMS, async () => {
    await using lab = await helperLab();
    const [caller, callee] = await people(lab, way);
    const without = await blind(lab, CONTROL);
    const answer = await caller.rings(callee, way), before = await callee.datagrams();
    await callee.types(answer);
    await callee.sees(/Checking for invitation/);
    // It asks a second time when it has waited in vain.
    await until(async () => await callee.datagrams() >= before + 2 ? true : null, () => callee.screen);
    for (const person of [caller, callee]) assertFalse(person.screen.includes("established"), person.screen);
    assert(!/^tcp /m.test(await flows(lab)));
    for (const person of [callee, caller]) await person.leaves();
    await without.stop();
    await withHelper(lab, CONTROL);
    await talks(caller, callee, way);
  });
}
