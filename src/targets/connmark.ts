/** Marks the packet's flow, or copies between the flow's mark and the packet's (iptables -j CONNMARK; xt_connmark). */
import type { Conntrack } from "../conntrack/core.ts";
import { CT_MARK, FLOW_WORDS } from "../conntrack/flow.ts";
import { IPCT_MARK } from "../conntrack/teller.ts";
import { CONTINUE, NO_CT, type Verdict } from "../netfilter.ts";
import type { Packet } from "../packet/packet.ts";
import {
  defineTarget,
  OptionError,
  type Options,
  type Target,
  type TargetExtension,
} from "../tables/extension.ts";
import { flag, hex, type Masked, uint, word32 } from "../tables/kinds.ts";
import { asXmark, MARK_OPERATIONS, type MarkOperations, markOptions } from "./mark.ts";

interface ConnmarkOptions extends MarkOperations {
  saveMark: true;
  restoreMark: true;
  nfmask: number;
  ctmask: number;
  mask: number;
  leftShiftMark: number;
  rightShiftMark: number;
}

/** The three things it does. */
const SET = 0, SAVE = 1, RESTORE = 2;

class ConnmarkTarget implements Target {
  readonly constant = true;
  readonly #conntrack: Conntrack;
  readonly #mode: number;
  readonly #set: Masked;
  readonly #nfmask: number;
  readonly #ctmask: number;
  readonly #left: number;
  readonly #right: number;

  constructor(conntrack: Conntrack, o: Options<ConnmarkOptions>) {
    this.#conntrack = conntrack;
    this.#mode = o.saveMark ? SAVE : o.restoreMark ? RESTORE : SET;
    this.#set = o.setXmark?.value ?? { value: 0, mask: 0 };
    this.#nfmask = o.nfmask?.value ?? -1;
    this.#ctmask = o.ctmask?.value ?? -1;
    this.#left = o.leftShiftMark?.value ?? 0;
    this.#right = o.rightShiftMark?.value ?? 0;
  }

  target(p: Packet): Verdict {
    if (p.ct === NO_CT) return CONTINUE;
    const { flows, teller } = this.#conntrack, at = p.ct * FLOW_WORDS + CT_MARK, mark = flows.words[at];
    this.act(p, flows.words, at);
    if (flows.words[at] !== mark) teller.due(p.ct, IPCT_MARK);
    return CONTINUE;
  }

  /** The mark stands in `words` at `at`. */
  act(p: Packet, words: Int32Array, at: number): void {
    const mark = words[at];
    if (this.#mode === SET) words[at] = this.#shift((mark & ~this.#set.mask) ^ this.#set.value);
    else if (this.#mode === SAVE) words[at] = (mark & ~this.#ctmask) ^ this.#shift(p.mark & this.#nfmask);
    else p.mark = (p.mark & ~this.#nfmask) ^ this.#shift(mark & this.#ctmask);
  }

  /** JavaScript takes shift counts modulo 32; a shift by 32 leaves nothing. */
  #shift(value: number): number {
    if (this.#right !== 0) return this.#right > 31 ? 0 : value >>> this.#right | 0;
    return this.#left > 31 ? 0 : value << this.#left;
  }
}

/** In raw the template of a rule `-j CT` is the flow for the rules behind it. Its mark is that of all its packets. */
class RawConnmarkTarget implements Target {
  readonly #flow: ConnmarkTarget;

  constructor(flow: ConnmarkTarget) {
    this.#flow = flow;
  }

  target(p: Packet): Verdict {
    if (p.template === null) return this.#flow.target(p);
    this.#flow.act(p, p.template.mark, 0);
    return CONTINUE;
  }
}

/** Sets, saves or restores the flow's mark. */
export const CONNMARK: TargetExtension = defineTarget<ConnmarkOptions>({
  name: "CONNMARK",
  tracks: true,
  options: {
    ...markOptions,
    saveMark: { flag: "save-mark", kind: flag },
    restoreMark: { flag: "restore-mark", kind: flag },
    nfmask: { flag: "nfmask", kind: word32 },
    ctmask: { flag: "ctmask", kind: word32 },
    mask: { flag: "mask", kind: word32 },
    leftShiftMark: { flag: "left-shift-mark", kind: uint(0, 32) },
    rightShiftMark: { flag: "right-shift-mark", kind: uint(0, 32) },
  },
  exclusive: [...MARK_OPERATIONS, "saveMark", "restoreMark"],
  required: [...MARK_OPERATIONS, "saveMark", "restoreMark"],
  finish(o) {
    const { leftShiftMark, rightShiftMark } = o;
    const shifts = {
      ...(leftShiftMark && leftShiftMark.value !== 0 ? { leftShiftMark } : {}),
      ...(rightShiftMark && rightShiftMark.value !== 0 ? { rightShiftMark } : {}),
    };
    const set = asXmark(o);
    if (set !== null) return { setXmark: { value: set, invert: false }, ...shifts };
    if (o.mask && (o.nfmask || o.ctmask)) {
      throw new OptionError("mask stands for nfmask and ctmask at once; leave one of them out");
    }
    return {
      ...(o.saveMark ? { saveMark: o.saveMark } : { restoreMark: o.restoreMark }),
      nfmask: { value: o.mask?.value ?? o.nfmask?.value ?? -1, invert: false },
      ctmask: { value: o.mask?.value ?? o.ctmask?.value ?? -1, invert: false },
      ...shifts,
    };
  },
  save(o) {
    let text: string;
    if (o.setXmark) text = ` --set-xmark ${hex(o.setXmark.value.value)}/${hex(o.setXmark.value.mask)}`;
    else {
      text = ` --${o.saveMark ? "save" : "restore"}-mark --nfmask ${hex(o.nfmask!.value)} --ctmask ${
        hex(o.ctmask!.value)
      }`;
    }
    if (o.leftShiftMark) text += ` --left-shift-mark ${o.leftShiftMark.value}`;
    if (o.rightShiftMark) text += ` --right-shift-mark ${o.rightShiftMark.value}`;
    return text;
  },
  create(o, c) {
    const target = new ConnmarkTarget(c.services.conntrack, o);
    return c.table === "raw" ? new RawConnmarkTarget(target) : target;
  },
});
