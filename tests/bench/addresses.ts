/**
 * Who is who in a stage, in documentation addresses (RFC 5737).
 *
 * ```
 *  lan: LAN, and RAW that nobody owns ── LAN_GATE  router  WAN_GATE ── wan: WAN, and behind it FAR that nobody owns
 * ```
 *
 * What the raw generators send and get belongs to nobody, so no host answers in their place.
 */

export const LAN = "192.0.2.2";
export const RAW = "192.0.2.10";
export const LAN_GATE = "192.0.2.1";
export const WAN_GATE = "198.51.100.1";
export const WAN = "198.51.100.2";
export const FAR = "203.0.113.1";
export const FAR_NET = "203.0.113.0/24";

/** Link addresses, for the contenders that route between Ethernet devices. */
export const MAC = {
  lan: "02:00:00:00:01:02",
  lanGate: "02:00:00:00:01:01",
  wanGate: "02:00:00:00:02:01",
  wan: "02:00:00:00:02:02",
};
