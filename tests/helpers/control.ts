/**
 * An FTP control connection through a lab: both ends keep their own sequence numbers, and what comes out of the lab is
 * checked for lengths and checksums.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { formatExpect } from "../../src/conntrack/format.ts";
import { EXP_LINKED, EXP_STATE, EXP_WORDS } from "../../src/conntrack/expect.ts";
import * as kit from "../kit/mod.ts";
import { type Lab, LAN, type Outcome, WAN } from "../nat/lab.ts";

export interface ControlOptions {
  client?: string;
  server?: string;
  /** What the server sees of the client, and the client of the server. */
  seenClient?: string;
  seenServer?: string;
  sport?: number;
  dport?: number;
  /** Where the client is. */
  side?: number;
}

/** What the receiver of a segment got. */
export interface Got {
  payload: string;
  seq: number;
  ack: number;
}

export class Control {
  readonly lab: Lab;
  readonly client: string;
  readonly server: string;
  readonly seenClient: string;
  readonly seenServer: string;
  readonly sport: number;
  readonly dport: number;
  readonly #side: number;
  /** Next sequence number of each end, as itself counts, and as the other end has seen it. */
  clientSeq = 1001;
  serverSeq = 5001;
  seenClientSeq = 1001;
  seenServerSeq = 5001;

  constructor(lab: Lab, o: ControlOptions = {}) {
    this.lab = lab;
    this.client = o.client ?? "10.0.0.2";
    this.server = o.server ?? "198.51.100.7";
    this.seenClient = o.seenClient ?? "203.0.113.1";
    this.seenServer = o.seenServer ?? this.server;
    this.sport = o.sport ?? 40000;
    this.dport = o.dport ?? 21;
    this.#side = o.side ?? LAN;
  }

  /** Handshake, banner and first command: from then on both directions are read. */
  open(first = "USER x\r\n"): this {
    this.#pass(this.#fromClient({ flags: "S", seq: 1000 }), this.#side);
    this.#pass(this.#fromServer({ flags: "SA", seq: 5000, ack: 1001 }), LAN + WAN - this.#side);
    this.#pass(this.#fromClient({ flags: "A", seq: 1001, ack: 5001 }), this.#side);
    assertEquals(this.fromServer("220 ready\r\n").payload, "220 ready\r\n");
    assertEquals(this.fromClient(first).payload, first);
    return this;
  }

  /** A segment that must get through, and advances the sender. */
  fromClient(payload: string): Got {
    const bytes = this.clientSegment(payload);
    const got = this.#got(this.#pass(bytes, this.#side));
    assertEquals([got.seq, got.ack], [this.seenClientSeq, this.serverSeq]);
    this.clientSeq += payload.length;
    this.seenClientSeq += got.payload.length;
    return got;
  }

  fromServer(payload: string): Got {
    const got = this.#got(this.#pass(this.serverSegment(payload), LAN + WAN - this.#side));
    assertEquals([got.seq, got.ack], [this.seenServerSeq, this.clientSeq]);
    this.serverSeq += payload.length;
    this.seenServerSeq += got.payload.length;
    return got;
  }

  clientSegment(payload: string, seq = this.clientSeq): Uint8Array {
    return this.#fromClient({ flags: "PA", seq, ack: this.seenServerSeq, payload });
  }

  serverSegment(payload: string, seq = this.serverSeq): Uint8Array {
    return this.#fromServer({ flags: "PA", seq, ack: this.seenClientSeq, payload });
  }

  /** A segment that is sent without being counted: lost, refused or early. */
  tryClient(payload: string, seq = this.clientSeq): Outcome {
    return this.lab.send(this.#side, this.clientSegment(payload, seq));
  }

  tryServer(payload: string, seq = this.serverSeq): Outcome {
    return this.lab.send(LAN + WAN - this.#side, this.serverSegment(payload, seq));
  }

  /** The first packet of a data connection that the server opens, as it arrives. */
  serverDials(port: number, sport = 20): Outcome {
    const syn = { src: this.server, dst: this.seenClient, sport, dport: port, flags: "S", seq: 1 };
    return this.lab.send(LAN + WAN - this.#side, kit.tcp(syn));
  }

  /** The first packet of a data connection that the client opens, as it arrives. */
  clientDials(port: number, sport = 40001): Outcome {
    const syn = { src: this.client, dst: this.seenServer, sport, dport: port, flags: "S", seq: 1 };
    return this.lab.send(this.#side, kit.tcp(syn));
  }

  #fromClient(o: { flags: string; seq: number; ack?: number; payload?: string }): Uint8Array {
    return kit.tcp({ src: this.client, dst: this.seenServer, sport: this.sport, dport: this.dport, ...o });
  }

  #fromServer(o: { flags: string; seq: number; ack?: number; payload?: string }): Uint8Array {
    return kit.tcp({ src: this.server, dst: this.seenClient, sport: this.dport, dport: this.sport, ...o });
  }

  #pass(bytes: Uint8Array, side: number): kit.Shown {
    const shown = kit.parse(this.lab.pass(side, bytes));
    assertEquals(shown.errors, []);
    return shown;
  }

  #got(s: kit.Shown): Got {
    return { payload: text(s.payload), seq: s.seq!, ack: s.ack! };
  }
}

/** Bytes as text, one character each. */
export function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** The payload that came out, or why nothing did. */
export function result(o: Outcome): string {
  if (o.iface < 0) return o.reason;
  const s = kit.parse(o.bytes);
  assertEquals(s.errors, []);
  return text(s.payload);
}

/** Lines of `conntrack -L expect` without the timer: `src=… dst=… sport=… dport=…`. */
export function expectations(lab: Lab): string[] {
  const { expects } = lab.conntrack, found = [];
  for (let exp = 0; exp < expects.high; exp++) {
    if ((expects.words[exp * EXP_WORDS + EXP_STATE] & EXP_LINKED) === 0) continue;
    found.push(formatExpect(lab.conntrack, exp).match(/src=\S+ dst=\S+ sport=\d+ dport=\d+/)![0]);
  }
  return found;
}
