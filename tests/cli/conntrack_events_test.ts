/** `weir conntrack -E` beside a router that is this process. */

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { Refused, Usage } from "../../src/cli/command.ts";
import { kindsOf, listen, type Listening } from "../../src/cli/conntrack_events.ts";
import { flush, list, remove } from "../../src/cli/conntrack.ts";
import { filterOf } from "../../src/cli/conntrack_filter.ts";
import { labelNames, outputOf } from "../../src/cli/conntrack_output.ts";
import { EVENTS } from "../../src/conntrack/events.ts";
import { ftp } from "../../src/helpers/mod.ts";
import { udp } from "../kit/mod.ts";
import { libc } from "deno_tun";
import { CLIENT, OwnRouter, SERVER } from "./router.ts";
import { Folder, weir } from "./weir.ts";

// Opened once for all, before a test could be blamed for leaving it open.
libc();

const pause = (milliseconds = 60) => new Promise((done) => setTimeout(done, milliseconds));

/** One that listens to a router in this process. */
class Ear {
  readonly printed: string[] = [];
  readonly said: string[] = [];
  readonly ended: Promise<number>;
  readonly #abort = new AbortController();
  readonly #own: OwnRouter;
  readonly #before: number;

  constructor(own: OwnRouter, what: Partial<Listening> = {}) {
    this.#own = own;
    this.#before = own.state.memory.events.wanted;
    this.ended = listen({
      expects: false,
      filter: null,
      output: {},
      json: false,
      abort: this.#abort.signal,
      directory: own.folder.path,
      print: (text) => this.printed.push(...text.split("\n")) > 0,
      complain: (text) => this.said.push(text),
      ...what,
    });
  }

  /** Until the router knows of it. */
  async begun(): Promise<this> {
    for (let i = 0; i < 200 && this.#own.state.memory.events.wanted === this.#before; i++) await pause(5);
    return this;
  }

  async end(): Promise<{ code: number; printed: string[]; said: string[] }> {
    await pause();
    this.#abort.abort();
    return { code: await this.ended, printed: this.printed, said: this.said };
  }
}

const dns = (own: OwnRouter, sport: number) =>
  own.send(1, udp({ src: CLIENT, sport, dst: SERVER, dport: 53 }));
const flow = (sport: number) => `src=${CLIENT} dst=${SERVER} sport=${sport} dport=53`;
const back = (sport: number) => `src=${SERVER} dst=${CLIENT} sport=53 dport=${sport}`;
const shown = (n: number, what = "flow") =>
  `conntrack v1.4.7 (conntrack-tools): ${n} ${what} events have been shown.`;

Deno.test("conntrack -E prints what happens to flows, and how much it was", async () => {
  using own = new OwnRouter({ helpers: [ftp()] });
  dns(own, 1);
  const ear = await new Ear(own).begun();
  dns(own, 2);
  own.send(2, udp({ src: SERVER, sport: 53, dst: CLIENT, dport: 2 }));
  await remove(filterOf({ sport: "2" })!, "gateway", own.folder.path);
  await flush("gateway", own.folder.path);
  assertEquals(await ear.end(), {
    code: 0,
    printed: [
      `    [NEW] udp      17 30 ${flow(2)} [UNREPLIED] ${back(2)}`,
      ` [UPDATE] udp      17 30 ${flow(2)} ${back(2)}`,
      `[DESTROY] udp      17 29 ${flow(2)} ${back(2)} [USERSPACE] portid=${Deno.pid}`,
    ].map((line, i) =>
      i < 2 ? line : line.replace(" 29 ", / (\d+) src/.exec(ear.printed[2])![0].slice(0, -3))
    ),
    said: [shown(3)],
  });
  for (let i = 0; i < 200 && own.state.memory.events.wanted !== 0; i++) await pause(5);
  assertEquals(own.state.memory.events.wanted, 0);
});

Deno.test("conntrack -E expect prints what happens to expectations, with and without a filter", async () => {
  using own = new OwnRouter({ helpers: [ftp()] });
  const all = await new Ear(own, { expects: true }).begun();
  const none = new Ear(own, { expects: true, filter: filterOf({ proto: "udp" }) });
  const some = new Ear(own, { expects: true, filter: filterOf({ dport: "5000" }), json: true });
  await pause();
  own.connect();
  own.say("PORT 192,0,2,2,19,136\r\n");
  await flush("gateway", own.folder.path);
  const { printed, said } = await all.end();
  assertEquals([printed.length, said], [2, [shown(2, "expectation")]]);
  assertMatch(
    printed[0],
    /^ {4}\[NEW\] 300 proto=6 src=198\.51\.100\.7 dst=192\.0\.2\.2 sport=0 dport=5000 mask-src=/,
  );
  assertMatch(printed[1], /^\[DESTROY\] (300|299) proto=6 .* class=0 helper=ftp$/);
  assertEquals((await none.end()).said, [shown(0, "expectation")]);
  const data = (await some.end()).printed.map((line) => JSON.parse(line));
  assertEquals(data.map(({ event, dport, helper }) => [event, dport, helper]), [
    ["NEW", "5000", "ftp"],
    ["DESTROY", "5000", "ftp"],
  ]);
});

Deno.test("conntrack -E takes the filter of -L, kinds of events, and JSON", async () => {
  using own = new OwnRouter({
    tables: { mangle: { PREROUTING: [{ protocol: "udp", sport: 7, jump: "CONNMARK", setMark: 5 }] } },
    sysctl: { "net.netfilter.nf_conntrack_acct": 1, "net.netfilter.nf_conntrack_max": 100 },
  });
  const marked = await new Ear(own, { filter: filterOf({ mark: "5" }), json: true }).begun();
  const ends = new Ear(own, { mask: "DESTROY", filter: filterOf({ src: `${CLIENT}/32`, sport: "8" }) });
  await pause();
  const before = Date.now() / 1000;
  for (const sport of [6, 7, 8]) dns(own, sport);
  await flush("gateway", own.folder.path);
  const data = (await marked.end()).printed.map((line) => JSON.parse(line));
  const direction = (src: string, dst: string, sport: string, dport: string) => ({ src, dst, sport, dport });
  const there = direction(CLIENT, SERVER, "7", "53"), again = direction(SERVER, CLIENT, "53", "7");
  for (const { time } of data) assertEquals(Math.abs(time - before) < 60, true);
  const common = { protocol: "udp", number: 17, mark: 5 };
  assertEquals(data.map(({ time: _time, timeout: _timeout, ...rest }) => rest), [
    { ...common, event: "NEW", original: there, reply: again, flags: ["UNREPLIED"] },
    {
      ...common,
      event: "DESTROY",
      original: { ...there, packets: "1", bytes: "28" },
      reply: { ...again, packets: "0", bytes: "0" },
      flags: ["UNREPLIED", "USERSPACE"],
      portid: Deno.pid,
    },
  ]);
  const { printed } = await ends.end();
  assertEquals(printed.length, 1);
  assertMatch(printed[0], /^\[DESTROY\] udp .* sport=8 /);
});

Deno.test("conntrack -E says how many events it has missed", async () => {
  using own = new OwnRouter({ helpers: [ftp()], sysctl: { "net.netfilter.nf_conntrack_max": 40_000 } });
  const ear = await new Ear(own).begun();
  // All at once, so that nobody can read in between.
  for (let n = 0; n < EVENTS + 1000; n++) dns(own, 1000 + n);
  for (let i = 0; i < 200 && ear.printed.length < EVENTS / 2; i++) await pause(20);
  const { printed, said } = await ear.end();
  assertEquals(said.length, 2);
  const lost = Number(/^weir: events lost: (\d+)$/.exec(said[0])?.[1]);
  assertEquals([printed.length + lost, said[1]], [EVENTS + 1000, shown(printed.length)]);
});

Deno.test("conntrack -E ends when nobody reads it", async () => {
  using own = new OwnRouter({ helpers: [ftp()] });
  const ear = await new Ear(own, { print: () => false }).begun();
  dns(own, 1);
  assertEquals([await ear.ended, ear.said], [0, [shown(0)]]);
});

Deno.test("conntrack -E ends when the router has ended, and says so", async () => {
  const own = new OwnRouter({ helpers: [ftp()] });
  const ear = await new Ear(own).begun();
  dns(own, 1);
  own.end();
  await assertRejects(() => ear.ended, Refused, "router gateway has ended");
  assertEquals([ear.printed.length, ear.said], [1, [shown(1)]]);
  own[Symbol.dispose]();
});

Deno.test("conntrack -L -o shows ids, families, moments and labels", () => {
  using own = new OwnRouter({
    iptables:
      "*mangle\n-A PREROUTING -m connlabel --label 40 --set\n-A PREROUTING -m connlabel --label 3 --set\nCOMMIT\n",
    sysctl: { "net.netfilter.nf_conntrack_timestamp": 1, "net.netfilter.nf_conntrack_max": 100 },
  });
  dns(own, 1);
  const line = (words: string) =>
    list("conntrack", undefined, own.folder.path, null, outputOf(words, false))[0];
  assertMatch(line("extended,id"), /^ipv4 {5}2 udp {6}17 .* delta-time=\d+ use=1 id=1$/);
  assertMatch(
    line("ktimestamp"),
    / delta-time=\d+ \[start=\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\] use=1$/,
  );
  assertMatch(line("labels"), / use=1 labels=3,40$/);
  assertMatch(line("timestamp"), / use=1$/);
});

Deno.test("labels have the names of connlabel.conf, the first of several, and a missing file none", () => {
  using folder = new Folder();
  const path = folder.write("connlabel.conf", "# labels\n3 web\n40 bad guy\n40 bad-guy\nnone\n");
  assertEquals([...labelNames(path)], [[3, "web"], [40, "bad guy"]]);
  assertEquals(labelNames(`${path}.not`).size, 0);
});

Deno.test("conntrack -E refuses what makes no sense", () => {
  assertThrows(() => kindsOf("NEW,OLD", false), Usage, "-e OLD: it takes ALL, NEW, UPDATES, DESTROY");
  assertThrows(
    () => outputOf("id,colour", true),
    Usage,
    "-o colour: it takes timestamp, id, extended, ktimestamp, labels",
  );
});

const WRONG: readonly (readonly string[])[] = [
  ["-E", "-L"],
  ["-E", "flows"],
  ["-E", "-e", "toString"],
  ["-L", "-e", "NEW"],
  ["-C", "-o", "id"],
  ["-L", "expect", "-o", "id"],
  ["-E", "expect", "-m", "1"],
  ["-E", "expect", "-r", "192.0.2.1"],
];
for (const args of WRONG) {
  Deno.test(`weir conntrack ${args.join(" ")} is wrong usage`, async () => {
    assertEquals((await weir(["conntrack", ...args])).code, 2);
  });
}

Deno.test("weir conntrack -E is refused where no router runs", async () => {
  using folder = new Folder();
  const { code, stderr } = await weir(["conntrack", "-E", "--name", "nobody"], folder.path);
  assertEquals([code, stderr.includes("no router is running that is called nobody")], [1, true]);
});
