/**
 * `weir conntrack -E`: what happens to flows and expectations of a running router, as it happens. It asks the router by
 * the control socket to be told, and reads the ring of events in the state file at its own pace.
 */
import {
  EVENT_CTMARK,
  EVENT_DESTROY,
  EVENT_EXPECT,
  EVENT_KIND,
  EVENT_NEW,
  EVENT_ORIGINAL,
  EVENT_REPLY,
  EVENT_TYPE,
  EVENT_UPDATE,
  EventReader,
} from "../conntrack/events.ts";
import {
  EVENT_NAMES,
  type EventOptions,
  eventText,
  eventTime,
  formatEvent,
} from "../conntrack/event_format.ts";
import { fits, fitsTuple, type FlowFilter } from "../conntrack/flow_filter.ts";
import { CommandError, type Conversation, converse, socketPath } from "../control/socket.ts";
import { stateDirectory, statePath } from "../control/state_file.ts";
import { Refused, Usage } from "./command.ts";
import { fields } from "./conntrack_data.ts";
import { complain, print } from "./output.ts";
import { openRunning } from "./running.ts";

/** conntrack's words for what happens. */
const MASKS: Readonly<Record<string, number>> = {
  ALL: 1 << EVENT_NEW | 1 << EVENT_UPDATE | 1 << EVENT_DESTROY,
  NEW: 1 << EVENT_NEW,
  UPDATES: 1 << EVENT_UPDATE,
  DESTROY: 1 << EVENT_DESTROY,
};
/** Milliseconds between two looks at the ring when it is empty: at first, and in the end. */
const SOON = 1, LATE = 32;
/** Lines that are written at once. */
const TOGETHER = 1024;

/** What to listen for, and how to tell it. */
export interface Listening {
  readonly expects: boolean;
  /** As in `-e NEW,DESTROY`; everything by default. */
  readonly mask?: string;
  readonly filter: FlowFilter | null;
  readonly output: EventOptions;
  readonly json: boolean;
  /** Ends it, as a signal does. */
  readonly abort?: AbortSignal;
  readonly name?: string;
  readonly directory?: string;
  /** Where lines go, and what is told of them; standard output and standard error by default. */
  readonly print?: (text: string) => boolean;
  readonly complain?: (text: string) => void;
}

/** LISTEN_* bits of `-e`. */
export function kindsOf(mask: string | undefined, expects: boolean): number {
  let kinds = 0;
  for (const word of (mask ?? "ALL").split(",")) {
    const bits = Object.hasOwn(MASKS, word) ? MASKS[word] : null;
    if (bits === null) throw new Usage(`-e ${word}: it takes ${Object.keys(MASKS).join(", ")}`);
    kinds |= bits;
  }
  return expects ? kinds << EVENT_EXPECT : kinds;
}

/** Prints events until it is told to stop: 0, or 1 when the router has ended. */
export async function listen(what: Listening): Promise<number> {
  const { expects, directory = stateDirectory() } = what, kinds = kindsOf(what.mask, expects);
  const { name, view } = openRunning(what.name, directory), say = what.complain ?? complain;
  try {
    using conversation = await asked(socketPath(statePath(name, directory)), kinds);
    const reader = new EventReader(view.memory.events, Number(conversation.answer.last));
    let shown = 0, over = what.abort?.aborted ?? false, gone = false;
    conversation.ended.then(() => gone = true);
    what.abort?.addEventListener("abort", () => over = true);
    try {
      for (let pause = SOON; !over;) {
        // What was written before the end is told before the end.
        const last = gone, { lines, read } = take(reader, kinds, what);
        // Who pipes it into another program, as head, may have had enough.
        if (lines.length > 0 && !(what.print ?? print)(lines.join("\n"))) break;
        shown += lines.length;
        if (reader.lost > 0) {
          say(`weir: events lost: ${reader.lost}`);
          reader.lost = 0;
        }
        if (last && read === 0) throw new Refused(`router ${name} has ended`);
        // Signals, and the router's end, are heard between two looks.
        pause = read > 0 ? SOON : Math.min(2 * pause, LATE);
        await new Promise((done) => setTimeout(done, read === TOGETHER ? 0 : pause));
      }
    } finally {
      const events = expects ? "expectation" : "flow";
      say(`conntrack v1.4.7 (conntrack-tools): ${shown} ${events} events have been shown.`);
    }
  } finally {
    view.close();
  }
  return 0;
}

async function asked(path: string, kinds: number): Promise<Conversation> {
  try {
    return await converse(path, { command: "listen", kinds });
  } catch (error) {
    if (error instanceof CommandError) throw new Refused(error.message);
    throw error;
  }
}

/** Some of what has happened, and how many records that were. */
function take(reader: EventReader, kinds: number, what: Listening): { lines: string[]; read: number } {
  const lines: string[] = [];
  let read = 0;
  for (; read < TOGETHER; read++) {
    const record = reader.next();
    if (record === null) break;
    const kind = record[EVENT_KIND] & (EVENT_TYPE | EVENT_EXPECT);
    if ((kinds & 1 << kind) === 0 || !isMeant(record, what)) continue;
    lines.push(what.json ? JSON.stringify(data(record, what.output)) : formatEvent(record, what.output));
  }
  return { lines, read };
}

function isMeant(record: Int32Array, { filter, expects }: Listening): boolean {
  if (filter === null) return true;
  return expects
    ? fitsTuple(filter, record, EVENT_ORIGINAL)
    : fits(filter, record, EVENT_ORIGINAL, EVENT_REPLY, record[EVENT_CTMARK]);
}

function data(record: Int32Array<ArrayBuffer>, output: EventOptions): Record<string, unknown> {
  const event = EVENT_NAMES[record[EVENT_KIND] & EVENT_TYPE];
  return { event, time: eventTime(record), ...fields(eventText(record, output)) };
}
