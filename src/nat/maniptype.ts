/** Which half of a packet NAT rewrites (enum nf_nat_manip_type). */
import { type Hook, INPUT, POSTROUTING } from "../netfilter.ts";

/** MANIP_SRC or MANIP_DST; also the place of the half among a header's two addresses or two ports. */
export type Manip = 0 | 1;
/** Source address and source port. */
export const MANIP_SRC = 0;
/** Destination address and destination port. */
export const MANIP_DST = 1;

/** The half that a hook rewrites (HOOK2MANIP). */
export function manipOfHook(hook: Hook): Manip {
  return hook === POSTROUTING || hook === INPUT ? MANIP_SRC : MANIP_DST;
}
