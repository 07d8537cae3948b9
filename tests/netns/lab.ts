/**
 * A laboratory: network namespaces, programs in them, and Weir between them; gone when it is closed.
 *
 * A private lab (what tests use) lives in a mount and a network namespace of its own, with an empty /run. So it may
 * call its namespaces `lan` and `wan`, as the examples do, whatever else this machine has of that name, and nothing
 * of it can stay behind: its mounts, namespaces and devices end with its last process, and its keeper, a shell, kills
 * them all and removes the lab's folder as soon as its standard input ends, be it that the lab was closed, be it that
 * the test was killed.
 *
 * An open lab (what the demo uses) makes the namespaces where `ip netns` shows them, for whoever wants to watch.
 */

import { missing } from "./programs.ts";
import { type Ended, Running } from "./running.ts";

export { type Ended, Running };

/** The tree that is tested. */
export const ROOT = new URL("../../", import.meta.url).pathname;
/** Weir's own place in a lab: the network namespace that it runs in. */
export const HERE = "";

/** A file as process `pid` sees it, in whatever mount namespace that is (proc(5)). */
export function pathOf(pid: number, path: string): string {
  return ["/proc", pid, "root"].join("/") + path;
}

/**
 * Made in the keeper's namespaces. `read` returns when the one who made the lab closes it or dies. Whatever stands in
 * one of the lab's network namespaces was started in it, in mount and process namespaces of its own or not; what has
 * just been listing them is gone when it would be killed.
 */
const KEEPER = `
set -e
dir=$1
shift
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/vsftpd/empty
ip link set lo up
for name in "$@"; do ip netns add "$name"; ip -n "$name" link set lo up; done
echo ready
read -r line || :
set -- -lname "net:[[]$(stat -L -c %i /proc/self/ns/net)]"
for file in /run/netns/*; do set -- "$@" -o -lname "net:[[]$(stat -L -c %i "$file")]"; done
found=yes
while [ "$found" ]; do
  found=
  for link in $(find /proc/[0-9]*/ns/net -maxdepth 0 "$@" 2>/dev/null); do
    pid=\${link#/proc/}
    pid=\${pid%%/*}
    if [ "$pid" != $$ ] && kill -9 "$pid" 2>/dev/null; then found=yes; fi
  done
done
rm -rf --one-file-system "$dir"
`;

/** Why no lab can be made here, or null. */
export function unavailable(): string | null {
  if (Deno.build.os !== "linux") return "namespaces and TUN devices are Linux's";
  if (Deno.uid() !== 0) return "making network namespaces needs root";
  const gone = missing(["ip", "unshare", "nsenter", "mount", "find"]);
  if (gone.length > 0) return `not installed: ${gone.join(", ")}`;
  try {
    Deno.statSync("/dev/net/tun");
  } catch {
    return "there is no /dev/net/tun";
  }
  const { success, stderr } = new Deno.Command("unshare", {
    args: ["--mount", "--net", "true"],
    stdin: "null",
  })
    .outputSync();
  if (!success) return `no network namespace can be made: ${new TextDecoder().decode(stderr).trim()}`;
  return null;
}

/** How a program in a lab is started. */
export interface Start {
  env?: Record<string, string>;
  cwd?: string;
  /** Text for its standard input; none otherwise. */
  stdin?: string;
  /** Milliseconds until it is killed, which is an error; 20 s unless told. */
  timeout?: number;
}

/** See the head of this file. */
export class Lab implements AsyncDisposable {
  /** A folder for configuration files, downloads and logs. */
  readonly dir: string;
  readonly #keeper: Running | null;
  readonly #keeperInput: WritableStreamDefaultWriter<Uint8Array> | null;
  readonly #made: string[];
  readonly #children = new Set<Running>();
  #closed: Promise<void> | null = null;

  private constructor(
    dir: string,
    keeper: Running | null,
    input: WritableStreamDefaultWriter<Uint8Array> | null,
    made: string[],
  ) {
    this.dir = dir;
    this.#keeper = keeper;
    this.#keeperInput = input;
    this.#made = made;
  }

  /** A lab of its own with network namespaces of these names. */
  static async private(...names: string[]): Promise<Lab> {
    const dir = makeDir();
    const child = new Deno.Command("unshare", {
      args: ["--mount", "--net", "--propagation", "private", "sh", "-c", KEEPER, "lab", dir, ...names],
      detached: true, // what kills the test is not for the one who cleans up
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const keeper = new Running("the lab's keeper", child);
    const lab = new Lab(dir, keeper, child.stdin.getWriter(), []);
    try {
      await keeper.waitFor(/^ready$/m);
      return lab;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  /** Namespaces of these names for everyone to see. None of them may exist. */
  static async open(...names: string[]): Promise<Lab> {
    const made: string[] = [];
    const lab = new Lab(makeDir(), null, null, made);
    try {
      for (const name of names) {
        await lab.ok(HERE, "ip", "netns", "add", name);
        made.push(name);
        await lab.ok(HERE, "ip", "-n", name, "link", "set", "lo", "up");
      }
      return lab;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  /** Starts a program in namespace `where` (`HERE`: where Weir runs) and leaves it running. */
  spawn(where: string, program: string, args: readonly string[], start: Start = {}): Running {
    if (this.#closed) throw new Error(`${program} was not started: the lab is closed`);
    const cwd = start.cwd ?? this.dir;
    let command = [program, ...args];
    if (this.#keeper) {
      const keeper = `/proc/${this.#keeper.pid}`;
      const net = where === HERE ? `${keeper}/ns/net` : pathOf(this.#keeper.pid, `/run/netns/${where}`);
      // Who enters a mount namespace stands at its root, hence the change of folder behind it.
      command = [
        "nsenter",
        `--mount=${keeper}/ns/mnt`,
        `--net=${net}`,
        "--",
        "env",
        `--chdir=${cwd}`,
        ...command,
      ];
    } else if (where !== HERE) {
      command = ["nsenter", `--net=/run/netns/${where}`, "--", ...command];
    }
    const child = new Deno.Command(command[0], {
      args: command.slice(1),
      cwd,
      detached: true, // a group of its own: ends as one, and Ctrl-C is for whoever made the lab
      env: { LC_ALL: "C", NO_COLOR: "1", ...start.env },
      stdin: start.stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    if (start.stdin !== undefined) {
      const writer = child.stdin.getWriter();
      // A program that does not read to the end is not this one's business.
      writer.write(new TextEncoder().encode(start.stdin)).then(() => writer.close()).catch(() => {});
    }
    const running = new Running([program, ...args].join(" "), child);
    this.#children.add(running);
    running.ended.then(() => this.#children.delete(running));
    return running;
  }

  /** Runs a program to its end, whatever that is. */
  async run(where: string, program: string, args: readonly string[], start: Start = {}): Promise<Ended> {
    const running = this.spawn(where, program, args, start);
    const ms = start.timeout ?? 20_000;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      running.kill();
    }, ms);
    try {
      const ended = await running.ended;
      if (late) throw new Error(`${running.name} took over ${ms} ms; it said:\n${running.text}`);
      return ended;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs a program that has to end with 0; returns what it wrote to standard output. */
  async ok(where: string, program: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(where, program, args);
    if (code !== 0) {
      throw new Error(
        `${[program, ...args].join(" ")} (in ${
          where || "Weir's place"
        }) ended with ${code}:\n${stdout}${stderr}`,
      );
    }
    return stdout;
  }

  /** The `weir` command, run to its end. */
  command(args: readonly string[], start: Start = {}): Promise<Ended> {
    return this.run(HERE, Deno.execPath(), weirArgs(args), start);
  }

  /** Starts a router and waits until it forwards. `options` are those of `weir run`. */
  async weir(config: string, ...options: string[]): Promise<Running> {
    const weir = this.spawn(HERE, Deno.execPath(), weirArgs(["run", config, ...options]));
    await weir.waitFor(/^weir: ready/m, 15_000);
    return weir;
  }

  /** Writes a file into the lab's folder; returns its path. */
  write(name: string, text: string): string {
    const path = `${this.dir}/${name}`;
    Deno.writeTextFileSync(path, text);
    return path;
  }

  /** Ends everything that runs in the lab and takes it down. Safe to call twice, and at any moment. */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#children].map(async (child) => {
      await child.stop();
      child.kill(); // servers leave children that still talk to somebody
    }));
    if (this.#keeper) {
      await this.#keeperInput?.close().catch(() => {});
      await this.#keeper.stop(null, 10_000);
    }
    for (const name of this.#made.splice(0)) {
      await new Deno.Command("ip", { args: ["netns", "del", name], stdin: "null" }).output();
    }
    await Deno.remove(this.dir, { recursive: true }).catch(() => {});
  }
}

/** A lab's folder. */
function makeDir(): string {
  const dir = Deno.makeTempDirSync({ prefix: "weir-lab-" });
  Deno.chmodSync(dir, 0o755); // vsftpd serves a folder in it as another user
  return dir;
}

/** Arguments for `deno` that make it the `weir` command of this tree. */
export function weirArgs(args: readonly string[]): string[] {
  return ["run", "-A", "--no-prompt", `${ROOT}mod.ts`, ...args];
}
