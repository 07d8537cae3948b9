/** Rules as text: what is printed, what is read, and that both are what iptables-legacy does. */
import { assert, assertEquals } from "@std/assert";
import { restoreRules, splitWords } from "../../src/config/iptables_restore.ts";
import { saveRules } from "../../src/config/iptables_save.ts";
import { Problems } from "../../src/config/problems.ts";
import { ConfigError, validate } from "../../src/config/validate.ts";
import type { Family } from "../../src/netfilter.ts";
import { writeInitialCounters } from "../../src/tables/entry.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { idleHelper } from "../tables/rig.ts";

const INTERFACES = { lan: {}, wan: {} };

/** Reads a text that has no mistakes. */
function read(text: string, family: Family = 4) {
  const problems = new Problems(), warnings = new Problems();
  const set = restoreRules(text, "text", {
    family,
    interfaces: ["lan", "wan"],
    helpers: [idleHelper("ftp", 6, 21)],
    timeouts: [],
    problems,
    warnings,
  });
  assertEquals(problems.list, []);
  return { set, warnings: warnings.list };
}

/** Reads one rule of a chain and prints it. */
function reprint(rule: string, table = "filter", chain = "FORWARD", family: Family = 4): string {
  const { set } = read(`*${table}\n:mine -\n-A ${chain} ${rule}\nCOMMIT\n`, family);
  const printed = saveRules(set).split("\n").filter((line) => line.startsWith("-A "));
  return printed.map((line) => line.slice(`-A ${chain} `.length)).join("\n");
}

Deno.test("iptables_restore cuts lines into words as iptables does", () => {
  const words = (line: string) => splitWords(line).map((word) => word.text);
  assertEquals(words('-A INPUT  -m comment\t--comment "two words" -j LOG'), [
    "-A",
    "INPUT",
    "-m",
    "comment",
    "--comment",
    "two words",
    "-j",
    "LOG",
  ]);
  assertEquals(words('--comment "a \\"b\\" \\\\ c"'), ["--comment", 'a "b" \\ c']);
  assertEquals(words('--comment ""'), ["--comment", ""]);
  assertEquals(words('--log-prefix="x y"'), ["--log-prefix=x y"]);
  assertEquals(splitWords("-A  INPUT").map((word) => word.column), [1, 5]);
});

/** As written, and as printed when that differs. */
const RULES: readonly (readonly [written: string, printed?: string, table?: string, chain?: string])[] = [
  ["-j ACCEPT"],
  ["-p tcp -m tcp --dport 22 -j ACCEPT"],
  ["-p tcp --dport 22 -j ACCEPT", "-p tcp -m tcp --dport 22 -j ACCEPT"],
  ["--protocol 6 --destination-port ssh --jump ACCEPT", "-p tcp -m tcp --dport 22 -j ACCEPT"],
  ["-m tcp --dport 22 -p tcp", "-p tcp -m tcp --dport 22"],
  ["-p tcp --syn ! --sport 1:1023", "-p tcp -m tcp ! --sport 1:1023 --tcp-flags FIN,SYN,RST,ACK SYN"],
  ["-p tcp ! --syn", "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN"],
  ["! -s 10.0.0.1 -d 10.1.2.3/8", "! -s 10.0.0.1/32 -d 10.0.0.0/8"],
  ["-s 10/8 -d 0.0.0.0/0", "-s 10.0.0.0/8"],
  ["-s 10.0.0.1/255.0.0.255", "-s 10.0.0.1/255.0.0.255"],
  [
    "-s 10.0.0.1,10.0.0.2 -d 10.0.1.0/24,10.0.2.0/24 -j ACCEPT",
    "-s 10.0.0.1/32 -d 10.0.1.0/24 -j ACCEPT\n-s 10.0.0.1/32 -d 10.0.2.0/24 -j ACCEPT\n-s 10.0.0.2/32 -d 10.0.1.0/24 -j ACCEPT\n-s 10.0.0.2/32 -d 10.0.2.0/24 -j ACCEPT",
  ],
  ["-i lan ! -o wan -p udp", "-i lan ! -o wan -p udp"],
  ["-i eth+ -f", "-i eth+ -f"],
  ["-i + ! -f -p 47", "-p gre ! -f"],
  ["-g mine"],
  ["-j mine"],
  ["-m state --state NEW,ESTABLISHED", "-m state --state NEW,ESTABLISHED"],
  ["-m conntrack --ctstate RELATED,ESTABLISHED ! --ctproto 17 --ctorigsrc 10.0.0.0/8 --ctdir ORIGINAL"],
  ["-m limit", "-m limit --limit 3/hour"],
  [
    '-m limit --limit 10/m --limit-burst 3 -j LOG --log-prefix "odd: "',
    '-m limit --limit 10/min --limit-burst 3 -j LOG --log-prefix "odd: "',
  ],
  [
    "-j LOG --log-prefix 0123456789012345678901234567890123 --log-level debug",
    "-j LOG --log-prefix 01234567890123456789012345678 --log-level 7",
  ],
  ["-m mark --mark 1 -m connmark --mark 0x2/0xff", "-m mark --mark 0x1 -m connmark --mark 0x2/0xff"],
  ['-m comment --comment a -m comment --comment "b c"', '-m comment --comment a -m comment --comment "b c"'],
  ["-p icmp --icmp-type echo-request -j DROP", "-p icmp -m icmp --icmp-type 8 -j DROP"],
  ["-p udp -m multiport --dports 53,123,5000:5010"],
  [
    "-p tcp -m multiport ! --source-ports ssh,80 -m ttl --ttl-gt 3",
    "-p tcp -m multiport ! --sports 22,80 -m ttl --ttl-gt 3",
  ],
  ["-m length --length :100 -m tos --tos Minimize-Delay", "-m length --length 0:100 -m tos --tos 0x10/0x3f"],
  [
    "-m statistic --mode nth --every 3 --packet 0 -m statistic --mode random --probability .25",
    "-m statistic --mode nth --every 3 --packet 0 -m statistic --mode random --probability 0.25000000000",
  ],
  [
    "-m iprange --src-range 10.0.0.1-10.0.0.9 ! --dst-range 10.0.1.1",
    "-m iprange --src-range 10.0.0.1-10.0.0.9 ! --dst-range 10.0.1.1-10.0.1.1",
  ],
  ["-j REJECT", "-j REJECT --reject-with icmp-port-unreachable"],
  ["-p tcp -j REJECT --reject-with tcp-reset"],
  ["-p tcp -j CT --helper ftp", undefined, "raw", "PREROUTING"],
  ["-j CT --notrack", undefined, "raw", "PREROUTING"],
  ["-j NOTRACK", undefined, "raw", "OUTPUT"],
  ["-j CT --zone 3 --ctevents new,destroy", "-j CT --ctevents new,destroy --zone 3", "raw", "OUTPUT"],
  ["-o wan -j MASQUERADE", undefined, "nat", "POSTROUTING"],
  [
    "-p tcp -j SNAT --to-source 203.0.113.1-203.0.113.4:1024-2047 --persistent",
    undefined,
    "nat",
    "POSTROUTING",
  ],
  [
    "-p tcp --dport 80 -j DNAT --to-destination :8080",
    "-p tcp -m tcp --dport 80 -j DNAT --to-destination :8080",
    "nat",
    "PREROUTING",
  ],
  ["-j MARK --set-mark 0x1/0xf0", "-j MARK --set-xmark 0x1/0xf1", "mangle", "PREROUTING"],
  [
    "-j CONNMARK --save-mark",
    "-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
    "mangle",
    "PREROUTING",
  ],
  ["-j TTL --ttl-inc 1", undefined, "mangle", "PREROUTING"],
  ["-j DSCP --set-dscp-class EF", "-j DSCP --set-dscp 0x2e", "mangle", "PREROUTING"],
  [
    "-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    "mangle",
    "FORWARD",
  ],
];

for (const [written, printed, table, chain] of RULES) {
  Deno.test(`iptables_restore reads ${written}`, () => {
    assertEquals(reprint(written, table, chain), printed ?? written);
  });
}

/** A whole text as iptables-save prints it, in its own order and with counters. */
const TEXT = `*raw
:PREROUTING ACCEPT [12:1234]
:OUTPUT ACCEPT [0:0]
[3:180] -A PREROUTING -i wan -p tcp -m tcp --dport 80 -j NOTRACK
[0:0] -A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
[7:700] -A PREROUTING -m conntrack --ctstate NEW -j MARK --set-xmark 0x2a/0xffffffff
[0:0] -A FORWARD -o wan -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1300
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
[0:0] -A PREROUTING -d 203.0.113.1/32 -p tcp -m tcp --dport 8000 -j DNAT --to-destination 10.0.0.2:6000
[1:60] -A POSTROUTING -o wan -j MASQUERADE
COMMIT
*filter
:INPUT DROP [5:500]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:Web - [0:0]
:knock - [0:0]
[9:900] -A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT
[0:0] -A FORWARD -p tcp -m multiport --dports 80,443 -j Web
[0:0] -A FORWARD ! -s 10.0.0.0/8 -g knock
[0:0] -A Web -m comment --comment "say \\"yes\\"" -j ACCEPT
[0:0] -A knock -m limit --limit 5/sec -j LOG --log-prefix "knock: "
[0:0] -A knock -j REJECT --reject-with icmp-port-unreachable
COMMIT
`;

Deno.test("iptables_save prints what was read, and the same once more", () => {
  const { set } = read(TEXT);
  assertEquals(saveRules(set, { initial: true }), TEXT);
  assertEquals(saveRules(read(saveRules(set, { initial: true })).set, { initial: true }), TEXT);
  assertEquals(
    saveRules(set),
    TEXT.replaceAll(/^\[\d+:\d+\] /gm, "").replaceAll(/^(:\S+ \S+) \[.*\]$/gm, "$1 [0:0]"),
  );
});

Deno.test("iptables_save prints the router's counters, and memory begins with those of the text", () => {
  const helpers = [idleHelper("ftp", 6, 21)];
  const config = validate({ interfaces: INTERFACES, iptables: TEXT, helpers });
  const counters = new Float64Array(2 * config.counters);
  writeInitialCounters(config.rules.ipv4, counters);
  assertEquals(saveRules(config.rules.ipv4, { counters }), TEXT);
  counters[2 * config.rules.ipv4.nat!.counters] = 77;
  assert(saveRules(config.rules.ipv4, { counters }).includes("[77:0] -A PREROUTING -d 203.0.113.1/32"));
});

Deno.test("iptables_save prints TypeScript rules as the text that means the same", () => {
  const { rules } = validate({
    interfaces: INTERFACES,
    tables: {
      filter: {
        FORWARD: {
          policy: "DROP",
          rules: [{ state: ["ESTABLISHED", "RELATED"], jump: "ACCEPT" }, {
            inInterface: "lan",
            protocol: "tcp",
            dport: [22, "8000:8010"],
            syn: true,
            jump: "ok",
          }],
        },
        ok: [
          { source: "! 192.0.2.0/24", limit: "5/second", limitBurst: 10, jump: "LOG", logPrefix: "odd: " },
          { jump: "ACCEPT" },
        ],
      },
    },
  });
  const text = saveRules(rules.ipv4);
  assertEquals(saveRules(read(text).set), text);
  assertEquals(text.split("\n").filter((line) => line.startsWith("-A")), [
    "-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -i lan -p tcp -m multiport --dports 22,8000:8010 -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ok",
    '-A ok ! -s 192.0.2.0/24 -m limit --limit 5/sec --limit-burst 10 -j LOG --log-prefix "odd: "',
    "-A ok -j ACCEPT",
  ]);
});

Deno.test("B03 iptables_restore inserts, replaces and deletes rules", () => {
  const { set } = read(
    "*filter\n:a -\n-A a -p tcp\n-I a -p udp\n-I a 2 -p icmp\n-A a -p 47\n-D a 1\n-R a 2 -p sctp\n-D a -p 47\n-P INPUT DROP\n-N b\n-A b\n-F b\n-X b\nCOMMIT\n",
  );
  assertEquals(saveRules(set).split("\n").slice(1, -2), [
    ":INPUT DROP [0:0]",
    ":FORWARD ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":a - [0:0]",
    "-A a -p icmp",
    "-A a -p sctp",
  ]);
});

Deno.test("iptables_restore keeps to its family where a line says -4 or -6", () => {
  assertEquals(reprint("-4 -p tcp"), "-p tcp");
  assertEquals(reprint("-6 -p tcp"), "");
});

/** Texts with mistakes, and where each is said to be. */
const MISTAKES: readonly (readonly [text: string, ...problems: readonly string[]])[] = [
  ["-A INPUT\n", '1:1: "-A INPUT" stands outside of a table'],
  ["*filtre\n-A INPUT\nCOMMIT\n", '1:2: there is no table "filtre"; did you mean filter?'],
  ["*filter\n-A INPUT -j ACCEPT\n", "3:1: COMMIT is missing"],
  ["*filter\n:INPUT REJECT [0:0]\nCOMMIT\n", "2:8: REJECT is not a policy"],
  ["*filter\n:mine ACCEPT\nCOMMIT\n", "2:7: only built-in chains have a policy"],
  ["*filter\n:mine -\n:mine -\nCOMMIT\n", "3:2: chain mine is there already"],
  ["*filter\n:DROP -\nCOMMIT\n", '2:2: "DROP" is the name of a target'],
  [
    "*filter\n-A FORWRAD -j ACCEPT\nCOMMIT\n",
    '2:4: there is no chain "FORWRAD" in table filter; did you mean FORWARD?',
  ],
  ["*filter\n-A FORWARD -j ACEPT\nCOMMIT\n", '2:15: "ACEPT" is neither a target'],
  ["*filter\n-A FORWARD -p tcp --dport 99999\nCOMMIT\n", '2:27: "99999" is not a port'],
  [
    "*filter\n-A FORWARD --dport 22\nCOMMIT\n",
    "2:12: option --dport is not known here; it belongs to -m sctp, -m tcp, -m udp",
  ],
  [
    "*filter\n-A FORWARD -p tcp --dprot 22\nCOMMIT\n",
    "2:19: option --dprot is not known here; did you mean --dport?",
  ],
  ["*filter\n-A FORWARD -m tcp --dport 22\nCOMMIT\n", "2:15: tcp needs -p tcp in the same rule"],
  [
    "*filter\n-A FORWARD -m stat --state NEW\nCOMMIT\n",
    '2:15: match "stat" is not one that Weir has; did you mean state?',
  ],
  ["*filter\n-A FORWARD -m state\nCOMMIT\n", "2:15: state needs --state"],
  ["*filter\n-A FORWARD -s\nCOMMIT\n", "2:12: -s needs a value"],
  ["*filter\n-A FORWARD -s 10.0.0.1 -s 10.0.0.2\nCOMMIT\n", "2:24: -s is given twice"],
  ["*filter\n-A FORWARD ! -m state --state NEW\nCOMMIT\n", "2:14: -m cannot be negated"],
  ["*filter\n-A FORWARD -m limit ! --limit 1/s\nCOMMIT\n", "2:23: --limit cannot be negated"],
  ["*filter\n-A FORWARD ! ! -s 10.0.0.1\nCOMMIT\n", "2:14: two exclamation marks"],
  ["*filter\n-A FORWARD -j ACCEPT !\nCOMMIT\n", "2:22: nothing follows the exclamation mark"],
  ["*filter\n-A FORWARD stray\nCOMMIT\n", '2:12: "stray" does not belong to any option'],
  ["*filter\n-j ACCEPT\nCOMMIT\n", "2:1: there is no command"],
  ["*filter\n-L\nCOMMIT\n", "2:1: -L has no place in a configuration"],
  ["*filter\n-A INPUT -o wan\nCOMMIT\n", "2:13: -o is not known in INPUT"],
  ['*filter\n-A INPUT -m comment --comment "open\nCOMMIT\n', "2:31: the double quote is never closed"],
  ["*filter\n[1] -A INPUT\nCOMMIT\n", "2:1: the counters are not a pair"],
  [
    "*filter\n-A FORWARD -j MASQUERADE\nCOMMIT\n",
    "2:15: MASQUERADE is not allowed in table filter; it belongs in nat",
  ],
  [
    "*nat\n:m -\n-A PREROUTING -j m\n-A m -j MASQUERADE\nCOMMIT\n",
    "4:9: MASQUERADE is not allowed in PREROUTING; use it in POSTROUTING",
  ],
  ["*nat\n-A PREROUTING -j DROP\nCOMMIT\n", "2:18: DROP is not allowed in table nat"],
  ["*filter\n:a -\n:b -\n-A FORWARD -j a\n-A a -j b\n-A b -j a\nCOMMIT\n", "6:1: makes a loop: a → b → a"],
  ["*filter\n-A FORWARD -j INPUT\nCOMMIT\n", "2:15: INPUT is a built-in chain"],
  ["*filter\n-A FORWARD -s example.org\nCOMMIT\n", '2:15: "example.org" is a host name'],
  ["*filter\n-A FORWARD -s 10.0.0.1/33\nCOMMIT\n", '2:15: "10.0.0.1/33" has a bad mask'],
  ["*filter\n-A FORWARD -p icmp -m hl --hl-eq 1\nCOMMIT\n", '2:23: match "hl" does not exist in IPv4'],
  [
    "*filter\n-A INPUT -p bogus\n-A INPUT -j NOPE\n-A INPUT -j ACCEPT\nCOMMIT\n",
    '2:13: protocol "bogus"',
    '3:13: "NOPE" is neither',
  ],
  ["*filter\nCOMMIT\n*filter\nCOMMIT\n", "3:2: table filter is there twice"],
];

for (const [text, ...wanted] of MISTAKES) {
  Deno.test(`iptables_restore refuses ${JSON.stringify(text)}`, () => {
    const problems = new Problems();
    restoreRules(text, "iptables", {
      family: 4,
      interfaces: [],
      helpers: [],
      timeouts: [],
      problems,
      warnings: new Problems(),
    });
    const found = problems.list.map(({ path, message }) => `${path}: ${message}`);
    assertEquals(found.length, wanted.length, found.join("\n"));
    wanted.forEach((want, i) =>
      assert(found[i].startsWith(`iptables:${want}`), `${found[i]}\n  does not begin with iptables:${want}`)
    );
  });
}

Deno.test("iptables_restore warns of interfaces that are not configured, and takes them", () => {
  const { warnings } = read(
    "*filter\n-A FORWARD -i docker0 -j ACCEPT\n-A FORWARD -i lan -j ACCEPT\nCOMMIT\n",
  );
  assertEquals(warnings, [{
    path: "text:2:15",
    message: 'interface "docker0" is not configured: the rule never fits',
  }]);
});

Deno.test("validate takes a table from tables or from text, not from both", () => {
  const iptables = "*filter\n-A FORWARD -j ACCEPT\nCOMMIT\n";
  const config = validate({
    interfaces: INTERFACES,
    iptables,
    tables: { nat: { POSTROUTING: [{ jump: "MASQUERADE" }] } },
  });
  assertEquals(
    [config.rules.ipv4.filter !== null, config.rules.ipv4.nat !== null, config.rules.ipv6.filter],
    [true, true, null],
  );
  try {
    validate({ interfaces: INTERFACES, iptables, tables: { filter: { INPUT: [{ jump: "DROP" }] } } });
  } catch (error) {
    assert(error instanceof ConfigError);
    assertEquals(error.problems.map((p) => p.path), ["iptables"]);
    return;
  }
  throw new Error("it was taken");
});

/** What the real programs make of a text, in a namespace of its own. */
function legacy(text: string, family: Family, counters: boolean): string {
  const prefix = family === 4 ? "iptables" : "ip6tables";
  const file = Deno.makeTempFileSync();
  try {
    Deno.writeTextFileSync(file, text);
    const flag = counters ? "-c" : "";
    const { stdout, stderr, success } = new Deno.Command("unshare", {
      args: ["-n", "sh", "-c", `${prefix}-legacy-restore ${flag} ${file} && ${prefix}-legacy-save ${flag}`],
      env: { XTABLES_LOCKFILE: `${file}.lock` },
    }).outputSync();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  } finally {
    Deno.removeSync(file);
    try {
      Deno.removeSync(`${file}.lock`);
    } catch {
      // The program did not come as far as to take it.
    }
  }
}

/** The tables of a text, by name, without comments: the order of tables is the kernel's. */
function tables(text: string): Record<string, string> {
  const parts = text.split("\n").filter((line) => line !== "" && line[0] !== "#").join("\n").split(
    "\nCOMMIT",
  );
  return Object.fromEntries(
    parts.map((part) => part.trim()).filter(Boolean).map((part) => [part.split("\n")[0], part]),
  );
}

Deno.test({
  name: "iptables_save prints what iptables-legacy-save -c prints of the same text",
  ignore: !kernelAvailable(),
  fn() {
    const text = TEXT.replace("--helper ftp", "--zone 3");
    assertEquals(tables(saveRules(read(text).set, { initial: true })), tables(legacy(text, 4, true)));
  },
});

Deno.test({
  name: "B01 iptables_restore and iptables_save agree with iptables-legacy on every rule of this file",
  ignore: !kernelAvailable(),
  fn() {
    const usable = RULES.filter(([rule]) => !rule.includes("--helper"));
    let text = "";
    for (const name of ["raw", "mangle", "nat", "filter"]) {
      const rules = usable.filter(([, , table]) => (table ?? "filter") === name);
      text += `*${name}\n${name === "filter" ? ":mine - [0:0]\n" : ""}`;
      text += rules.map(([rule, , , chain]) => `-A ${chain ?? "FORWARD"} ${rule}\n`).join("") + "COMMIT\n";
    }
    assertEquals(tables(saveRules(read(text).set)), tables(legacy(text, 4, false)));
  },
});

const IPV6_RULES = `*mangle
-A PREROUTING -m hl --hl-lt 5 -j HL --hl-inc 3
-A PREROUTING -p ipv6-icmp -m icmp6 --icmpv6-type router-advertisement -j MARK --or-mark 5
-A FORWARD ! -s 2001:DB8:0::1 -d 2001:db8::/32 -m tos --tos 0x10 -j DSCP --set-dscp 46
-A FORWARD -s ::/0 -d ::1/::ff
COMMIT
*nat
-A POSTROUTING -o wan -s fd00::/8 -j SNAT --to-source 2001:db8:2::5-2001:db8:2::6
-A POSTROUTING -p tcp -j SNAT --to-source [2001:db8:2::5]:1024-2047 --random
-A PREROUTING -d 2001:db8:2::1 -j NETMAP --to 2001:db8:1::/64
-A PREROUTING -p udp -j REDIRECT --to-ports 53
COMMIT
*filter
:INPUT DROP
-A INPUT -m conntrack --ctorigdst ::ffff:1.2.3.4 --ctrepldst 2001:db8::/33 -j ACCEPT
-A INPUT -p icmpv6 --icmpv6-type 1/4 -j ACCEPT
-A INPUT -j REJECT --reject-with no-route
-A INPUT -p tcp -j REJECT --reject-with tcp-reset
COMMIT
`;

Deno.test({
  name: "B01 iptables_restore and iptables_save agree with ip6tables-legacy",
  ignore: !kernelAvailable(),
  fn() {
    assertEquals(tables(saveRules(read(IPV6_RULES, 6).set)), tables(legacy(IPV6_RULES, 6, false)));
  },
});
