/** Names a class of the device's queue (iptables -j CLASSIFY). A TUN device is asked for none, so nothing happens. */
import { CONTINUE, FORWARD, OUTPUT, POSTROUTING } from "../netfilter.ts";
import { defineTarget, type Kind, type Target, type TargetExtension } from "../tables/extension.ts";
import { refuse } from "../tables/kinds.ts";

const HEX = /^(?:0x)?([0-9a-f]+):(?:0x)?([0-9a-f]+)$/i;

const trafficClass: Kind<string> = {
  words: 1,
  expects: 'a class of tc, two hexadecimal numbers such as "1:10"',
  read(input) {
    const found = typeof input === "string" ? HEX.exec(input) : null;
    if (found === null) return refuse(input, this.expects);
    return `${last16(found[1])}:${last16(found[2])}`;
  },
  print: (value) => value,
};

/** Four digits; what stands before them is cut off, as iptables does. */
function last16(digits: string): string {
  return digits.padStart(4, "0").slice(-4).toLowerCase();
}

const NOTHING: Target = { target: () => CONTINUE, constant: true };

/** Kept for the sake of imported files; `weir save` prints it again. */
export const CLASSIFY: TargetExtension = defineTarget<{ setClass: string }>({
  name: "CLASSIFY",
  hooks: 1 << FORWARD | 1 << OUTPUT | 1 << POSTROUTING,
  options: { setClass: { flag: "set-class", kind: trafficClass } },
  required: ["setClass"],
  create: () => NOTHING,
});
