/**
 * Weir with a helper between real programs, once for all the ways that packets go.
 *
 * ```
 *   namespace lan    192.0.2.2      ──┐                          ┌── 198.51.100.2  namespace wan
 *   namespace lan2   203.0.113.2    ──┤── Weir, MASQUERADE ──▶ ──┤
 *   namespace plain  203.0.113.130  ──┘   ◀── DNAT to lan       ─┘
 * ```
 *
 * From `lan` and `lan2` the world is seen through one address; `plain` is routed as it is; who asks Weir's outer
 * address gets `lan`. IPv6 goes the same ways. The rule set is closed but for new connections to the control
 * port and for what the helper has made RELATED, so whatever works here works because of the helper; `blind` is the
 * same rule set with no helper loaded.
 */

import { assertEquals } from "@std/assert";
import { Lab, type Running } from "../lab.ts";
import type { Description } from "../routers.ts";

/** A direction through the router: who asks, who answers, and under which address. */
export interface Way {
  readonly name: string;
  readonly client: string;
  readonly server: string;
  /** What the client asks, by IP version. */
  readonly asked: Readonly<Record<4 | 6, string>>;
  /** The address under which the server sees the client. */
  readonly seen: Readonly<Record<4 | 6, string>>;
}

const WAN = { 4: "198.51.100.2", 6: "2001:db8:2::2" } as const;
/** Weir's outer address. */
export const OUTER = { 4: "198.51.100.1", 6: "2001:db8:2::1" } as const;

export const PLAIN: Way = {
  name: "without NAT",
  client: "plain",
  server: "wan",
  asked: WAN,
  seen: { 4: "203.0.113.130", 6: "2001:db8:4::2" },
};
export const SNAT: Way = { name: "with MASQUERADE", client: "lan", server: "wan", asked: WAN, seen: OUTER };
export const DNAT: Way = { name: "with DNAT", client: "wan", server: "lan", asked: OUTER, seen: WAN };
export const WAYS: readonly Way[] = [PLAIN, SNAT, DNAT];

/** Namespaces of the drawing. */
const NAMES = ["lan", "lan2", "plain", "wan"];

/** What stands in the rule set. */
export interface Control {
  /** The helper's name: its factory's, and the one that `-m helper` asks for. */
  readonly helper: "ftp" | "tftp" | "irc" | "amanda" | "talk";
  readonly protocol: "tcp" | "udp";
  readonly port: number;
}

/** The router of the drawing; `helpers` as it stands in the configuration. */
function routerOf({ helper, protocol, port }: Control, helpers: string): string {
  return `
import { defineRouter, ${helper} } from "weir";
const control = { protocol: "${protocol}", dport: ${port} } as const;
${helper};
export default defineRouter({
  interfaces: {
    lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"],
      peer: { netns: "lan", addresses: ["192.0.2.2/24", "2001:db8:1::2/64"], routes: ["default"] } },
    lan2: { addresses: ["203.0.113.1/25", "2001:db8:3::1/64"],
      peer: { netns: "lan2", addresses: ["203.0.113.2/25", "2001:db8:3::2/64"], routes: ["default"] } },
    plain: { addresses: ["203.0.113.129/25", "2001:db8:4::1/64"],
      peer: { netns: "plain", addresses: ["203.0.113.130/25", "2001:db8:4::2/64"], routes: ["default"] } },
    wan: { addresses: ["198.51.100.1/24", "2001:db8:2::1/64"],
      peer: { netns: "wan", addresses: ["198.51.100.2/24", "2001:db8:2::2/64"], routes: ["default"] } },
  },
  helpers: [${helpers}],
  tables: {
    nat: {
      PREROUTING: [
        { destination: "198.51.100.1", ...control, jump: "DNAT", toDestination: "192.0.2.2" },
        { destination: "2001:db8:2::1", ...control, jump: "DNAT", toDestination: "2001:db8:1::2" },
      ],
      POSTROUTING: [
        { source: "192.0.2.0/24", outInterface: "wan", jump: "MASQUERADE" },
        { source: "203.0.113.0/25", outInterface: "wan", jump: "MASQUERADE" },
        { source: "2001:db8:1::/64", outInterface: "wan", jump: "MASQUERADE" },
        { source: "2001:db8:3::/64", outInterface: "wan", jump: "MASQUERADE" },
      ],
    },
    filter: { FORWARD: { policy: "DROP", rules: [
      { state: "ESTABLISHED", jump: "ACCEPT" },
      { state: "RELATED", helper: "${helper}", jump: "ACCEPT" },
      { outInterface: "wan", ...control, state: "NEW", jump: "ACCEPT" },
      { ...control, state: "NEW", ctstate: "DNAT", jump: "ACCEPT" },
      { protocol: "tcp", jump: "REJECT", rejectWith: "tcp-reset" }, // nobody has to wait for a refusal
    ] } },
  },
});
`;
}

/** The same drawing for IPv4 without DNAT, for Linux and for Weir, whose helper's options are `options`. */
export function routerBeside({ helper, protocol, port }: Control, options = ""): Description {
  return {
    networks: {
      lan: { router: ["192.0.2.1/24"], peer: ["192.0.2.2/24"] },
      lan2: { router: ["203.0.113.1/25"], peer: ["203.0.113.2/25"] },
      plain: { router: ["203.0.113.129/25"], peer: ["203.0.113.130/25"] },
      wan: { router: ["198.51.100.1/24"], peer: ["198.51.100.2/24"] },
    },
    iptables: `*raw
-A PREROUTING -p ${protocol} -m ${protocol} --dport ${port} -j CT --helper ${helper}
COMMIT
*nat
-A POSTROUTING -s 192.0.2.0/24 -o wan -j MASQUERADE
-A POSTROUTING -s 203.0.113.0/25 -o wan -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED -m helper --helper ${helper} -j ACCEPT
-A FORWARD -o wan -p ${protocol} -m ${protocol} --dport ${port} -m conntrack --ctstate NEW -j ACCEPT
-A FORWARD -p tcp -j REJECT --reject-with tcp-reset
COMMIT
`,
    helpers: { [helper]: options },
  };
}

/** A lab with the drawing's namespaces. No router runs yet. */
export function helperLab(): Promise<Lab> {
  return Lab.private(...NAMES);
}

/** Starts the router of the drawing with its helper; `options` are those of the helper's factory. */
export function withHelper(lab: Lab, control: Control, options = ""): Promise<Running> {
  return lab.weir(
    lab.write(`${control.helper}.ts`, routerOf(control, `${control.helper}(${options})`)),
  );
}

/** Starts the same router with no helper. */
export function blind(lab: Lab, control: Control): Promise<Running> {
  return lab.weir(lab.write(`blind-${control.helper}.ts`, routerOf(control, "")));
}

/** An address as it stands in a URL. */
export function host(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** Writes `size` bytes that look like nothing, line ends of all kinds among them, and the same in every run. */
export function makeFile(path: string, size: number, seed = 1): void {
  const bytes = new Uint8Array(size);
  let state = seed;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bytes[i] = state >>> 24;
  }
  Deno.writeFileSync(path, bytes);
}

/** The SHA-256 of a file. */
export async function sha256(path: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What arrived is what was sent; `what` says whose. */
export async function assertSameFile(arrived: string, sent: string, what: string): Promise<void> {
  assertEquals(await sha256(arrived), await sha256(sent), what);
}

/** Waits until `look` returns something else than null, and returns it. After `ms` it is an error with `why()`. */
export async function until<T>(
  look: () => T | null | Promise<T | null>,
  why: () => string,
  ms = 10_000,
): Promise<T> {
  for (const end = Date.now() + ms; Date.now() < end;) {
    const found = await look();
    if (found !== null) return found;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error(`not within ${ms} ms: ${why()}`);
}

/** Waits until UDP `port` is taken in `where`; an early end of `server` is an error with its words. */
export async function bound(
  lab: Lab,
  where: string,
  version: 4 | 6,
  port: number,
  server: Running,
): Promise<void> {
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  await until(
    async () => {
      if (server.over) throw new Error(`${server.name} ended:\n${server.text}`);
      const { stdout } = await lab.run(where, "cat", [`/proc/net/udp${version === 6 ? 6 : ""}`]);
      return stdout.split("\n").some((line) => line.trim().split(/\s+/)[1]?.endsWith(local)) ? true : null;
    },
    () => `${server.name} does not take port ${port}: ${server.text}`,
  );
}
