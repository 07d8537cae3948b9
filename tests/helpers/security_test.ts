/**
 * Attacks on helpers that are known by name, through lenient helpers with the policy that closes them, and what the
 * same bytes do to a helper as Linux has it: the tests beside the kernel (tests/oracle) say that it is the same there.
 */
import { assert, assertEquals } from "@std/assert";
import { beginsLikeBrowser } from "../../src/conntrack/browser.ts";
import { amanda, defineHelper, ftp, irc, sane, talk, tftp } from "../../src/helpers/mod.ts";
import { HelperLab } from "../../src/helpers/testing.ts";
import { payloadBytes } from "../kit/packets.ts";
import { assertMistake } from "./mistakes.ts";

const POLICY = { minPort: 1024, samePeer: true, expectationsPerMinute: 10, refuseBrowsers: true } as const;
const guarded = [ftp({ ...POLICY, strict: false, loose: true }), irc({ ...POLICY, strict: false })];
const linux = [ftp(), irc()];
const loose = [ftp({ loose: true }), irc()];

const dcc = (address: number, port: number) => `PRIVMSG x :\x01DCC SEND f ${address} ${port}\x01\r\n`;
const OWN = 0x0a000002, NEIGHBOUR = 0x0a000003;

/** Opened expectations after a client has said some segments, behind source NAT. */
function opened(
  helpers: typeof linux,
  port: number,
  segments: readonly string[],
  server: string[] = [],
): string[] {
  const lab = new HelperLab({ helpers, nat: "source" }), talk = lab.connect({ port });
  talk.server("220 ready\r\n");
  talk.client(port === 21 ? "USER x\r\n" : "NICK x\r\n");
  for (const segment of segments) talk.tryClient(segment);
  for (const segment of server) talk.tryServer(segment);
  return lab.expectations();
}

Deno.test("an FTP bounce to a third host opens nothing but with loose, and with samePeer not even then (X01)", () => {
  for (
    const line of ["PORT 10,0,0,3,19,136\r\n", "EPRT |1|10.0.0.3|5000|\r\n", "PORT 192,0,2,9,19,136\r\n"]
  ) {
    assertEquals(opened(linux, 21, [line]), []);
    assertEquals(opened(loose, 21, [line]).length, 1);
    assertEquals(opened(guarded, 21, [line]), []);
  }
  const answer = "227 (10,0,0,3,0,22)\r\n";
  assertEquals(opened(linux, 21, [], [answer]), []);
  assertEquals(opened(guarded, 21, [], [answer]), []);
});

Deno.test("ports below minPort stay shut, 0 among them (X01)", () => {
  for (const [line, port] of [["PORT 10,0,0,2,0,22\r\n", 22], ["PORT 10,0,0,2,0,0\r\n", 0]] as const) {
    assertEquals(opened(linux, 21, [line]), [`tcp 198.51.100.7 → 203.0.113.1${port === 0 ? "" : ":22"}`]);
    assertEquals(opened(guarded, 21, [line]), []);
  }
  assertEquals(opened(linux, 6667, [dcc(OWN, 22)]), ["tcp anybody → 203.0.113.1:22"]);
  assertEquals(opened(guarded, 6667, [dcc(OWN, 22)]), []);
  assertEquals(opened(linux, 6667, [dcc(OWN, 0)]), []);
});

Deno.test("a forged DCC address opens nothing (C04, X02)", () => {
  for (const helpers of [linux, guarded]) {
    assertEquals(opened(helpers, 6667, [dcc(NEIGHBOUR, 5000), dcc(0xc6336407, 5000)]), []);
  }
  assertEquals(opened(guarded, 6667, [dcc(OWN, 5000)]), ["tcp 198.51.100.7 → 203.0.113.1:5000"]);
});

Deno.test("nobody makes a client announce by having it repeat something (CVE-2022-2663)", () => {
  for (const helpers of [linux, guarded]) {
    const echo = [`NOTICE x :${dcc(OWN, 5000)}`, `PRIVMSG x :hi :\x01DCC SEND f ${OWN} 5000\x01\r\n`];
    assertEquals(opened(helpers, 6667, echo), []);
  }
});

Deno.test("slipstreaming: a page's request opens Linux's helper by its second segment, not one that refuses browsers (X03, X04)", () => {
  const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n" + "a".repeat(1300) + "\r\n";
  const shapes: Record<string, string> = {
    http: head,
    tls: "\x16\x03\x01\x05\x00\x01" + "a".repeat(1300) + "\n",
    stun: "\x00\x03\x05\x00\x21\x12\xa4\x42" + "a".repeat(1300) + "\n",
  };
  for (const first of Object.values(shapes)) {
    for (const [port, announcement] of [[21, "PORT 10,0,0,2,19,136\r\n"], [6667, dcc(OWN, 5000)]] as const) {
      assertEquals(opened(linux, port, [first, announcement]).length, 1);
      assertEquals(opened(guarded, port, [first, announcement]), []);
      // In one segment only those read it that read every line.
      assertEquals(opened(linux, port, [first + announcement]), []);
      assertEquals(opened(guarded, port, [first + announcement]), []);
    }
  }
  assertEquals(opened([], 21, ["PORT 10,0,0,2,19,136\r\n"]), [], "without helpers nothing opens");
});

Deno.test("beginsLikeBrowser knows browsers from the clients that helpers are for", () => {
  const is = (text: string) => {
    const bytes = payloadBytes(text);
    return beginsLikeBrowser(bytes, 0, bytes.length);
  };
  for (
    const text of [
      "GET / HTTP/1.1\r\n",
      "POST /x",
      "PUT ",
      "\x16\x03\x03\0\xff\x01",
      "\0\x01\0\0\x21\x12\xa4\x42",
    ]
  ) {
    assert(is(text), text);
  }
  const others = [
    "PORT 1,2",
    "PASS x",
    "GETX",
    "get /",
    "OPTIONS * RTSP/1.0",
    "PRIVMSG",
    "",
    "\x16\x03",
    "\0\0\0\x07",
  ];
  for (const text of [...others, "\0\0\0\x07\0\0\0\x01", "RETR GET "]) assert(!is(text), text);
});

Deno.test("a flood of announcements stays within the rate, the class and the table (X13)", () => {
  const flood = Array.from({ length: 500 }, (_, i) => `PORT 10,0,0,2,${10 + (i >> 8)},${i & 255}\r\n`);
  assertEquals(opened(linux, 21, flood).length, 1);
  const lab = new HelperLab({ helpers: guarded, nat: "source" }), talk = lab.connect({ port: 21 });
  talk.client("USER x\r\n");
  for (const line of flood) talk.client(line);
  assertEquals([lab.counts().opened, lab.counts().refused], [10, 490]);
  // However many flows: no more than the table holds, and it is empty when they are over.
  const many = new HelperLab({ helpers: [irc()], expectations: 16 });
  for (let i = 0; i < 20; i++) {
    const flow = many.connect({ port: 6667 });
    for (let n = 0; n < 4; n++) flow.tryClient(dcc(OWN, 2000 + i * 10 + n));
  }
  assertEquals(many.expectations().length, 16);
  many.advance(301);
  many.dial({ from: many.outside, to: many.inside, port: 2000 });
  assertEquals(many.expectations().length, 0);
});

Deno.test("every helper takes the policy, and one of one's own does, too", () => {
  const own = defineHelper({ name: "own", protocol: "tcp", ports: [7000], find: () => {}, ...POLICY });
  for (const helper of [ftp, irc, tftp, amanda, sane, talk].map((make) => make(POLICY)).concat(own)) {
    assertEquals(helper.limits, { ...POLICY, record: undefined }, helper.name);
  }
});

Deno.test("a helper refuses options that it does not have, and flags that are neither true nor false", () => {
  const own = (o: object) =>
    defineHelper({
      name: "own",
      protocol: "tcp",
      ports: [7000],
      find: () => {},
      ...o as { minPort: number },
    });
  for (const make of [ftp, irc, tftp, amanda, sane, talk, own]) {
    assertEquals(make({} as never).mistakes, []);
    // A limit with a wrong name would limit nothing, and nobody would know.
    assertMistake(make({ minimum: 1024 } as never), "minimum", "is not an option of this helper; there are");
    // Nor who writes it as modprobe.conf does.
    for (
      const [wrong, right] of [["minport", "minPort"], ["min_port", "minPort"], ["auto_assign", "autoAssign"]]
    ) {
      assertMistake(make({ [wrong]: 1 } as never), wrong, `of this helper; did you mean ${right}?`);
    }
    assertMistake(make({ autoAssign: "no" } as never), "autoAssign", '"no" is not true or false');
    assertEquals(make({ minPort: undefined, autoAssign: false } as never).mistakes, []);
  }
  assertMistake(irc({ max_dcc_channels: 4 } as never), "max_dcc_channels", "did you mean maxDccChannels?");
  assertMistake(ftp({ port: 21 } as never), "port", "did you mean ports?");
  assertMistake(ftp({ strict: 0 } as never), "strict", "0 is not true or false");
  assertMistake(tftp({ strict: false } as never), "strict", "is not an option of this helper");
  assertMistake(amanda({ ports: [1] } as never), "ports", "is not an option of this helper");
  assertMistake(ftp({ ports: [0] }), "ports", "0 is not a port from 1 to 65535");
});

/** Of each helper an announcement: who makes it, and what has been said before. */
const SPOKEN: readonly {
  make: (o?: { minPort?: number }) => ReturnType<typeof ftp>;
  port: number;
  protocol?: "udp";
  before?: readonly (readonly ["client" | "server", string])[];
  by: "client" | "server";
  line: string;
}[] = [
  {
    make: ftp,
    port: 21,
    before: [["server", "220 x\r\n"], ["client", "USER x\r\n"]],
    by: "client",
    line: "EPRT |1|10.0.0.2|5000|\r\n",
  },
  { make: irc, port: 6667, before: [["client", "NICK x\r\n"]], by: "client", line: dcc(OWN, 5000) },
  { make: tftp, port: 69, protocol: "udp", by: "client", line: "\0\x01file\0octet\0" },
  {
    make: amanda,
    port: 10080,
    protocol: "udp",
    before: [["client", "REQ\n"]],
    by: "server",
    line: "A REP\nCONNECT DATA 5000 MESG 5001\n",
  },
  {
    make: sane,
    port: 6566,
    before: [["client", "\0\0\0\x07\0\0\0\x01"]],
    by: "server",
    line: "\0\0\0\0\0\0\x13\x88\0\0\x12\x34",
  },
];

Deno.test("no helper reads what an earlier packet has left behind the end of its own", () => {
  for (const { make, port, protocol, before = [], by, line } of SPOKEN) {
    for (let length = 1; length <= line.length; length++) {
      const opened = [line, "\0".repeat(line.length)].map((left) => {
        const lab = new HelperLab({ helpers: [make()] }), talk = lab.connect({ port, protocol });
        for (const [who, said] of before) talk[who](said);
        lab.connect({ port: 9999, protocol, clientPort: 1501 })[by](left);
        talk[by === "client" ? "tryClient" : "tryServer"](line.slice(0, length));
        return lab.expectations();
      });
      assertEquals(opened[0], opened[1], `${make().name}, ${length} bytes of ${line}`);
      if (length === line.length) assert(opened[0].length > 0, make().name);
    }
  }
});

Deno.test("no helper keeps an expectation whose master is gone", () => {
  for (const { make, port, protocol, before = [], by, line } of SPOKEN) {
    for (const nat of ["none", "source"] as const) {
      const lab = new HelperLab({ helpers: [make()], nat }), { conntrack } = lab;
      const talk = lab.connect({ port, protocol });
      for (const [who, said] of before) talk[who](said);
      talk[by](line);
      const { expects, flows } = conntrack, made = expects.high;
      assert(made > 0, make().name);
      for (let ct = flows.next(-1); ct >= 0; ct = flows.next(ct)) conntrack.delete(ct);
      const free = new Set(Array.from({ length: made }, () => expects.alloc()));
      assertEquals([Math.max(...free), free.size], [made - 1, made], make().name);
    }
  }
});

Deno.test("no helper keeps an expectation that a limit has refused", () => {
  for (const { make, port, protocol, before = [], by, line } of SPOKEN) {
    if (make === tftp) continue; // announces no port but its own
    for (const nat of ["none", "source"] as const) {
      const lab = new HelperLab({ helpers: [make({ minPort: 6000 })], nat });
      const talk = lab.connect({ port, protocol });
      for (const [who, said] of before) talk[who](said);
      talk[by](line);
      assertEquals([lab.expectations(), lab.counts().refused > 0], [[], true], make().name);
      assertEquals(lab.conntrack.expects.alloc(), 0, "the first record is free");
    }
  }
});
