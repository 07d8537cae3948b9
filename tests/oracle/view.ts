/**
 * An answer as assertions like to read it.
 *
 * @module
 */
import { parse, printable, show, type Shown } from "../kit/show.ts";
import { type Expectation, type Flow, readExpectation, readFlow } from "./listing.ts";
import { type Answer, dumpOf, lines, type Scenario } from "./scenario.ts";

/** A packet that came out, read. */
export type Out = Shown & { iface: string; bytes: Uint8Array; text: string };

/** Says what was expected and what was there. */
export class Disagreement extends Error {
  override name = "Disagreement";
}

/** One side's answer. Packets are numbered by the packet steps alone, from 0. */
export class View {
  readonly #steps: number[] = [];

  constructor(scenario: Scenario, readonly answer: Answer) {
    scenario.steps.forEach((step, i) => step.do === "packet" && this.#steps.push(i));
  }

  /** Packets that packet `n` caused. */
  out(n: number): Out[] {
    return this.ofStep(this.#steps[n]);
  }

  /** Packets that came out at a step of any kind. */
  ofStep(step: number): Out[] {
    return this.answer.emitted.filter((e) => e.step === step).map((e) => ({
      ...parse(e.bytes),
      iface: e.iface,
      bytes: e.bytes,
      text: show(e.bytes),
    }));
  }

  /** The only packet that packet `n` caused. */
  one(n: number): Out {
    const all = this.out(n);
    if (all.length !== 1) {
      this.fail(`packet ${n}: one packet expected, came: ${all.map((o) => o.text).join(" | ") || "none"}`);
    }
    return all[0];
  }

  /** Nothing came out at any of these packets. */
  silent(...steps: number[]): void {
    for (const n of steps) {
      const all = this.out(n);
      if (all.length) {
        this.fail(
          `packet ${n}: nothing expected, came: ${all.map((o) => `${o.iface} ${o.text}`).join(" | ")}`,
        );
      }
    }
  }

  flows(dump?: string): Flow[] {
    return dumpOf(this.answer, dump).conntrack.map(readFlow);
  }

  /** The only flow that the filter admits. */
  flow(dump?: string, filter: (f: Flow) => boolean = () => true): Flow {
    const all = this.flows(dump).filter(filter);
    if (all.length !== 1) {
      this.fail(
        `${dump ?? "end"}: one flow expected, found: ${all.map((f) => f.text).join(" | ") || "none"}`,
      );
    }
    return all[0];
  }

  expects(dump?: string): Expectation[] {
    return dumpOf(this.answer, dump).expect.map(readExpectation);
  }

  /** Packets counted by the first rule whose text contains `text` as whole words. */
  count(text: string, dump?: string, family: 4 | 6 = 4): number {
    const d = dumpOf(this.answer, dump);
    for (const line of lines(family === 4 ? d.iptables : d.ip6tables)) {
      const m = line.match(/^\[(\d+):\d+\] (.*)$/);
      if (m && `${m[2]} `.includes(`${text} `)) return Number(m[1]);
    }
    return this.fail(`no rule “${text}”`);
  }

  /** Packets forwarded by ctstate, as the counting rules in mangle FORWARD saw them. */
  states(dump?: string, family: 4 | 6 = 4): string {
    const names = ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"];
    return names.map((n) => [n, this.count(`FORWARD -m conntrack --ctstate ${n}`, dump, family)] as const)
      .filter(([, n]) => n > 0).map(([name, n]) => `${name} ${n}`).join(", ");
  }

  /** Asserts equality; `what` names the thing. */
  is(actual: unknown, expected: unknown, what = ""): void {
    const a = JSON.stringify(actual), e = JSON.stringify(expected);
    if (a !== e) this.fail(`${what ? what + ": " : ""}${a}, expected ${e}`);
  }

  ok(condition: boolean, what: string): void {
    if (!condition) this.fail(what);
  }

  /** A timer that was just set to `seconds`. */
  timer(flow: { timeout: number }, seconds: number): void {
    if (flow.timeout > seconds || flow.timeout < seconds - 2) {
      this.fail(`timer ${flow.timeout}, expected ${seconds}`);
    }
  }

  /** `src:sport > dst:dport` of a packet, and its TTL being one less is not its matter. */
  ends(o: Shown): string {
    const side = (address: string, port?: number) => port === undefined ? address : `${address}:${port}`;
    return `${side(o.src, o.sport)} > ${side(o.dst, o.dport)}`;
  }

  /** Payload as text. */
  payload(o: Shown): string {
    return printable(o.payload, 200);
  }

  fail(message: string): never {
    throw new Disagreement(message);
  }
}
