/** Changes the type of service, respectively the traffic class (iptables -j TOS; xt_DSCP). */
import { CONTINUE, type Verdict } from "../netfilter.ts";
import { setTos } from "../packet/ipv4.ts";
import { setTrafficClass } from "../packet/ipv6.ts";
import type { Packet } from "../packet/packet.ts";
import { dsField, tosMask } from "../tables/dsfield.ts";
import { defineTarget, type Options, type Target, type TargetExtension } from "../tables/extension.ts";
import { type Masked, uint } from "../tables/kinds.ts";

/** Clears bits of the byte, then XORs; DSCP uses it as well. */
export class DsFieldTarget implements Target {
  readonly #value: number;
  readonly #keep: number;

  constructor({ value, mask }: Masked) {
    this.#value = value;
    this.#keep = ~mask & 0xff;
  }

  target(p: Packet): Verdict {
    const old = dsField(p), value = (old & this.#keep) ^ this.#value;
    if (value !== old) {
      if (p.family === 4) setTos(p, value);
      else setTrafficClass(p, value);
    }
    return CONTINUE;
  }
}

interface TosOptions {
  setTos: Masked;
  andTos: number;
  orTos: number;
  xorTos: number;
}

function asXor(o: Options<TosOptions>): Masked {
  if (o.setTos) return o.setTos.value;
  if (o.andTos) return { value: 0, mask: ~o.andTos.value & 0xff };
  if (o.orTos) return { value: o.orTos.value, mask: o.orTos.value };
  return { value: o.xorTos!.value, mask: 0 };
}

/** Sets bits of the TOS byte. */
export const TOS: TargetExtension = defineTarget<TosOptions>({
  name: "TOS",
  tables: ["mangle"],
  options: {
    setTos: { flag: "set-tos", kind: tosMask },
    andTos: { flag: "and-tos", kind: uint(0, 255) },
    orTos: { flag: "or-tos", kind: uint(0, 255) },
    xorTos: { flag: "xor-tos", kind: uint(0, 255) },
  },
  exclusive: ["setTos", "andTos", "orTos", "xorTos"],
  required: ["setTos", "andTos", "orTos", "xorTos"],
  finish: (o) => ({ setTos: { value: asXor(o), invert: false } }),
  create: (o) => new DsFieldTarget(o.setTos!.value),
});
