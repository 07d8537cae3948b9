/**
 * Numbers that iptables takes by name: protocols as in /etc/protocols, services as in /etc/services. Weir does not
 * read those files, so that a configuration means the same on every machine; these are Debian's entries for what
 * rules are written about.
 *
 * @module
 */

/** Names that iptables knows by itself come first: they win when a number is printed. */
const PROTOCOLS: readonly (readonly [name: string, number: number])[] = [
  ["tcp", 6],
  ["sctp", 132],
  ["udp", 17],
  ["udplite", 136],
  ["icmp", 1],
  ["ipv6-icmp", 58],
  ["icmpv6", 58],
  ["esp", 50],
  ["ah", 51],
  ["mobility-header", 135],
  ["ipv6-mh", 135],
  ["mh", 135],
  ["dccp", 33],
  ["ipcomp", 108],
  ["all", 0],
  ["hopopt", 0],
  ["ip", 0],
  ["igmp", 2],
  ["ggp", 3],
  ["ipencap", 4],
  ["st", 5],
  ["egp", 8],
  ["igp", 9],
  ["pup", 12],
  ["hmp", 20],
  ["xns-idp", 22],
  ["rdp", 27],
  ["iso-tp4", 29],
  ["xtp", 36],
  ["ddp", 37],
  ["idpr-cmtp", 38],
  ["ipv6", 41],
  ["ipv6-route", 43],
  ["ipv6-frag", 44],
  ["idrp", 45],
  ["rsvp", 46],
  ["gre", 47],
  ["skip", 57],
  ["ipv6-nonxt", 59],
  ["ipv6-opts", 60],
  ["rspf", 73],
  ["vmtp", 81],
  ["eigrp", 88],
  ["ospf", 89],
  ["ax.25", 93],
  ["ipip", 94],
  ["etherip", 97],
  ["encap", 98],
  ["pim", 103],
  ["vrrp", 112],
  ["l2tp", 115],
  ["isis", 124],
  ["fc", 133],
  ["mpls-in-ip", 137],
  ["manet", 138],
  ["hip", 139],
  ["shim6", 140],
  ["wesp", 141],
  ["rohc", 142],
  ["ethernet", 143],
];

const SERVICES: Readonly<Record<string, number>> = {
  "ftp-data": 20,
  ftp: 21,
  ssh: 22,
  telnet: 23,
  smtp: 25,
  mail: 25,
  time: 37,
  domain: 53,
  bootps: 67,
  bootpc: 68,
  tftp: 69,
  gopher: 70,
  finger: 79,
  http: 80,
  www: 80,
  kerberos: 88,
  pop3: 110,
  sunrpc: 111,
  auth: 113,
  nntp: 119,
  ntp: 123,
  "netbios-ns": 137,
  "netbios-dgm": 138,
  "netbios-ssn": 139,
  imap: 143,
  imap2: 143,
  snmp: 161,
  "snmp-trap": 162,
  bgp: 179,
  ldap: 389,
  https: 443,
  "microsoft-ds": 445,
  submissions: 465,
  isakmp: 500,
  syslog: 514,
  printer: 515,
  talk: 517,
  ntalk: 518,
  rtsp: 554,
  submission: 587,
  ipp: 631,
  ldaps: 636,
  "domain-s": 853,
  rsync: 873,
  imaps: 993,
  pop3s: 995,
  socks: 1080,
  openvpn: 1194,
  "ms-sql-s": 1433,
  l2f: 1701,
  radius: 1812,
  nfs: 2049,
  mysql: 3306,
  "ipsec-nat-t": 4500,
  sip: 5060,
  "sip-tls": 5061,
  postgresql: 5432,
  "sane-port": 6566,
  ircd: 6667,
  git: 9418,
  amanda: 10080,
};

/** A whole number as C's strtoul reads it: decimal, 0x hexadecimal, 0 octal. Null when it is none. */
export function parseNumber(text: string): number | null {
  if (/^\+?(0|[1-9]\d*)$/.test(text)) return Number(text);
  if (/^\+?0[xX][0-9a-fA-F]+$/.test(text)) return Number(text.replace("+", ""));
  if (/^\+?0[0-7]+$/.test(text)) return parseInt(text, 8);
  return null;
}

/** Protocol number by name or number text, null when unknown. */
export function protocolNumber(text: string): number | null {
  const n = parseNumber(text);
  if (n !== null) return n <= 255 ? n : null;
  const name = text.toLowerCase();
  return PROTOCOLS.find((p) => p[0] === name)?.[1] ?? null;
}

/** The name that iptables-save prints for a protocol, or its number. */
export function protocolName(number: number): string {
  return PROTOCOLS.find((p) => p[1] === number)?.[0] ?? String(number);
}

/** All protocol names, for suggestions. */
export const PROTOCOL_NAMES: readonly string[] = PROTOCOLS.map((p) => p[0]);

/** Port by number text or service name, null when there is none. */
export function portNumber(text: string): number | null {
  const n = parseNumber(text);
  if (n !== null) return n <= 65535 ? n : null;
  return Object.hasOwn(SERVICES, text) ? SERVICES[text] : null;
}
