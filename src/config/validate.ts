/**
 * Checks a whole configuration. Either it comes out as a `ValidConfig`, which the router takes without asking again,
 * or as a `ConfigError` with every mistake that could be found, each with its place and what to write instead.
 *
 * @module
 */
import { type ConntrackHelper, perPort } from "../conntrack/helper.ts";
import { MOST_HELPERS } from "../conntrack/roster.ts";
import { type Address, formatAddress, parseAddress, parsePrefix, prefixMask } from "../packet/address.ts";
import type { RouteSpec } from "../routing/fib.ts";
import { Sysctl, SYSCTLS } from "../sysctl.ts";
import type { Family } from "../netfilter.ts";
import type { RuleSet } from "../tables/entry.ts";
import type { TableName } from "../tables/extension.ts";
import { show } from "../tables/kinds.ts";
import { child, ConfigError, isObject, type Problem, Problems, suggest } from "./problems.ts";
import { restoreRules } from "./iptables_restore.ts";
import { type Profile, PROFILES } from "./profile.ts";
import { assignCounters, readTables, type RulesContext, rulesCount, rulesTrack } from "./rules.ts";
import { readTimeouts } from "./timeouts.ts";
import { readSets } from "./sets.ts";
import type { RouterConfig } from "./types.ts";
import { refuseOfPrograms, warnOfNever } from "./never.ts";
import { type ListedHelpers, warnOfUngiven, warnOfUntracked } from "./untracked.ts";
import type { ValidConfig, ValidHost, ValidInterface, ValidPeer } from "./valid.ts";

export { ConfigError, type Problem };
export type { ValidConfig, ValidHost, ValidInterface, ValidPeer } from "./valid.ts";

const KEYS = [
  "interfaces",
  "host",
  "routes",
  "tables",
  "iptables",
  "ip6tables",
  "ipset",
  "sets",
  "helpers",
  "timeouts",
  "profile",
  "workers",
  "sysctl",
];
const ROUTE_TYPES = ["unicast", "blackhole", "unreachable", "prohibit"];
/** Smallest MTU of an IPv4 link (RFC 791), of an IPv6 link (RFC 8200, 5), and the largest packet. */
const MTU_MIN = 68, MTU_MIN_6 = 1280, MTU_MAX = 65535, MTU_DEFAULT = 1500;

/** Most threads that route. */
export const WORKERS_MAX = 64;

/** True for a number of threads. */
export function isWorkers(input: unknown): input is number {
  return typeof input === "number" && Number.isInteger(input) && input >= 1 && input <= WORKERS_MAX;
}

/**
 * Checks a configuration as `weir check` does, without touching the machine, and reads its texts: what a router is built
 * from. Throws a `ConfigError` with all mistakes, each at its place; what is odd but possible stands in `warnings`.
 *
 * ```ts
 * import { ConfigError, validate } from "weir";
 *
 * try {
 *   validate({ interfaces: { lan: { addresses: ["192.0.2.1/33"] } } });
 * } catch (error) {
 *   if (!(error instanceof ConfigError)) throw error;
 *   for (const { path, message } of error.problems) console.log(path, message);
 * }
 * ```
 */
export function validate(config: RouterConfig): ValidConfig {
  return new Validator().validate(config);
}

const ACCT = "net.netfilter.nf_conntrack_acct";

class Validator {
  readonly #problems = new Problems();
  readonly #warnings = new Problems();
  /** Weir's own addresses by text, and where each stands. */
  readonly #addresses = new Map<string, string>();
  readonly #devices = new Map<string, string>();
  readonly #listed: ListedHelpers[] = [];

  validate(config: unknown): ValidConfig {
    const problems = this.#problems;
    if (!isObject(config)) {
      throw new ConfigError([{ path: "config", message: "is not an object; write defineRouter({ … })" }]);
    }
    problems.unknownKeys("", config, KEYS);
    const interfaces = this.#interfaces(config.interfaces);
    const names = isObject(config.interfaces) ? Object.keys(config.interfaces) : [];
    const host = this.#host(config.host);
    const routes = this.#routes(config.routes, names, interfaces);
    const helpers = this.#helpers(config.helpers);
    const sysctl = this.#sysctl(config.sysctl, this.#profile(config.profile));
    const timeouts = readTimeouts(config.timeouts, "timeouts", problems);
    const workers = this.#workers(config.workers);
    const sets = readSets(config.sets, config.ipset, problems);
    const context = { interfaces: names, helpers, timeouts, sets, problems, warnings: this.#warnings };
    const written = readTables(config.tables, "tables", context);
    const read = {
      4: this.#text(config.iptables, "iptables", 4, written[4], context),
      6: this.#text(config.ip6tables, "ip6tables", 6, written[6], context),
    };
    if (host !== null) { for (const family of [4, 6] as const) refuseOfPrograms(read[family], problems); }
    if (problems.list.length > 0) throw new ConfigError(problems.list);
    for (const family of [4, 6] as const) {
      warnOfUntracked(read[family], helpers, this.#warnings);
      warnOfNever(read[family], helpers, this.#warnings);
    }
    warnOfUngiven([read[4], read[6]], this.#listed, this.#warnings);
    const { sets: rules, slots } = assignCounters(read);
    const counts = rulesCount(read[4]) || rulesCount(read[6]);
    return {
      interfaces,
      host,
      routes,
      helpers,
      timeouts,
      sets,
      workers,
      sysctl: counts ? this.#counting(sysctl, config.sysctl) : sysctl,
      rules: { ipv4: rules[4], ipv6: rules[6] },
      tracking: {
        ipv4: rulesTrack(rules[4]) ||
          helpers.some((helper) => helper.autoAssign && helper.families.includes(4)),
        ipv6: rulesTrack(rules[6]) ||
          helpers.some((helper) => helper.autoAssign && helper.families.includes(6)),
      },
      counters: slots,
      warnings: this.#warnings.list,
    };
  }

  /** Rules that ask for what flows have carried have it counted, as in Linux. */
  #counting(sysctl: Sysctl, written: unknown): Sysctl {
    if (isObject(written) && written[ACCT] === 0) {
      this.#warnings.add(child("sysctl", ACCT), "is 1 all the same: rules with connbytes need it");
    }
    return sysctl.with(ACCT, 1);
  }

  #problem(path: string, message: string): void {
    this.#problems.add(path, message);
  }

  /** Tables as iptables-restore text, beside those of `tables`. */
  #text(input: unknown, label: string, family: Family, written: RuleSet, c: RulesContext): RuleSet {
    if (input === undefined) return written;
    if (typeof input !== "string") {
      this.#problem(label, `is not text; write what ${label}-save prints, beginning with *filter`);
      return written;
    }
    const restored = restoreRules(input, label, { ...c, family });
    const merge = (name: TableName) => {
      if (written[name] !== null && restored[name] !== null) {
        this.#problem(label, `table ${name} stands here and in \`tables\`; keep it in one of them`);
      }
      return written[name] ?? restored[name];
    };
    return { family, raw: merge("raw"), mangle: merge("mangle"), nat: merge("nat"), filter: merge("filter") };
  }

  #workers(input: unknown): number {
    if (input === undefined) return 1;
    if (isWorkers(input)) return input;
    this.#problem("workers", `${show(input)} is not a number of threads from 1 to ${WORKERS_MAX}`);
    return 1;
  }

  // ── interfaces and host ───────────────────────────────────────────────────────────────────────────────────────

  #interfaces(input: unknown): ValidInterface[] {
    if (!isObject(input) || Object.keys(input).length === 0) {
      this.#problem(
        "interfaces",
        'needs at least one interface; write { lan: { addresses: ["192.0.2.1/24"] } }',
      );
      return [];
    }
    return Object.entries(input).map(([name, value], i) => this.#interface(name, value, i + 1));
  }

  #interface(name: string, input: unknown, index: number): ValidInterface {
    const path = child("interfaces", name);
    const made = { index, name, device: name, addresses: [], mtu: MTU_DEFAULT, offload: true, peer: null };
    const wrong = nameProblem(name);
    if (wrong !== null) this.#problem(path, wrong);
    else if (name === "lo" || name === "all" || name === "default") {
      this.#problem(path, `${name} is a name that Linux keeps for itself; choose another`);
    }
    if (!isObject(input)) {
      this.#problem(path, 'is not an object; write { addresses: ["192.0.2.1/24"] }');
      return made;
    }
    this.#problems.unknownKeys(path, input, ["device", "addresses", "mtu", "offload", "peer"]);
    const device = input.device === undefined ? name : this.#deviceName(input.device, child(path, "device"));
    this.#claimDevice(device, input.device === undefined ? path : child(path, "device"));
    const addresses = this.#prefixes(input.addresses, child(path, "addresses"), true);
    if (input.offload !== undefined && typeof input.offload !== "boolean") {
      this.#problem(child(path, "offload"), `${show(input.offload)} is not true or false`);
    }
    return {
      ...made,
      device,
      addresses,
      mtu: this.#mtu(input.mtu, child(path, "mtu"), addresses.some((text) => text.includes(":"))),
      offload: input.offload !== false,
      peer: this.#peer(input.peer, child(path, "peer")),
    };
  }

  #mtu(input: unknown, path: string, ipv6: boolean): number {
    if (input === undefined) return MTU_DEFAULT;
    const least = ipv6 ? MTU_MIN_6 : MTU_MIN;
    if (typeof input === "number" && Number.isInteger(input) && input >= least && input <= MTU_MAX) {
      return input;
    }
    this.#problem(
      path,
      `${show(input)} is not a number of bytes from ${least} to ${MTU_MAX}${
        ipv6 ? ", as IPv6 needs it" : ""
      }`,
    );
    return MTU_DEFAULT;
  }

  #peer(input: unknown, path: string): ValidPeer | null {
    if (input === undefined || input === null) return null;
    if (!isObject(input)) {
      this.#problem(
        path,
        'is not an object; write { netns: "lan", addresses: ["192.0.2.2/24"], routes: ["default"] }',
      );
      return null;
    }
    this.#problems.unknownKeys(path, input, ["netns", "addresses", "routes"]);
    const netns = this.#netns(input.netns, child(path, "netns"));
    const addresses = this.#prefixes(input.addresses, child(path, "addresses"), false);
    const routes = this.#list(input.routes, child(path, "routes"), "routes");
    routes.forEach((route, i) => {
      if (
        route === "default" ||
        typeof route === "string" && (parsePrefix(route) ?? parseAddress(route)) !== null
      ) return;
      this.#problem(
        child(child(path, "routes"), i),
        `${show(route)} is not a network such as "203.0.113.0/24", nor "default"`,
      );
    });
    return { netns, addresses, routes: routes as string[] };
  }

  #netns(input: unknown, path: string): string {
    if (typeof input === "string" && /^[^/\s]{1,255}$/.test(input) && input !== "." && input !== "..") {
      return input;
    }
    this.#problem(
      path,
      input === undefined
        ? "is missing; name the network namespace, as in `ip netns`"
        : `${show(input)} is not the name of a network namespace`,
    );
    return "";
  }

  #host(input: unknown): ValidHost | null {
    if (input === undefined) return null;
    if (!isObject(input)) {
      this.#problem("host", 'is not an object; write { device: "weir0" }');
      return null;
    }
    this.#problems.unknownKeys("host", input, ["device", "netns"]);
    const device = this.#deviceName(input.device, "host.device");
    this.#claimDevice(device, "host.device");
    return { device, netns: input.netns === undefined ? null : this.#netns(input.netns, "host.netns") };
  }

  #deviceName(input: unknown, path: string): string {
    if (input === undefined) {
      this.#problem(path, "is missing; name the device");
      return "";
    }
    const wrong = typeof input === "string" ? nameProblem(input) : `${show(input)} is not a device's name`;
    if (wrong !== null) this.#problem(path, wrong);
    return String(input);
  }

  #claimDevice(device: string, path: string): void {
    const other = this.#devices.get(device);
    if (device !== "" && other !== undefined) {
      this.#problem(path, `device ${show(device)} is used by ${other}, too; give each its own`);
    }
    this.#devices.set(device, path);
  }

  /** An array, or an empty one with a problem. */
  #list(input: unknown, path: string, what: string): unknown[] {
    if (input === undefined) return [];
    if (Array.isArray(input)) return input;
    this.#problem(path, `is not an array of ${what}`);
    return [];
  }

  /** Addresses with prefix lengths; Weir's own and its peers' must all differ. */
  #prefixes(input: unknown, path: string, own: boolean): string[] {
    const good: string[] = [];
    this.#list(input, path, 'addresses such as "192.0.2.1/24"').forEach((text, i) => {
      const place = child(path, i);
      const parsed = typeof text === "string" ? parsePrefix(text) : null;
      if (parsed === null) {
        const bare = typeof text === "string" ? parseAddress(text) : null;
        const hint = bare === null
          ? 'write it as "192.0.2.1/24" or "2001:db8::1/64"'
          : `add a prefix length: "${text}/${bare.family === 4 ? 24 : 64}"`;
        this.#problem(place, `${show(text)} is not an address with a prefix length; ${hint}`);
        return;
      }
      const sort = unusable(parsed);
      if (sort !== null) {
        this.#problem(place, `${show(text)} is ${sort}, which no interface can have`);
        return;
      }
      const plain = formatAddress(parsed.family, parsed.words);
      const linkLocal = parsed.family === 6 && (parsed.words[0] & 0xffc00000) === (0xfe800000 | 0);
      const other = this.#addresses.get(plain);
      if (other !== undefined && !linkLocal) {
        this.#problem(place, `address ${plain} stands at ${other}, too; each can be there once`);
      } else this.#addresses.set(plain, place);
      const mask = prefixMask(parsed.family, parsed.length);
      const width = parsed.family === 4 ? 32 : 128;
      if (own && parsed.family === 4 && parsed.length < width - 1) {
        const host = parsed.words[0] & ~mask[0];
        if (host === 0) this.#warnings.add(place, `${show(text)} is the address of the network itself`);
        else if (host === ~mask[0]) {
          this.#warnings.add(place, `${show(text)} is the network's broadcast address`);
        }
      }
      good.push(text as string);
    });
    return good;
  }

  // ── routes ────────────────────────────────────────────────────────────────────────────────────────────────────

  #routes(input: unknown, names: readonly string[], interfaces: readonly ValidInterface[]): RouteSpec[] {
    const seen = new Map<string, string>();
    const routes: RouteSpec[] = [];
    this.#list(input, "routes", "routes").forEach((route, i) => {
      const path = child("routes", i);
      const made = this.#route(route, path, names, interfaces);
      if (made === null) return;
      const { destination, via, metric } = made, six = typeof via === "string" ? via.includes(":") : "";
      const key = `${destination} ${destination === "default" ? six : ""} ${metric}`;
      const other = seen.get(key);
      if (other !== undefined) {
        this.#problem(path, `goes where ${other} goes; leave one out, or give them different metrics`);
      }
      seen.set(key, path);
      routes.push(made);
    });
    return routes;
  }

  #route(
    input: unknown,
    path: string,
    names: readonly string[],
    interfaces: readonly ValidInterface[],
  ): RouteSpec | null {
    if (!isObject(input)) {
      this.#problem(
        path,
        'is not a route; write { destination: "0.0.0.0/0", interface: "wan", via: "198.51.100.254" }',
      );
      return null;
    }
    this.#problems.unknownKeys(path, input, ["destination", "interface", "via", "metric", "type", "source"]);
    const family = this.#destination(input.destination, child(path, "destination"));
    const type = input.type ?? "unicast";
    if (typeof type !== "string" || !ROUTE_TYPES.includes(type)) {
      this.#problem(
        child(path, "type"),
        `${show(type)} is not a type of route; ${suggest(String(type), ROUTE_TYPES)}`,
      );
    }
    const name = input.interface;
    if (name !== undefined && (typeof name !== "string" || !names.includes(name))) {
      this.#problem(
        child(path, "interface"),
        `interface ${show(name)} is not configured; ${suggest(String(name), names)}`,
      );
    }
    const via = this.#address(input.via, child(path, "via"), family);
    if (via !== null && this.#isOwn(via, interfaces)) {
      this.#problem(child(path, "via"), `${show(input.via)} is Weir's own address; name the next router`);
    }
    if (name === undefined && type === "unicast" && (via === null || !connected(via, interfaces))) {
      this.#problem(child(path, "interface"), "is missing; name the interface that the route leaves by");
    }
    const source = this.#address(input.source, child(path, "source"), family);
    if (source !== null && !this.#isOwn(source, interfaces)) {
      this.#problem(child(path, "source"), `${show(input.source)} is not one of Weir's own addresses`);
    }
    const metric = input.metric;
    if (
      metric !== undefined &&
      !(Number.isInteger(metric) && Number(metric) >= 0 && Number(metric) <= 0x7fffffff)
    ) {
      this.#problem(child(path, "metric"), `${show(metric)} is not a whole number from 0 to 2147483647`);
    }
    const { destination, interface: iface, ...rest } = input as unknown as RouteSpec;
    return { destination, interface: iface, ...rest };
  }

  /** The family of a destination; 0 for both or a wrong one. */
  #destination(input: unknown, path: string): 4 | 6 | 0 {
    if (input === "default") return 0;
    if (input === undefined) {
      this.#problem(path, 'is missing; write a network such as "203.0.113.0/24", or "default"');
      return 0;
    }
    const host = typeof input === "string" ? parseAddress(input) : null;
    if (host !== null) return host.family;
    const prefix = typeof input === "string" ? parsePrefix(input) : null;
    if (prefix === null) {
      this.#problem(
        path,
        `${show(input)} is not a network such as "203.0.113.0/24" or "2001:db8::/32", nor "default"`,
      );
      return 0;
    }
    const mask = prefixMask(prefix.family, prefix.length);
    if (prefix.words.some((word, i) => (word & ~mask[i]) !== 0)) {
      const network = prefix.words.map((word, i) => word & mask[i]);
      this.#problem(
        path,
        `${show(input)} has bits behind its prefix; write "${
          formatAddress(prefix.family, network)
        }/${prefix.length}"`,
      );
    }
    return prefix.family;
  }

  #address(input: unknown, path: string, family: 4 | 6 | 0): Address | null {
    if (input === undefined) return null;
    const address = typeof input === "string" ? parseAddress(input) : null;
    if (address === null) this.#problem(path, `${show(input)} is not an address`);
    else if (family !== 0 && address.family !== family) {
      this.#problem(path, `${show(input)} is IPv${address.family}, but the destination is IPv${family}`);
      return null;
    }
    return address;
  }

  #isOwn(address: Address, interfaces: readonly ValidInterface[]): boolean {
    return interfaces.some(({ addresses }) =>
      addresses.some((text) => {
        const own = parsePrefix(text)!;
        return own.family === address.family && own.words.every((word, i) => word === address.words[i]);
      })
    );
  }

  // ── helpers and sysctl ────────────────────────────────────────────────────────────────────────────────────────

  #helpers(input: unknown): ConntrackHelper[] {
    const good: ConntrackHelper[] = [];
    const ports = new Map<string, string>();
    this.#list(input, "helpers", "helpers such as ftp()").forEach((value, i) => {
      const path = child("helpers", i);
      if (typeof value === "function") {
        const half = /^nat([A-Z][a-z]+)/.exec(value.name)?.[1];
        this.#problem(
          path,
          half === undefined
            ? `is the function itself; call it: ${value.name || "ftp"}()`
            : `is a NAT half; its conntrack half takes it: conntrack${half}({ nat: nat${half} })`,
        );
        return;
      }
      const whole = isObject(value) && typeof value.help === "function" && typeof value.name === "string" &&
        Array.isArray(value.ports);
      if (!whole) {
        this.#problem(path, `${show(value)} is not a helper; write one that a factory makes, such as ftp()`);
        return;
      }
      const { mistakes = [] } = value as unknown as ConntrackHelper;
      for (const { option, message } of mistakes) this.#problem(child(path, option), message);
      if (mistakes.length > 0) {
        // Its name is known, so that rules which speak of it are not wrong as well.
        good.push(value as unknown as ConntrackHelper);
        return;
      }
      const helper = value as unknown as ConntrackHelper, registered = perPort(helper);
      const twin = registered.find(({ name, protocol }) =>
        good.some((other) => other.name === name && other.protocol === protocol)
      );
      if (twin !== undefined) {
        this.#problem(path, `helper ${show(twin.name)} is listed twice; give one of them all the ports`);
        return;
      }
      for (const port of helper.autoAssign ? helper.ports : []) {
        const key = `${helper.protocol} ${port}`, other = ports.get(key);
        if (other !== undefined) {
          this.#problem(path, `port ${port} is served by ${other}, too; only one helper can read it`);
        }
        ports.set(key, path);
      }
      this.#listed.push({
        path,
        autoAssign: helper.autoAssign,
        names: registered.map(({ name }) => name),
      });
      good.push(...registered);
    });
    if (good.length > MOST_HELPERS) {
      this.#problem("helpers", `are ${good.length}; a router has ${MOST_HELPERS} at most`);
    }
    return good;
  }

  #profile(input: unknown): Readonly<Record<string, number>> {
    const names = Object.keys(PROFILES);
    if (input === undefined) return PROFILES.linux;
    if (typeof input === "string" && names.includes(input)) return PROFILES[input as Profile];
    this.#problem("profile", `${show(input)} is not a profile; ${suggest(String(input), names)}`);
    return PROFILES.linux;
  }

  #sysctl(input: unknown, profile: Readonly<Record<string, number>>): Sysctl {
    if (input === undefined) return new Sysctl(profile);
    if (!isObject(input)) {
      this.#problem("sysctl", 'is not an object; write { "net.netfilter.nf_conntrack_tcp_loose": 0 }');
      return new Sysctl();
    }
    const good: Record<string, number> = { ...profile };
    for (const [name, value] of Object.entries(input)) {
      const path = child("sysctl", name), entry = Object.hasOwn(SYSCTLS, name) ? SYSCTLS[name] : undefined;
      if (entry === undefined) {
        this.#problem(path, `is not a knob that Weir has; ${nearestSysctl(name)}`);
      } else if (
        typeof value !== "number" || !Number.isInteger(value) || value < entry.min || value > entry.max
      ) {
        this.#problem(
          path,
          `${show(value)} is not a whole number from ${entry.min} to ${entry.max} (${entry.doc})`,
        );
      } else good[name] = value;
    }
    return new Sysctl(good);
  }
}

/** What is wrong with the name of an interface or device (dev_valid_name), or null. */
function nameProblem(name: string): string | null {
  if (name === "") return "the name is empty";
  if (name.length > 15) return `${show(name)} is longer than the 15 characters that Linux allows`;
  if (name === "." || name === ".." || /[\s/:]/.test(name)) {
    return `${show(name)} has a blank, slash or colon in it`;
  }
  return null;
}

/** What makes an address unfit for an interface, or null. */
function unusable({ family, words }: Address): string | null {
  if (family === 4) {
    const first = words[0] >>> 24;
    if (first === 0) return "in 0.0.0.0/8";
    if (first === 127) return "a loopback address";
    if (first >= 224 && first < 240) return "a multicast address";
    return words[0] === -1 ? "the broadcast address" : null;
  }
  if (words[0] >>> 24 === 0xff) return "a multicast address";
  if (words[0] !== 0 || words[1] !== 0 || words[2] !== 0) return null;
  return words[3] === 0 ? "the unspecified address" : words[3] === 1 ? "the loopback address" : null;
}

/** True when the address lies in a network that an interface is in. */
function connected(address: Address, interfaces: readonly ValidInterface[]): boolean {
  return interfaces.some(({ addresses }) =>
    addresses.some((text) => {
      const own = parsePrefix(text)!, mask = prefixMask(own.family, own.length);
      return own.family === address.family &&
        own.words.every((word, i) => ((word ^ address.words[i]) & mask[i]) === 0);
    })
  );
}

/** The nearest name as a whole, or by its last part, where people forget the prefix. */
function nearestSysctl(name: string): string {
  const known = Object.keys(SYSCTLS);
  const tail = known.filter((candidate) => candidate.endsWith(`.${name.split(".").at(-1)}`));
  return tail.length > 0 ? `did you mean ${tail[0]}?` : suggest(name, known);
}
