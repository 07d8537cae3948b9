/** Marks the packet (iptables -j MARK; xt_MARK). */
import { CONTINUE, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import { defineTarget, type Options, type Target, type TargetExtension } from "../tables/extension.ts";
import { hex, type Masked, masked, word32 } from "../tables/kinds.ts";

/** The ways to say what becomes of a mark; all come down to "clear the mask's bits, then XOR the value". */
export interface MarkOperations {
  setXmark: Masked;
  setMark: Masked;
  andMark: number;
  orMark: number;
  xorMark: number;
}

/** Options of MARK, and of CONNMARK among others. */
export const markOptions = {
  setXmark: { flag: "set-xmark", kind: masked },
  setMark: { flag: "set-mark", kind: masked },
  andMark: { flag: "and-mark", kind: word32 },
  orMark: { flag: "or-mark", kind: word32 },
  xorMark: { flag: "xor-mark", kind: word32 },
} as const;

/** Names of the above, of which one may be given. */
export const MARK_OPERATIONS = ["setXmark", "setMark", "andMark", "orMark", "xorMark"] as const;

/** The operation that was given as value and mask, or null. */
export function asXmark(o: Options<MarkOperations>): Masked | null {
  if (o.setXmark) return o.setXmark.value;
  if (o.setMark) return { value: o.setMark.value.value, mask: o.setMark.value.value | o.setMark.value.mask };
  if (o.andMark) return { value: 0, mask: ~o.andMark.value };
  if (o.orMark) return { value: o.orMark.value, mask: o.orMark.value };
  if (o.xorMark) return { value: o.xorMark.value, mask: 0 };
  return null;
}

class MarkTarget implements Target {
  readonly constant = true;
  readonly #value: number;
  readonly #keep: number;

  constructor({ value, mask }: Masked) {
    this.#value = value;
    this.#keep = ~mask;
  }

  target(p: Packet): Verdict {
    p.mark = (p.mark & this.#keep) ^ this.#value;
    return CONTINUE;
  }
}

/** Sets bits of the packet's mark. */
export const MARK: TargetExtension = defineTarget<MarkOperations>({
  name: "MARK",
  options: markOptions,
  exclusive: MARK_OPERATIONS,
  required: MARK_OPERATIONS,
  finish: (o) => ({ setXmark: { value: asXmark(o)!, invert: false } }),
  save: (o) => ` --set-xmark ${hex(o.setXmark!.value.value)}/${hex(o.setXmark!.value.mask)}`,
  create: (o) => new MarkTarget(o.setXmark!.value),
});
