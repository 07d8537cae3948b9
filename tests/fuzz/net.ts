/**
 * The network of every scenario: a router with three interfaces, and hosts on all of them.
 *
 * ```
 *  lan  192.0.2.0/24   2001:db8:1::/64 ──┐
 *  dmz  198.18.1.0/24  2001:db8:2::/64 ──┤ router ├── wan  203.0.113.0/24  2001:db8:3::/64 ── the world
 * ```
 *
 * @module
 */
import type { Interface } from "../oracle/scenario.ts";

export type Family = 4 | 6;
export const INTERFACES = ["lan", "wan", "dmz"] as const;
export type InterfaceName = (typeof INTERFACES)[number];

/** The router's own addresses; the first of an interface is the one that MASQUERADE takes. */
export const OWN: Readonly<Record<Family, Readonly<Record<InterfaceName, readonly string[]>>>> = {
  4: { lan: ["192.0.2.1"], wan: ["203.0.113.1", "203.0.113.9"], dmz: ["198.18.1.1"] },
  6: { lan: ["2001:db8:1::1"], wan: ["2001:db8:3::1", "2001:db8:3::9"], dmz: ["2001:db8:2::1"] },
};

/** Hosts behind each interface. */
export const HOSTS: Readonly<Record<Family, Readonly<Record<InterfaceName, readonly string[]>>>> = {
  4: {
    lan: ["192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.200"],
    wan: ["198.51.100.7", "198.51.100.8", "203.0.113.50", "8.8.8.8"],
    dmz: ["198.18.1.2", "198.18.1.3"],
  },
  6: {
    lan: ["2001:db8:1::2", "2001:db8:1::3", "2001:db8:1::4", "2001:db8:1:0:1234:5678:9abc:def0"],
    wan: ["2001:db8:ff::7", "2001:db8:ff::8", "2001:db8:3::50", "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe"],
    dmz: ["2001:db8:2::2", "2001:db8:2::3"],
  },
};

/** A router somewhere on the way, that reports errors. */
export const MIDDLE: Readonly<Record<Family, string>> = { 4: "203.0.113.254", 6: "2001:db8:3::fe" };

/** Ports that clients call, and that rules name. */
export const SERVICES = [21, 22, 53, 80, 443, 2121, 8080] as const;

const PREFIX: Readonly<Record<Family, number>> = { 4: 24, 6: 64 };

/** The interfaces as both sides get them. */
export function interfaces(mtu: Readonly<Partial<Record<InterfaceName, number>>>): Record<string, Interface> {
  return Object.fromEntries(INTERFACES.map((name) => [name, {
    addresses: ([4, 6] as const).flatMap((f) => OWN[f][name].map((a) => `${a}/${PREFIX[f]}`)),
    mtu: mtu[name] ?? 1500,
  }]));
}

export const ROUTES = [
  { destination: "0.0.0.0/0", interface: "wan", via: MIDDLE[4] },
  { destination: "::/0", interface: "wan", via: MIDDLE[6] },
] as const;
