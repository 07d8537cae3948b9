/**
 * Type of service and traffic class: the byte, and how rules name its values.
 *
 * @module
 */
import { tos as ipv4Tos } from "../packet/ipv4.ts";
import { trafficClass } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import type { Kind } from "./extension.ts";
import { hex, type Masked, refuse, uint, wholeNumber } from "./kinds.ts";

const NAMES: Readonly<Record<string, number>> = {
  "minimize-delay": 0x10,
  "maximize-throughput": 0x08,
  "maximize-reliability": 0x04,
  "minimize-cost": 0x02,
  "normal-service": 0x00,
};

/** The byte of either family. */
export function dsField(p: Packet): number {
  return p.family === 4 ? ipv4Tos(p) : trafficClass(p);
}

/** `value`, `value/mask`, or a name, which leaves the upper two bits alone. */
export const tosMask: Kind<Masked> = {
  words: 1,
  expects: 'a number from 0 to 255, value and mask such as "0x10/0x3f", or a name such as "Minimize-Delay"',
  read(input) {
    if (typeof input !== "string" && typeof input !== "number") refuse(input, this.expects);
    const text = String(input).toLowerCase();
    if (Object.hasOwn(NAMES, text)) return { value: NAMES[text], mask: 0x3f };
    const parts = text.split("/");
    const value = wholeNumber(parts[0], 0, 255);
    const mask = parts.length > 1 ? wholeNumber(parts[1], 0, 255) : 255;
    if (value === null || mask === null || parts.length > 2) return refuse(input, this.expects);
    return { value, mask };
  },
  print: ({ value, mask }) => `${hex(value, 2)}/${hex(mask, 2)}`,
};

/** 0 to 63, printed as iptables does. */
export const dscpValue: Kind<number> = uint(0, 63, (value) => hex(value, 2));

/** A class of RFC 2474, 2597, 3246 by name: BE, EF, CS0 … CS7, AF11 … AF43. */
export const dscpClassValue: Kind<number> = {
  words: 1,
  expects: "a DSCP class: BE, EF, CS0 to CS7, or AF11 to AF43",
  read(input) {
    const name = String(input).toUpperCase();
    if (name === "BE") return 0;
    if (name === "EF") return 0x2e;
    const selector = /^CS([0-7])$/.exec(name), assured = /^AF([1-4])([1-3])$/.exec(name);
    if (selector !== null) return Number(selector[1]) << 3;
    if (assured !== null) return (Number(assured[1]) << 3) | (Number(assured[2]) << 1);
    return refuse(input, this.expects);
  },
  print: (value) => hex(value, 2),
};
