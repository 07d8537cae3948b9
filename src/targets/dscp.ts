/** Sets the differentiated services code point; ECN bits stay (iptables -j DSCP; xt_DSCP). */
import { dscpClassValue, dscpValue } from "../tables/dsfield.ts";
import { defineTarget, type TargetExtension } from "../tables/extension.ts";
import { DsFieldTarget } from "./tos.ts";

/** Sets the code point, by number or class. */
export const DSCP: TargetExtension = defineTarget<{ setDscp: number; setDscpClass: number }>({
  name: "DSCP",
  tables: ["mangle"],
  options: {
    setDscp: { flag: "set-dscp", kind: dscpValue },
    setDscpClass: { flag: "set-dscp-class", kind: dscpClassValue },
  },
  exclusive: ["setDscp", "setDscpClass"],
  required: ["setDscp", "setDscpClass"],
  finish: (o) => ({ setDscp: o.setDscp ?? o.setDscpClass }),
  create: (o) => new DsFieldTarget({ value: o.setDscp!.value << 2, mask: 0xfc }),
});
