/**
 * Linux's own answer to a scenario.
 *
 * Overview: the calling thread enters a new network namespace, opens TUN devices there, sets them up, loads the rules,
 * writes packets into the devices and reads what comes out; then it asks conntrack and iptables for their tables and
 * goes back. Everything is synchronous, so nothing else of this process can run in the namespace, and programs that
 * are started run in it without `ip netns`. The namespace has no name and dies with the devices.
 *
 * Forwarding is synchronous too: what a packet causes can be read when write(2) has returned.
 *
 * Limits: `nf_conntrack_max` is not per namespace. Time is real: a `wait` sleeps.
 *
 * @module
 */
import { libc, openTun, type Tun, VNET_HDR_SIZE } from "deno_tun";
import { KernelListener } from "./listener.ts";
import { memoryFile } from "./memfd.ts";
import { inNewNetns } from "./netns.ts";
import { type Answer, type Dump, type Emitted, lines, type Scenario, SCENARIO_SYSCTLS } from "./scenario.ts";

const decoder = new TextDecoder();

/** An xtables lock of our own: others wait for theirs, and this namespace is nobody else's. */
let lock: string | undefined;

/** Runs a program to its end in the namespace of this thread. */
function run(command: string, args: readonly string[], mayFail = false): string {
  const o = new Deno.Command(command, {
    args: [...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { XTABLES_LOCKFILE: lock ??= memoryFile().path, LC_ALL: "C" },
  }).outputSync();
  if (!o.success && !mayFail) {
    throw new Error(`${command} ${args.join(" ")}: ${decoder.decode(o.stderr).trim()}`);
  }
  return decoder.decode(o.stdout);
}

/** Runs a program that reads a text from a file. */
function feed(command: string, args: readonly string[], text: string): void {
  const { fd, path } = memoryFile(text);
  try {
    run(command, [...args, path]);
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${text}`);
  } finally {
    libc().close(fd);
  }
}

/** The file of a sysctl. */
function sysctlPath(name: string): string {
  return "/proc/sys/" + name.replaceAll(".", "/");
}

function setSysctls(values: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(values)) Deno.writeTextFileSync(sysctlPath(name), String(value));
}

/** `uname -r`. */
export function kernelVersion(): string {
  return Deno.osRelease();
}

let able: boolean | undefined;
/** Whether this process may make namespaces and TUN devices and the programs are there. */
export function kernelAvailable(): boolean {
  if (able !== undefined) return able;
  try {
    able = inNewNetns(() => {
      openTun({ name: "probe", vnetHdr: false }).close();
      for (const program of ["iptables-legacy-save", "ip6tables-legacy-save"]) run(program, ["-t", "nat"]);
      run("conntrack", ["-C"]);
      return true;
    });
  } catch {
    able = false;
  }
  return able;
}

/** A running scenario, for tests that decide from step to step. */
export class KernelRouter {
  readonly #tuns = new Map<string, Tun>();
  readonly #buffer = new Uint8Array(VNET_HDR_SIZE + 65536);
  /** Bytes in front of each packet. */
  readonly #front: number;
  readonly emitted: Emitted[] = [];
  readonly dumps: Dump[] = [];
  readonly #families: readonly string[];
  readonly #hasSets: boolean;
  readonly #listeners: readonly KernelListener[];

  /** Sets the namespace up; must be called in a new one. */
  constructor(scenario: Scenario) {
    const names = Object.keys(scenario.interfaces), offload = scenario.offload === true;
    this.#front = offload ? VNET_HDR_SIZE : 0;
    const setup: string[] = ["link set lo up"];
    for (const name of names) {
      const { addresses, mtu = 1500 } = scenario.interfaces[name];
      this.#tuns.set(name, openTun({ name, vnetHdr: offload }));
      setSysctls({ [`net.ipv6.conf.${name}.addr_gen_mode`]: 1 });
      // Without IFF_MULTICAST the router joins no groups, so it sends no MLD reports that would count in OUTPUT.
      setup.push(`link set ${name} multicast off mtu ${mtu} up`);
      for (const address of addresses) {
        setup.push(`addr add ${address} dev ${name}${address.includes(":") ? " nodad" : ""}`);
      }
    }
    for (const route of scenario.routes ?? []) {
      const via = route.via === undefined ? "" : ` via ${route.via}`;
      setup.push(`route add ${route.destination}${via} dev ${route.interface}`);
    }
    feed("ip", ["-batch"], setup.join("\n") + "\n");
    // A new namespace takes the values of the machine, so all that matters is said.
    setSysctls({
      "net.ipv4.conf.all.rp_filter": 0,
      "net.ipv4.conf.all.send_redirects": 0,
      "net.ipv4.conf.all.accept_source_route": 0,
    });
    for (const name of names) {
      setSysctls({
        [`net.ipv4.conf.${name}.rp_filter`]: 0,
        [`net.ipv4.conf.${name}.send_redirects`]: 0,
        [`net.ipv4.conf.${name}.accept_source_route`]: 1,
        [`net.ipv6.conf.${name}.accept_ra`]: 0,
      });
    }
    setSysctls({ "net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1 });
    setSysctls(SCENARIO_SYSCTLS);
    if (scenario.sysctl) setSysctls(scenario.sysctl);
    const all = names.flatMap((name) => scenario.interfaces[name].addresses);
    this.#families = all.some((a) => a.includes(":")) ? ["ipv4", "ipv6"] : ["ipv4"];
    this.#waitForAddresses(all.filter((a) => a.includes(":")).length);
    const sets = Object.entries(scenario.sets ?? {}).flatMap(([name, { type, entries }]) => [
      `create ${name} ${type} family ${entries[0].includes(":") ? "inet6" : "inet"}`,
      ...entries.map((entry) => `add ${name} ${entry}`),
    ]);
    if (sets.length > 0) feed("ipset", ["restore", "-file"], sets.join("\n") + "\n");
    if (scenario.ipset !== undefined) feed("ipset", ["restore", "-file"], scenario.ipset);
    this.#hasSets = scenario.ipset !== undefined;
    this.#listeners = (scenario.listeners ?? []).map((args) => new KernelListener(args));
    this.rules(scenario.iptables, scenario.ip6tables);
    this.#drain(-1);
    this.emitted.length = 0;
  }

  /** An IPv6 address becomes local in the background, some milliseconds after it was set. */
  #waitForAddresses(count: number): void {
    if (count === 0) return;
    for (let tries = 0; tries < 500; tries++) {
      // Local routes (RTF_LOCAL, and no anycast) to /128 on other devices than lo.
      const local = Deno.readTextFileSync("/proc/thread-self/net/ipv6_route").split("\n").filter((line) => {
        const f = line.trim().split(/\s+/);
        return f.length >= 10 && f[1] === "80" && f[9] !== "lo" &&
          (parseInt(f[8], 16) & 0x80100000) >>> 0 === 0x80000000;
      });
      if (local.length >= count) return;
      sleep(1);
    }
    throw new Error("IPv6 addresses did not become local in time");
  }

  /** Loads rules; `undefined` leaves a family alone. */
  rules(iptables?: string, ip6tables?: string): void {
    if (iptables !== undefined && iptables !== "") feed("iptables-legacy-restore", [], iptables);
    if (ip6tables !== undefined && ip6tables !== "") feed("ip6tables-legacy-restore", [], ip6tables);
  }

  /** A packet arrives at an interface; what it causes is added to `emitted`. */
  packet(iface: string, bytes: Uint8Array, step: number, vnet?: Uint8Array): void {
    const tun = this.#tuns.get(iface);
    if (tun === undefined) throw new Error(`no interface ${iface}`);
    const whole = new Uint8Array(this.#front + bytes.length);
    if (vnet !== undefined) whole.set(vnet);
    whole.set(bytes, this.#front);
    // An errno is an answer too: TUN refuses what is no IP packet.
    tun.write(whole);
    this.#drain(step);
  }

  /** Really waits. */
  wait(milliseconds: number, step: number): void {
    sleep(milliseconds);
    this.#drain(step);
  }

  #drain(step: number): void {
    for (const [iface, tun] of this.#tuns) {
      for (let n; (n = tun.read(this.#buffer)) > 0;) {
        const front = this.#front, bytes = this.#buffer.slice(front, n);
        const vnet = front === 0 ? {} : { vnet: this.#buffer.slice(0, front) };
        if (!isNoise(bytes)) this.emitted.push({ iface, bytes, step, ...vnet });
      }
    }
  }

  /** Writes the tables down. */
  dump(name: string): void {
    this.dumps.push({
      name,
      conntrack: lines(run("conntrack", ["-L"])),
      // Without a family it lists those of IPv4 only.
      expect: this.#families.flatMap((f) => lines(run("conntrack", ["-L", "expect", "-f", f]))),
      iptables: lines(run("iptables-legacy-save", ["-c"])).map((l) => l + "\n").join(""),
      ip6tables: lines(run("ip6tables-legacy-save", ["-c"])).map((l) => l + "\n").join(""),
      ...(this.#hasSets ? { ipset: run("ipset", ["save"]) } : {}),
    });
  }

  /** Ends the listeners: their lines. */
  events(): string[][] {
    return this.#listeners.map((listener) => listener.end());
  }

  /** `conntrack -D` with arguments. Finding nothing is no error. */
  delete(args: readonly string[]): void {
    run("conntrack", ["-D", ...args], true);
  }

  sysctl(values: Readonly<Record<string, number>>): void {
    setSysctls(values);
  }

  /**
   * Lets go of the devices. Closing the last descriptor of a device waits some 40 ms for its end; a persistent one is
   * left to its namespace, which the kernel takes apart in the background.
   */
  close(): void {
    for (const listener of this.#listeners) listener.close();
    for (const tun of this.#tuns.values()) {
      tun.persistent = true;
      tun.close();
    }
  }
}

function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** Neighbour discovery and multicast listener messages that the kernel sends on its own. */
function isNoise(bytes: Uint8Array): boolean {
  return bytes[0] >> 4 === 6 && bytes[24] === 0xff && (bytes[6] === 58 || bytes[6] === 0);
}

/** Asks the kernel. */
export function askKernel(scenario: Scenario): Answer {
  return inNewNetns(() => {
    const router = new KernelRouter(scenario);
    try {
      scenario.steps.forEach((step, i) => {
        switch (step.do) {
          case "packet":
            return router.packet(
              step.iface,
              typeof step.bytes === "function" ? step.bytes(router.emitted) : step.bytes,
              i,
              step.vnet,
            );
          case "wait":
            return router.wait(step.milliseconds, i);
          case "rules":
            return router.rules(step.iptables, step.ip6tables);
          case "delete":
            return router.delete(step.arguments);
          case "sysctl":
            return router.sysctl(step.values);
          case "dump":
            return router.dump(step.name);
        }
      });
      router.dump("end");
      return { emitted: router.emitted, dumps: router.dumps, events: router.events() };
    } finally {
      router.close();
    }
  });
}

// It opens libraries, once and for good; opened here, they do not look like a leak of the first test that asks.
kernelAvailable();
