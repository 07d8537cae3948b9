/**
 * TUN devices: network interfaces whose other end is a descriptor. What the kernel sends into the device is read here,
 * what is written here arrives in the kernel (Documentation/networking/tuntap.rst).
 *
 * With `vnetHdr` every packet carries ten bytes before it (struct virtio_net_hdr), and the kernel may be told that
 * this side understands unfinished checksums and segments of up to 64 KiB. It then hands over whole bursts at once, which
 * is what makes a router in a program as fast as one in the kernel.
 *
 * @module
 */
import {
  check,
  EACCES,
  EBUSY,
  EEXIST,
  EINVAL,
  ENODEV,
  ENOENT,
  ENXIO,
  EPERM,
  errnoView,
  SyscallError,
} from "./errno.ts";
import { ifreq, ifreqFlags, ifreqName, invalidDeviceName } from "./ifreq.ts";
import { cString, libc } from "./libc.ts";
import { LinkMove } from "./link.ts";
import { Netns } from "./netns.ts";

/** The kernel's door to TUN devices. */
export const TUN_PATH = "/dev/net/tun";
/** sizeof(struct virtio_net_hdr). */
export const VNET_HDR_SIZE = 10;

const O_RDWR = 2, O_NONBLOCK = 0o4000, O_CLOEXEC = 0o2000000;

const TUNSETIFF = 0x400454ca, TUNSETPERSIST = 0x400454cb, TUNSETOFFLOAD = 0x400454d0, TUNGETIFF = 0x800454d2;

const IFF_TUN = 0x0001, IFF_MULTI_QUEUE = 0x0100, IFF_PERSIST = 0x0800, IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000, IFF_TUN_EXCL = 0x8000;

/** This side completes checksums (TUN_F_CSUM); all the others need it. */
export const OFFLOAD_CSUM = 0x01;
/** This side takes large TCP segments over IPv4, over IPv6, and with ECN (TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN). */
export const OFFLOAD_TSO4 = 0x02, OFFLOAD_TSO6 = 0x04, OFFLOAD_TSO_ECN = 0x08;
/** This side takes bursts of UDP datagrams (TUN_F_USO4, TUN_F_USO6; Linux 6.2). The kernel grants both or none. */
export const OFFLOAD_USO4 = 0x20, OFFLOAD_USO6 = 0x40;

/** What is tried, from most to least. */
export const OFFLOAD_LEVELS: readonly number[] = [
  OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_TSO_ECN | OFFLOAD_USO4 | OFFLOAD_USO6,
  OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_TSO_ECN,
  OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6,
  OFFLOAD_CSUM | OFFLOAD_TSO4,
  OFFLOAD_CSUM,
  0,
];

/** How to open a device. */
export interface TunOptions {
  /** Name of the device; empty or left out: the kernel chooses `tun0` and so on. */
  name?: string;
  /**
   * The named network namespace (`ip netns`) that the device lives in; left out: the one of this process. The descriptor
   * does not keep it: when it is deleted the device goes, which `read` says by −EBADFD and poll by POLLERR. Only with
   * `attach` it does.
   */
  netns?: string;
  /** More descriptors may be attached later, one per queue, each by another call with `attach`. */
  multiQueue?: boolean;
  /** The device stays when the last descriptor is closed. */
  persistent?: boolean;
  /** Attach to a device that exists (a further queue, or a persistent device). Otherwise a name in use is refused. */
  attach?: boolean;
  /** A virtio-net header before each packet. Default true. */
  vnetHdr?: boolean;
  /** Offloads to ask for at most, OFFLOAD_* bits. Default: all. Without `vnetHdr` there are none. */
  offloads?: number;
  /** Path of the device file, for machines that keep it elsewhere. */
  path?: string;
}

/** A TUN device, or one queue of it. */
export class Tun {
  #fd: number;

  /** Made by `openTun`. */
  constructor(
    fd: number,
    /** The device's name. */
    readonly name: string,
    /** The namespace that it was made for, or null for the process's own. */
    readonly netns: string | null,
    /** Each packet is preceded by a virtio-net header. */
    readonly vnetHdr: boolean,
    /** The offloads that the kernel granted, OFFLOAD_* bits. */
    readonly offloads: number,
  ) {
    this.#fd = fd;
  }

  /** The descriptor, for poll and for other threads; −1 once closed. It does not block. */
  get fd(): number {
    return this.#fd;
  }

  /** True while the device would outlive its descriptors. */
  get persistent(): boolean {
    const request = ifreq("", 0);
    check(
      libc().ioctl(this.#fd, TUNGETIFF, request),
      errnoView()[0],
      "ioctl(TUNGETIFF)",
      `cannot ask about TUN device ${this.name}`,
    );
    return (ifreqFlags(request) & IFF_PERSIST) !== 0;
  }

  /** Whether the device stays when its last descriptor is closed. */
  set persistent(on: boolean) {
    const what = `cannot make TUN device ${this.name} ${on ? "" : "no longer "}persistent`;
    check(
      libc().ioctlValue(this.#fd, TUNSETPERSIST, on ? 1 : 0),
      errnoView()[0],
      "ioctl(TUNSETPERSIST)",
      what,
    );
  }

  /**
   * Reads one packet, its virtio-net header first: the number of bytes, or the error as a negative number (−EAGAIN
   * when there is none). Does not throw, so that a loop can use it.
   */
  read(buffer: Uint8Array<ArrayBuffer>): number {
    const n = libc().read(this.#fd, buffer, buffer.byteLength);
    return n < 0 ? -errnoView()[0] : n;
  }

  /** Writes one packet, its virtio-net header first: the number of bytes, or the error as a negative number. */
  write(packet: Uint8Array<ArrayBuffer>): number {
    const n = libc().write(this.#fd, packet, packet.byteLength);
    return n < 0 ? -errnoView()[0] : n;
  }

  /** Closes the descriptor; with the last one of a device that is not persistent the device goes. */
  close(): void {
    if (this.#fd < 0) return;
    libc().close(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens a TUN device, and makes it where there is none. Throws a `SyscallError` that says what to do. */
export function openTun(options: TunOptions = {}): Tun {
  const { name = "", netns, attach = false } = options;
  if (netns === undefined) return open(options);
  using there = Netns.open(netns);
  if (attach) return there.run(() => open(options));
  using birthplace = Netns.make();
  for (let number = 0;; number++) {
    // What the kernel calls a device in the one namespace may be in use in the other.
    const named = { ...options, name: name === "" ? `tun${number}` : name };
    const { tuns, move } = makeTuns(named, 1, birthplace, there);
    try {
      move.run();
      return tuns[0];
    } catch (error) {
      abandon(tuns);
      if (name !== "" || !(error instanceof SyscallError && error.errno === EEXIST)) throw error;
    } finally {
      move[Symbol.dispose]();
    }
  }
}

/**
 * Makes a device that belongs into another namespace, with so many queues: all of them at once, as later ones would hold
 * it. The device is in `birthplace`, and the move takes it there; it is for the caller to run and to dispose of.
 *
 * Until it is closed, the file of a device holds the namespace that the file was opened in, wherever the device is. So
 * devices are made in one that is of no other use, under their own names.
 */
export function makeTuns(
  options: TunOptions & { name: string },
  queues: number,
  birthplace: Netns,
  there: Netns,
): { tuns: Tun[]; move: LinkMove } {
  const { name, netns } = options, what = `cannot open TUN device ${name}`;
  return birthplace.run(() => {
    const tuns = openQueues(options, queues);
    try {
      return { tuns, move: new LinkMove(name, there, what, nameInUse(name, netns)) };
    } catch (error) {
      abandon(tuns);
      throw error;
    }
  });
}

/** A persistent device would stay where it is. */
function abandon(tuns: readonly Tun[]): void {
  for (const tun of tuns) {
    if (tun.persistent) tun.persistent = false;
    tun.close();
  }
}

/** In the thread's namespace, which /dev/net/tun is opened in: that counts, and not that of the ioctl. */
export function openQueues(options: TunOptions, queues: number): Tun[] {
  const tuns: Tun[] = [];
  try {
    // The first queue makes the device.
    while (tuns.length < queues) tuns.push(open(tuns.length === 0 ? options : { ...options, attach: true }));
    return tuns;
  } catch (error) {
    for (const tun of tuns) tun.close();
    throw error;
  }
}

function checkName(name: string): void {
  const problem = name === "" ? null : invalidDeviceName(name);
  if (problem !== null) throw new RangeError(`“${name}” is not a name of a network device: ${problem}`);
}

function nameInUse(name: string, netns: string | undefined): string {
  return "the name is in use by another device or process; choose another, or remove it by " +
    `\`ip ${netns === undefined ? "" : `-n ${netns} `}link del ${name}\``;
}

function open(options: TunOptions): Tun {
  const { name = "", netns, vnetHdr = true, path = TUN_PATH } = options;
  checkName(name);
  const what = name === "" ? "cannot open a TUN device" : `cannot open TUN device ${name}`;
  const privilege = "missing privilege; it takes CAP_NET_ADMIN, run it as root";
  const noDriver = `the kernel's TUN driver is not there; try \`modprobe tun\``;
  const fd = check(
    libc().open(cString(path), O_RDWR | O_NONBLOCK | O_CLOEXEC, 0),
    errnoView()[0],
    `open ${path}`,
    what,
    {
      [ENOENT]:
        `${path} does not exist; \`modprobe tun\` makes it, and a container needs \`--device ${TUN_PATH}\``,
      [ENODEV]: noDriver,
      [ENXIO]: noDriver,
      [EACCES]: privilege,
      [EPERM]: privilege,
    },
  );
  try {
    const flags = IFF_TUN | IFF_NO_PI | (vnetHdr ? IFF_VNET_HDR : 0) |
      (options.multiQueue ? IFF_MULTI_QUEUE : 0) | (options.attach ? 0 : IFF_TUN_EXCL);
    // IFF_TUN_EXCL shares its bit with the sign of a short; ifreq() stores the 16 bits as they are.
    const request = ifreq(name, flags);
    check(libc().ioctl(fd, TUNSETIFF, request), errnoView()[0], "ioctl(TUNSETIFF)", what, {
      [EBUSY]: nameInUse(name, netns),
      [EINVAL]: options.attach
        ? "the device that has this name is not a TUN device, or was opened with other options" +
          (options.multiQueue ? "; for several queues make it with `ip tuntap add … multi_queue`" : "")
        : "the kernel refuses these options",
      [EPERM]: privilege,
    });
    const granted = vnetHdr ? setOffloads(fd, options.offloads ?? ~0, what) : 0;
    const tun = new Tun(fd, ifreqName(request), netns ?? null, vnetHdr, granted);
    if (options.persistent) tun.persistent = true;
    return tun;
  } catch (error) {
    libc().close(fd);
    throw error;
  }
}

/** Asks for the best level within `wanted`, then the next; the last one is none, which every kernel grants. */
function setOffloads(fd: number, wanted: number, what: string): number {
  let refused = -1;
  for (const level of OFFLOAD_LEVELS) {
    const offloads = level & wanted;
    if (offloads === refused) continue;
    const result = libc().ioctlValue(fd, TUNSETOFFLOAD, offloads);
    const errno = result < 0 ? errnoView()[0] : 0;
    if (result >= 0) return offloads;
    if (errno !== EINVAL) throw new SyscallError("ioctl(TUNSETOFFLOAD)", errno, what);
    refused = offloads;
  }
  return 0;
}
