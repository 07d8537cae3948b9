/**
 * One router described once, and run by Weir or by Linux: what real programs see of the one they have to see of the
 * other. Rules are iptables-save text, in which helpers are given to flows by `-j CT --helper`, since Linux knows no
 * other way.
 *
 * Every network is a namespace of that name beside the router, which has an interface of that name: a TUN device of
 * Weir's, a veth pair of Linux's.
 */

import { HERE, type Lab, ROOT } from "./lab.ts";

/** A namespace and the router's interface to it. */
export interface Network {
  /** The router's addresses, the first of each family the gateway of the other side. */
  readonly router: readonly string[];
  readonly peer: readonly string[];
}

/** A router. */
export interface Description {
  readonly networks: Readonly<Record<string, Network>>;
  /** Destination, gateway and interface. */
  readonly routes?: readonly { destination: string; via: string; interface: string }[];
  readonly iptables: string;
  readonly ip6tables?: string;
  /** Factories of Weir's helpers, with options beside `autoAssign`; Linux has its own. */
  readonly helpers?: Readonly<Record<string, string>>;
}

/** Who routes. */
export interface Implementation {
  readonly name: "Weir" | "Linux";
  /** Starts it. The lab must have a namespace for each network, and ends it. */
  start(lab: Lab, description: Description): Promise<void>;
  /** `conntrack -L` or `conntrack -L expect`, of one family. */
  list(lab: Lab, version: 4 | 6, what?: "expect"): Promise<string>;
}

const WEIR: Implementation = {
  name: "Weir",
  async start(lab, { networks, routes = [], iptables, ip6tables = "", helpers = {} }) {
    const interfaces = Object.fromEntries(
      Object.entries(networks).map(([name, { router, peer }]) => [
        name,
        { addresses: router, peer: { netns: name, addresses: peer, routes: ["default"] } },
      ]),
    );
    const config = `
import { defineRouter, ${Object.keys(helpers).join(", ")} } from "${ROOT}mod.ts";
export default defineRouter({
  interfaces: ${JSON.stringify(interfaces)},
  routes: ${JSON.stringify(routes)},
  iptables: ${JSON.stringify(iptables)},
  ip6tables: ${JSON.stringify(ip6tables)},
  helpers: [${
      Object.entries(helpers).map(([name, options]) => `${name}({ autoAssign: false, ${options} })`).join(
        ", ",
      )
    }],
});
`;
    await lab.weir(lab.write("router.ts", config));
  },
  async list(lab, version, what) {
    const { code, stdout, stderr } = await lab.command(["conntrack", "-L", ...what ? [what] : []]);
    if (code !== 0) throw new Error(`weir conntrack -L ended with ${code}: ${stderr}`);
    const isIpv6 = (line: string) => /src=\S*:/.test(line);
    return stdout.split("\n").filter((line) => line !== "" && isIpv6(line) === (version === 6)).join("\n");
  },
};

const LINUX: Implementation = {
  name: "Linux",
  async start(lab, { networks, routes = [], iptables, ip6tables = "" }) {
    await withoutDad(lab, HERE, ...Object.keys(networks));
    for (const [name, { router, peer }] of Object.entries(networks)) {
      await lab.ok(HERE, "ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", name);
      for (const [where, addresses] of [[HERE, router], [name, peer]] as const) {
        const ip = (...args: string[]) => lab.ok(where, "ip", ...args);
        for (const address of addresses) {
          await ip("address", "add", address, "dev", name, ...address.includes(":") ? ["nodad"] : []);
        }
        await ip("link", "set", name, "up");
      }
      for (const gateway of [router.find((a) => !a.includes(":")), router.find((a) => a.includes(":"))]) {
        if (gateway) await lab.ok(name, "ip", "route", "add", "default", "via", gateway.split("/")[0]);
      }
    }
    for (const { destination, via, interface: name } of routes) {
      await lab.ok(HERE, "ip", "route", "add", destination, "via", via, "dev", name);
    }
    for (const [program, rules] of [["iptables", iptables], ["ip6tables", ip6tables]]) {
      const { code, stderr } = await lab.run(HERE, `${program}-legacy-restore`, [], { stdin: rules });
      if (code !== 0) throw new Error(`${program}-legacy-restore: ${stderr}`);
    }
    await forwarding(lab, HERE);
  },
  async list(lab, version, what) {
    const family = version === 4 ? "ipv4" : "ipv6";
    return (await lab.ok(HERE, "conntrack", "-L", ...what ? [what] : [], "-f", family)).trim();
  },
};

/** Has IPv6 addresses of devices that are made from now on in these namespaces be of use at once. */
export async function withoutDad(lab: Lab, ...places: string[]): Promise<void> {
  for (const where of places) await set(lab, where, "ipv6/conf/default/accept_dad", 0);
}

/** Makes the kernel's part of a namespace a router. */
export async function forwarding(lab: Lab, where: string): Promise<void> {
  for (const knob of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) await set(lab, where, knob, 1);
}

function set(lab: Lab, where: string, knob: string, value: number): Promise<string> {
  return lab.ok(where, "sh", "-c", `echo ${value} > /proc/sys/net/${knob}`);
}

/** Programs that Linux as the router takes. */
export const ROUTER_PROGRAMS = ["iptables-legacy-restore", "conntrack"];
/** Both. */
export const IMPLEMENTATIONS: readonly Implementation[] = [LINUX, WEIR];
