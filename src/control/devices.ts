/**
 * The devices of a router: made from the configuration at the start, gone at the end.
 *
 * ```
 *   namespace lan │            Weir            │ namespace wan            Weir's own namespace (or host.netns)
 *   192.0.2.2/24  │ 192.0.2.1     198.51.100.1 │ 198.51.100.2             device weir0: 192.0.2.1/32, 198.51.100.1/32
 *   device lan ═══╪═══ TUN              TUN ═══╪═══ device wan            192.0.2.0/24 dev weir0 src 192.0.2.1
 * ```
 *
 * A TUN device has one side in the kernel and one in this process. Weir's own addresses are Weir's, so the kernel's side
 * of an interface gets the peer's addresses; the host device alone carries Weir's, for programs that use them.
 *
 * Everything hangs on the devices and the devices hang on their descriptors: closing these undoes all of it, and so
 * does the kernel when the process is killed. Nothing else is made, so nothing else has to be taken back.
 */
import { openTun, type Tun } from "deno_tun";
import type { PortSpec } from "../dataplane/ports.ts";
import { formatMasked, networkOf, parseMasked } from "../packet/address.ts";
import { ip, type IpCommand } from "./ip.ts";

/** What devices are made from: the part of a valid configuration that concerns them. */
export interface DevicePlan {
  readonly interfaces: readonly InterfacePlan[];
  readonly host: { readonly device: string; readonly netns: string | null } | null;
  /** Routes beside the connected ones, each destination with its prefix length. */
  readonly routes: readonly { readonly destination: string; readonly interface: number }[];
}

/** One interface. */
export interface InterfacePlan {
  /** 1 … n. */
  readonly index: number;
  /** Its key in the configuration. */
  readonly name: string;
  readonly device: string;
  readonly mtu: number;
  /** Weir's own addresses with prefix lengths. */
  readonly addresses: readonly string[];
  /** Take large packets and leave checksums to the device: as much as the kernel has, or nothing. */
  readonly offload: boolean;
  /** The namespace's side, when Weir sets it up. */
  readonly peer: {
    readonly netns: string;
    readonly addresses: readonly string[];
    /** Destinations with prefix lengths, or "default". */
    readonly routes: readonly string[];
  } | null;
}

/** Opened and configured devices. */
export class Devices {
  readonly #tuns: Tun[] = [];
  /** What the data plane has to know of them: by worker, each of which has a queue of every device. */
  readonly queues: readonly PortSpec[][];

  private constructor(workers: number) {
    this.queues = Array.from({ length: workers }, () => []);
  }

  /** Makes all devices, or none: a failure undoes what was done and throws an error of one line. */
  static async open(plan: DevicePlan, workers = 1): Promise<Devices> {
    const devices = new Devices(workers);
    try {
      for (const i of plan.interfaces) {
        devices.#open(i.index, i.name, i.device, i.peer?.netns ?? null, i.offload);
      }
      if (plan.host) devices.#open(0, plan.host.device, plan.host.device, plan.host.netns, true);
      await devices.#configure(plan);
      return devices;
    } catch (error) {
      devices.close();
      throw error;
    }
  }

  /** Closes the descriptors, and with them the devices, their addresses and routes go. */
  close(): void {
    for (const tun of this.#tuns) tun.close();
    this.#tuns.length = 0;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(index: number, name: string, device: string, netns: string | null, offload: boolean): void {
    this.queues.forEach((ports, number) => {
      // The first queue makes the device.
      const tun = openTun({
        name: device,
        netns: netns ?? undefined,
        vnetHdr: offload,
        multiQueue: this.queues.length > 1,
        attach: number > 0,
      });
      this.#tuns.push(tun);
      ports.push({ index, name, fd: tun.fd, vnet: tun.vnetHdr });
    });
  }

  /** One run of `ip` per namespace, side by side. All of them end before an error is told, so that none works on. */
  async #configure(plan: DevicePlan): Promise<void> {
    const byNetns = new Map<string | null, IpCommand[]>();
    const add = (netns: string | null, commands: IpCommand[]) => {
      const list = byNetns.get(netns);
      if (list === undefined) byNetns.set(netns, commands);
      else list.push(...commands);
    };
    for (const i of plan.interfaces) add(i.peer?.netns ?? null, peerCommands(i));
    if (plan.host) add(plan.host.netns, hostCommands(plan, plan.host.device));
    const runs = await Promise.allSettled([...byNetns].map(([netns, commands]) => ip(netns, commands)));
    for (const run of runs) if (run.status === "rejected") throw run.reason;
  }
}

const isIpv6 = (address: string) => address.includes(":");

/** What "default" means, by family. */
const EVERYWHERE = ["0.0.0.0/0", "::/0"];

/** The network that an address with prefix length is in: 192.0.2.0/24 of 192.0.2.1/24. */
function network(address: string): string {
  const parsed = parseMasked(address);
  if (parsed === null) throw new RangeError(`“${address}” is not an address with prefix length`);
  return formatMasked(parsed.family, networkOf(parsed.words, parsed.mask), parsed.mask);
}

function upCommands(device: string, mtu: number): IpCommand[] {
  return [
    {
      args: ["link", "set", "dev", device, "mtu", `${mtu}`],
      what: `cannot set the MTU of device ${device} to ${mtu}`,
    },
    { args: ["link", "set", "dev", device, "up"], what: `cannot bring up device ${device}` },
  ];
}

function addressCommand(device: string, address: string): IpCommand {
  // Nobody else is on the link, so IPv6 addresses need no search for duplicates and are there at once.
  const nodad = isIpv6(address) ? ["nodad"] : [];
  return {
    args: ["address", "add", address, "dev", device, ...nodad],
    what: `cannot add address ${address} to device ${device}`,
  };
}

/** The kernel's side of an interface. Without `peer` it is up, and the user gives it what it needs. */
function peerCommands(i: InterfacePlan): IpCommand[] {
  const commands = upCommands(i.device, i.mtu);
  const addresses = i.peer?.addresses ?? [];
  for (const address of addresses) commands.push(addressCommand(i.device, address));
  for (const route of i.peer?.routes ?? []) {
    // "default" is for the families that are spoken there. `ip -batch` takes the family from the destination.
    const destinations = route !== "default"
      ? [route]
      : EVERYWHERE.filter((all) =>
        [...addresses, ...i.addresses].some((address) => isIpv6(address) === isIpv6(all))
      );
    for (const destination of destinations) {
      commands.push({
        args: ["route", "add", destination, "dev", i.device],
        what: `cannot add route ${route} to device ${i.device}`,
      });
    }
  }
  return commands;
}

/**
 * The host device: Weir's addresses, each alone, and the routes that Weir has, each with the address that Weir would
 * speak from and the MTU of the interface that it leads to.
 */
export function hostCommands(plan: DevicePlan, device: string): IpCommand[] {
  const mtu = Math.max(...plan.interfaces.map((i) => i.mtu));
  const commands = upCommands(device, mtu);
  const routes = new Map<string, IpCommand>();
  const add = (destination: string, i: InterfacePlan, source: string) => {
    const limit = i.mtu < mtu ? ["mtu", `${i.mtu}`] : [];
    // The first one wins, as in Weir: a configured route over a connected network is never asked.
    if (routes.has(destination)) return;
    routes.set(destination, {
      args: ["route", "add", destination, "dev", device, "src", source, ...limit],
      what: `cannot add route ${destination} to host device ${device}`,
    });
  };
  for (const i of plan.interfaces) {
    for (const address of i.addresses) {
      const [own] = address.split("/");
      commands.push(addressCommand(device, `${own}/${isIpv6(own) ? 128 : 32}`));
    }
  }
  for (const i of plan.interfaces) {
    for (const address of i.addresses) {
      const [own, prefix] = address.split("/");
      // An address that is a network of its own has no neighbours.
      if (Number(prefix) === (isIpv6(own) ? 128 : 32)) continue;
      add(network(address), i, own);
    }
  }
  for (const route of plan.routes) {
    const i = plan.interfaces.find((candidate) => candidate.index === route.interface)!;
    // Weir's source for a network behind an interface: that interface's first address of the family, else any.
    const source = [...i.addresses, ...plan.interfaces.flatMap((other) => other.addresses)]
      .find((address) => isIpv6(address) === isIpv6(route.destination));
    if (source !== undefined) add(route.destination, i, source.split("/")[0]);
  }
  return [...commands, ...routes.values()];
}
