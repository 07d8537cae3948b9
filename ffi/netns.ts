/**
 * Network namespaces, and doing something in another one.
 *
 * setns(2) and unshare(2) move the calling thread only. What runs elsewhere runs to its end without giving the thread back
 * to Deno's event loop, so nothing else can run in the wrong namespace.
 *
 * @module
 */
import { check, EINVAL, ENOENT, ENOSPC, EPERM, errnoView } from "./errno.ts";
import { cString, libc } from "./libc.ts";

const O_RDONLY = 0, O_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;

/** Where `ip netns add` keeps its names. */
export const NETNS_DIRECTORY = "/run/netns";

const PRIVILEGE = "missing privilege; it takes CAP_SYS_ADMIN, run it as root";

/** A network namespace, held by a descriptor: it is there as long as this is open. */
export class Netns implements Disposable {
  #fd: number;
  readonly #what: string;
  readonly #name: string;

  private constructor(fd: number, name: string) {
    this.#fd = fd;
    this.#name = name;
    this.#what = `cannot enter network namespace ${name}`;
  }

  /** The one that `ip netns` knows by this name. */
  static open(name: string): Netns {
    if (name === "" || name.includes("/")) {
      throw new RangeError(`“${name}” is not a name of a network namespace`);
    }
    const what = `cannot enter network namespace ${name}`;
    const fd = openFile(`${NETNS_DIRECTORY}/${name}`, what, {
      [ENOENT]: `there is none of that name; \`ip netns add ${name}\` makes it`,
    });
    return new Netns(fd, name);
  }

  /** A new one without a name. What is made in it may hold it longer than this. */
  static make(): Netns {
    const what = "cannot make a network namespace", here = openFile("/proc/thread-self/ns/net", what);
    try {
      check(libc().unshare(CLONE_NEWNET), errnoView()[0], "unshare", what, {
        [EPERM]: PRIVILEGE,
        [ENOSPC]: "there may be no more of them; raise the sysctl user.max_net_namespaces",
      });
      try {
        return new Netns(openFile("/proc/thread-self/ns/net", what), "without a name");
      } finally {
        goBack(here);
      }
    } finally {
      libc().close(here);
    }
  }

  /** The descriptor; −1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  /** Which one it is, as in `netnsNumber`. */
  get number(): number {
    return Deno.statSync(`/proc/self/fd/${this.#fd}`).ino!;
  }

  /** Runs `f`, which must not be async, in it. */
  run<T>(f: () => T): T {
    const here = openFile("/proc/thread-self/ns/net", this.#what);
    try {
      check(libc().setns(this.#fd, CLONE_NEWNET), errnoView()[0], "setns", this.#what, {
        [EPERM]: PRIVILEGE,
        [EINVAL]: `${NETNS_DIRECTORY}/${this.#name} is not a network namespace; \`ip netns add\` makes them`,
      });
      try {
        return f();
      } finally {
        goBack(here);
      }
    } finally {
      libc().close(here);
    }
  }

  close(): void {
    if (this.#fd >= 0) libc().close(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Runs `f`, which must not be async, in the namespace that `ip netns` knows by this name. */
export function inNetns<T>(netns: string, f: () => T): T {
  using there = Netns.open(netns);
  return there.run(f);
}

/**
 * Which namespace a name of `ip netns` leads to: a number that no other one has while this one is there. Null when
 * there is none; while `ip netns add` is at it the name is there already, and leads to an empty file.
 */
export function netnsNumber(name: string): number | null {
  try {
    const { dev, ino } = Deno.statSync(`${NETNS_DIRECTORY}/${name}`);
    return dev === Deno.statSync("/proc/self/ns/net").dev ? ino : null;
  } catch {
    return null;
  }
}

function openFile(path: string, what: string, advice?: Readonly<Record<number, string>>): number {
  return check(libc().open(cString(path), O_RDONLY | O_CLOEXEC, 0), errnoView()[0], "open", what, advice);
}

function goBack(here: number): void {
  const what = "cannot go back to the own network namespace";
  check(libc().setns(here, CLONE_NEWNET), errnoView()[0], "setns", what);
}
