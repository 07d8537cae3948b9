/**
 * Moving a network device to another namespace: one message of rtnetlink(7), which `ip link set dev NAME netns …` sends too.
 *
 * The kernel does it while write(2) runs and takes its time, some 15 ms: nobody may still see the device in the old place
 * (rcu_barrier in __dev_change_net_namespace). It costs no processor, and whoever has something better to do than to wait
 * lets another thread wait. The socket belongs to the namespace that it was opened in, whichever thread uses it.
 *
 * @module
 */
import { check, EEXIST, EIO, EPERM, errnoView, SyscallError } from "./errno.ts";
import { cString, libc } from "./libc.ts";
import type { Netns } from "./netns.ts";

const AF_NETLINK = 16, SOCK_RAW = 3, SOCK_CLOEXEC = 0o2000000, NETLINK_ROUTE = 0;
const RTM_SETLINK = 19, NLM_F_REQUEST = 1, NLM_F_ACK = 4;
const IFLA_IFNAME = 3, IFLA_NET_NS_FD = 28;
/** sizeof(struct nlmsghdr), of struct ifinfomsg, of struct rtattr. */
const HEADER = 16, IFINFO = 16, ATTRIBUTE = 4;

/** A move from the namespace that the thread is in when this is made. Errors are `SyscallError`s. */
export class LinkMove implements Disposable {
  readonly #fd: number;
  readonly #message: Uint8Array<ArrayBuffer>;
  readonly #what: string;
  readonly #taken: string;

  /** The device keeps its `name`; `taken` is the advice where another one has that. `to` stays open until it is done. */
  constructor(name: string, to: Netns, what: string, taken: string) {
    this.#message = request(name, to.fd);
    this.#what = what;
    this.#taken = taken;
    const type = SOCK_RAW | SOCK_CLOEXEC;
    this.#fd = check(libc().socket(AF_NETLINK, type, NETLINK_ROUTE), errnoView()[0], "socket", what);
  }

  run(): void {
    const message = this.#message;
    check(libc().write(this.#fd, message, message.byteLength), errnoView()[0], "write", this.#what);
    this.#answer();
  }

  /** The same on another thread. */
  async runApart(): Promise<void> {
    const message = this.#message;
    check(await libc().writeApart(this.#fd, message, message.byteLength), EIO, "write", this.#what);
    this.#answer();
  }

  [Symbol.dispose](): void {
    libc().close(this.#fd);
  }

  /** It waits when the write is over: struct nlmsgerr, whose error is 0 or negative. */
  #answer(): void {
    const answer = new Uint8Array(4096);
    check(libc().read(this.#fd, answer, answer.byteLength), errnoView()[0], "read", this.#what);
    const errno = -new DataView(answer.buffer).getInt32(HEADER, true);
    if (errno === 0) return;
    const privilege = "missing privilege; it takes CAP_NET_ADMIN there, run it as root";
    const advice = errno === EEXIST ? this.#taken : errno === EPERM ? privilege : undefined;
    throw new SyscallError("RTM_SETLINK", errno, this.#what, advice);
  }
}

/** With index 0, so that the kernel looks for the name. */
function request(name: string, netns: number): Uint8Array<ArrayBuffer> {
  const text = cString(name), padded = (text.length + 3) & ~3;
  const at = HEADER + IFINFO, next = at + ATTRIBUTE + padded, length = next + ATTRIBUTE + 4;
  const bytes = new Uint8Array(length), view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, RTM_SETLINK, true);
  view.setUint16(6, NLM_F_REQUEST | NLM_F_ACK, true);
  view.setUint16(at, ATTRIBUTE + text.length, true);
  view.setUint16(at + 2, IFLA_IFNAME, true);
  bytes.set(text, at + ATTRIBUTE);
  view.setUint16(next, ATTRIBUTE + 4, true);
  view.setUint16(next + 2, IFLA_NET_NS_FD, true);
  view.setInt32(next + ATTRIBUTE, netns, true);
  return bytes;
}
