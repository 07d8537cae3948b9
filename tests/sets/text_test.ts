/**
 * Sets as text: what `ipset restore` takes, `weir` takes, and prints as `ipset save` does; what one refuses, so does
 * the other.
 */
import { assert, assertEquals } from "@std/assert";
import { saveSets } from "../../src/config/ipset_save.ts";
import { Problems } from "../../src/config/problems.ts";
import { readSets } from "../../src/config/sets.ts";
import { find } from "../netns/programs.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { memoryFile } from "../oracle/memfd.ts";
import { inNewNetns } from "../oracle/netns.ts";
import { comparable } from "./lines.ts";

const able = kernelAvailable() && find("ipset") !== null;

/** What Weir prints, or its first complaint. */
function weir(text: string): { text: string } | { problem: string; path: string } {
  const problems = new Problems(), sets = readSets(undefined, text, problems);
  if (problems.list.length > 0) return { problem: problems.list[0].message, path: problems.list[0].path };
  return { text: saveSets(sets.values()) };
}

/** What Linux prints, or ipset's complaint. */
function linux(text: string): { text: string } | { problem: string } {
  return inNewNetns(() => {
    const run = (...args: string[]) => new Deno.Command("ipset", { args, stdin: "null" }).outputSync();
    const restored = run("restore", "-file", memoryFile(text).path);
    if (!restored.success) return { problem: new TextDecoder().decode(restored.stderr) };
    return { text: new TextDecoder().decode(run("save").stdout) };
  });
}

const members = (type: string, ...list: string[]) =>
  `create x ${type}\n${list.map((member) => `add x ${member}\n`).join("")}`;

const TAKEN: readonly string[] = [
  members("hash:ip", "10.0.0.1", "10.0.0.4/30", "10.0.1.1-10.0.1.3", "10.0.2.9-10.0.2.7"),
  members("hash:ip family inet6 netmask 64", "2001:db8::1", "[2001:db8:1::1]"),
  members("hash:ip netmask 24 hashsize 100 maxelem 3", "10.0.0.1", "10.0.2.0/23"),
  members("hash:ip bitmask 255.0.255.0", "10.0.0.1"),
  members("hash:ip family inet6 bitmask ffff::ff", "2001:db8::1"),
  members("hash:ip netmask 16 bucketsize 3 initval 0x77", "10.0.0.1"),
  members(
    "hash:ip timeout 100 counters comment forceadd skbinfo",
    '10.0.0.1 comment "a b" timeout 0x64 packets 3 bytes 4',
  ),
  members(
    "hash:net",
    "10.0.0.1",
    "10.0.0.0/8",
    "10.0.0.5/24",
    "10.0.0.9 nomatch",
    "10.2.0.0-10.2.2.255",
    "0.0.0.0/1",
  ),
  members("hash:net", "128.0.0.0-255.255.255.255", "0.0.0.0-10.0.0.0"),
  members("hash:net family inet6", "2001:db8::1", "2001:db8::/32", "::", "8000::/1", "2001:db8::1/127"),
  members(
    "hash:net timeout 100 skbinfo",
    "10.1.0.0/16 skbmark 0x1/0xff skbprio 1:10 skbqueue 7 nomatch timeout 0",
    "10.2.0.0/16 skbmark 0xffffffff skbprio ffff:fff",
    "10.3.0.0/16 skbmark 0x0/0xff skbqueue 65535",
    "10.4.0.0/16 skbmark 0x10/0x0",
    "10.5.0.0/16 skbmark 0xf0/0x0f skbprio 0x1:0x2",
  ),
  members(
    "hash:ip,port",
    ...[
      "80",
      "udp:53",
      "tcp:20-22",
      "icmp:echo-request",
      "icmp:8/1",
      "icmp:77/3",
      "gre:0",
      "200:0",
      "tcp:0",
      "sctp:99",
    ]
      .map((port) => `10.0.0.1,${port}`),
    ...[
      "vrrp:0",
      "udplite:9",
      "https",
      "udp:domain",
      "tcp:10-5",
      "esp:0",
      "99:0",
      "ipip:0",
      "l2tp:0",
      "253:0",
    ]
      .map((port) => `10.0.0.2,${port}`),
    "10.0.1.0/30,81",
    "10.0.2.0-10.0.2.2,82-83",
  ),
  members(
    "hash:ip,port",
    ...Array.from({ length: 21 * 17 }, (_, i) => `1.1.1.1,icmp:${i % 21}/${Math.floor(i / 21)}`),
  ),
  members(
    "hash:ip,port family inet6",
    ...Array.from({ length: 140 * 7 }, (_, i) => `::1,icmpv6:${i % 140}/${Math.floor(i / 140)}`),
  ),
  members("hash:ip,port family inet6", "2001:db8::1,80", "2001:db8::1,ipv6-icmp:ping", "[2001:db8::1],90-92"),
  members("hash:ip,port netmask 24 timeout 0", "10.0.0.1,80"),
  members(
    "hash:net,port",
    "10.0.0.0/24,tcp:80",
    "10.0.0.5,udp:53 nomatch",
    "10.1.0.0-10.1.3.4,9",
    "10.2.0.0/24,80-81",
  ),
  members(
    "hash:ip,port,ip",
    "10.0.0.1,80,10.0.0.2",
    "10.0.0.1,tcp:81-82,10.0.0.3",
    "10.0.0.0/31,90,10.9.9.9",
  ),
  members(
    "hash:ip,port,net",
    "10.0.0.1,80,10.0.0.0/8",
    "10.0.0.1,tcp:80-81,10.0.0.3",
    "10.0.0.1,7,10.0.0.0-10.0.0.6",
  ),
  members(
    "hash:net,iface",
    ...["24,eth0", "24,eth1", "16,physdev:eth2", "8,eth+"].map((rest) => `10.0.0.0/${rest}`),
    "0.0.0.0/0,eth0",
    "10.0.9.0/24,wan wildcard",
  ),
  members("bitmap:ip range 10.0.0.0/24", "10.0.0.1", "10.0.0.0", "10.0.0.9-10.0.0.11", "10.0.0.16/30"),
  members("bitmap:ip range 10.0.0.0/16 netmask 24", "10.0.9.0/24", "10.0.0.1", "10.0.3.0"),
  members("bitmap:ip range 10.0.0.90-10.0.0.5 timeout 900 counters comment skbinfo", "10.0.0.7"),
  members("bitmap:port range 0-1024", "80", "24-25", "tcp:30", "udp:99", "telnet"),
  "create a hash:ip\ncreate b hash:net timeout 100\ncreate l list:set size 2 timeout 0 counters comment\ncreate c hash:ip\n" +
  'add l a comment "x y"\nadd l b before a\nadd l c after b timeout 100 packets 1\n',
  "create a iphash --hashsize 64 --maxelem 8\n-N b nethash\n-! add a 10.0.0.1\n-! add a 10.0.0.1\ndel a 10.0.0.1\n\n# no more\n",
  "create a hash:ip\ncreate a hash:ip -exist\nadd a 10.0.0.1\nadd a 10.0.0.2\nflush a\nadd a 10.0.0.3\nCOMMIT\n",
  "create 1234567890123456789012345678901 hash:ip\ncreate p'7 hash:ip\ncreate p:5 hash:ip\ncreate p,4 hash:ip\n",
  members(
    "hash:ip counters",
    "10.0.0.1 packets 5 bytes 9 -exist",
    "10.0.0.1 -exist",
    "10.0.0.1 -exist packets 6",
  ),
];

/** Text, the place of the mistake, and what is said of it. */
const REFUSED: readonly (readonly [string, string, string])[] = [
  [members("hash:ip", "10.0.0.1", "10.0.0.1"), "ipset:3:7", "already"],
  [members("hash:ip", "0.0.0.0"), "ipset:2:7", "all zeros"],
  ["create a hash:ip\n-exist\n", "ipset:2:1", "in front of a command"],
  [members("hash:ip", "::1"), "ipset:2:7", "family inet6"],
  [members("hash:ip family inet6", "10.0.0.1"), "ipset:2:7", "family inet"],
  [members("hash:ip", "10.0.0.256"), "ipset:2:7", "is not an address"],
  [members("hash:ip", "10.0.0.0/0"), "ipset:2:7", "is not an address"],
  [members("hash:ip", "10.0.0.9 timeout 5"), "ipset:2:7", "created with timeout"],
  [members("hash:ip timeout 1", "10.0.0.9 timeout 2147484"), "ipset:2:7", "2147483"],
  [members("hash:ip skbinfo", "10.0.0.3 skbmark 5"), "ipset:2:7", "0xMARK"],
  [members("hash:ip skbinfo", "10.0.0.3 skbprio 5"), "ipset:2:7", "MAJOR"],
  [members("hash:ip", "10.0.0.3 nomatch"), "ipset:2:7", "nomatch"],
  [members("hash:ip family inet6", "2001:db8::/64"), "ipset:2:7", "hash:net"],
  [members("hash:ip maxelem 3", "10.0.0.0/29"), "ipset:2:7", "maxelem is 3"],
  [members("hash:net", "0.0.0.0/0"), "ipset:2:7", "0.0.0.0/1"],
  [members("hash:net family inet6", "::/0"), "ipset:2:7", "8000::/1"],
  [members("hash:net", "10.0.0.0/24", "10.0.0.0/24 nomatch"), "ipset:3:7", "already"],
  [members("hash:ip,port", "10.0.0.1"), "ipset:2:7", "1 part"],
  [members("hash:ip,port", "10.0.0.1,tcp"), "ipset:2:7", "not a port"],
  [members("hash:ip,port", "10.0.0.1,gre:5"), "ipset:2:7", "gre:0"],
  [members("hash:ip,port", "10.0.0.1,ipv6-icmp:0/0"), "ipset:2:7", "IPv6"],
  [members("hash:ip,port", "10.0.0.1,0:0"), "ipset:2:7", "not a protocol"],
  [members("hash:ip,port,ip", "10.0.0.1,80,10.0.0.0/30"), "ipset:2:7", "is not an address"],
  [members("hash:net,iface", "10.0.0.0/8,averyverylonginterface"), "ipset:2:7", "15 characters"],
  [members("hash:net,iface", "10.0.0.0/8,eth wildcard", "10.0.0.0/8,eth0"), "ipset:3:7", "already"],
  [members("bitmap:ip range 10.0.0.0/24", "10.0.1.0"), "ipset:2:7", "out of the set's range"],
  [members("bitmap:port range 0-1024", "1025"), "ipset:2:7", "out of the set's range"],
  ["create x bitmap:ip range 10.0.0.0/15\n", "ipset:1:20", "65536"],
  ["create x bitmap:port\n", "ipset:1:10", "range is missing"],
  ["create x hash:nt\n", "ipset:1:10", "did you mean hash:net?"],
  ["create x hash:mac\n", "ipset:1:10", "TUN"],
  ["create x hash:ip netmask 33\n", "ipset:1:18", "prefix length"],
  ["create x hash:net netmask 24\n", "ipset:1:19", "not an option of hash:net"],
  ["create x hash:ip netmask 24 bitmask 255.0.0.0\n", "ipset:1:29", "netmask"],
  ["create x hash:ip foo\n", "ipset:1:18", "foo"],
  ["create x hash:ip timeout\n", "ipset:1:18", "needs a value"],
  ["create x hash:ip\ncreate x hash:ip\n", "ipset:2:8", "already"],
  ["create 12345678901234567890123456789012 hash:ip\n", "ipset:1:8", "31"],
  ["create l list:set\nadd l nosuch\n", "ipset", "no set"],
  ["create a hash:ip\ncreate l list:set\nadd l a\nadd l a\n", "ipset:4:7", "already"],
  ["create a list:set\ncreate l list:set\nadd l a\n", "ipset", "lists cannot be in lists"],
  ["create a hash:ip\ncreate l list:set\nadd l a after b\n", "ipset:3:7", "not in the list"],
  ["add y 10.0.0.1\n", "ipset:1:5", "none has been created"],
  ["crate x hash:ip\n", "ipset:1:1", "did you mean create?"],
  ["create x hash:ip netmask 255.255.0.0\n", "ipset:1:18", "prefix length"],
  [members("hash:ip", "10.0.0.1") + "del x 10.0.0.2\n", "ipset:3:7", "not in the set"],
];

for (const text of TAKEN) {
  Deno.test({
    name: `sets: ipset and Weir print the same of ${text.split("\n").slice(0, 2).join(" | ")} …`,
    ignore: !able,
    fn() {
      const own = weir(text), theirs = linux(text);
      assert("text" in own, JSON.stringify(own));
      assert("text" in theirs, JSON.stringify(theirs));
      assertEquals(comparable(own.text), comparable(theirs.text));
      // And what they print is read as the same again; here in the order in which it stands.
      const again = weir(theirs.text);
      assert("text" in again, JSON.stringify(again));
      assertEquals(again.text.replace(/ (hashsize) \d+/g, ""), theirs.text.replace(/ (hashsize) \d+/g, ""));
    },
  });
}

for (const [text, path, message] of REFUSED) {
  Deno.test(`sets: refused is ${JSON.stringify(text)}`, () => {
    const own = weir(text);
    assert("problem" in own, "it was taken");
    assertEquals(own.path, path, own.problem);
    assert(own.problem.includes(message), own.problem);
    if (able) assert("problem" in linux(text), "Linux takes it");
  });
}

Deno.test("sets: a text is not read on after many mistakes, and a set is in one place only", () => {
  const problems = new Problems();
  readSets(undefined, "add y 10.0.0.1\n".repeat(1000), problems);
  assertEquals(problems.list.length, 21);
  const twice = new Problems();
  readSets({ a: { type: "hash:ip", entries: [] } }, "create a hash:ip\n", twice);
  assertEquals(twice.list, [{
    path: "ipset",
    message: "set a stands here and in `sets`; keep it in one of them",
  }]);
});
