/**
 * The rules under the benchmark, as iptables-save prints them: every table in use, tracking and MASQUERADE on. All
 * contenders that read such text get the same one.
 */

/** With `count` more rules in FORWARD that no packet of the benchmark matches, before all others. */
export function rules(count = 0): string {
  return `*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 9 -j CT --notrack
-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A FORWARD -p tcp -m tcp --dport 22 -j MARK --set-xmark 0x1/0xffffffff
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
${idle(count)}-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -i lan -o wan -j ACCEPT
COMMIT
`;
}

/**
 * What long rule sets consist of: single hosts, networks, ports, and both together. No flow of the generators has a port
 * above 61,023.
 */
const KINDS: readonly ((i: number) => string)[] = [
  (i) => `-s 10.${i >> 8 & 255}.${i & 255}.1/32`,
  (i) => `-d 172.16.${i & 255}.0/24 -p tcp -m tcp --dport ${i % 60000 + 100}`,
  (i) => `-p udp -m udp --dport ${i % 4000 + 61100}`,
  (i) => `-s 10.0.0.0/8 -d 10.${i >> 8 & 255}.${i & 255}.2/32 -i wan`,
];

function idle(count: number): string {
  let text = "";
  for (let i = 0; i < count; i++) text += `-A FORWARD ${KINDS[i % KINDS.length](i)} -j DROP\n`;
  return text;
}
