/**
 * `weir conntrack -E` beside the packets of a scenario: the same arguments, without a process.
 *
 * @module
 */
import { kindsOf } from "../../src/cli/conntrack_events.ts";
import { outputOf } from "../../src/cli/conntrack_output.ts";
import { EVENT_EXPECT, EVENT_KIND, EVENT_TYPE } from "../../src/conntrack/events.ts";
import { type EventOptions, formatEvent } from "../../src/conntrack/event_format.ts";

/** One listener: `expect`, `-e`, `-o`. */
export class Listener {
  readonly kinds: number;
  readonly lines: string[] = [];
  readonly #output: EventOptions;

  constructor(args: readonly string[]) {
    const of = (option: string) => args.includes(option) ? args[args.indexOf(option) + 1] : undefined;
    this.kinds = kindsOf(of("-e"), args.includes("expect"));
    this.#output = outputOf(of("-o"), true);
  }

  hear(record: Int32Array<ArrayBuffer>): void {
    if ((this.kinds & 1 << (record[EVENT_KIND] & (EVENT_TYPE | EVENT_EXPECT))) === 0) return;
    this.lines.push(formatEvent(record, this.#output));
  }
}
