/** What `weir import --leave-out` leaves out, what it says in its place, and what it refuses still. */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { saveRules } from "../../src/config/iptables_save.ts";
import { LeftOut } from "../../src/config/left_out.ts";
import { ConfigError } from "../../src/config/problems.ts";
import type { RouterConfig } from "../../src/config/types.ts";
import { importRules, UNFINISHED } from "../../src/config/typescript.ts";
import { UNSUPPORTED } from "../../src/config/unsupported.ts";
import { validate } from "../../src/config/validate.ts";
import type { Family } from "../../src/netfilter.ts";
import { FIXTURES } from "./fixtures/legacy.ts";

/** A module, and what it lacks. */
function imported(
  text: string,
  { family = 4 as Family, sets = "" } = {},
): { module: string; leftOut: LeftOut } {
  const leftOut = new LeftOut(), rules = { name: "rules", text };
  const ipset = sets === "" ? null : { name: "sets", text: sets };
  const module = importRules(family === 4 ? rules : null, family === 6 ? rules : null, ipset, leftOut);
  return { module, leftOut };
}

function problems(text: string, sets = ""): string[] {
  const error = assertThrows(() => imported(text, { sets }), ConfigError);
  return error.problems.map(({ path, message }) => `${path}: ${message}`);
}

const table = (rules: readonly string[], name = "filter", chains: readonly string[] = []) =>
  [`*${name}`, ...chains.map((chain) => `:${chain} - [0:0]`), ...rules, "COMMIT", ""].join("\n");

/** Lines of a module from `from` to the line `to`, without what stands in front of all of them. */
function lines(module: string, from: string, to: string): string[] {
  const all = module.split("\n"), first = all.findIndex((line) => line.trimStart().startsWith(from));
  const blanks = all[first].search(/\S/);
  const last = all.findIndex((line, i) => i > first && line === " ".repeat(blanks) + to);
  return all.slice(first, last + 1).map((line) => line.slice(blanks));
}

/** The rules of a module, as text, which `weir check` finds nothing wrong with. */
async function checked(module: string, family: Family = 4): Promise<string> {
  let host = 0;
  const filled = module.replaceAll(
    UNFINISHED,
    () => family === 4 ? `192.0.2.${++host}/32` : `2001:db8::${++host}/128`,
  );
  const url = `data:application/typescript;base64,${
    new Uint8Array(new TextEncoder().encode(filled)).toBase64()
  }`;
  const { default: config } = await import(url) as { default: RouterConfig };
  const { rules } = validate(config);
  return saveRules(family === 4 ? rules.ipv4 : rules.ipv6).split("\n").filter((line) => line.startsWith("-A"))
    .join(
      "\n",
    );
}

/** Rules that are left out, at which column for what, and what differs; with chains `drops`, `accepts` and `idle`. */
const EFFECTS: readonly (readonly [rule: string, column: number, effect: string, table?: string])[] = [
  ['-A FORWARD -m bpf --bytecode "1,6 0 0 0" -j DROP', 15, "it dropped: MORE GETS THROUGH"],
  ["-A FORWARD -p tcp -m osf ! --genre Linux --ttl 2 -j REJECT", 22, "it dropped: MORE GETS THROUGH"],
  ["-A FORWARD -j NFQUEUE --queue-balance 0:3 --queue-bypass", 15, "it could drop: MORE GETS THROUGH"],
  ["-A FORWARD -m geoip ! --src-cc AT -j DROP", 15, "it dropped: MORE GETS THROUGH"],
  ["-A FORWARD -p tcp -j TARPIT --honeypot", 22, "it could drop: MORE GETS THROUGH"],
  ["-A OUTPUT -m cgroup ! --path /a -j ACCEPT", 14, "it accepted: less gets through"],
  ["-A PREROUTING -m realm --realm 1/2 -j ACCEPT", 18, "it accepted: more is translated", "nat"],
  ["-A PREROUTING -m cpu --cpu 0 -j ACCEPT", 18, "it accepted: the rules behind it are asked", "raw"],
  ["-A FORWARD -m socket --transparent -j RETURN", 15, "it returned: the rules behind it are asked"],
  ["-A FORWARD -m cpu --cpu 1", 15, "it only counted"],
  ["-A FORWARD -m cpu --cpu 1 -j LOG --log-prefix x", 15, "LOG is not done"],
  ["-A PREROUTING -j TRACE", 18, "TRACE is not done", "raw"],
  ["-A FORWARD -j TEE --gateway 192.0.2.9", 15, "TEE is not done"],
  ["-A POSTROUTING -m cpu --cpu 1 -j MASQUERADE", 19, "it translated: only rules behind it may", "nat"],
  ["-A FORWARD -m cpu --cpu 1 -j idle", 15, "chain idle is not asked"],
  ["-A FORWARD -m cpu --cpu 1 -g idle", 15, "chain idle is not asked; the rules behind it are asked"],
  [
    "-A returns -m cpu --cpu 1 -j RETURN",
    15,
    "it returned: the rules behind it are asked, which accept: MORE GETS THROUGH",
  ],
  [
    "-A returns -m cpu --cpu 1 -g idle",
    15,
    "chain idle is not asked; the rules behind it are asked, which accept: MORE GETS THROUGH",
  ],
  ["-A FORWARD -m cpu --cpu 1 -j drops", 15, "chain drops is not asked; it drops: MORE GETS THROUGH"],
  [
    "-A FORWARD -m cpu --cpu 1 -j calls",
    15,
    "chain calls is not asked; it drops: MORE GETS THROUGH; it accepts: less gets through",
  ],
  // Judged when the table is whole.
  ["-A FORWARD -m time --kerneltz -j DROP", 15, "it dropped: MORE GETS THROUGH"],
  ["-A PREROUTING -p udp -m udp --dport 5060 -j CT --helper sip", 45, "CT is not done", "raw"],
  // The protocol's own match, a value that may be absent, an option by its beginning.
  ["-A FORWARD -p dccp ! --dport 5 -j ACCEPT", 22, "it accepted: less gets through"],
  [
    "-A FORWARD -m rateest --rateest a --rateest-lt --rateest-bps 8bit -j DROP",
    15,
    "it dropped: MORE GETS THROUGH",
  ],
  ["-A FORWARD -m rateest --rateest a --rateest-bps --rateest-gt", 15, "it only counted"],
  ["-A FORWARD -m bpf --byte 1 -j DROP", 15, "it dropped: MORE GETS THROUGH"],
  // The first of several.
  ["-A FORWARD -m cpu --cpu 1 -m osf --genre x -j AUDIT --type drop", 15, "AUDIT is not done"],
];
const CHAINS = ["drops", "accepts", "idle", "calls", "returns"];
const CHAIN_RULES = [
  "-A drops -j DROP",
  "-A accepts -j ACCEPT",
  "-A calls -j drops",
  "-A calls -g accepts",
  "-A returns -j calls",
];

for (const [rule, column, effect, name = "filter"] of EFFECTS) {
  Deno.test(`left out: ${rule}: ${effect}`, async () => {
    const filter = name === "filter", chain = rule.split(" ")[1];
    const kept = `-A ${chain} -s 192.0.2.7/32`;
    const text = table([kept, rule, kept, ...filter ? CHAIN_RULES : []], name, filter ? CHAINS : []);
    const { module, leftOut } = imported(text);
    assertEquals(leftOut.rules.map((rule) => [rule.path, rule.line, rule.effect.text, rule.effect.more]), [
      [`rules:${text.split("\n").indexOf(rule) + 1}:${column}`, rule, effect, effect.includes("MORE")],
    ]);
    const [{ reason }] = leftOut.rules, object = '{ source: "192.0.2.7" },';
    assertEquals(lines(module, `${chain}: [`, "],").map((line) => line.trim()).slice(0, 5), [
      `${chain}: [`,
      object,
      `// Left out (${effect}): ${reason}`,
      `// ${rule}`,
      object,
    ]);
    assertEquals(
      (await checked(module)).split("\n").filter((line) => line.startsWith(`-A ${chain}`)),
      [kept, kept, ...chain === "returns" ? ["-A returns -j calls"] : []],
    );
    assertThrows(() => importRules({ name: "rules", text }, null), ConfigError, reason);
  });
}

Deno.test("left out: every match and target of the list, with all its options at once", () => {
  for (const { name, options, reason } of UNSUPPORTED) {
    const given = Object.values(options).map(({ flag, kind, negatable }) =>
      `${negatable ? "! " : ""}--${flag}${kind.words === 1 ? " value" : ""}`
    );
    const letter = name === name.toUpperCase() ? "j" : "m";
    const { leftOut } = imported(table([`-A FORWARD -${letter} ${name} ${given.join(" ")}`]));
    assertEquals(leftOut.rules.map((rule) => rule.reason), [reason]);
  }
});

/** What is wrong is wrong, also in a rule that would be left out, and what it says is where. */
const WRONG: readonly (readonly [rule: string, problem: RegExp])[] = [
  ["-A FROWARD -m cpu --cpu 1 -j DROP", /:2:4: there is no chain "FROWARD" .* FORWARD\?/],
  ["-A FORWARD -m cpu --cpu 1 -j DORP", /:2:30: "DORP" is neither .* DROP\?/],
  ["-A FORWARD -m cpu --cpu 1 -g nowhere", /:2:30: "nowhere" is not a user chain/],
  ["-A FORWARD -m cpu --cpi 1 -j DROP", /:2:19: option --cpi is not known here; did you mean --cpu\?/],
  ["-A FORWARD -m cpu --cpu", /:2:19: --cpu needs a value/],
  ["-A FORWARD -m cpu --cpu 1 --cpu 2", /:2:27: --cpu is given twice/],
  ["-A FORWARD -m bpf ! --bytecode 1", /:2:21: --bytecode cannot be negated/],
  ["-A FORWARD -m cpu --cpu 1 -s 192.0.2.300", /:2:30: /],
  ["-A FORWARD -m cpu --cpu 1 -m conntrak", /:2:30: match "conntrak" is not one that Weir has/],
  ["-A FORWARD -m cpu --cpu 1 -m tcp --dport 5", /:2:30: tcp needs -p tcp/],
  ["-A FORWARD -m cpu --cpu 1 -j MASQUERADE", /:2:30: MASQUERADE is not allowed in table filter/],
  ["-A FORWARD -m time --kerneltz -m tcp --dport 5", /:2:34: tcp needs -p tcp/],
  ["-A FORWARD -j TRACE more", /:2:21: "more" does not belong to any option/],
  ["-D FORWARD -j TRACE", /:2:4: chain FORWARD has no such rule/],
  ["-P FORWARD DROP -j TRACE", /-P takes no rule/],
];
for (const [rule, problem] of WRONG) {
  Deno.test(`left out: a mistake is not: ${rule}`, () => {
    const found = problems(table([rule]), "create x hash:ip\n");
    assertEquals(found.length, 1, found.join("\n"));
    assert(problem.test(found[0]), `${found[0]} is not ${problem}`);
  });
}

Deno.test("left out: a rule that is left out still leads to its chain, where loops and places are judged", () => {
  const loop = problems(
    table(["-A a -m cpu --cpu 1 -j b", "-A b -j a", "-A FORWARD -j a"], "filter", ["a", "b"]),
  );
  assertEquals(loop, ["rules:5:1: makes a loop: a → b → a; a packet would never leave it"]);
  const place = problems(
    table(["-A PREROUTING -m cpu --cpu 1 -j a", "-A a -j MASQUERADE"], "nat", ["a"]),
  );
  assertEquals(place.length, 1);
  assertStringIncludes(place[0], "rules:4:9: MASQUERADE is not allowed in PREROUTING");
});

Deno.test("left out: rules keep their numbers for -I, -R and -D, and one that is deleted is not missed", async () => {
  const { module, leftOut } = imported(table([
    "-A FORWARD -j TRACE",
    "-A FORWARD -s 192.0.2.1",
    "-A FORWARD -m cpu --cpu 1",
    "-I FORWARD 3 -s 192.0.2.2",
    "-R FORWARD 2 -s 192.0.2.3",
    "-D FORWARD -j TRACE",
    "-A FORWARD -j QUEUE",
    "-D FORWARD 4",
  ]));
  assertEquals(leftOut.rules.map(({ line, before }) => [line, before]), [["-A FORWARD -m cpu --cpu 1", 2]]);
  assertEquals(await checked(module), "-A FORWARD -s 192.0.2.3/32\n-A FORWARD -s 192.0.2.2/32");
});

Deno.test("left out: a line with several addresses is one rule, without its counters", () => {
  const { module, leftOut } = imported(
    table(["[7:8] -A FORWARD -s 192.0.2.1,192.0.2.2 -d 192.0.2.3,192.0.2.4 -j QUEUE"]),
  );
  assertEquals(leftOut.rules.length, 1);
  assertEquals(module.match(/^ *\/\/ -A FORWARD -s 192.0.2.1,192.0.2.2 -d/gm)?.length, 1);
});

Deno.test("left out: all rules of a table, whose policy is none, leave the table", async () => {
  const { module } = imported(table(["-A FORWARD -j QUEUE", "-A user -j QUEUE"], "filter", ["user"]));
  assertStringIncludes(module, "      filter: {\n");
  assertEquals(await checked(module), "");
});

Deno.test("left out: comments stand in text that is kept, too", async () => {
  const { module } = imported(table([
    "-A FORWARD -j QUEUE",
    "-A FORWARD -m comment --comment one -m comment --comment two",
    '-A FORWARD -m comment --comment "`${1}`" -j TRACE',
  ]));
  assertEquals(module.split("\n").filter((line) => /^(-A|#)/.test(line)), [
    '# Left out (it could drop: MORE GETS THROUGH): iptables has target "QUEUE", Weir has not; nothing queues ' +
    "to user space; a function can judge such packets: match: (p) => …",
    "# -A FORWARD -j QUEUE",
    "-A FORWARD -m comment --comment one -m comment --comment two",
    '# Left out (TRACE is not done): iptables has target "TRACE", Weir has not; weir explain tells the way of a packet',
    '# -A FORWARD -m comment --comment "\\`\\${1}\\`" -j TRACE',
  ]);
  assertEquals(
    await checked(module),
    "-A FORWARD -m comment --comment one -m comment --comment two",
  );
});

Deno.test("left out: nothing in a rule ends its comment", async () => {
  const key = "weirLeftOutRan", ends = ["\u2028", "\u2029", "\r", "\v", "\u0085", "*/ "];
  for (const end of ends) {
    const rule = `-A FORWARD -m comment --comment "a${end}globalThis.${key} = 1;//\u202e" -j QUEUE`;
    const { module, leftOut } = imported(table([rule]));
    assertEquals(leftOut.rules.length, 1);
    assertEquals(await checked(module), "");
    assert(!(key in globalThis), JSON.stringify(end));
    assert(!module.includes("\u202e"), "what turns the reading direction is written as a number");
  }
});

Deno.test("left out: rules of IPv6", async () => {
  const text = table([
    "-A FORWARD -s 2001:db8::1 -j ACCEPT",
    "-A FORWARD -p ipv6-icmp -m mh --mh-type 1:3 -j DROP",
  ]);
  const { module, leftOut } = imported(text, { family: 6 });
  assertEquals(leftOut.rules.map(({ path, effect }) => [path, effect.more]), [["rules:3:28", true]]);
  assertEquals(await checked(module, 6), "-A FORWARD -s 2001:db8::1/128 -j ACCEPT");
});

Deno.test("left out: table security as a whole, behind the others", async () => {
  const { module, leftOut } = imported(
    table(["-A FORWARD -j ACCEPT"]) +
      table([":INPUT ACCEPT [0:0]", "[1:2] -A INPUT -j SECMARK --selctx x"], "security"),
  );
  assertEquals(leftOut.rules.map(({ path, table, chain, line }) => [path, table, chain, line]), [
    ["rules:6:1", "security", "INPUT", "-A INPUT -j SECMARK --selctx x"],
  ]);
  assertStringIncludes(module, "  // -A INPUT -j SECMARK --selctx x\n");
  assertEquals(await checked(module), "-A FORWARD -j ACCEPT");
});

Deno.test("left out: sets of MAC addresses, the rules that name them, and their places in lists", async () => {
  const sets = [
    "create a hash:ip",
    "add a 192.0.2.1",
    "create macs hash:mac",
    "add macs 02:00:00:00:00:01",
    "add macs 02:00:00:00:00:02",
    "create both list:set",
    "add both a",
    "add both macs",
    "create gone macipmap network 192.0.2.0/24",
    "destroy gone",
    "",
  ].join("\n");
  const kept = [
    "-A FORWARD -m set --match-set a src -j DROP",
    "-A FORWARD -m set --match-set both src -j DROP",
  ];
  const away = [
    "-A FORWARD -m set ! --match-set macs src -j DROP",
    "-A FORWARD -j SET --add-set macs src",
  ];
  const { module, leftOut } = imported(table([kept[0], ...away, kept[1]]), { sets });
  const why = "hash:mac is of MAC addresses, and packets of a TUN device have none";
  assertEquals(leftOut.rules.map(({ path, line, reason, effect }) => [path, line, reason, effect.text]), [
    ["rules:3:15", away[0], `set macs is left out: ${why}`, "it dropped: MORE GETS THROUGH"],
    ["rules:4:15", away[1], `set macs is left out: ${why}`, "SET is not done"],
  ]);
  assertEquals(lines(module, "sets: {", "},").map((line) => line.trim()), [
    "sets: {",
    'a: { type: "hash:ip", family: "inet", entries: ["192.0.2.1"] },',
    `// Left out: ${why}`,
    "// create macs hash:mac (and 2 members)",
    'both: { type: "list:set", entries: ["a"] },',
    `// Left out: list both lacks set macs, which is left out: ${why}`,
    "// add both macs",
    "},",
  ]);
  assertEquals(await checked(module), kept.join("\n"));
  assertEquals(leftOut.counted, "2 rules, 1 set and 1 member of a list");
});

Deno.test("left out: a set that only rules name has a place where one of them is kept", () => {
  const rules = (name: string, more: string) => `-A FORWARD -m set --match-set ${name} src${more}`;
  const text = table([rules("kept", ""), rules("kept", " -j QUEUE"), rules("away", " -j QUEUE")]);
  const { module } = imported(text);
  assertEquals(module.match(/.*entries.*/g)?.map((line) => line.trim()), [
    'sets: { kept: { type: "hash:net", entries: ["address/length"] } },',
  ]);
});

/** Mistakes in a text of sets of which one is left out. */
const WRONG_SETS: readonly (readonly [line: string, problem: RegExp])[] = [
  ["create macs hash:ip", /^sets:2:8: set "macs" is there already/],
  ["create macs hash:mac", /^sets:2:8: set "macs" is there already/],
  ["add mac 02:00:00:00:00:01", /^sets:2:5: set "mac" is not there/],
  ["create b hash:mack", /^sets:2:10: "hash:mack" is not a type of set/],
  ["create b hash:ip size", /^sets:2:\d+: /],
];
for (const [line, problem] of WRONG_SETS) {
  Deno.test(`left out: a mistake beside a set that is left out is not: ${line}`, () => {
    const found = problems(table([]), `create macs hash:mac\n${line}\n`);
    assertEquals(found.length, 1, found.join("\n"));
    assert(problem.test(found[0]), `${found[0]} is not ${problem}`);
  });
}

for (const { name, family, text } of FIXTURES) {
  Deno.test(`left out: ${name} with rules among its own that are left out is ${name} and their comments`, () => {
    const away = ["-m cpu --cpu 1 -j ACCEPT", "-m cpu --cpu 2 -j LOG", "-j TRACE"];
    let written = 0;
    const mixed = text.split("\n").flatMap((line) => {
      const chain = /^(?:\[\d+:\d+\] )?-A (\S+)/.exec(line)?.[1];
      if (chain === undefined) return [line];
      const other = () => `-A ${chain} ${away[written++ % away.length]}`;
      return written % 2 === 0 ? [other(), line] : [line, other(), other()];
    }).join("\n");
    const { module, leftOut } = imported(mixed, { family });
    assert(written > 5);
    assertEquals(leftOut.rules.length, written);
    const comments = module.match(/^ *(\/\/|#) Left out \(.*\n.*\n/gm) ?? [];
    assertEquals(comments.length, written);
    const bare = (module: string) =>
      module.replace(/^ *(\/\/|#) Left out \(.*\n.*\n/gm, "").replace(
        /^ \* Weir does not[^]*?out"\.\n \*\n/m,
        "",
      )
        .replace(/rules:\d+:\d+/g, "rules")
        // An object or array with a comment in it takes several lines.
        .replace(/,?\s+/g, " ").replace(/(?<=[[{]) | (?=[\]}])/g, "");
    const plain = imported(text, { family });
    assert(plain.leftOut.empty);
    assertEquals(bare(module), bare(plain.module));
  });
}

Deno.test("left out: nothing, and nothing is said", () => {
  const text = table(["-A FORWARD -j ACCEPT"]), { module, leftOut } = imported(text);
  assert(leftOut.empty);
  assertEquals(module, importRules({ name: "rules", text }, null));
});
