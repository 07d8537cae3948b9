/** What the bits of an IPv6 address say about its reach: scopes (RFC 4291, 2.5 and 2.7; RFC 4007) and labels (RFC 6724). */

/** Scopes, numbered as in multicast addresses. */
export const SCOPE_LINK = 2, SCOPE_GLOBAL = 14;
const SCOPE_SITE = 5;

/** fe80::/10. */
export function isLinkLocal(words: Int32Array, at: number): boolean {
  return (words[at] & 0xffc00000) === (0xfe800000 | 0);
}

/** ff00::/8. */
export function isMulticast6(words: Int32Array, at: number): boolean {
  return (words[at] & 0xff000000) === (0xff000000 | 0);
}

/** True for the address of one host: neither multicast nor unspecified nor IPv4 in IPv6's clothes (ipv6_addr_type). */
export function isUnicast6(words: Int32Array, at: number): boolean {
  if (isMulticast6(words, at)) return false;
  if ((words[at] | words[at + 1]) !== 0) return true;
  return words[at + 2] !== 0xffff && (words[at + 2] | words[at + 3]) !== 0;
}

/** The scope of an address (ipv6_addr_src_scope). Loopback counts as link-local, unique local addresses as global. */
export function addressScope(words: Int32Array, at: number): number {
  const head = words[at];
  if ((head & 0xff000000) === (0xff000000 | 0)) return (head >>> 16) & 0x0f;
  if ((head & 0xffc00000) === (0xfe800000 | 0)) return SCOPE_LINK;
  if ((head & 0xffc00000) === (0xfec00000 | 0)) return SCOPE_SITE;
  if (head === 0 && words[at + 1] === 0 && words[at + 2] === 0 && words[at + 3] === 1) return SCOPE_LINK;
  return SCOPE_GLOBAL;
}

/** The label of an address in the policy table that Linux starts with (RFC 6724, 2.1, and its own additions). */
export function addressLabel(words: Int32Array, at: number): number {
  const a = words[at];
  if (a === 0 && words[at + 1] === 0) {
    if (words[at + 2] === 0) return words[at + 3] === 1 ? 0 : 3;
    if (words[at + 2] === 0x0000ffff) return 4;
  }
  if ((a & 0xfe000000) === (0xfc000000 | 0)) return 5;
  if ((a & 0xffc00000) === (0xfec00000 | 0)) return 11;
  if (a >>> 16 === 0x2002) return 2;
  if (a >>> 16 === 0x3ffe) return 12;
  if (a === 0x20010000) return 6;
  if ((a & 0xfffffff0) === 0x20010010) return 7;
  return 1;
}

/** Leading bits that two addresses share. */
export function commonPrefix(a: Int32Array, aAt: number, b: Int32Array, bAt: number): number {
  for (let i = 0; i < 4; i++) {
    const difference = a[aAt + i] ^ b[bAt + i];
    if (difference !== 0) return 32 * i + Math.clz32(difference);
  }
  return 128;
}
