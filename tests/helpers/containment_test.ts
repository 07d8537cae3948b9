import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { EXP_STATE, EXP_WORDS } from "../../src/conntrack/expect.ts";
import { CT_HELPER, FLOW_WORDS, tupleAt } from "../../src/conntrack/flow.ts";
import type { ConntrackHelper } from "../../src/conntrack/helper.ts";
import { HELPER_COUNTS, HELPER_FAILED, HELPER_OPENED, HELPER_REFUSED } from "../../src/conntrack/helping.ts";
import { DST, SRC } from "../../src/conntrack/tuple.ts";
import { conntrackFtp, defineHelper, ftp, irc, tftp } from "../../src/helpers/mod.ts";
import { HelperLab } from "../../src/helpers/testing.ts";
import { ACCEPT, DROP, NEW, RELATED, REPLY, STOLEN, TCP } from "../../src/netfilter.ts";
import * as kit from "../kit/mod.ts";
import { Lab, LAN, masquerade, WAN } from "../nat/lab.ts";
import { Control, expectations, result } from "./control.ts";
import { assertMistake } from "./mistakes.ts";

const C = "10.0.0.2", S = "198.51.100.7", M = "203.0.113.1";

type Help = ConntrackHelper["help"];

/** A helper on port 21 that does what it is told. */
const odd = (help: Help, o: Partial<ConntrackHelper> = {}): ConntrackHelper => ({
  name: "odd",
  protocol: TCP,
  families: [4, 6],
  ports: [21],
  autoAssign: true,
  policies: [{ name: "odd", maxExpected: 0, timeout: 300 }],
  help,
  ...o,
});

const handshake = (helper: ConntrackHelper) => {
  const s = new Control(new Lab({ helpers: [helper] }), { seenClient: C });
  s.lab.pass(LAN, kit.tcp({ src: C, sport: 40000, dst: S, dport: 21, flags: "S", seq: 1000 }));
  return s;
};

const count = (l: Lab, what: number, helper = 0) =>
  l.conntrack.helperCounts[helper * HELPER_COUNTS.length + what];

/** Expectation records in use, in the table or held. */
function records(l: Lab): number {
  const { expects } = l.conntrack;
  let n = 0;
  for (let exp = 0; exp < expects.high; exp++) if (expects.words[exp * EXP_WORDS + EXP_STATE] !== 0) n++;
  return n;
}

/** Expects any flow to one port of the client. */
function expectPort(conntrack: Parameters<Help>[0], ct: number, port: number): number {
  const exp = conntrack.expectAlloc(ct), w = conntrack.flows.words, reply = tupleAt(ct, REPLY);
  conntrack.expectInit(exp, 0, 4, w, reply + SRC, w, reply + DST, TCP, -1, port);
  return exp;
}

const FAILURES: Record<string, Help> = {
  "throws an error": () => {
    throw new TypeError("no\nsuch thing");
  },
  "throws something strange": () => {
    throw Object.create(null);
  },
  "answers what is no verdict": () => STOLEN,
  "answers nothing": () => undefined as never,
  "leaves a packet that is too long": (_, p) => {
    p.length = 70_000;
    return ACCEPT;
  },
  "leaves a packet that is too short": (_, p) => {
    p.length = 3;
    return ACCEPT;
  },
  "asks for expectations without end": (conntrack, _, ct) => {
    for (let port = 1;; port++) {
      const exp = expectPort(conntrack, ct, port);
      conntrack.expectRelated(exp);
      conntrack.expectPut(exp);
    }
  },
  "holds expectations and throws": (conntrack, _, ct) => {
    expectPort(conntrack, ct, 1);
    conntrack.expectRelated(expectPort(conntrack, ct, 2));
    throw new Error("in the middle");
  },
  "asks for a class that it has not": (conntrack, _, ct) => {
    const exp = conntrack.expectAlloc(ct), w = conntrack.flows.words, reply = tupleAt(ct, REPLY);
    conntrack.expectInit(exp, 3, 4, w, reply + SRC, w, reply + DST, TCP, -1, 9);
    conntrack.expectRelated(exp);
    return ACCEPT;
  },
};

for (const onFailure of ["accept", "drop"] as const) {
  for (const [what, help] of Object.entries(FAILURES)) {
    Deno.test(`a helper that ${what} is contained: ${onFailure}`, () => {
      const l = new Lab({ helpers: [odd(help, { onFailure })] });
      const syn = kit.tcp({ src: C, sport: 40000, dst: S, dport: 21, flags: "S", seq: 1000 });
      const o = l.send(LAN, syn);
      const cut = what.includes("too ");
      if (onFailure === "drop" || cut) assertEquals([o.iface, o.reason], [-1, "helper-failed"]);
      else assertEquals(o.iface, WAN);
      assertEquals(count(l, HELPER_FAILED), 1);
      assertEquals(records(l), 0);
      assertEquals(l.log.length, 1);
      assertMatch(
        l.log[0],
        new RegExp(
          `^nf_ct_odd: helper failed, ${cut || onFailure === "drop" ? "dropping" : "accepting"} packet; ` +
            "flow tcp 10\\.0\\.0\\.2:40000 → 198\\.51\\.100\\.7:21 goes on without it: [^\\n]+$",
        ),
      );
    });
  }
}

Deno.test("a flow whose helper has failed goes on without it, and other flows keep theirs", () => {
  let calls = 0;
  const s = handshake(odd(() => {
    if (++calls === 2) throw new Error("once");
    return ACCEPT;
  }));
  const ct = s.lab.flows()[0], w = s.lab.conntrack.flows.words;
  assertEquals(w[ct * FLOW_WORDS + CT_HELPER], 1);
  s.lab.pass(WAN, kit.tcp({ src: S, sport: 21, dst: C, dport: 40000, flags: "SA", seq: 5000, ack: 1001 }));
  assertEquals(w[ct * FLOW_WORDS + CT_HELPER], 0);
  s.lab.pass(LAN, kit.tcp({ src: C, sport: 40000, dst: S, dport: 21, flags: "A", seq: 1001, ack: 5001 }));
  assertEquals(calls, 2);
  s.lab.pass(LAN, kit.tcp({ src: C, sport: 40001, dst: S, dport: 21, flags: "S", seq: 1 }));
  assertEquals([calls, s.lab.log.length, count(s.lab, HELPER_FAILED)], [3, 1, 1]);
});

Deno.test("a helper that drops without a reason has its packets counted all the same", () => {
  const l = new Lab({ helpers: [odd(() => DROP)] });
  const o = l.send(LAN, kit.tcp({ src: C, sport: 1, dst: S, dport: 21, flags: "S", seq: 1 }));
  assertEquals([o.iface, o.reason, count(l, HELPER_FAILED)], [-1, "helper-malformed", 0]);
});

// ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────────

const control = (o: Parameters<typeof ftp>[0], half: typeof ftp = conntrackFtp) =>
  new Control(new Lab({ helpers: [half(o)], rules: half === ftp ? masquerade : undefined }), {
    seenClient: half === ftp ? M : C,
  }).open();

Deno.test("minPort lets announcements of lower ports pass unread (X01)", () => {
  for (const half of [conntrackFtp, ftp]) {
    const s = control({ minPort: 1024 }, half);
    assertEquals(s.fromClient("PORT 10,0,0,2,3,255\r\n").payload, "PORT 10,0,0,2,3,255\r\n");
    assertEquals(expectations(s.lab), []);
    assertEquals(count(s.lab, HELPER_REFUSED), 1);
    assertMatch(
      s.lab.log[0],
      /^nf_ct_ftp: not opening tcp 198\.51\.100\.7 → .*:1023 for .*: minPort is 1024$/,
    );
    s.fromClient("PORT 10,0,0,2,4,0\r\n");
    assertEquals(expectations(s.lab).length, 1);
    assertEquals(count(s.lab, HELPER_OPENED), 1);
  }
});

Deno.test("samePeer opens nothing for a third host, and only the flow's other end may come", () => {
  const s = control({ loose: true, samePeer: true });
  s.fromClient("PORT 10,0,0,3,19,136\r\n");
  assertEquals(expectations(s.lab), []);
  s.fromClient("PORT 10,0,0,2,19,136\r\n");
  assertEquals(expectations(s.lab), [`src=${S} dst=${C} sport=0 dport=5000`]);

  const chat = new Control(new Lab({ helpers: [irc({ samePeer: true })], rules: masquerade }), {
    dport: 6667,
  }).open();
  chat.fromClient("PRIVMSG you :\x01DCC SEND f 167772162 5000\x01\r\n");
  assertEquals(expectations(chat.lab), [`src=${S} dst=${M} sport=0 dport=5000`]);
  const dial = (src: string) =>
    chat.lab.send(WAN, kit.tcp({ src, dst: M, sport: 7, dport: 5000, flags: "S", seq: 1 }));
  assertEquals([dial("192.0.2.9").ctinfo, dial(S).ctinfo], [NEW, RELATED]);
});

Deno.test("samePeer opens nothing for a third host whose IPv6 address is like the client's", () => {
  const own = "2001:db8:1::2";
  const s = new Control(new Lab({ helpers: [conntrackFtp({ loose: true, samePeer: true })] }), {
    client: own,
    server: "2001:db8:9::7",
    seenClient: own,
  }).open();
  for (const other of ["2001:db9:1::2", "2001:db8:2::2", "2001:db8:1:0:1::2", "2001:db8:1::3"]) {
    s.fromClient(`EPRT |2|${other}|5000|\r\n`);
    assertEquals(expectations(s.lab), [], other);
  }
  s.fromClient(`EPRT |2|${own}|5000|\r\n`);
  assertEquals(expectations(s.lab).length, 1);
});

Deno.test("samePeer lets the other end come and nobody whose address is like it, in both families", () => {
  const like = {
    4: ["198.51.100.6", "198.50.100.7"],
    6: ["2001:db9:9::7", "2001:db8:8::7", "2001:db8:9:0:1::7", "2001:db8:9::6"],
  };
  for (const family of [4, 6] as const) {
    const announcer = defineHelper({
      name: "announcer",
      protocol: "tcp",
      ports: [7000],
      samePeer: true,
      find: (payload) => payload.announce({ port: 5000, from: "anybody", start: 0, end: payload.length }),
    });
    const lab = new HelperLab({ helpers: [announcer], family });
    lab.connect({ port: 7000 }).client("here");
    const inside = family === 4 ? "10.0.0.2" : "2001:db8:1::2";
    const dial = (from: string, fromPort: number) =>
      lab.dial({ from, to: inside, port: 5000, fromPort })?.related;
    for (const [i, from] of like[family].entries()) assertEquals(dial(from, 1000 + i), false, from);
    assertEquals(dial(lab.outside, 1), true);
  }
});

Deno.test("expectationsPerMinute is a flow's, and minutes pass (X13)", () => {
  const s = control({ expectationsPerMinute: 2 });
  const opened = () => count(s.lab, HELPER_OPENED);
  for (let i = 0; i < 5; i++) s.fromClient(`PORT 10,0,0,2,19,${i}\r\n`);
  assertEquals([opened(), count(s.lab, HELPER_REFUSED)], [2, 3]);
  s.lab.clock.advance(59_000);
  s.fromClient("PORT 10,0,0,2,19,9\r\n");
  assertEquals(opened(), 2);
  s.lab.clock.advance(1_000);
  s.fromClient("PORT 10,0,0,2,19,9\r\n");
  assertEquals(opened(), 3);
  const b = new Control(s.lab, { client: "10.0.0.3", seenClient: "10.0.0.3" }).open();
  b.fromClient("PORT 10,0,0,3,19,9\r\n");
  assertEquals(opened(), 4);
});

Deno.test("limits hold for a helper that does not ask about them", () => {
  const help: Help = (conntrack, _, ct) => {
    const exp = expectPort(conntrack, ct, 22);
    conntrack.expectRelated(exp);
    conntrack.expectPut(exp);
    return ACCEPT;
  };
  const s = handshake(odd(help, { limits: { minPort: 1024 } }));
  assertEquals([records(s.lab), count(s.lab, HELPER_REFUSED)], [0, 1]);
});

Deno.test("record keeps which bytes of which flow opened which pinhole", () => {
  const s = control({ record: true }, ftp);
  s.fromClient("PORT 10,0,0,2,19,136\r\n");
  const [pinhole] = s.lab.conntrack.pinholes;
  assertEquals(pinhole, {
    number: 1,
    time: Math.floor(s.lab.clock.wall),
    helper: "ftp",
    assigned: "port",
    rule: "autoAssign tcp 21",
    id: pinhole.id,
    flow: "tcp 10.0.0.2:40000 → 198.51.100.7:21",
    expected: "tcp 198.51.100.7 → 203.0.113.1:5000",
    announced: "10,0,0,2,19,136",
  });
  assert(pinhole.id > 0);
  assertEquals(s.lab.log, [
    `nf_ct_ftp: opened ${pinhole.expected} for ${pinhole.flow} (id ${pinhole.id}, by autoAssign tcp 21): "10,0,0,2,19,136"`,
  ]);
  for (let i = 0; i < 300; i++) s.fromClient(`PORT 10,0,0,2,${20 + (i >> 8)},${i & 255}\r\n`);
  assertEquals(s.lab.conntrack.pinholes.length, 256);
  assertEquals(s.lab.conntrack.pinholes.at(-1)!.announced, "10,0,0,2,21,43");
});

Deno.test("unprintable bytes of an announcement are shown as numbers", () => {
  const l = new Lab({ helpers: [tftp({ record: true })] });
  l.pass(LAN, kit.udp({ src: C, sport: 1000, dst: S, dport: 69, payload: '\0\x01"f"\\\0octet\0' }));
  assertEquals(l.conntrack.pinholes[0].announced, "\\x00\\x01\\x22f\\x22\\x5c\\x00octet\\x00");
});

Deno.test("nothing is limited, and no bytes are recorded, unless it is asked for", () => {
  const s = control({}, ftp);
  s.fromClient("PORT 10,0,0,2,0,22\r\n");
  assertEquals(expectations(s.lab), [`src=${S} dst=${M} sport=0 dport=22`]);
  assertEquals(s.lab.conntrack.pinholes.map(({ expected, announced }) => [expected, announced]), [
    [`tcp ${S} → ${M}:22`, null],
  ]);
  assertEquals(s.lab.log, []);
  assertEquals(ftp().limits, null);
});

Deno.test("policies that make no sense are refused by every helper", () => {
  for (const half of [ftp, irc, tftp] as ((o: object) => ConntrackHelper)[]) {
    assertMistake(half({ minPort: 65536 }), "minPort");
    assertMistake(half({ expectationsPerMinute: 0 }), "expectationsPerMinute");
    assertMistake(half({ minPort: "22" }), "minPort");
    assertMistake(half({ samePeer: 1 }), "samePeer");
    assertMistake(half({ onFailure: "pass" }), "onFailure");
  }
});

// ── unloading ───────────────────────────────────────────────────────────────────────────────────────────────────

Deno.test("unloadHelper removes its expectations and lets go of its flows; loadHelper serves new ones", () => {
  const l = new Lab({ helpers: [conntrackFtp(), conntrackFtp({ ports: [2121] })] });
  const a = new Control(l, { seenClient: C }).open();
  const b = new Control(l, { seenClient: C, sport: 40002, dport: 2121 }).open();
  a.fromClient("PORT 10,0,0,2,19,136\r\n");
  b.fromClient("PORT 10,0,0,2,19,137\r\n");
  assertEquals(expectations(l).length, 2);
  assertEquals(l.conntrack.unloadHelper(0), { flows: 1, expectations: 1 });
  assertEquals(expectations(l), [`src=${S} dst=${C} sport=0 dport=5001`]);
  assertEquals(l.list().filter((line) => / helper=ftp( |$)/.test(line)).length, 0);
  assertEquals(l.list().filter((line) => line.includes("helper=ftp-2121")).length, 1);
  a.fromClient("PORT 10,0,0,2,19,138\r\n");
  assertEquals(expectations(l).length, 1);
  const c = new Control(l, { seenClient: C, sport: 40003 }).open();
  assertEquals(result(c.tryClient("PORT")), "PORT");
  l.conntrack.loadHelper(0);
  const d = new Control(l, { seenClient: C, sport: 40004 }).open();
  d.fromClient("PORT 10,0,0,2,19,139\r\n");
  assertEquals(expectations(l).length, 2);
  assertEquals(l.conntrack.unloadHelper(0), { flows: 1, expectations: 1 });
  assertEquals(l.conntrack.unloadHelper(0), { flows: 0, expectations: 0 });
  for (const wrong of [-1, 2, 0.5]) assertThrows(() => l.conntrack.unloadHelper(wrong), RangeError);
});

Deno.test("unloadHelper leaves children alone but for what rules may ask of their master", () => {
  const l = new Lab({ helpers: [ftp()], rules: masquerade });
  const s = new Control(l).open();
  s.fromClient("PORT 10,0,0,2,19,136\r\n");
  assertEquals(s.serverDials(5000).ctinfo, RELATED);
  l.conntrack.unloadHelper(0);
  assertEquals(l.flows().length, 2);
  const back = kit.tcp({ src: C, sport: 5000, dst: S, dport: 20, flags: "SA", seq: 9, ack: 2 });
  assertEquals(kit.parse(l.pass(LAN, back)).src, M);
  // What has been rewritten stays consistent: sequence numbers are adjusted without the helper.
  assertEquals(s.fromServer("200 ok\r\n").payload, "200 ok\r\n");
});
