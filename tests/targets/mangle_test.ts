/** Targets that change the packet: MARK, CONNMARK, TTL, HL, TOS, DSCP, ECN, TCPMSS. */
import { assertEquals } from "@std/assert";
import { CT_MARK } from "../../src/conntrack/flow.ts";
import type { RuleConfig } from "../../src/config/types.ts";
import { FORWARD, POSTROUTING, PREROUTING } from "../../src/netfilter.ts";
import { parse, tcp, udp } from "../kit/mod.ts";
import { LAN, Rig, type Stand, WAN } from "../tables/rig.ts";
import { type Spec, specify } from "../tables/spec.ts";

const A = { src: "10.0.0.2", dst: "203.0.113.9" }, A6 = { src: "2001:db8:1::2", dst: "2001:db8:2::9" };
const packet = udp({ ...A, sport: 1, dport: 2 }), packet6 = udp({ ...A6, sport: 1, dport: 2 });

const mangle = (rule: RuleConfig, more: Partial<Spec> = {}): Spec => ({ rule, table: "mangle", ...more });

specify("ECN", [
  mangle({ source: "10.0.0.0/8", protocol: "tcp", jump: "ECN", ecnTcpRemove: true }, {
    save: "-s 10.0.0.0/8 -p tcp -j ECN --ecn-tcp-remove",
  }),
  mangle({ protocol: "tcp", jump: "ECN", setTcpEce: 1, setIpEct: 0, source: "10.0.0.2" }, {
    save: "-s 10.0.0.2/32 -p tcp -j ECN --ecn-tcp-ece 1 --ecn-ip-ect 0",
  }),
  mangle({ source: "10.0.0.2", jump: "ECN", ecnTcpRemove: true }, {
    refused: [".jump", "needs the protocol"],
  }),
  mangle({ source: "10.0.0.2", jump: "ECN" }, { refused: [".jump", "ECN needs ecnTcpRemove"] }),
  mangle({ source: "10.0.0.2", jump: "ECN", setIpEct: 4 }, { refused: [".setIpEct", "from 0 to 3"] }),
  mangle({ source: "10.0.0.2", protocol: "tcp", jump: "ECN", ecnTcpRemove: true, setIpEct: 1 }, {
    refused: [".jump", "write another rule"],
  }),
  {
    rule: { source: "10.0.0.2", protocol: "tcp", jump: "ECN", ecnTcpRemove: true },
    refused: [".jump", "mangle"],
  },
]);

specify("MARK", [
  { rule: { jump: "MARK", setMark: 1 }, save: "-j MARK --set-xmark 0x1/0xffffffff" },
  { rule: { jump: "MARK", setMark: "0x1/0xf0" }, save: "-j MARK --set-xmark 0x1/0xf1" },
  {
    rule: { jump: "MARK", setXmark: "0xfeedcafe/0xfeedcafe" },
    save: "-j MARK --set-xmark 0xfeedcafe/0xfeedcafe",
  },
  { rule: { jump: "MARK", andMark: "0xff" }, save: "-j MARK --set-xmark 0x0/0xffffff00" },
  { rule: { jump: "MARK", orMark: 5 }, save: "-j MARK --set-xmark 0x5/0x5" },
  { rule: { jump: "MARK", xorMark: 5 }, save: "-j MARK --set-xmark 0x5/0x0" },
  { rule: { jump: "MARK" }, refused: [".jump", "MARK needs setXmark, setMark, andMark, orMark or xorMark"] },
  {
    rule: { jump: "MARK", setMark: 1, orMark: 1 },
    refused: [".jump", "setMark and orMark exclude each other"],
  },
  { rule: { jump: "MARK", setMark: 4294967296 }, refused: [".setMark", "32-bit"] },
]);
specify("CONNMARK", [
  mangle({ jump: "CONNMARK", setMark: 7 }, { save: "-j CONNMARK --set-xmark 0x7/0xffffffff" }),
  mangle({ jump: "CONNMARK", saveMark: true }, {
    save: "-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
  }),
  mangle({ jump: "CONNMARK", restoreMark: true, mask: "0xff" }, {
    save: "-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",
  }),
  mangle({ jump: "CONNMARK", saveMark: true, nfmask: 1, ctmask: 2 }, {
    save: "-j CONNMARK --save-mark --nfmask 0x1 --ctmask 0x2",
  }),
  mangle({ jump: "CONNMARK", orMark: 1, leftShiftMark: 4 }, {
    save: "-j CONNMARK --set-xmark 0x1/0x1 --left-shift-mark 4",
  }),
  mangle({ jump: "CONNMARK", saveMark: true, mask: 1, ctmask: 2 }, {
    refused: [".jump", "leave one of them out"],
  }),
  mangle({ jump: "CONNMARK", saveMark: true, restoreMark: true }, {
    refused: [".jump", "exclude each other"],
  }),
  mangle({ jump: "CONNMARK", ctmask: 2 }, { refused: [".jump", "CONNMARK needs"] }),
]);
specify("TTL", [
  mangle({ jump: "TTL", ttlSet: 9 }, { save: "-j TTL --ttl-set 9" }),
  mangle({ jump: "TTL", ttlInc: 1 }, { save: "-j TTL --ttl-inc 1" }),
  mangle({ jump: "TTL", ttlDec: 0 }, { refused: [".ttlDec", "from 1 to 255"] }),
  mangle({ jump: "TTL", ttlDec: 1, ttlInc: 1 }, { refused: [".jump", "exclude each other"] }),
  mangle({ jump: "TTL" }, { refused: [".jump", "TTL needs ttlSet, ttlDec or ttlInc"] }),
  {
    rule: { jump: "TTL", ttlSet: 1 },
    refused: [".jump", "TTL is not allowed in table filter; it belongs in mangle"],
  },
  mangle({ jump: "HL", hlDec: 2 }, { save6: "-j HL --hl-dec 2" }),
  mangle({ jump: "HL", hlSet: 256 }, { refused: [".hlSet", "from 0 to 255"] }),
  mangle({ jump: "HL", hlSet: 1, source: "10.0.0.1" }, {
    refused: [".source", "speaks of IPv4, but jump of IPv6"],
  }),
]);
specify("TOS", [
  mangle({ jump: "TOS", setTos: 0x10 }, { save: "-j TOS --set-tos 0x10/0xff" }),
  mangle({ jump: "TOS", setTos: "Maximize-Throughput" }, { save: "-j TOS --set-tos 0x08/0x3f" }),
  mangle({ jump: "TOS", andTos: 0x12 }, { save: "-j TOS --set-tos 0x00/0xed" }),
  mangle({ jump: "TOS", orTos: 0x12 }, { save: "-j TOS --set-tos 0x12/0x12" }),
  mangle({ jump: "TOS", xorTos: 0x12 }, { save: "-j TOS --set-tos 0x12/0x00" }),
  mangle({ jump: "DSCP", setDscp: 46 }, { save: "-j DSCP --set-dscp 0x2e" }),
  mangle({ jump: "DSCP", setDscpClass: "CS3" }, { save: "-j DSCP --set-dscp 0x18" }),
  mangle({ jump: "DSCP", setDscp: 64 }, { refused: [".setDscp", "from 0 to 63"] }),
  { rule: { jump: "DSCP", setDscp: 1 }, refused: [".jump", "belongs in mangle"] },
]);

/** What a packet looks like behind some rules; its checksums must be right. */
function after(rules: RuleConfig[], bytes: Uint8Array, stand: Stand = {}, chain = "PREROUTING") {
  const rig = new Rig({ mangle: { [chain]: rules } });
  rig.run("mangle", bytes, {
    hook: chain === "PREROUTING" ? PREROUTING : chain === "FORWARD" ? FORWARD : POSTROUTING,
    ...stand,
  });
  const shown = parse(rig.bytes());
  assertEquals(shown.errors, []);
  return { ...shown, mark: rig.p.mark >>> 0 };
}

Deno.test("MARK clears the mask's bits and changes the rest as asked", () => {
  const cases: [RuleConfig, number, number][] = [
    [{ setMark: 5 }, 0xff, 5],
    [{ setMark: "0x5/0xf" }, 0xff, 0xf5],
    [{ setXmark: "0x5/0x0" }, 0xff, 0xfa],
    [{ andMark: 0x0f }, 0xff, 0x0f],
    [{ orMark: "0x80000000" }, 1, 0x80000001],
    [{ xorMark: 3 }, 1, 2],
  ];
  for (const [rule, mark, want] of cases) {
    assertEquals(after([{ jump: "MARK", ...rule }], packet, { mark }).mark, want, JSON.stringify(rule));
  }
});

Deno.test("CONNMARK sets, saves and restores, and leaves packets without a flow alone", () => {
  const run = (rule: RuleConfig, mark: number, flow: number) => {
    const rig = new Rig({ mangle: { PREROUTING: [{ jump: "CONNMARK", ...rule }] } });
    rig.run("mangle", packet, {
      hook: PREROUTING,
      mark,
      track: true,
      prepare: () => rig.conntrack.flows.words[CT_MARK] = flow,
    });
    return [rig.p.mark >>> 0, rig.conntrack.flows.words[CT_MARK] >>> 0];
  };
  assertEquals(run({ setMark: 7 }, 1, 2), [1, 7]);
  assertEquals(run({ orMark: 4 }, 1, 2), [1, 6]);
  assertEquals(run({ saveMark: true }, 0x1234, 0xff0000), [0x1234, 0x1234]);
  assertEquals(run({ saveMark: true, nfmask: 0xff, ctmask: 0xffff }, 0x1234, 0xff0000), [0x1234, 0xff0034]);
  assertEquals(run({ restoreMark: true, nfmask: 0xff, ctmask: 0xf }, 0x1234, 0xab), [0x120b, 0xab]);
  assertEquals(run({ restoreMark: true, leftShiftMark: 8 }, 0, 0xab), [0xab00, 0xab]);
  assertEquals(run({ restoreMark: true, rightShiftMark: 32 }, 5, 0xab), [0, 0xab]);
  const rig = new Rig({ mangle: { PREROUTING: [{ jump: "CONNMARK", restoreMark: true }] } });
  rig.run("mangle", packet, { hook: PREROUTING, mark: 9 });
  assertEquals(rig.p.mark, 9);
});

Deno.test("TTL and HL stay between 0 and 255, and the IP checksum follows", () => {
  const cases: [RuleConfig, number, number][] = [
    [{ ttlSet: 9 }, 64, 9],
    [{ ttlInc: 200 }, 64, 255],
    [{ ttlDec: 200 }, 64, 0],
    [{ ttlDec: 1 }, 64, 63],
    [{ ttlSet: 0 }, 1, 0],
  ];
  for (const [rule, ttl, want] of cases) {
    assertEquals(after([{ jump: "TTL", ...rule }], udp({ ...A, sport: 1, dport: 2, ttl })).ttl, want);
    const hl = Object.fromEntries(Object.entries(rule).map(([k, v]) => [k.replace("ttl", "hl"), v]));
    assertEquals(after([{ jump: "HL", ...hl }], udp({ ...A6, sport: 1, dport: 2, ttl })).ttl, want);
  }
});

Deno.test("DSCP keeps the ECN bits, TOS works on all eight, in both families", () => {
  for (
    const make of [
      (tos: number) => udp({ ...A, sport: 1, dport: 2, tos }),
      (tos: number) => udp({ ...A6, sport: 1, dport: 2, tos }),
    ]
  ) {
    assertEquals(after([{ jump: "DSCP", setDscp: 46 }], make(0x03)).tos, 0xbb);
    assertEquals(after([{ jump: "DSCP", setDscpClass: "EF" }], make(0)).tos, 0xb8);
    assertEquals(after([{ jump: "TOS", setTos: "0x10/0x3f" }], make(0xff)).tos, 0xd0);
    assertEquals(after([{ jump: "TOS", andTos: 0xf0 }], make(0x1e)).tos, 0x10);
    assertEquals(after([{ jump: "TOS", xorTos: 0x18 }], make(0x08)).tos, 0x10);
  }
  assertEquals(after([{ jump: "DSCP", setDscp: 1 }], packet6).tos, 4);
});

const syn = { protocol: "tcp", syn: true } as const;
specify("TCPMSS", [
  mangle({ ...syn, jump: "TCPMSS", setMss: 1400 }, {
    save: "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j TCPMSS --set-mss 1400",
  }),
  mangle({ protocol: "tcp", tcpFlags: "SYN,RST SYN", jump: "TCPMSS", clampMssToPmtu: true }, {
    save: "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
  }),
  mangle({ protocol: "tcp", jump: "TCPMSS", setMss: 1400 }, { refused: [".jump", "add syn: true"] }),
  mangle({ protocol: "tcp", syn: false, jump: "TCPMSS", setMss: 1400 }, {
    refused: [".jump", "add syn: true"],
  }),
  mangle({ jump: "TCPMSS", setMss: 1400 }, { refused: [".jump", 'needs protocol: "tcp"'] }),
  mangle({ ...syn, jump: "TCPMSS", clampMssToPmtu: true }, {
    chain: "PREROUTING",
    refused: [".jump", "use it in FORWARD, OUTPUT or POSTROUTING"],
  }),
  mangle({ ...syn, jump: "TCPMSS" }, { refused: [".jump", "TCPMSS needs setMss or clampMssToPmtu"] }),
]);

/** The MSS that a SYN announces behind a rule, and its length; -1 when it announces none. */
function mss(rule: RuleConfig, more: object, base: object = A): [number, number] {
  const bytes = tcp({ ...base, sport: 1, dport: 2, flags: "S", ...more } as Parameters<typeof tcp>[0]);
  const shown = after([{ ...syn, jump: "TCPMSS", ...rule }], bytes, { in: LAN, out: WAN }, "FORWARD");
  const options = shown.tcpOptions!;
  for (let i = 0; i + 3 < options.length; i += options[i] < 2 ? 1 : options[i + 1]) {
    if (options[i] === 2) return [(options[i + 2] << 8) | options[i + 3], shown.length];
  }
  return [-1, shown.length];
}

Deno.test("TCPMSS lowers the segment size and never raises it", () => {
  assertEquals(mss({ setMss: 1200 }, { options: [{ mss: 1460 }] }), [1200, 44]);
  assertEquals(mss({ setMss: 1200 }, { options: [{ mss: 500 }] }), [500, 44]);
  assertEquals(mss({ setMss: 1200 }, { options: [{ nop: true }, { mss: 1460 }] }), [1200, 48]);
});

Deno.test("TCPMSS clamps to the smaller MTU of the path, less the headers", () => {
  assertEquals(mss({ clampMssToPmtu: true }, { options: [{ mss: 1460 }] }), [1360, 44]);
  assertEquals(mss({ clampMssToPmtu: true }, { options: [{ mss: 1460 }] }, A6), [1340, 64]);
});

Deno.test("TCPMSS adds the option where there is none, with what a host may assume at most", () => {
  assertEquals(mss({ clampMssToPmtu: true }, {}), [536, 44]);
  assertEquals(mss({ clampMssToPmtu: true }, {}, A6), [1220, 64]);
  assertEquals(mss({ setMss: 300 }, { options: [{ wscale: 7 }, { nop: true }] }), [300, 48]);
  // Behind the header there is data: no room.
  assertEquals(mss({ setMss: 300 }, { payload: 10 }), [-1, 50]);
});
