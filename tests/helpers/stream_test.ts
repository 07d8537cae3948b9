/**
 * A lenient helper between two hosts that speak TCP in earnest: what a client says is cut anywhere, lost behind
 * the router and sent again from wherever the server has got to. In the end the server has every line once, the
 * announcements as the router shows them, and whatever stood at a place of the stream once stands there for ever.
 */
import { assert, assertEquals } from "@std/assert";
import type { ConntrackHelper } from "../../src/conntrack/helper.ts";
import { ftp, irc } from "../../src/helpers/mod.ts";
import { Chance } from "../fuzz/chance.ts";
import * as kit from "../kit/mod.ts";
import { Lab, LAN, masquerade, WAN } from "../nat/lab.ts";

const C = "10.0.0.2", M = "203.0.113.1", S = "198.51.100.7";
const ISN_C = 0xffffff00, ISN_S = 0x7fffff80, SPORT = 40000;

/** Client and server, and what each has of the other. */
class Stream {
  readonly #lab: Lab;
  readonly #chance: Chance;
  readonly #port: number;
  /** What the client has to say, and how much of it the server has acknowledged, as the client has heard. */
  #said = "";
  #acknowledged = 0;
  #sent = 0;
  /** Where its segments have ended. */
  readonly #ends: number[] = [];
  /** What the server has, by place; the first place that it lacks. */
  readonly #has: string[] = [];
  #next = 0;
  #answered = 0;
  readonly trace: string[] = [];

  readonly #cutsOnly: RegExp;

  /** `cutsOnly`: lines that are cut; FTP's helper does not read on behind another that it has not seen the end of. */
  constructor(helper: ConntrackHelper, port: number, seed: number, cutsOnly: RegExp) {
    this.#cutsOnly = cutsOnly;
    this.#lab = new Lab({ helpers: [helper], rules: masquerade });
    this.#chance = new Chance(seed);
    this.#port = port;
    this.#client("S", "", -1);
    this.#server("SA", "", -1);
    this.#client("A", "", 0);
  }

  get received(): string {
    return this.#has.slice(0, this.#next).join("");
  }

  /** A segment of the client's: what leaves for the server, or null. */
  #client(flags: string, payload: string, at: number): kit.Shown | null {
    const ack = flags === "S" ? 0 : (ISN_S + 1 + this.#answered) >>> 0;
    const seq = (ISN_C + 1 + at) >>> 0;
    const out = this.#lab.send(
      LAN,
      kit.tcp({ src: C, sport: SPORT, dst: S, dport: this.#port, flags, seq, ack, payload }),
    );
    return out.iface === WAN ? kit.parse(out.bytes) : null;
  }

  /** A segment of the server's: what the client gets. */
  #server(flags: string, payload: string, at: number): kit.Shown {
    const seq = (ISN_S + 1 + at) >>> 0, ack = (ISN_C + 1 + this.#next) >>> 0;
    const segment = { src: S, sport: this.#port, dst: M, dport: SPORT, flags, seq, ack, payload };
    return kit.parse(this.#lab.pass(WAN, kit.tcp(segment)));
  }

  /** The client says these lines, until the server has all of them; then the server answers. */
  say(lines: string): void {
    const c = this.#chance;
    this.#said += lines;
    for (let tries = 0; this.#acknowledged < this.#said.length; tries++) {
      assert(tries < 500, `never arrives:\n${this.trace.slice(-40).join("\n")}`);
      const fresh = this.#sent < this.#said.length && (this.#sent === this.#acknowledged || c.is(0.6));
      const from = fresh ? this.#sent : this.#acknowledged, left = this.#said.length - from;
      // Again at the ends that it had, or more of it; not for ever the same, as nobody holds that back for ever.
      const ends = fresh ? [] : this.#ends.filter((end) => end > from);
      const to = ends.length > 0 && tries % 3 !== 2
        ? c.pick(ends)
        : fresh
        ? this.#cut(from, Math.min(left, c.pick([3, 9, 14, 30, 60, 200])))
        : this.#said.length;
      if (!this.#ends.includes(to)) this.#ends.push(to);
      this.#sent = Math.max(this.#sent, to);
      this.#pass(this.#said.slice(from, to), from);
      if (c.is(0.7)) this.#acknowledge("");
    }
    this.#acknowledge("200 ok\r\n");
  }

  /** Where a segment ends that may have so many bytes: within an announcement, or at the end of a line. */
  #cut(from: number, length: number): number {
    const to = from + length, line = this.#said.lastIndexOf("\n", to - 1) + 1;
    if (this.#cutsOnly.test(this.#said.slice(line))) return to;
    return this.#said.indexOf("\n", to - 1) + 1;
  }

  #pass(payload: string, from: number): void {
    const out = this.#client("PA", payload, from);
    const text = out === null ? "" : String.fromCharCode(...out.payload);
    const at = out === null ? 0 : (out.seq! - ISN_C - 1) | 0;
    this.trace.push(`${from} ${JSON.stringify(payload)} → ${at} ${JSON.stringify(text)}`);
    if (out === null || this.#chance.is(0.15)) return;
    assertEquals(out.errors, []);
    for (let i = 0; i < text.length; i++) {
      const had = this.#has[at + i];
      assert(
        had === undefined || had === text[i],
        `other bytes than before:\n${this.trace.slice(-12).join("\n")}`,
      );
      this.#has[at + i] = text[i];
    }
    while (this.#has[this.#next] !== undefined) this.#next++;
  }

  /** The server says what it has, and something. */
  #acknowledge(payload: string): void {
    const got = this.#server(payload === "" ? "A" : "PA", payload, this.#answered);
    const ack = (got.ack! - ISN_C - 1) | 0;
    this.trace.push(`      acknowledged ${this.#next} → ${ack}`);
    assert(ack <= this.#sent, `acknowledged before it was said:\n${this.trace.slice(-12).join("\n")}`);
    this.#acknowledged = Math.max(this.#acknowledged, ack);
    this.#answered += payload.length;
  }
}

const OWN = "167772162", PUBLIC = "3405803777";
const CONVERSATIONS = 300, ROUNDS = 6;

/** Words that a client says around its announcements, and the announcement with this port. */
const KINDS = {
  ftp: {
    make: () => ftp({ strict: false }),
    port: 21,
    cutsOnly: /^(PORT|EPRT) /,
    chatter: ["TYPE I\r\n", "NOOP\r\n", "CWD some/where\r\n"],
    announce: (port: number, c: Chance) =>
      c.pick([`PORT 10,0,0,2,${port >> 8},${port & 255}\r\n`, `EPRT |1|10.0.0.2|${port}|\r\n`]),
    told: (said: string) => said.replaceAll("10,0,0,2", "203,0,113,1").replaceAll("10.0.0.2", "203.0.113.1"),
  },
  irc: {
    make: () => irc({ strict: false }),
    port: 6667,
    cutsOnly: /^/,
    chatter: ["PING x\r\n", "PRIVMSG you :hello\r\n", "JOIN #there\r\n"],
    announce: (port: number, c: Chance) =>
      `PRIVMSG you :\x01DCC ${c.pick(["SEND file", 'SEND "a file"', "CHAT chat"])} ${OWN} ${port}\x01\r\n`,
    told: (said: string) => said.replaceAll(OWN, PUBLIC),
  },
} as const;

for (const [name, { make, port, cutsOnly, chatter, announce, told }] of Object.entries(KINDS)) {
  Deno.test(`${name}, strict: false: however a client's lines are cut, lost and said again, the server has them`, () => {
    for (let seed = 1; seed <= CONVERSATIONS; seed++) {
      const c = new Chance(seed), stream = new Stream(make(), port, seed + 1000, cutsOnly);
      let said = "NICK me\r\n";
      stream.say(said);
      for (let round = 0; round < ROUNDS; round++) {
        const some = () => c.is(0.4) ? c.pick(chatter) : "";
        const lines = some() + (c.is(0.8) ? announce(20000 + round, c) : "") + some();
        stream.say(lines);
        said += lines;
        assertEquals(stream.received, told(said), `seed ${seed}:\n${stream.trace.slice(-40).join("\n")}`);
      }
    }
  });
}
