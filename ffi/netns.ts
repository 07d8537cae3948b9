/**
 * Doing something in another network namespace.
 *
 * setns(2) moves the calling thread only. The function runs to its end without giving the thread back to Deno's
 * event loop, so nothing else can run in the wrong namespace.
 *
 * @module
 */
import { check, EINVAL, ENOENT, EPERM, errnoView } from "./errno.ts";
import { cString, libc } from "./libc.ts";

const O_RDONLY = 0, O_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;

/** Where `ip netns add` keeps its names. */
export const NETNS_DIRECTORY = "/run/netns";

/** Runs `f`, which must not be async, in the namespace that `ip netns` knows by this name. */
export function inNetns<T>(netns: string, f: () => T): T {
  if (netns === "" || netns.includes("/")) {
    throw new RangeError(`“${netns}” is not a name of a network namespace`);
  }
  const { open, close, setns } = libc();
  const what = `cannot enter network namespace ${netns}`;
  const there = check(
    open(cString(`${NETNS_DIRECTORY}/${netns}`), O_RDONLY | O_CLOEXEC, 0),
    errnoView()[0],
    "open",
    what,
    {
      [ENOENT]: `there is none of that name; \`ip netns add ${netns}\` makes it`,
    },
  );
  let here = -1;
  try {
    here = check(
      open(cString("/proc/thread-self/ns/net"), O_RDONLY | O_CLOEXEC, 0),
      errnoView()[0],
      "open",
      what,
    );
    check(setns(there, CLONE_NEWNET), errnoView()[0], "setns", what, {
      [EPERM]: "missing privilege; it takes CAP_SYS_ADMIN, run it as root",
      [EINVAL]: `${NETNS_DIRECTORY}/${netns} is not a network namespace; \`ip netns add\` makes them`,
    });
    try {
      return f();
    } finally {
      check(
        setns(here, CLONE_NEWNET),
        errnoView()[0],
        "setns",
        "cannot go back to the own network namespace",
      );
    }
  } finally {
    close(there);
    if (here >= 0) close(here);
  }
}
