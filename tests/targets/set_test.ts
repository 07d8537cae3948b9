/** -j SET: what it does to sets and marks, how long its members stay, and what is refused. */
import { assertEquals } from "@std/assert";
import { saveSet } from "../../src/config/ipset_save.ts";
import { PREROUTING } from "../../src/netfilter.ts";
import { tcp } from "../kit/mod.ts";
import { LAN, Rig } from "../tables/rig.ts";
import { type Spec, specify } from "../tables/spec.ts";

const from = (src: string, sport = 1025) => tcp({ src, dst: "203.0.113.9", sport, dport: 80, flags: "S" });

const sets = {
  seen: { type: "hash:ip", family: "inet", timeout: 60, entries: ["10.0.0.9 timeout 0"] },
  small: { type: "hash:ip", family: "inet", timeout: 60, maxelem: 2, entries: [] },
  forced: { type: "hash:ip", family: "inet", maxelem: 2, forceadd: true, entries: [] },
  nets: { type: "hash:net", family: "inet", entries: ["10.0.0.0/24", "10.9.0.0/16"] },
  marks: {
    type: "hash:ip",
    family: "inet",
    skbinfo: true,
    entries: ["10.0.0.2 skbmark 0x5", "10.0.0.3 skbmark 0xf0/0xff", "10.0.0.4"],
  },
  any: { type: "hash:ip", entries: [] },
} as const;

const V4 = { source: "0.0.0.0/0" } as const;
const mangle = (rule: Spec["rule"], save: string): Spec => ({
  table: "mangle",
  rule: { ...V4, jump: "SET", ...rule },
  save,
});

const specs: Spec[] = [
  { rule: { ...V4, jump: "SET", addSet: "seen src" }, save: "-j SET --add-set seen src" },
  {
    rule: { ...V4, jump: "SET", addSet: "seen src", exist: true, timeout: 9 },
    save: "-j SET --add-set seen src --exist --timeout 9",
  },
  {
    rule: { ...V4, jump: "SET", delSet: "seen dst", addSet: "nets src", exist: true },
    save: "-j SET --add-set nets src --exist --del-set seen dst",
  },
  {
    rule: { jump: "SET", addSet: "any src,dst" },
    save: "-j SET --add-set any src,dst",
    save6: "-j SET --add-set any src,dst",
  },
  mangle({ mapSet: "marks src", mapMark: true }, "-j SET --map-set marks src --map-mark"),
  mangle(
    { mapSet: "marks src", mapMark: true, mapPrio: true, mapQueue: true },
    "-j SET --map-set marks src --map-mark --map-prio --map-queue",
  ),
  mangle(
    { addSet: "seen src", mapSet: "marks src", mapMark: true },
    "-j SET --add-set seen src --map-set marks src --map-mark",
  ),
  { rule: { jump: "SET" }, refused: ["jump", "addSet"] },
  { rule: { ...V4, jump: "SET", addSet: "sen src" }, refused: ["jump", "there is no set"] },
  { rule: { ...V4, jump: "SET", delSet: "seen src", exist: true }, refused: ["jump", "go with addSet"] },
  { rule: { ...V4, jump: "SET", addSet: "seen src", mapMark: true }, refused: ["jump", "go with mapSet"] },
  { rule: { ...V4, jump: "SET", mapSet: "marks src", mapMark: true }, refused: ["jump", "mangle only"] },
  { table: "mangle", rule: { ...V4, jump: "SET", mapSet: "marks src" }, refused: ["jump", "needs mapMark"] },
  {
    table: "mangle",
    chain: "PREROUTING",
    rule: { ...V4, jump: "SET", mapSet: "marks src", mapPrio: true },
    refused: ["jump", "POSTROUTING only"],
  },
];
specify("SET", specs, { sets });

/** The members of a set as they stand. */
function members(rig: Rig, name: string): string[] {
  const text = saveSet(rig.sets.get(name).ipv4!, rig.clock.now);
  return text.trimEnd().split("\n").slice(1).map((line) => line.replace(`add ${name} `, "")).sort();
}

Deno.test("SET: a member stays for its time, and for another time when it comes again with exist", () => {
  const rule = { ...V4, jump: "SET", addSet: "seen src" };
  const plain = new Rig({ filter: { FORWARD: [rule] } }, { sets });
  plain.run("filter", from("10.0.0.2"));
  assertEquals(members(plain, "seen"), ["10.0.0.2 timeout 60", "10.0.0.9 timeout 0"]);
  plain.clock.advance(40_000);
  plain.run("filter", from("10.0.0.2"));
  assertEquals(members(plain, "seen"), ["10.0.0.2 timeout 20", "10.0.0.9 timeout 0"]);
  plain.clock.advance(20_000);
  assertEquals(members(plain, "seen"), ["10.0.0.9 timeout 0"]);
  plain.run("filter", from("10.0.0.2"));
  assertEquals(members(plain, "seen"), ["10.0.0.2 timeout 60", "10.0.0.9 timeout 0"]);

  const again = new Rig({ filter: { FORWARD: [{ ...rule, exist: true, timeout: 30 }] } }, { sets });
  again.run("filter", from("10.0.0.2"));
  again.clock.advance(20_000);
  again.run("filter", from("10.0.0.2"));
  again.run("filter", from("10.0.0.9"));
  assertEquals(members(again, "seen"), ["10.0.0.2 timeout 30", "10.0.0.9 timeout 30"]);
});

Deno.test("SET: a full set takes no more, but in the place of what has expired, or of any if it was made so", () => {
  const rig = new Rig({
    filter: { FORWARD: ["small", "forced"].map((name) => ({ ...V4, jump: "SET", addSet: `${name} src` })) },
  }, { sets });
  for (const host of [1, 2, 3]) rig.run("filter", from(`10.0.0.${host}`));
  assertEquals(members(rig, "small"), ["10.0.0.1 timeout 60", "10.0.0.2 timeout 60"]);
  assertEquals(members(rig, "forced").length, 2);
  assertEquals(members(rig, "forced").includes("10.0.0.3"), true);
  rig.clock.advance(60_000);
  rig.run("filter", from("10.0.0.4"));
  assertEquals(members(rig, "small"), ["10.0.0.4 timeout 60"]);
  rig.sets.sweep();
  assertEquals(rig.sets.get("small").ipv4!.elements.count, 1);
});

Deno.test("SET: expired members go with the sweep, the oldest first, as many as came", () => {
  const entries = Array.from(
    { length: 2000 },
    (_, i) => `10.1.${i >> 8}.${i & 255} timeout ${1 + i * 7 % 100}`,
  );
  const rig = new Rig({}, { sets: { many: { type: "hash:ip", timeout: 5, entries } } });
  const { elements } = rig.sets.get("many").ipv4!;
  for (let second = 0; second <= 100; second++) {
    while (rig.sets.sweep());
    assertEquals(elements.count, entries.filter((entry) => Number(entry.split(" ")[2]) > second).length);
    rig.clock.advance(1000);
  }
});

Deno.test("SET: a member that stops ending and ends again goes at its own time, as do the others", () => {
  const entries = [10, 20, 30].map((timeout, i) => `10.0.0.${i + 1} timeout ${timeout}`);
  const add = (
    timeout: number,
  ) => [{ ...V4, jump: "SET" as const, addSet: "many src", exist: true, timeout }];
  const rig = new Rig({ raw: { PREROUTING: add(5) }, filter: { FORWARD: add(0) } }, {
    sets: { many: { type: "hash:ip", timeout: 50, entries } },
  });
  rig.run("filter", from("10.0.0.1"));
  rig.run("raw", from("10.0.0.1"), { hook: PREROUTING, out: 0, in: LAN });
  const { elements } = rig.sets.get("many").ipv4!;
  const counts = [4, 1, 15, 10].map((seconds) => {
    rig.clock.advance(seconds * 1000);
    while (rig.sets.sweep());
    return elements.count;
  });
  assertEquals(counts, [3, 2, 1, 0]);
});

Deno.test("SET: members that go make room for others, however many come", () => {
  const rig = new Rig({
    raw: { PREROUTING: [{ ...V4, jump: "SET", addSet: "few src" }] },
    filter: { FORWARD: [{ ...V4, jump: "SET", delSet: "few src" }] },
  }, { sets: { few: { type: "hash:ip", maxelem: 2, entries: [] } } });
  for (let host = 1; host < 200; host++) {
    rig.run("raw", from(`10.0.0.${host}`), { hook: PREROUTING, out: 0, in: LAN });
    assertEquals(members(rig, "few"), [`10.0.0.${host}`]);
    rig.run("filter", from(`10.0.0.${host}`));
  }
});

Deno.test("SET: a network takes the longest prefix of the set, and what is taken out is no member any more", () => {
  const rig = new Rig({
    raw: { PREROUTING: [{ ...V4, jump: "SET", addSet: "nets src" }] },
    filter: { FORWARD: [{ ...V4, jump: "SET", delSet: "nets src" }] },
  }, { sets });
  rig.run("raw", from("10.7.0.9"), { hook: PREROUTING, out: 0, in: LAN });
  assertEquals(members(rig, "nets"), ["10.0.0.0/24", "10.7.0.0/24", "10.9.0.0/16"]);
  rig.run("filter", from("10.0.0.3"));
  rig.run("filter", from("10.7.0.1"));
  assertEquals(members(rig, "nets"), ["10.9.0.0/16"]);
  rig.run("filter", from("10.9.0.1"));
  assertEquals(members(rig, "nets"), []);
});

Deno.test("SET: the mark of the packet's member, under its mask; without one the mark stays", () => {
  const rig = new Rig(
    { mangle: { FORWARD: [{ ...V4, jump: "SET", mapSet: "marks src", mapMark: true }] } },
    { sets },
  );
  const mark = (src: string) => {
    rig.run("mangle", from(src), { mark: 0x123 });
    return rig.p.mark;
  };
  assertEquals(["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"].map(mark), [0x5, 0x1f0, 0x123, 0x123]);
});
