/**
 * Every timeout, in Linux and in Weir: Linux with its knobs cut to seconds, watched in real time; Weir with the same
 * knobs, its clock set to the same moments. Whoever still lists a flow, an expectation or a datagram in pieces must be
 * right within a second.
 *
 * `deno test -A tests/timers -- --record` keeps what this machine's kernel does, for machines that cannot ask one.
 */
import { assertEquals } from "@std/assert";
import { SYSCTLS } from "../../src/sysctl.ts";
import { parse } from "../kit/show.ts";
import { kernelAvailable } from "../oracle/kernel.ts";
import { type Flow, readExpectation, readFlow } from "../oracle/listing.ts";
import {
  EXPECTATIONS,
  FLOWS,
  FRAGMENTS,
  type Question,
  unhex,
  type Watched,
  watchWeir,
} from "./conversation.ts";

/**
 * Knobs in seconds, those next to each other different by two, so that a mix-up shows. In TCP max_retrans caps the others
 * as long as no window has been seen, so it is larger.
 */
const CUT: Readonly<Record<string, number>> = {
  tcp_timeout_syn_sent: 3,
  tcp_timeout_syn_recv: 6,
  tcp_timeout_established: 10,
  tcp_timeout_fin_wait: 3,
  tcp_timeout_close_wait: 6,
  tcp_timeout_last_ack: 2,
  tcp_timeout_time_wait: 5,
  tcp_timeout_close: 3,
  tcp_timeout_max_retrans: 8,
  tcp_timeout_unacknowledged: 5,
  udp_timeout: 4,
  udp_timeout_stream: 7,
  icmp_timeout: 3,
  icmpv6_timeout: 6,
  generic_timeout: 5,
  gre_timeout: 3,
  gre_timeout_stream: 8,
  sctp_timeout_closed: 2,
  sctp_timeout_cookie_wait: 4,
  sctp_timeout_cookie_echoed: 6,
  sctp_timeout_established: 9,
  sctp_timeout_shutdown_sent: 3,
  sctp_timeout_shutdown_recd: 5,
  sctp_timeout_shutdown_ack_sent: 7,
  sctp_timeout_heartbeat_sent: 4,
};
const conntrackNames = (values: Readonly<Record<string, number>>) =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`net.netfilter.nf_conntrack_${name}`, value]),
  );

/** Values that a new namespace takes from the machine, said aloud. */
const DEFAULTS = conntrackNames(Object.fromEntries(
  Object.keys(CUT).map((name) => [name, SYSCTLS[`net.netfilter.nf_conntrack_${name}`].default]),
));
/** Linux computes checksums of UDP-Lite in a way that no right packet passes; without verification they do. */
const UNVERIFIED = { "net.netfilter.nf_conntrack_checksum": 0 };
const TRACK = "*mangle\n-A FORWARD -m conntrack --ctstate NEW\nCOMMIT\n";
const HELP = `*raw\n${
  [["udp", 69, "tftp"], ["tcp", 21, "ftp"], ["tcp", 6667, "irc"], ["udp", 10080, "amanda"]]
    .map(([p, port, name]) => `-A PREROUTING -p ${p} -m ${p} --dport ${port} -j CT --helper ${name}\n`).join(
      "",
    )
}COMMIT\n`;

const QUESTIONS: readonly Question[] = [
  {
    id: "cut",
    says: "timeouts of flows in all states, with the knobs cut to seconds",
    said: FLOWS,
    sysctl: { ...conntrackNames(CUT), ...UNVERIFIED },
    iptables: TRACK,
    ip6tables: TRACK,
    length: 10_800,
    every: 500,
    listed: 38,
  },
  {
    id: "defaults",
    says: "timeouts of flows in all states, as they are by default",
    said: FLOWS,
    sysctl: { ...DEFAULTS, ...UNVERIFIED },
    iptables: TRACK,
    ip6tables: TRACK,
    length: 4_000,
    every: 1000,
    listed: 38,
  },
  {
    id: "expectations",
    says: "timeouts of expectations, which also end with their masters",
    said: EXPECTATIONS,
    sysctl: { ...DEFAULTS, ...conntrackNames({ udp_timeout: 2, tcp_timeout_established: 3 }) },
    iptables: HELP + TRACK,
    length: 4_500,
    every: 400,
    listed: 4,
    expected: 6,
  },
  {
    id: "fragments",
    says: "timeouts of incomplete datagrams, gathered by conntrack",
    said: FRAGMENTS,
    sysctl: {
      "net.ipv4.ipfrag_time": 2,
      "net.netfilter.nf_conntrack_frag6_timeout": 3,
      "net.ipv6.ip6frag_time": 60,
    },
    iptables: TRACK,
    ip6tables: TRACK,
    length: 5_000,
    every: 2000,
  },
  {
    id: "own-fragments",
    says: "timeouts of incomplete datagrams for the router itself, without conntrack",
    said: FRAGMENTS.filter(([, , bytes]) =>
      parse(bytes).dst === "192.0.2.1" || parse(bytes).dst === "2001:db8:1::1"
    ),
    sysctl: {
      "net.ipv4.ipfrag_time": 2,
      "net.netfilter.nf_conntrack_frag6_timeout": 60,
      "net.ipv6.ip6frag_time": 3,
    },
    length: 4_500,
    every: 2000,
  },
];

const file = (id: string) => new URL(`./recorded/${id}.json`, import.meta.url);
const recording = Deno.args.includes("--record");

function recorded(id: string): Watched | null {
  try {
    return JSON.parse(Deno.readTextFileSync(file(id)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Questions that are asked one after the other: they take about as long as the longest one. */
const THREADS = [["cut"], ["defaults", "expectations"], ["fragments", "own-fragments"]];

/** Linux, asked in threads of their own: one waits while the others do. */
function askAll(): Map<string, Promise<Watched>> {
  const answers = new Map<string, Promise<Watched>>();
  for (const ids of THREADS) {
    const worker = new Worker(new URL("./kernel_worker.ts", import.meta.url), { type: "module" });
    let left = ids.length;
    for (const id of ids) {
      const answer = Promise.withResolvers<Watched>();
      answers.set(id, answer.promise);
      worker.addEventListener("message", ({ data }) => {
        if (data.id !== id) return;
        if (--left === 0) worker.terminate();
        data.error === undefined ? answer.resolve(data.seen) : answer.reject(new Error(data.error));
      });
      worker.postMessage(QUESTIONS.find((q) => q.id === id));
    }
  }
  return answers;
}

/** What a flow is, without its time. */
const flowName = (f: Flow) =>
  `${f.protocol} ${f.state} ${JSON.stringify(f.original)}${f.unreplied ? " UNREPLIED" : ""}${
    f.assured ? " ASSURED" : ""
  }`;
const expectName = (text: string) => text.trim().replace(/^\S+\s+/, "").replace(/\s+/g, " ");

/** Both lists by name, and the seconds that are left. */
function compareTimes(where: string, linux: Map<string, number>, weir: Map<string, number>): string[] {
  const wrong: string[] = [];
  for (const name of new Set([...linux.keys(), ...weir.keys()])) {
    const a = linux.get(name), b = weir.get(name);
    // Who is gone had nothing left.
    if (Math.abs((a ?? 0) - (b ?? 0)) > 1) {
      wrong.push(`${where}: ${name}: Linux ${a ?? "gone"}, Weir ${b ?? "gone"}`);
    }
  }
  return wrong;
}

function compare(linux: Watched, weir: Watched): string[] {
  const wrong: string[] = [];
  linux.looks.forEach((look, i) => {
    const where = `after ${(look.at / 1000).toFixed(1)} s`;
    const flows = (lines: string[]) => new Map(lines.map(readFlow).map((f) => [flowName(f), f.timeout]));
    wrong.push(...compareTimes(where, flows(look.flows), flows(weir.looks[i].flows)));
    const expects = (lines: string[]) =>
      new Map(lines.map((l) => [expectName(l), readExpectation(l).timeout]));
    wrong.push(...compareTimes(where, expects(look.expects), expects(weir.looks[i].expects)));
  });
  // Packets of both, the same in the same order by interface, each within a second.
  const say = ({ bytes }: { bytes: string }) => {
    const p = parse(unhex(bytes));
    return `${p.src} > ${p.dst} ${p.protocol} ${p.type ?? ""}/${p.code ?? ""} ${p.offset}+${p.length}`;
  };
  for (const iface of ["lan", "wan"]) {
    const a = linux.emitted.filter((e) => e.iface === iface),
      b = weir.emitted.filter((e) => e.iface === iface);
    assertEquals(b.map(say), a.map(say));
    a.forEach((e, i) => {
      if (Math.abs(e.at - b[i].at) > 1000) {
        wrong.push(`${say(e)}: Linux after ${e.at} ms, Weir after ${b[i].at} ms`);
      }
    });
  }
  return wrong;
}

const live = kernelAvailable();
/** All of them at once, from the first test that asks. */
let answers: Map<string, Promise<Watched>> | undefined;

for (const q of QUESTIONS) {
  const kept = recording ? null : recorded(q.id);
  // Why: a kernel is asked by root, with TUN devices, iptables and conntrack.
  const without = kept === null
    ? "no kernel to ask, nothing recorded"
    : `no kernel to ask: Linux ${kept.kernel} as recorded`;
  Deno.test({
    name: `timers: ${q.says}${live ? "" : ` (${without})`}`,
    ignore: !live && kept === null,
    async fn() {
      let linux = kept;
      if (live) {
        answers ??= askAll();
        linux = await answers.get(q.id)!;
        if (recording) Deno.writeTextFileSync(file(q.id), JSON.stringify(linux, null, 2) + "\n");
      }
      const weir = watchWeir(q, linux!);
      assertEquals(linux!.said.length, q.said.length);
      assertEquals([linux!.looks[0].flows.length, linux!.looks[0].expects.length], [
        q.listed ?? 0,
        q.expected ?? 0,
      ]);
      assertEquals(compare(linux!, weir), []);
    },
  });
}

/** The knobs of this kernel's conntrack; null where it has none. */
function knobs(): string[] | null {
  try {
    return [...Deno.readDirSync("/proc/sys/net/netfilter")].filter(({ isFile }) => isFile).map(({ name }) =>
      name
    );
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

const names = knobs();

Deno.test({
  name: "timers: every knob of net.netfilter that has a meaning for Weir is known by its Linux name",
  ignore: names === null, // no conntrack in this kernel
  fn() {
    /** Sizes and counts of Linux's own hash tables; logs between the kernel and programs. */
    const meaningless = [
      "nf_conntrack_buckets",
      "nf_conntrack_count",
      "nf_conntrack_frag6_low_thresh",
      "nf_hooks_lwtunnel",
      "nf_log_all_netns",
    ];
    const unknown = names!.filter((name) =>
      !meaningless.includes(name) && !(`net.netfilter.${name}` in SYSCTLS)
    );
    // Timeouts of protocols that newer kernels track, or older ones did.
    assertEquals(unknown.filter((name) => !/_(dccp|flowtable|helper)/.test(name)), []);
  },
});
