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
 *
 * A device goes with its namespace. The file of a TUN device holds the namespace that it was opened in, so devices are
 * born in one without a name and moved: a peer's namespace that is deleted is gone at once, with all that is in it, as
 * it would be beside a veth pair. What was made there is made again when there is a namespace of that name; where
 * programs keep the old one alive and the name leads to another one, it is made in that one.
 *
 * Another plan is made beside the one in force: what is new comes first, and what is not wanted any more goes when the
 * new plan is in force. So it can be taken back until then, and what both want is never touched.
 */
import { type LinkMove, makeTuns, Netns, netnsNumber, openQueues, type Tun } from "deno_tun";
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

/** One device, with a descriptor for each worker. */
interface Device {
  readonly index: number;
  /** Other ones cannot be made of this one: device, namespace, offload. */
  readonly key: string;
  /** None while its namespace is gone. */
  readonly tuns: readonly Tun[];
  /** The namespace that it is in, as `netnsNumber` has it; null for the own one. */
  readonly place: number | null;
  /** What was set up by `ip`, in which namespace. */
  readonly netns: string | null;
  readonly commands: readonly IpCommand[];
}

/** What a plan asks for, by the interface's name; the host device's is "". */
interface Wanted {
  readonly index: number;
  readonly name: string;
  readonly device: string;
  readonly netns: string | null;
  readonly offload: boolean;
  readonly commands: readonly IpCommand[];
}

/** Another plan, prepared: `commit` or `undo` ends it. */
export interface DeviceChange {
  /** What the data plane has to know of the devices then, by worker. */
  readonly queues: readonly PortSpec[][];
  /** Interfaces whose device was made again in the place of one that is lost, or is not where its namespace's name leads. */
  readonly again: ReadonlySet<number>;
  /** Interfaces that stay without a device, as their namespace is not there. */
  readonly down: ReadonlySet<number>;
  /** Removes what is not wanted any more. What could not be removed, for people. */
  commit(): Promise<string[]>;
  /** Takes back what was prepared. */
  undo(): Promise<void>;
}

/** Opened and configured devices. */
export class Devices {
  #devices: ReadonlyMap<string, Device> = new Map();
  readonly #workers: number;
  /** What the data plane has to know of them: by worker, each of which has a queue of every device. */
  queues: readonly PortSpec[][] = [];
  /** See `begin`. */
  readonly made: Promise<void> = Promise.resolve();

  private constructor(workers: number) {
    this.#workers = workers;
  }

  /** Makes all devices, or none: a failure undoes what was done and throws an error of one line. */
  static async open(plan: DevicePlan, workers = 1): Promise<Devices> {
    const devices = Devices.begin(plan, workers);
    try {
      await devices.made;
      return devices;
    } catch (error) {
      devices.close();
      throw error;
    }
  }

  /**
   * The same for who has other things to do meanwhile: the descriptors are there, and `made` tells when the devices are in
   * their namespaces and have their addresses and routes, or that they could not be made. Then it is for the caller to
   * close this, as soon as nobody uses the descriptors any more.
   */
  static begin(plan: DevicePlan, workers = 1): Devices {
    const devices = new Devices(workers), { change, done: made } = devices.#prepare(plan, new Set());
    made.catch(() => {}); // Told where it is awaited.
    change.commit();
    return Object.assign(devices, { made });
  }

  /**
   * Makes what another plan asks for beside what there is: new devices, addresses and routes. Those of `lost` interfaces,
   * by index, were deleted and are made again, but where their namespace is gone. A failure undoes what was done and throws
   * an error of one line.
   */
  async change(plan: DevicePlan, lost: ReadonlySet<number> = new Set()): Promise<DeviceChange> {
    const { change, done } = this.#prepare(plan, lost);
    try {
      await done;
      return change;
    } catch (error) {
      await change.undo();
      throw error;
    }
  }

  #prepare(plan: DevicePlan, lost: ReadonlySet<number>): { change: DeviceChange; done: Promise<void> } {
    const before = this.#devices, now = new Map<string, Device>(), opened: Device[] = [];
    const steps: Steps = { first: [], undo: [], last: [] };
    const close = () => opened.forEach(({ tuns }) => tuns.forEach((tun) => tun.close()));
    const undo = async () => {
      close();
      await attempt(steps.undo.filter(({ device }) => !opened.some((own) => own === device)));
    };
    const queues: PortSpec[][] = Array.from({ length: this.#workers }, () => []);
    const again = new Set<number>(), down = new Set<number>();
    const list = wantedBy(plan), wantedRoutes = routesOf(list);
    const kept = new Set(
      [...before.values()].filter((device) => !lost.has(device.index) && !isAstray(device)),
    );
    const taken = routesOf(kept);
    const births = new Births();
    try {
      for (const wanted of list) {
        const key = `${wanted.device} ${wanted.netns} ${wanted.offload}`, there = before.get(wanted.name);
        const { index, netns, commands } = wanted;
        let device: Device;
        if (there?.key === key && kept.has(there)) {
          device = { ...there, index, commands };
          compare(there, device, steps, taken, wantedRoutes);
        } else if (there?.key === key && hasNoPlace(there)) {
          device = { index, key, netns, commands: [], tuns: [], place: null };
          down.add(index);
        } else {
          device = { index, key, netns, commands, ...births.open(wanted, this.#workers) };
          opened.push(device);
          if (there?.key === key) again.add(index);
          for (const command of commands) add(device, command, steps, taken);
        }
        now.set(wanted.name, device);
        queues.forEach((list, worker) => {
          const { fd, vnetHdr } = device.tuns[worker] ?? { fd: -1, vnetHdr: true };
          list.push({ index, name: wanted.name || wanted.device, fd, vnet: vnetHdr });
        });
      }
    } catch (error) {
      births[Symbol.dispose]();
      close();
      throw error;
    }
    const done = settle(births.journeys, steps.first).finally(() => births[Symbol.dispose]());
    const commit = async () => {
      this.#devices = now;
      this.queues = queues;
      for (const [name, { tuns }] of before) {
        if (now.get(name)?.tuns !== tuns) tuns.forEach((tun) => tun.close());
      }
      return await attempt(steps.last);
    };
    return { change: { queues, again, down, undo, commit }, done };
  }

  /** Whether `change` would now make a device again: a lost one, by index, or one that is not where it should be. */
  canRestore(lost: ReadonlySet<number>): boolean {
    return [...this.#devices.values()].some((device) =>
      lost.has(device.index) ? !hasNoPlace(device) : isAstray(device)
    );
  }

  /** The namespace that a device, by index, belongs into, when there is none of that name. */
  missing(index: number): string | null {
    const device = [...this.#devices.values()].find((candidate) => candidate.index === index);
    return device !== undefined && hasNoPlace(device) ? device.netns : null;
  }

  /** Closes the descriptors, and with them the devices, their addresses and routes go. */
  close(): void {
    for (const { tuns } of this.#devices.values()) for (const tun of tuns) tun.close();
    this.#devices = new Map();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Has devices arrive, and one run of `ip` for each namespace as soon as all is there. All of them end before an error is
 * told, so that none works on.
 */
async function settle(journeys: readonly Journey[], steps: readonly Step[]): Promise<void> {
  const byNetns = Map.groupBy(steps, ({ device }) => device.netns), runs: Promise<void>[] = [];
  const begin = (netns: string | null) => {
    runs.push(ip(netns, byNetns.get(netns)?.map(({ command }) => command) ?? []));
    byNetns.delete(netns);
  };
  const awaited = journeys.map(({ netns }) => netns);
  for (const netns of [...byNetns.keys()]) if (netns === null || !awaited.includes(netns)) begin(netns);
  // One after the other, as the kernel would have it anyway.
  const moves = (async () => {
    for (const { netns, move } of journeys) {
      await move.runApart();
      awaited.shift();
      if (!awaited.includes(netns)) begin(netns);
    }
  })();
  const [moved] = await Promise.allSettled([moves]);
  for (const run of [moved, ...await Promise.allSettled(runs)]) {
    if (run.status === "rejected") throw run.reason;
  }
}

/** A device on its way to its namespace. */
interface Journey extends Disposable {
  readonly netns: string;
  readonly move: LinkMove;
}

/** Makes devices with a queue for each worker, those that belong into other namespaces on the way there. */
class Births implements Disposable {
  readonly journeys: Journey[] = [];
  /** Where these begin; no two devices of a router have the same name. */
  #place: Netns | null = null;

  open(wanted: Wanted, workers: number): Pick<Device, "tuns" | "place"> {
    const { device: name, netns, offload: vnetHdr } = wanted;
    const options = { name, vnetHdr, multiQueue: workers > 1 };
    if (netns === null) return { tuns: openQueues(options, workers), place: null };
    const there = Netns.open(netns);
    try {
      this.#place ??= Netns.make();
      const { number } = there, { tuns, move } = makeTuns({ ...options, netns }, workers, this.#place, there);
      this.journeys.push({
        netns,
        move,
        [Symbol.dispose]() {
          move[Symbol.dispose]();
          there.close();
        },
      });
      return { tuns, place: number };
    } catch (error) {
      there.close();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const journey of this.journeys) journey[Symbol.dispose]();
    this.#place?.close();
  }
}

/** There is no namespace of the name that it belongs into. */
function hasNoPlace({ netns }: Device): boolean {
  return netns !== null && netnsNumber(netns) === null;
}

/** Its namespace lives on, and the name leads to another one. */
function isAstray({ netns, place }: Device): boolean {
  if (netns === null || place === null) return false;
  const number = netnsNumber(netns);
  return number !== null && number !== place;
}

/** One command for one device. */
interface Step {
  readonly device: Pick<Device, "netns" | "commands">;
  readonly command: IpCommand;
}

/** What is done before a plan is in force, how that is undone, and what is done when it is. */
interface Steps {
  readonly first: Step[];
  readonly undo: Step[];
  readonly last: Step[];
}

/** Runs commands, device by device, to the end of the list, whatever becomes of some: what was refused. */
async function attempt(steps: readonly Step[]): Promise<string[]> {
  const refused: string[] = [];
  for (const [device, list] of Map.groupBy(steps, ({ device }) => device)) {
    const commands = list.map(({ command }) => command);
    try {
      await ip(device.netns, commands);
    } catch {
      for (const command of commands) {
        await ip(device.netns, [command]).catch((error: Error) => refused.push(error.message));
      }
    }
  }
  return refused;
}

function wantedBy(plan: DevicePlan): Wanted[] {
  const list: Wanted[] = plan.interfaces.map((i) => ({
    index: i.index,
    name: i.name,
    device: i.device,
    netns: i.peer?.netns ?? null,
    offload: i.offload,
    commands: peerCommands(i),
  }));
  const { host } = plan;
  if (host) {
    const { device, netns } = host;
    list.push({ index: 0, name: "", device, netns, offload: true, commands: hostCommands(plan, device) });
  }
  return list;
}

/** What a command sets: all that stands in front of its value. */
function subject({ args }: IpCommand): string {
  return args.slice(0, args[0] === "link" ? 5 : 3).join(" ");
}

/** Who has a route, by namespace and destination: a namespace has each once. */
type Routes = ReadonlyMap<string, Step>;

function routesOf(devices: Iterable<Pick<Device, "netns" | "commands">>): Routes {
  const routes = new Map<string, Step>();
  for (const device of devices) {
    for (const command of device.commands) {
      if (command.args[0] === "route") routes.set(`${device.netns} ${subject(command)}`, { device, command });
    }
  }
  return routes;
}

/** Steps to what a device does not have. A route that another device has is taken over from it. */
function add(device: Device, command: IpCommand, steps: Steps, taken: Routes): void {
  const other = taken.get(`${device.netns} ${subject(command)}`);
  if (other === undefined) {
    steps.first.push({ device, command });
    if (command.args[0] !== "link") steps.undo.unshift({ device, command: removal(command) });
  } else {
    steps.first.push({ device, command: replacement(command) });
    steps.undo.unshift({ device: other.device, command: replacement(other.command) });
  }
}

/**
 * Steps from what a device has to what it is to have. Addresses and routes come before others go; a smaller MTU holds
 * when those who are to keep to it know of it.
 */
function compare(before: Device, now: Device, steps: Steps, taken: Routes, wanted: Routes): void {
  const had = new Map(before.commands.map((command) => [subject(command), command]));
  const has = new Map(now.commands.map((command) => [subject(command), command]));
  for (const [what, command] of has) {
    const old = had.get(what);
    if (old === undefined) add(now, command, steps, taken);
    else if (old.args.join(" ") !== command.args.join(" ")) {
      const shrinks = command.args[0] === "link" && Number(command.args.at(-1)) < Number(old.args.at(-1));
      if (shrinks) steps.last.push({ device: now, command });
      else {
        steps.first.push({ device: now, command: replacement(command) });
        steps.undo.unshift({ device: now, command: replacement(old) });
      }
    }
  }
  // Routes before the addresses that they may name.
  const gone = [...had].reverse().flatMap(([what, command]) =>
    has.has(what) || wanted.has(`${now.netns} ${what}`) ? [] : [removal(command)]
  );
  for (const command of gone) steps.last.push({ device: now, command });
  // With the first address of a subnet Linux takes away the others of it, and with an address the routes that name it.
  if (gone.some(({ args }) => args[0] === "address")) {
    for (const command of now.commands) {
      if (command.args[0] !== "link") steps.last.push({ device: now, command: replacement(command) });
    }
  }
}

function removal({ args, what }: IpCommand): IpCommand {
  const [object, , value, ...rest] = args;
  return {
    args: [object, "del", value, ...rest.slice(0, 2)],
    what: what.replace("cannot add", "cannot remove"),
  };
}

function replacement({ args, what }: IpCommand): IpCommand {
  return args[0] === "link" ? { args, what } : { args: [args[0], "replace", ...args.slice(2)], what };
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
