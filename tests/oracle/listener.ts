/**
 * `conntrack -E` in the namespace of this thread, beside the packets of a scenario.
 *
 * What it prints goes to a file without a name, so that nothing has to wait for it: the kernel has queued an event when
 * write(2) of the packet that caused it returns, and /proc tells whether the listener has read its queue.
 *
 * @module
 */
import { libc } from "deno_tun";
import { memoryFile } from "./memfd.ts";
import { lines } from "./scenario.ts";

/** Milliseconds that the listener may take to begin, and to read what is there. */
const PATIENCE = 5000;

/** One listener. */
export class KernelListener {
  readonly #file = memoryFile();
  readonly #pid: number;
  #over = false;

  constructor(args: readonly string[]) {
    // The shell leaves it behind, so that nothing here waits for its end: a scenario takes no turn of the event loop.
    const shell = new Deno.Command("sh", {
      args: ["-c", 'out=$1; shift; conntrack -E "$@" >"$out" 2>&1 & echo $!', "sh", this.#file.path, ...args],
      stdin: "null",
      env: { LC_ALL: "C" },
    }).outputSync();
    this.#pid = Number(new TextDecoder().decode(shell.stdout));
    until(() => this.#queue() >= 0, () => `conntrack -E does not listen: ${this.#text()}`);
  }

  /** Bytes that it has still to read, -1 as long as it does not listen. */
  #queue(): number {
    const own = new Set(this.#sockets());
    for (const line of Deno.readTextFileSync("/proc/thread-self/net/netlink").split("\n").slice(1)) {
      // sk, protocol, pid, groups, bytes to read … inode
      const f = line.trim().split(/\s+/);
      if (f[3] !== "00000000" && own.has(f[9])) return Number(f[4]);
    }
    return -1;
  }

  #text(): string {
    return Deno.readTextFileSync(this.#file.path);
  }

  /** It has nothing to do. */
  #sleeps(): boolean {
    return Deno.readTextFileSync(`/proc/${this.#pid}/stat`).split(") ")[1].startsWith("S");
  }

  /** Inodes of its sockets. A descriptor may be closed while we look. */
  #sockets(): string[] {
    const fds = `/proc/${this.#pid}/fd`;
    try {
      return [...Deno.readDirSync(fds)].map(({ name }) =>
        /\[(\d+)\]/.exec(Deno.readLinkSync(`${fds}/${name}`))?.[1] ?? ""
      );
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }

  /** Ends it: the lines that it has printed. */
  end(): string[] {
    until(() => this.#queue() === 0 && this.#sleeps(), () => "conntrack -E does not read");
    // It writes the rest down when it ends.
    Deno.kill(this.#pid, "SIGTERM");
    until(() => this.#sockets().length === 0, () => "conntrack -E does not end");
    this.#over = true;
    return lines(this.#text()).filter((line) => !line.startsWith("conntrack v"));
  }

  /** Leaves nothing behind, however far it has come. */
  close(): void {
    try {
      if (!this.#over) Deno.kill(this.#pid, "SIGKILL");
    } catch {
      // It has ended.
    }
    libc().close(this.#file.fd);
  }
}

function until(done: () => boolean, otherwise: () => string): void {
  for (let waited = 0; !done(); waited++) {
    if (waited > PATIENCE) throw new Error(otherwise());
    pause(1);
  }
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
