import { assertEquals } from "@std/assert";
import { conntrackTalk, talk } from "../../src/helpers/mod.ts";
import { type Conversation, HelperLab, type HelperLabOptions } from "../../src/helpers/testing.ts";
import { addressBytes, be, concat } from "../kit/packets.ts";
import { assertMistake } from "./mistakes.ts";

const LOOK_UP = 1, ANNOUNCE = 3, SUCCESS = 0, NOT_HERE = 1;

/** 4.3BSD's struct sockaddr. */
const sockaddr = (address: string, port: number) =>
  concat([0, 2], be(port, 2), addressBytes(address), new Uint8Array(8));
const name = (text: string, length: number) => {
  const bytes = new Uint8Array(length);
  new TextEncoder().encodeInto(text, bytes);
  return bytes;
};

/** The message formats, from protocols/talkd.h. */
interface Format {
  port: number;
  request(type: number, addr: Uint8Array, ctl: Uint8Array): Uint8Array;
  response(type: number, answer: number, addr: Uint8Array): Uint8Array;
}
const names = () => [name("ann", 12), name("bob", 12), name("", 16)];
const FORMATS: Record<string, Format> = {
  "talk": {
    port: 517,
    request: (type, addr, ctl) =>
      concat([type], name("ann", 9), name("bob", 9), [0], be(7, 4), be(99, 4), name("", 16), addr, ctl),
    response: (type, answer, addr) => concat([type, answer, 0, 0], be(7, 4), addr),
  },
  "ntalk": {
    port: 518,
    request: (type, addr, ctl) => concat([1, type, 0, 0], be(7, 4), addr, ctl, be(99, 4), ...names()),
    response: (type, answer, addr) => concat([1, type, answer, 0], be(7, 4), addr),
  },
  "ntalk2": {
    port: 518,
    request: (type, addr, ctl) =>
      concat([2, type, 0, 5], be(7, 4), addr, ctl, be(99, 4), ...names(), name("extra", 5)),
    response: (type, answer, addr) => concat([2, type, answer, 1], be(7, 4), addr, name("bob", 12)),
  },
};
const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);
const NOWHERE = sockaddr("0.0.0.0", 0);

const lab = (o: Partial<HelperLabOptions> = {}) => new HelperLab({ helpers: [talk()], ...o });
const ask = (l: HelperLab, f: Format, clientPort = 1500) =>
  l.connect({ port: f.port, protocol: "udp", clientPort });

/** The caller announces, and the callee's daemon has told the callee. */
function announce(l: HelperLab, f: Format, caller: string): Conversation {
  const c = ask(l, f);
  c.client(f.request(ANNOUNCE, sockaddr(caller, 4000), sockaddr(caller, 1500)));
  c.server(f.response(ANNOUNCE, SUCCESS, NOWHERE));
  return c;
}

for (const [version, f] of Object.entries(FORMATS)) {
  Deno.test(`conntrackTalk finds that the callee will ask, and then where the talk will be: ${version}`, () => {
    const l = lab({ helpers: [conntrackTalk()] });
    announce(l, f, l.inside);
    assertEquals(l.expectations(), [`udp ${l.outside} → ${l.inside}:${f.port}`]);
    const question = { protocol: "udp", from: l.outside, to: l.inside, port: f.port } as const;
    assertEquals(l.dial(question)?.related, true);

    // "Not here" announces nothing, whatever stands behind it.
    const other = lab({ helpers: [conntrackTalk()] }), c = ask(other, f);
    for (const type of [ANNOUNCE, LOOK_UP]) {
      c.client(f.request(type, NOWHERE, NOWHERE));
      const refusal = f.response(type, NOT_HERE, sockaddr(other.outside, 4000));
      assertEquals([c.server(refusal), other.expectations()], [text(refusal), []]);
    }
  });

  Deno.test(`talk tells the daemon addresses that it can answer to: ${version}`, () => {
    const l = lab({ nat: "source" }), c = ask(l, f);
    const said = f.request(ANNOUNCE, sockaddr(l.inside, 4000), sockaddr(l.inside, 1500));
    const told = f.request(ANNOUNCE, sockaddr(l.router, 4000), sockaddr(l.router, 1500));
    assertEquals(c.client(said), text(told));
    // Another's addresses stay.
    const odd = f.request(ANNOUNCE, sockaddr("10.0.0.9", 4000), sockaddr("10.0.0.9", 1500));
    assertEquals(c.client(odd), text(odd));
    // A second client with the same port is seen with another; the daemon must answer to that.
    const second = l.connect({ port: f.port, protocol: "udp", clientPort: 1500, client: "10.0.0.3" });
    const answer = second.client(f.request(ANNOUNCE, sockaddr("10.0.0.3", 4000), sockaddr("10.0.0.3", 1500)));
    const at = version === "talk" ? 60 : 24;
    const port = answer.charCodeAt(at + 2) << 8 | answer.charCodeAt(at + 3);
    assertEquals(answer.slice(at + 4, at + 8), text(addressBytes(l.router)));
    assertEquals(l.conntrack.flows.count, 2);
    assertEquals(port === 1500, false);
  });

  Deno.test(`talk leads a whole talk to a caller behind NAT: ${version}`, () => {
    const l = lab({ nat: "source" });
    announce(l, f, l.inside);
    assertEquals(l.expectations(), [`udp ${l.outside} → ${l.router}:${f.port}`]);
    // The callee asks the caller's daemon, which knows only its own address.
    const question = l.connect({ client: l.outside, server: l.router, port: f.port, protocol: "udp" });
    const asks = f.request(LOOK_UP, sockaddr(l.outside, 4001), sockaddr(l.outside, 40000));
    assertEquals(question.client(asks), text(asks));
    const answer = question.server(f.response(LOOK_UP, SUCCESS, sockaddr(l.inside, 4000)));
    assertEquals(answer, text(f.response(LOOK_UP, SUCCESS, sockaddr(l.router, 4000))));
    assertEquals(l.expectations(), [`tcp ${l.outside} → ${l.router}:4000`]);
    const dialled = l.dial({ from: l.outside, to: l.router, port: 4000 });
    assertEquals(dialled, { related: true, from: `${l.outside}:50000`, to: `${l.inside}:4000` });
    // Nobody gave the callee's question to the helper but the caller's announcement.
    assertEquals(l.pinholes.map(({ rule }) => rule), [`autoAssign udp ${f.port}`, "autoAssign"]);
  });

  Deno.test(`conntrackTalk ignores messages of another size: ${version}`, () => {
    for (const change of [(b: Uint8Array) => b.subarray(1), (b: Uint8Array) => concat(b, [0])]) {
      const l = lab({ nat: "source" }), c = ask(l, f);
      const request = change(f.request(ANNOUNCE, sockaddr(l.inside, 4000), sockaddr(l.inside, 1500)));
      assertEquals(c.client(request), text(request));
      c.server(change(f.response(ANNOUNCE, SUCCESS, NOWHERE)));
      assertEquals(l.expectations(), []);
    }
  });
}

const NTALK = FORMATS.ntalk;

Deno.test("conntrackTalk believes an answer's address only if it is the daemon's own, unless loose", () => {
  for (const loose of [false, true]) {
    const l = lab({ helpers: [conntrackTalk({ loose })] }), c = ask(l, NTALK);
    c.client(NTALK.request(LOOK_UP, NOWHERE, NOWHERE));
    for (const [address, port] of [["192.0.2.9", 4000], ["0.0.0.0", 4000], [l.outside, 0]] as const) {
      c.server(NTALK.response(LOOK_UP, SUCCESS, sockaddr(address, port)));
      const expected = loose && address === "192.0.2.9" ? [`tcp ${l.inside} → 192.0.2.9:4000`] : [];
      assertEquals(l.expectations(), loose ? [`tcp ${l.inside} → 192.0.2.9:4000`] : expected);
    }
    c.server(NTALK.response(LOOK_UP, SUCCESS, sockaddr(l.outside, 4001)));
    assertEquals(l.expectations(), [`tcp ${l.inside} → ${l.outside}:4001`]);
  }
});

Deno.test("conntrackTalk ignores answers before questions, refusals and other types", () => {
  const l = lab(), c = ask(l, NTALK);
  c.client(NTALK.request(LOOK_UP, NOWHERE, NOWHERE));
  for (const [type, answer] of [[ANNOUNCE, 1], [LOOK_UP, 2], [0, 0], [2, 0], [4, 0]]) {
    c.server(NTALK.response(type, answer, sockaddr(l.outside, 4000)));
  }
  c.client(NTALK.response(LOOK_UP, SUCCESS, sockaddr(l.outside, 4000)));
  assertEquals(l.expectations(), []);
});

Deno.test("conntrackTalk keeps one expectation for 240 s", () => {
  const l = lab(), c = ask(l, NTALK);
  c.client(NTALK.request(LOOK_UP, NOWHERE, NOWHERE));
  for (const port of [4000, 4001]) c.server(NTALK.response(LOOK_UP, SUCCESS, sockaddr(l.outside, port)));
  assertEquals(l.expectations(), [`tcp ${l.inside} → ${l.outside}:4001`]);
  for (let i = 0; i < 9; i++) {
    l.advance(26);
    c.client(NTALK.request(LOOK_UP, NOWHERE, NOWHERE));
  }
  assertEquals(l.expectations().length, 1);
  l.advance(7);
  assertEquals(l.expectations(), []);
});

Deno.test("talk shows a callee's daemon behind DNAT, and its callee comes out as the router", () => {
  const l = lab({ nat: "destination" });
  announce(l, NTALK, l.outside);
  assertEquals(l.expectations(), [`udp ${l.inside} → ${l.outside}:518`]);
  const question = { protocol: "udp", from: l.inside, to: l.outside, port: 518, fromPort: 1600 } as const;
  assertEquals(l.dial(question), { related: true, from: `${l.router}:1600`, to: `${l.outside}:518` });
});

Deno.test("talk writes another port where the announced one is taken, and drops when none is left", () => {
  const l = lab({ nat: "destination" });
  const one = ask(l, NTALK, 1500), two = ask(l, NTALK, 1501), three = ask(l, NTALK, 1502);
  for (const c of [one, two, three]) c.client(NTALK.request(LOOK_UP, NOWHERE, NOWHERE));
  const answer = (port: number) => NTALK.response(LOOK_UP, SUCCESS, sockaddr(l.inside, port));
  one.server(answer(4000));
  const told = two.server(answer(4000)), port = told.charCodeAt(10) << 8 | told.charCodeAt(11);
  assertEquals([port > 4000, told.slice(12, 16)], [true, text(addressBytes(l.router))]);
  assertEquals(l.dial({ from: l.outside, to: l.router, port })?.to, `${l.inside}:4000`);
  two.server(answer(65535));
  assertEquals(three.tryServer(answer(65535)), null);
  assertEquals(l.log.at(-1), "nf_ct_talk: dropping packet: all ports in use");
});

Deno.test("talk's limits are about what is announced, not about the daemons' own port", () => {
  const l = lab({ helpers: [talk({ minPort: 1024, samePeer: true })], nat: "source" });
  announce(l, NTALK, l.inside);
  assertEquals(l.expectations().length, 1);
  const c = ask(l, NTALK, 1501);
  c.client(NTALK.request(LOOK_UP, NOWHERE, NOWHERE));
  c.server(NTALK.response(LOOK_UP, SUCCESS, sockaddr(l.outside, 1023)));
  assertEquals([l.expectations().length, l.counts().refused], [1, 1]);
});

Deno.test("talk drops an answer that it cannot expect", () => {
  const l = lab({ nat: "source", expectations: 1 });
  announce(l, NTALK, l.inside);
  const c = ask(l, NTALK, 1501);
  c.client(NTALK.request(ANNOUNCE, sockaddr(l.inside, 4000), sockaddr(l.inside, 1501)));
  assertEquals(c.tryServer(NTALK.response(ANNOUNCE, SUCCESS, NOWHERE)), null);
  assertEquals(l.log.at(-1), "nf_ct_talk: dropping packet: cannot alloc expectation");
  const two = lab({ nat: "source" });
  announce(two, NTALK, two.inside);
  const other = ask(two, NTALK, 1501);
  other.client(NTALK.request(ANNOUNCE, sockaddr(two.inside, 4000), sockaddr(two.inside, 1501)));
  assertEquals(other.tryServer(NTALK.response(ANNOUNCE, SUCCESS, NOWHERE)), null);
  assertEquals(two.log.at(-1), "nf_ct_talk: dropping packet: cannot add expectation");
});

Deno.test("talk is for IPv4, and refuses options that make no sense", () => {
  const helper = talk();
  assertEquals([helper.name, helper.protocol, helper.families, helper.ports], ["talk", 17, [4], [517, 518]]);
  assertEquals(helper.policies, [{ name: "talk", maxExpected: 1, timeout: 240 }]);
  assertEquals(talk({ ports: [518], autoAssign: false }).ports, [518]);
  for (const ports of [[], [0], [65536], [7, 7]]) assertMistake(talk({ ports }), "ports");
});
