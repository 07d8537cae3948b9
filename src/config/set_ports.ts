/** Protocol and port of a set's member as ipset writes them: `tcp:80`, `udp:1024-2047`, `icmp:echo-request`, `gre:0`. */
import { type Family, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE } from "../netfilter.ts";
import { OptionError } from "../tables/extension.ts";
import { wholeNumber } from "../tables/kinds.ts";
import { portNumber, PROTOCOL_NAMES, protocolName, protocolNumber } from "../tables/names.ts";
import { suggest } from "./problems.ts";

/** Protocols whose members have ports. */
const WITH_PORTS: readonly number[] = [TCP, SCTP, UDP, UDPLITE];

/** Names of type and code, as `type << 8 | code`; of two the first is printed. */
const ICMP_NAMES: readonly (readonly [string, number])[] = [
  ["echo-reply", 0x0000],
  ["pong", 0x0000],
  ["network-unreachable", 0x0300],
  ["host-unreachable", 0x0301],
  ["protocol-unreachable", 0x0302],
  ["port-unreachable", 0x0303],
  ["fragmentation-needed", 0x0304],
  ["source-route-failed", 0x0305],
  ["network-unknown", 0x0306],
  ["host-unknown", 0x0307],
  ["network-prohibited", 0x0309],
  ["host-prohibited", 0x030a],
  ["TOS-network-unreachable", 0x030b],
  ["TOS-host-unreachable", 0x030c],
  ["communication-prohibited", 0x030d],
  ["host-precedence-violation", 0x030e],
  ["precedence-cutoff", 0x030f],
  ["source-quench", 0x0400],
  ["network-redirect", 0x0500],
  ["host-redirect", 0x0501],
  ["TOS-network-redirect", 0x0502],
  ["TOS-host-redirect", 0x0503],
  ["echo-request", 0x0800],
  ["ping", 0x0800],
  ["router-advertisement", 0x0900],
  ["router-solicitation", 0x0a00],
  ["ttl-zero-during-transit", 0x0b00],
  ["ttl-zero-during-reassembly", 0x0b01],
  ["ip-header-bad", 0x0c00],
  ["required-option-missing", 0x0c01],
  ["timestamp-request", 0x0d00],
  ["timestamp-reply", 0x0e00],
  ["address-mask-request", 0x1100],
  ["address-mask-reply", 0x1200],
];
const ICMPV6_NAMES: readonly (readonly [string, number])[] = [
  ["no-route", 0x0100],
  ["communication-prohibited", 0x0101],
  ["address-unreachable", 0x0103],
  ["port-unreachable", 0x0104],
  ["packet-too-big", 0x0200],
  ["ttl-zero-during-transit", 0x0300],
  ["ttl-zero-during-reassembly", 0x0301],
  ["bad-header", 0x0400],
  ["unknown-header-type", 0x0401],
  ["unknown-option", 0x0402],
  ["echo-request", 0x8000],
  ["ping", 0x8000],
  ["echo-reply", 0x8100],
  ["pong", 0x8100],
  ["router-solicitation", 0x8500],
  ["router-advertisement", 0x8600],
  ["neighbour-solicitation", 0x8700],
  ["neighbour-advertisement", 0x8800],
  ["redirect", 0x8900],
];

/** Ports of a protocol, from `min` to `max`. */
export interface ProtocolPorts {
  readonly protocol: number;
  readonly min: number;
  readonly max: number;
}

/** Reads `[proto:]port[-port]`; throws `OptionError`. */
export function readPorts(text: string, family: Family): ProtocolPorts {
  const colon = text.indexOf(":");
  if (colon < 0) return { protocol: TCP, ...readRange(text) };
  const name = text.slice(0, colon), rest = text.slice(colon + 1), protocol = protocolNumber(name);
  if (protocol === null || protocol === 0) {
    const hint = protocol === null ? `; ${suggest(name, PROTOCOL_NAMES)}` : "";
    throw new OptionError(`${JSON.stringify(name)} is not a protocol${hint}`);
  }
  if (WITH_PORTS.includes(protocol)) return { protocol, ...readRange(rest) };
  if (protocol === ICMP || protocol === ICMPV6) {
    if ((protocol === ICMP) !== (family === 4)) {
      throw new OptionError(
        `${name} is a protocol of IPv${family === 4 ? 6 : 4}, and the set is of IPv${family}`,
      );
    }
    const type = readIcmp(rest, family);
    return { protocol, min: type, max: type };
  }
  if (portNumber(rest) !== 0) {
    throw new OptionError(`protocol ${name} has no ports; write ${name}:0`);
  }
  return { protocol, min: 0, max: 0 };
}

/** Reads `port[-port]`, of which either may be a service's name. */
function readRange(text: string): { min: number; max: number } {
  const whole = portNumber(text);
  if (whole !== null) return { min: whole, max: whole };
  const dash = text.indexOf("-"),
    min = portNumber(text.slice(0, dash)),
    max = portNumber(text.slice(dash + 1));
  if (dash < 0 || min === null || max === null) {
    throw new OptionError(
      `${JSON.stringify(text)} is not a port from 0 to 65535, a range such as 1024-2047, or a service name`,
    );
  }
  return { min: Math.min(min, max), max: Math.max(min, max) };
}

/** Ports of a bitmap:port, where a protocol says nothing. */
export function readBarePorts(text: string): { min: number; max: number } {
  const found = /^(tcp|udp):(.*)$/.exec(text);
  return readRange(found === null ? text : found[2]);
}

function readIcmp(text: string, family: Family): number {
  const named = (family === 4 ? ICMP_NAMES : ICMPV6_NAMES).find(([name]) => name === text);
  if (named !== undefined) return named[1];
  const [type, code, ...rest] = text.split("/").map((part) => wholeNumber(part, 0, 255));
  if (type === null || code === null || code === undefined || rest.length > 0) {
    throw new OptionError(`${JSON.stringify(text)} is not an ICMP type such as "echo-request" or "3/4"`);
  }
  return type << 8 | code;
}

/** As `ipset save` prints it. */
export function printPort(protocol: number, port: number, family: Family): string {
  let text = String(port);
  if (protocol === (family === 4 ? ICMP : ICMPV6)) {
    const named = (family === 4 ? ICMP_NAMES : ICMPV6_NAMES).find(([, value]) => value === port);
    text = named === undefined ? `${port >>> 8}/${port & 0xff}` : named[0];
  }
  return `${protocolName(protocol)}:${text}`;
}
