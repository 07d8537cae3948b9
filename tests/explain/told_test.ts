/**
 * What people read: packets, and the whole text that is printed of them, each in a file `told/NAME.txt`.
 *
 * `deno test -A tests/explain/told_test.ts -- --record` writes the files anew; read what has changed.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { defineRouter } from "../../src/config/define.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { validate } from "../../src/config/validate.ts";
import { Explainer, parsePacket, printExplanation, type PrintOptions } from "../../src/explain/mod.ts";
import { ftp, tftp } from "../../src/helpers/mod.ts";
import gateway from "../../examples/gateway.ts";
import { fragments, hex, udp } from "../kit/mod.ts";
import { read, ROOT } from "../tree.ts";

const recording = Deno.args.includes("--record");

const blocked = Array.from({ length: 300 }, (_, i) => `-A blocked -s 203.0.113.${i % 250}/32 -j DROP`);

/** A firewall as text, with everything in it that a packet can meet. */
const FIREWALL: RouterConfig = {
  interfaces: {
    lan: { addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
    wan: { addresses: ["198.51.100.1/24", "2001:db8:2::1/64"], mtu: 1400 },
  },
  routes: [
    { destination: "default", interface: "wan", via: "198.51.100.254" },
    { destination: "203.0.113.128/25", type: "prohibit" },
  ],
  helpers: [ftp({ autoAssign: false }), tftp()],
  iptables: `*raw
-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp
-A PREROUTING -p udp -m udp --dport 514 -j NOTRACK
COMMIT
*mangle
-A PREROUTING -i lan -j MARK --set-xmark 0x1/0xffffffff
COMMIT
*nat
-A PREROUTING -i wan -p tcp -m tcp --dport 8080 -j DNAT --to-destination 192.0.2.9:80
-A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:blocked - [0:0]
-A INPUT -p icmp -m icmp --icmp-type 8 -m limit --limit 1/sec --limit-burst 1 -j ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j LOG --log-prefix "odd "
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m mark ! --mark 0x1 -j blocked
-A FORWARD -p tcp -m tcp --syn -m multiport --dports 21,80,443 -j ACCEPT
-A FORWARD -i lan -p udp -j ACCEPT
-A FORWARD -j REJECT --reject-with icmp-port-unreachable
${blocked.join("\n")}
-A blocked -j RETURN
COMMIT
`,
};

/** Programs of the machine stand behind INPUT and OUTPUT. */
const HOST: RouterConfig = {
  interfaces: { lan: { addresses: ["192.0.2.1/24"] }, wan: { addresses: ["198.51.100.1/24"] } },
  host: { device: "weir0" },
  tables: {
    filter: {
      INPUT: { policy: "DROP", rules: [{ protocol: "tcp", dport: 22, jump: "ACCEPT" }] },
      OUTPUT: [{ protocol: "udp", jump: "DROP" }],
    },
  },
};

const CLIENT = "192.0.2.2", SERVER = "198.51.100.2", OUTER = "198.51.100.1";
const FTP = [
  ["lan", `tcp ${CLIENT}:4000 > ${SERVER}:21 syn`],
  ["wan", `tcp ${SERVER}:21 > ${OUTER}:4000 syn,ack ack 2`],
  ["lan", `tcp ${CLIENT}:4000 > ${SERVER}:21 ack seq 2 ack 2`],
  ["lan", `tcp ${CLIENT}:4000 > ${SERVER}:21 psh,ack seq 2 ack 2 "USER x\\r\\n"`],
  ["lan", `tcp ${CLIENT}:4000 > ${SERVER}:21 psh,ack seq 10 ack 2 "PORT 192,0,2,2,78,32\\r\\n"`],
] as const;

/** One text: a router, packets of which all but the last are silent, and how to print it. */
interface Told extends PrintOptions {
  readonly config?: RouterConfig;
  readonly packets: readonly (readonly [iface: string, packet: string, seconds?: number])[];
}

const TOLD: Readonly<Record<string, Told>> = {
  "policy": { config: gateway, packets: [["wan", `tcp ${SERVER}:4000 > ${CLIENT}:22`]] },
  "masquerade": { config: gateway, packets: [["lan", `tcp ${CLIENT}:4000 > ${SERVER}:8080`]] },
  "answer": {
    config: gateway,
    packets: [["lan", `udp ${CLIENT}:4000 > ${SERVER}:53`], ["wan", `udp ${SERVER}:53 > ${OUTER}:4000`]],
  },
  "notrack": { config: gateway, packets: [["wan", `tcp ${SERVER}:4000 > ${CLIENT}:80`]] },
  "ipv6": { config: gateway, packets: [["lan", "tcp [2001:db8:1::2]:4000 > [2001:db8:2::2]:443"]] },
  "reject": { packets: [["lan", `tcp ${CLIENT}:4000 > ${SERVER}:25`]] },
  "dnat": { packets: [["wan", `tcp ${SERVER}:555 > ${OUTER}:8080`]] },
  "dnat-80-columns": { packets: [["wan", `tcp ${SERVER}:555 > ${OUTER}:8080`]], width: 80 },
  "limit": { packets: [["wan", `icmp ${SERVER} > ${OUTER}`], ["wan", `icmp ${SERVER} > ${OUTER} seq 2`]] },
  "limit-later": {
    packets: [["wan", `icmp ${SERVER} > ${OUTER}`], ["wan", `icmp ${SERVER} > ${OUTER} seq 2`, 2]],
  },
  "invalid": { packets: [["wan", `tcp ${SERVER}:5 > 192.0.2.3:99 rst`]] },
  "invalid-window": {
    packets: [...FTP.slice(0, 3), ["wan", `tcp ${SERVER}:21 > ${OUTER}:4000 ack seq 9000000 ack 2`]],
  },
  "middle": { packets: [["lan", `tcp ${CLIENT}:5 > ${SERVER}:80 ack seq 77 ack 88`]] },
  "helper-reads": { packets: FTP },
  "helper-related": { packets: [...FTP, ["wan", `tcp ${SERVER}:20 > ${OUTER}:20000`]] },
  "related-error": {
    packets: [
      ["lan", `udp ${CLIENT}:1 > ${SERVER}:53`],
      ["wan", `icmp ${SERVER} > ${OUTER} unreachable code 3 about (udp ${OUTER}:1 > ${SERVER}:53)`],
    ],
  },
  "related-to-nothing": {
    packets: [["wan", `icmp ${SERVER} > ${OUTER} unreachable code 3 about (udp ${OUTER}:1 > ${SERVER}:53)`]],
  },
  "ttl": { packets: [["lan", `udp ${CLIENT}:1 > ${SERVER}:53 ttl 1`]] },
  "too-big": { packets: [["lan", `udp ${CLIENT}:1 > ${SERVER}:53 len 1450`]] },
  "fragmented": { packets: [["lan", `udp ${CLIENT}:1 > ${SERVER}:53 len 1450 -df`]] },
  "no-route": { packets: [["lan", "udp [2001:db8:1::2]:1 > [2001:db8:f::1]:53"]] },
  "prohibited": { packets: [["lan", `udp ${CLIENT}:1 > 203.0.113.200:53`]] },
  "default-route": { packets: [["lan", `udp ${CLIENT}:1 > 203.0.113.5:514`]] },
  "martian": { packets: [["wan", `udp 127.0.0.1:1 > ${CLIENT}:53`]] },
  "redirect": { packets: [["lan", `udp ${CLIENT}:999 > 192.0.2.7:53`]] },
  "local": { config: gateway, packets: [["lan", "udp 192.0.2.2:1 > 192.0.2.1:53"]] },
  "host-input": { config: HOST, packets: [["lan", `tcp ${CLIENT}:1 > 192.0.2.1:22`]] },
  "host-output": { config: HOST, packets: [["weir0", `tcp ${OUTER}:1 > ${SERVER}:22`]] },
  "host-output-dropped": { config: HOST, packets: [["weir0", `udp ${OUTER}:1 > ${SERVER}:53`]] },
  "fragment": {
    config: gateway,
    packets: fragments(
      udp({ src: CLIENT, sport: 1, dst: SERVER, dport: 53, payload: 2000, df: false }),
      1200,
      7,
    )
      .map((bytes) => ["lan", hex(bytes)] as const).slice(0, 1),
  },
  "gathered": {
    config: gateway,
    packets: fragments(
      udp({ src: CLIENT, sport: 1, dst: SERVER, dport: 53, payload: 2000, df: false }),
      1200,
      7,
    )
      .map((bytes) => ["lan", hex(bytes)] as const),
  },
  "no-packet": { packets: [["lan", "45000014000100004006"]] },
  "bad-checksum": { packets: [["lan", "4500001c000100004011ffffc0000202c000020300010002000800ff"]] },
};

for (const [name, { config = FIREWALL, packets, ...style }] of Object.entries(TOLD)) {
  Deno.test(`printExplanation tells ${name}`, () => {
    const explainer = new Explainer(validate(defineRouter(config)));
    explainer.advance(1_790_000_000_000);
    let text = "";
    for (const [iface, packet, seconds = 0] of packets) {
      explainer.advance(seconds * 1000);
      const { bytes, mark } = parsePacket(packet);
      text = printExplanation(explainer.send(iface, bytes, mark), style) + "\n";
    }
    const file = `tests/explain/told/${name}.txt`;
    if (recording) Deno.writeTextFileSync(ROOT + file, text);
    assertEquals(text, read(file));
    if (style.width !== undefined) assert(text.split("\n").every((line) => line.length <= style.width!));
  });
}

Deno.test("printExplanation --verbose leaves out nothing, and --json's data are those of the text", () => {
  const explainer = new Explainer(validate(defineRouter(FIREWALL)));
  const e = explainer.send("wan", parsePacket(`tcp ${SERVER}:555 > ${OUTER}:8080`).bytes);
  const text = printExplanation(e, { verbose: true });
  const asked = e.steps.flatMap((step) => step.stage === "table" ? step.rules : []);
  assertEquals(asked.length > 300, true);
  for (const { place, text: rule } of asked) {
    if (rule !== "policy") assert(text.includes(`${place} ${rule}`), place);
  }
  assertEquals(
    asked.filter(({ matched, no, does }) => (no === "") !== matched || (does === "") === matched),
    [],
  );
});

Deno.test("printExplanation colours a terminal's lines, each for itself", () => {
  const explainer = new Explainer(validate(defineRouter(FIREWALL)));
  const e = explainer.send("wan", parsePacket(`tcp ${SERVER}:5 > 192.0.2.3:99 rst`).bytes);
  const text = printExplanation(e, { color: true, width: 60 });
  // deno-lint-ignore no-control-regex
  assertMatch(text, /\x1b\[31mdropped: rule-drop, by iptables:\d+:1 -A FORWARD[^\n]*\x1b\[0m\n/);
  // deno-lint-ignore no-control-regex
  assertEquals(text.replace(/\x1b\[\d+m/g, ""), printExplanation(e, { width: 60 }));
});

Deno.test("README.md shows what weir explain prints", () => {
  const [, block] = /^\$ weir explain examples\/gateway\.ts .*\n([\s\S]*?)```$/m.exec(read("README.md"))!;
  assertEquals(block, read("tests/explain/told/policy.txt"));
});
