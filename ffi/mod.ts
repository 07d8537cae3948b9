/**
 * deno_tun: TUN devices, poll, eventfd and mapped files on Linux, on nothing but libc.
 *
 * Importing it does no work; the C library is opened at the first call. Needs `--allow-ffi`.
 *
 * @module
 */
export { makeTuns, openQueues, openTun, Tun, TUN_PATH, type TunOptions, VNET_HDR_SIZE } from "./tun.ts";
export {
  OFFLOAD_CSUM,
  OFFLOAD_LEVELS,
  OFFLOAD_TSO4,
  OFFLOAD_TSO6,
  OFFLOAD_TSO_ECN,
  OFFLOAD_USO4,
  OFFLOAD_USO6,
} from "./tun.ts";
export {
  EventFd,
  onlineProcessors,
  POLL_BROKEN,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  PollSet,
} from "./poll.ts";
export { mapMemory, type MapOptions, MappedFile, populateMemory, reserveFile, unmapMemory } from "./mmap.ts";
export { Futex } from "./futex.ts";
export { LinkMove } from "./link.ts";
export { inNetns, Netns, NETNS_DIRECTORY, netnsNumber } from "./netns.ts";
export { CLOCK_MONOTONIC, CLOCK_REALTIME, SystemClock } from "./clock.ts";
export { IFNAMSIZ, invalidDeviceName } from "./ifreq.ts";
export { errnoName, errnoView, SyscallError } from "./errno.ts";
export * as errno from "./errno.ts";
export { type Libc, libc, SYS_READ, SYS_WRITE } from "./libc.ts";
