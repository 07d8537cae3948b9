/** ICMP type and code (iptables -m icmp). */
import { ICMP } from "../netfilter.ts";
import { ICMP_HEADER } from "../packet/icmp.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Kind, type Match, type MatchExtension, OptionError } from "../tables/extension.ts";
import { refuse, show, wholeNumber } from "../tables/kinds.ts";

/** A type and the codes it may have. */
export interface IcmpType {
  readonly type: number;
  readonly codeMin: number;
  readonly codeMax: number;
}

/** Names with their type, and code where it means one only. */
export type IcmpNames = readonly (readonly [name: string, type: number, code?: number])[];

/** Type 255 stands for every type, as in the kernel. */
const ANY_TYPE = 0xff;

const NAMES: IcmpNames = [
  ["any", ANY_TYPE],
  ["echo-reply", 0],
  ["pong", 0],
  ["destination-unreachable", 3],
  ["network-unreachable", 3, 0],
  ["host-unreachable", 3, 1],
  ["protocol-unreachable", 3, 2],
  ["port-unreachable", 3, 3],
  ["fragmentation-needed", 3, 4],
  ["source-route-failed", 3, 5],
  ["network-unknown", 3, 6],
  ["host-unknown", 3, 7],
  ["network-prohibited", 3, 9],
  ["host-prohibited", 3, 10],
  ["TOS-network-unreachable", 3, 11],
  ["TOS-host-unreachable", 3, 12],
  ["communication-prohibited", 3, 13],
  ["host-precedence-violation", 3, 14],
  ["precedence-cutoff", 3, 15],
  ["source-quench", 4],
  ["redirect", 5],
  ["network-redirect", 5, 0],
  ["host-redirect", 5, 1],
  ["TOS-network-redirect", 5, 2],
  ["TOS-host-redirect", 5, 3],
  ["echo-request", 8],
  ["ping", 8],
  ["router-advertisement", 9],
  ["router-solicitation", 10],
  ["time-exceeded", 11],
  ["ttl-exceeded", 11],
  ["ttl-zero-during-transit", 11, 0],
  ["ttl-zero-during-reassembly", 11, 1],
  ["parameter-problem", 12],
  ["ip-header-bad", 12, 0],
  ["required-option-missing", 12, 1],
  ["timestamp-request", 13],
  ["timestamp-reply", 14],
  ["address-mask-request", 17],
  ["address-mask-reply", 18],
];

/** Reads a type by name (any beginning that is not ambiguous), number, or `type/code`. */
export function icmpKind(title: string, names: IcmpNames): Kind<IcmpType> {
  return {
    words: 1,
    expects: `an ${title} type by name such as "echo-request", a number, or "3/4"`,
    read(input, c) {
      if (typeof input !== "string" && typeof input !== "number") refuse(input, this.expects);
      const text = String(input), wanted = text.toLowerCase();
      let found = names.filter(([name]) => name.toLowerCase().startsWith(wanted));
      const exact = found.find(([name]) => name.toLowerCase() === wanted);
      if (exact !== undefined) found = [exact];
      if (found.length > 1) {
        throw new OptionError(`${show(input)} is ambiguous: ${found.map((f) => f[0]).join(" or ")}?`);
      }
      if (found.length === 1) {
        const [, type, code] = found[0];
        return { type, codeMin: code ?? 0, codeMax: code ?? 0xff };
      }
      const parts = text.split("/");
      const type = wholeNumber(parts[0], 0, 255);
      const codes = parts.length > 1
        ? parts[1].split(":").map((code) => wholeNumber(code, 0, 255))
        : [0, 255];
      const codeMin = codes[0], codeMax = codes.at(-1)!;
      if (type === null || codeMin === null || codeMax === null || codes.length > 2 || parts.length > 2) {
        return refuse(input, this.expects);
      }
      if (codeMin > codeMax && !c.cut) {
        throw new OptionError(`${show(input)} is a range that ends before it begins; swap its ends`);
      }
      return { type, codeMin, codeMax };
    },
    // iptables-save leaves out where a range of codes ends, and with it what the rule means.
    print({ type, codeMin, codeMax }) {
      if (codeMin === 0 && codeMax === 0xff) return String(type);
      return `${type}/${codeMin}${codeMax === codeMin ? "" : `:${codeMax}`}`;
    },
  };
}

const numbered = icmpKind("ICMP", NAMES);
const icmpType: Kind<IcmpType> = {
  ...numbered,
  print: (value, c) => value.type === ANY_TYPE ? "any" : numbered.print(value, c),
};

/** Type and code of either ICMP. */
export class IcmpMatch implements Match {
  readonly pure = true;
  readonly #type: number;
  readonly #codeMin: number;
  readonly #codeMax: number;
  readonly #invert: boolean;
  readonly #any: boolean;

  constructor({ type, codeMin, codeMax }: IcmpType, invert: boolean, any: boolean) {
    this.#type = type;
    this.#codeMin = codeMin;
    this.#codeMax = codeMax;
    this.#invert = invert;
    this.#any = any;
  }

  match(p: Packet): boolean {
    if (p.fragmentOffset !== 0) return false;
    if (p.length - p.l4 < ICMP_HEADER) {
      p.hotdrop = true;
      return false;
    }
    const code = p.view.getUint8(p.l4 + 1);
    const same = this.#any ||
      (p.view.getUint8(p.l4) === this.#type && code >= this.#codeMin && code <= this.#codeMax);
    return same !== this.#invert;
  }
}

/** ICMP type and code. */
export const icmp: MatchExtension = defineMatch<{ icmpType: IcmpType }>({
  name: "icmp",
  families: [4],
  protocols: [ICMP],
  options: { icmpType: { flag: "icmp-type", kind: icmpType, negatable: true } },
  required: ["icmpType"],
  create: (o) => new IcmpMatch(o.icmpType!.value, o.icmpType!.invert, o.icmpType!.value.type === ANY_TYPE),
});
