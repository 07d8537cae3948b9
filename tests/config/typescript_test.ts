/** Rules as TypeScript: what a rule becomes, that it says the same, and that it reads as if somebody had written it. */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { restoreRules } from "../../src/config/iptables_restore.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import { ConfigError, Problems } from "../../src/config/problems.ts";
import { importRules, type RuleText, UNFINISHED } from "../../src/config/typescript.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { validate } from "../../src/config/validate.ts";
import type { Family } from "../../src/netfilter.ts";
import { idleHelper } from "../tables/rig.ts";
import { FIXTURES } from "./fixtures/legacy.ts";

/** The text as Weir prints it without detour. */
function printed(text: string, family: Family): string {
  const problems = new Problems(), warnings = new Problems();
  const helpers = [idleHelper("ftp", 6, 21), idleHelper("tftp", 17, 69)];
  const set = restoreRules(text, "text", {
    family,
    interfaces: [],
    helpers,
    timeouts: null,
    problems,
    warnings,
  });
  assertEquals(problems.list, []);
  return saveRules(set);
}

/** Runs a module; the addresses are left out. */
async function configOf(module: string): Promise<RouterConfig> {
  const url = `data:application/typescript;base64,${
    new Uint8Array(new TextEncoder().encode(module)).toBase64()
  }`;
  const { default: config } = await import(url) as { default: RouterConfig };
  const interfaces = Object.fromEntries(Object.keys(config.interfaces).map((name) => [name, {}]));
  return { ...config, interfaces };
}

const source = (name: string): RuleText => FIXTURES.find((fixture) => fixture.name === name)!;

for (const { name, family, text } of FIXTURES) {
  Deno.test(`typescript: ${name} as a module says the same rules`, async () => {
    const module = family === 4 ? importRules({ name, text }, null) : importRules(null, { name, text });
    const { rules } = validate(await configOf(module));
    assertEquals(saveRules(family === 4 ? rules.ipv4 : rules.ipv6), printed(text, family));
    assertEquals(saveRules(family === 4 ? rules.ipv6 : rules.ipv4), "");
  });
}

Deno.test("typescript: both families stand in one module, each in its own section", async () => {
  const v4 = source("home_router.v4"), v6 = source("home_router.v6");
  const module = importRules(v4, v6);
  const { rules } = validate(await configOf(module));
  assertEquals(saveRules(rules.ipv4), printed(v4.text, 4));
  assertEquals(saveRules(rules.ipv6), printed(v6.text, 6));
  assert(!module.includes("iptables:") && !module.includes("ip6tables:"), "all of it are objects");
});

/** Rules that no object can say: one has each key once, and ranges end where they begin or behind it. */
const TEXT_ONLY = [
  "-m conntrack --ctorigsrcport 9:1 --ctexpire 9:1",
  "-m conntrack ! --ctproto 0",
  "-m iprange --src-range 192.0.2.9-192.0.2.1",
  "-m length --length 9:1",
  "-p udp -m udp --dport 9:1",
  "-m rpfilter",
  "-m hbh",
  '-m u32 --u32 "0x0=0x3:0x1"',
  "-m comment --comment one -m comment --comment two",
];

Deno.test("typescript: every rule of the texts can be said as an object, but those that repeat a match or make no sense", () => {
  const kept: string[] = [];
  const seen = new Set<string>();
  for (const { family, text } of FIXTURES) {
    for (const table of printed(text, family).split(/(?<=^COMMIT\n)/m)) {
      const lines = table.split("\n");
      const chains = lines.filter((line) => line.startsWith(":"));
      for (const rule of lines.filter((line) => line.startsWith("-A ")).slice()) {
        const key = `${family} ${lines[0]} ${rule.slice(3).replace(/^\S+ ?/, "")}`;
        if (seen.has(key)) continue;
        seen.add(key);
        const one = { name: "one", text: [lines[0], ...chains, rule, "COMMIT", ""].join("\n") };
        const module = family === 4 ? importRules(one, null) : importRules(null, one);
        if (/ip6?tables:/.test(module)) kept.push(rule.slice(3).replace(/^\S+ ?/, ""));
      }
    }
  }
  assert(seen.size > 400, `${seen.size} rules`);
  assertEquals(kept.sort(), TEXT_ONLY.slice().sort());
});

/** Rules of table filter, or of another that is named, and the object that is made of each. */
const SAID: readonly (readonly [rule: string, object: string, table?: string, chain?: string])[] = [
  [
    "-m state --state RELATED,ESTABLISHED -j ACCEPT",
    '{ state: ["RELATED", "ESTABLISHED"], jump: "ACCEPT" }',
  ],
  ["-p tcp -m tcp --dport 22 -j ACCEPT", '{ protocol: "tcp", dport: 22, jump: "ACCEPT" }'],
  ["-p tcp -m multiport --dports 80,443,8000:8010", '{ protocol: "tcp", dport: [80, 443, "8000:8010"] }'],
  ["-p tcp -m multiport --dports 80", '{ protocol: "tcp", dports: 80 }'],
  ["-p tcp -m multiport ! --dports 80,81", '{ protocol: "tcp", dport: { not: [80, 81] } }'],
  ["-p tcp -m tcp", '{ protocol: "tcp", dport: "0:65535" }'],
  [
    "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j DROP",
    '{ protocol: "tcp", syn: false, jump: "DROP" }',
  ],
  [
    "! -s 192.0.2.0/24 -d 198.51.100.1/32 ! -i lan",
    '{ inInterface: "! lan", source: "! 192.0.2.0/24", destination: "198.51.100.1" }',
  ],
  [
    "-p tcp -m tcp --syn -m connlimit --connlimit-above 20 --connlimit-mask 32 -j DROP",
    '{ protocol: "tcp", syn: true, connlimitAbove: 20, jump: "DROP" }',
  ],
  [
    "-m connlimit ! --connlimit-above 3 --connlimit-mask 24 --connlimit-daddr",
    "{ connlimitUpto: 3, connlimitMask: 24, connlimitDaddr: true }",
  ],
  [
    "-m connbytes ! --connbytes 1000:2000 --connbytes-dir both --connbytes-mode bytes",
    '{ connbytes: "! 1000:2000", connbytesDir: "both", connbytesMode: "bytes" }',
  ],
  ["-m quota --quota 1000000 -j ACCEPT", '{ quota: 1000000, jump: "ACCEPT" }'],
  [
    "-p tcp -m ecn --ecn-tcp-cwr ! --ecn-ip-ect 2",
    '{ protocol: "tcp", ecnTcpCwr: true, ecnIpEct: { not: 2 } }',
  ],
  ['-m u32 --u32 "6&0xFF=1&&0>>28=4"', '{ u32: "0x6&0xff=0x1&&0x0>>0x1c=0x4" }'],
  ["! -p tcp ! -f", '{ protocol: "! tcp", fragment: false }'],
  ["-p icmp -m icmp --icmp-type 8", '{ protocol: "icmp", icmpType: "echo-request" }'],
  ["-p icmp -m icmp --icmp-type 3/1", '{ protocol: "icmp", icmpType: "host-unreachable" }'],
  ["-m limit --limit 5/min", '{ limit: "5/minute" }'],
  ["-m limit --limit 5/sec --limit-burst 9", '{ limit: "5/second", limitBurst: 9 }'],
  [
    '-m comment --comment "say \\"yes\\"" -j LOG --log-prefix "it\'s "',
    '{ comment: \'say "yes"\', jump: "LOG", logPrefix: "it\'s " }',
  ],
  ["-m mark ! --mark 0x1/0xff -j REJECT", '{ mark: "! 0x1/0xff", jump: "REJECT" }'],
  [
    "-m statistic --mode nth --every 3 --packet 0 -g user",
    '{ mode: "nth", every: 3, packet: 0, goto: "user" }',
  ],
  ["-m connmark --mark 0x1 -j user", '{ connmark: "0x1", jump: "user" }'],
  [
    "-j MARK --set-xmark 0x4000/0x4000",
    '{ jump: "MARK", orMark: "0x4000" }',
    "mangle",
    "PREROUTING",
  ],
  [
    "-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
    '{ jump: "CONNMARK", saveMark: true }',
    "mangle",
    "PREROUTING",
  ],
  ["-o wan -j MASQUERADE", '{ outInterface: "wan", jump: "MASQUERADE" }', "nat", "POSTROUTING"],
  ["-j CT --zone 5", '{ jump: "CT", zone: 5 }', "raw", "PREROUTING"],
];

for (const [rule, object, table = "filter", chain = "FORWARD"] of SAID) {
  Deno.test(`typescript: ${rule} becomes ${object}`, () => {
    const text = `*${table}\n:user - [0:0]\n-A ${chain} ${rule}\nCOMMIT\n`;
    const module = importRules({ name: "rules", text }, null).replaceAll(/\s+/g, " ").replaceAll(
      /, ([}\]])/g,
      " $1",
    );
    assertStringIncludes(module, object);
  });
}

Deno.test("typescript: empty tables, policies and unused chains are kept", async () => {
  const text = `*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT
*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]\n:123 - [0:0]\n:a-b - [0:0]\nCOMMIT
*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n`;
  const module = importRules({ name: "rules", text }, null);
  assertEquals(saveRules(validate(await configOf(module)).rules.ipv4), text);
});

Deno.test("typescript: odd names do no harm", async () => {
  const text = `*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]
:__proto__ - [0:0]\n:constructor - [0:0]
-A INPUT -i all -j __proto__\n-A INPUT -i a:b -j constructor\n-A INPUT -i __proto__ -j ACCEPT
COMMIT\n`;
  const module = importRules({ name: "ru*/les", text }, null);
  assertEquals(saveRules(validate(await configOf(module)).rules.ipv4), text);
});

Deno.test("typescript: interfaces are those of the rules, and a pattern gets one that fits it", async () => {
  const text =
    `*filter\n-A FORWARD -i eth1 -o eth+ -j ACCEPT\n-A FORWARD -i cali+ ! -o ppp+\n-A INPUT -i lo\nCOMMIT\n`;
  const module = importRules({ name: "rules", text }, null);
  assertEquals(Object.keys((await configOf(module)).interfaces), ["eth1", "cali0", "ppp0"]);
  assertStringIncludes(module, "// The rules speak of cali+.");
  const none = importRules({ name: "rules", text: "*filter\nCOMMIT\n" }, null);
  assertEquals(Object.keys((await configOf(none)).interfaces), ["wan"]);
});

Deno.test("typescript: helpers that a CT rule names are listed, and serve nobody else", async () => {
  const module = importRules(source("targets.v4"), null);
  assertStringIncludes(module, "import { defineRouter, ftp, tftp } from");
  const { helpers } = validate(await configOf(module));
  assertEquals(helpers.map(({ name, autoAssign }) => [name, autoAssign]), [["ftp", false], ["tftp", false]]);
});

Deno.test("typescript: a module cannot be run before its addresses are filled in", async () => {
  const module = importRules(source("home_router.v4"), null);
  const config = await configOf(module);
  const interfaces = Object.fromEntries(
    Object.keys(config.interfaces).map((name) => [name, { addresses: [UNFINISHED] }]),
  );
  try {
    validate({ ...config, interfaces });
  } catch (error) {
    assert(error instanceof ConfigError);
    assertEquals(error.problems.map(({ path }) => path), [
      "interfaces.ppp0.addresses[0]",
      'interfaces["br-lan"].addresses[0]',
      'interfaces["br-guest"].addresses[0]',
    ]);
    return;
  }
  throw new Error("it was taken");
});

Deno.test("typescript: all that is not supported is refused at once, in both texts", () => {
  const v4 = {
    name: "rules.v4",
    text: "*filter\n-A INPUT -m rateest --rateest x\n-A INPUT -j NFQUEUE\nCOMMIT\n",
  };
  const v6 = { name: "rules.v6", text: "*filter\n-A INPUT -m eui64 -j DROP\nCOMMIT\n" };
  try {
    importRules(v4, v6);
  } catch (error) {
    assert(error instanceof ConfigError);
    assertEquals(error.problems.map(({ path }) => path), ["rules.v4:2:13", "rules.v4:3:13", "rules.v6:2:13"]);
    return;
  }
  throw new Error("it was taken");
});

Deno.test("typescript: a comment says which helpers the rules seem to need, and how the old machine's are listed", () => {
  const module = (rules: string) =>
    importRules({ name: "rules.v4", text: `*filter\n${rules}COMMIT\n` }, null);
  const plain = module(
    "-A FORWARD -p tcp --dport 1024:65535 -j ACCEPT\n-A FORWARD -p tcp ! --dport 21 -j DROP\n",
  );
  assertStringIncludes(plain, "`lsmod | grep nf_conntrack_`");
  assertStringIncludes(plain, "// No rule names the port of a conversation that needs one.\n");
  const spoken = module(
    "-A FORWARD -p tcp -m multiport --dports 20:21,80 -j ACCEPT\n-A FORWARD -p udp --dport 69 -j ACCEPT\n" +
      "-A FORWARD -p tcp --dport 1723 -j ACCEPT\n",
  );
  assertStringIncludes(spoken, "// Rules name the ports of ftp (tcp 21), tftp (udp 69).\n");
  assertStringIncludes(spoken, "// Rules name the ports of pptp (tcp 1723): Weir has no such helper;\n");
  assertStringIncludes(spoken, "  // helpers: [ftp(), tftp()],\n");
});

Deno.test("typescript: a rule for a helper that Weir has not is refused as such", () => {
  const text = "*raw\n-A PREROUTING -p tcp --dport 1723 -j CT --helper pptp\nCOMMIT\n";
  const error = assertThrows(() => importRules({ name: "rules.v4", text }, null), ConfigError);
  assertStringIncludes(error.message, 'Weir has no helper "pptp", only ftp, irc, tftp, amanda, sane, talk;');
});
