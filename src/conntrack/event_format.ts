/**
 * Events as `conntrack -E` of conntrack-tools 1.4.7 prints them, byte for byte: what has happened, then the line of the
 * flow with what is told of it then. The first line has the state where there is one, later ones have it where it has
 * changed; a mark is told when it is not 0 or has changed; what is counted comes last, with the end.
 */
import {
  EVENT_CLASS,
  EVENT_COUNTERS,
  EVENT_CTMARK,
  EVENT_DESTROY,
  EVENT_EXPECT,
  EVENT_FLAGS,
  EVENT_HELPER,
  EVENT_ID,
  EVENT_KIND,
  EVENT_LABEL,
  EVENT_LABELS,
  EVENT_MARK,
  EVENT_MASK,
  EVENT_ORIGINAL,
  EVENT_PORTID,
  EVENT_PROTO,
  EVENT_REPLY,
  EVENT_START,
  EVENT_STATE,
  EVENT_STATUS,
  EVENT_TIME,
  EVENT_TIMEOUT,
  EVENT_TYPE,
  NAME_WORDS,
} from "./events.ts";
import { COUNTERS, IPS_COUNTED } from "./flow.ts";
import { type ExpectFacts, expectText, type FlowFacts, flowText, type ListOptions } from "./format.ts";

/** What conntrack calls what has happened, by `kind & EVENT_TYPE`. */
export const EVENT_NAMES = ["NEW", "UPDATE", "DESTROY"] as const;

/** How to print events. */
export interface EventOptions extends ListOptions {
  /** When it happened in front of each line (`-o timestamp`). */
  timestamp?: boolean;
}

/** Seconds since 1970. */
export function eventTime(record: Int32Array<ArrayBuffer>): number {
  return new Float64Array(record.buffer, record.byteOffset + EVENT_TIME * 4, 1)[0];
}

function helperOf(record: Int32Array): string | null {
  const bytes = new Uint8Array(record.buffer, record.byteOffset + EVENT_HELPER * 4, NAME_WORDS * 4).slice();
  const end = bytes.indexOf(0);
  return end === 0 ? null : new TextDecoder().decode(bytes.subarray(0, end < 0 ? bytes.length : end));
}

function flowFacts(record: Int32Array<ArrayBuffer>): FlowFacts {
  const kind = record[EVENT_KIND], status = record[EVENT_STATUS], mark = record[EVENT_CTMARK];
  const timeout = record[EVENT_TIMEOUT], over = (kind & EVENT_TYPE) === EVENT_DESTROY;
  const counted = over && (status & IPS_COUNTED) !== 0, now = Math.floor(eventTime(record));
  return {
    words: record,
    original: EVENT_ORIGINAL,
    reply: EVENT_REPLY,
    status,
    timeout: over && timeout === 0 ? null : timeout,
    state: (kind & EVENT_STATE) !== 0 ? record[EVENT_PROTO] : null,
    counters: counted
      ? new Float64Array(record.buffer, record.byteOffset + EVENT_COUNTERS * 4, COUNTERS)
      : null,
    mark: mark !== 0 || (kind & EVENT_MARK) !== 0 ? mark : null,
    start: over ? record[EVENT_START] >>> 0 : 0,
    stop: now,
    now,
    helper: over ? null : helperOf(record),
    use: null,
    id: record[EVENT_ID],
    labels: (kind & EVENT_LABELS) !== 0 ? record.subarray(EVENT_LABEL, EVENT_LABEL + 4) : null,
  };
}

function expectFacts(record: Int32Array<ArrayBuffer>): ExpectFacts {
  return {
    words: record,
    tuple: EVENT_ORIGINAL,
    mask: EVENT_MASK,
    masterWords: record,
    master: EVENT_REPLY,
    timeout: record[EVENT_TIMEOUT],
    flags: record[EVENT_FLAGS],
    class: record[EVENT_CLASS],
    helper: helperOf(record),
  };
}

/** What the record says, without what has happened and when. */
export function eventText(record: Int32Array<ArrayBuffer>, options: ListOptions = {}): string {
  const portid = record[EVENT_PORTID];
  const text = (record[EVENT_KIND] & EVENT_EXPECT) !== 0
    ? expectText(expectFacts(record))
    : flowText(flowFacts(record), options);
  return portid === 0 ? text : `${text} [USERSPACE] portid=${portid >>> 0}`;
}

/** An event's line, without line end. */
export function formatEvent(record: Int32Array<ArrayBuffer>, options: EventOptions = {}): string {
  const name = EVENT_NAMES[record[EVENT_KIND] & EVENT_TYPE];
  const line = `${`[${name}]`.padStart(9)} ${eventText(record, options)}`;
  if (!options.timestamp) return line;
  const time = eventTime(record), seconds = Math.floor(time), micros = Math.floor((time - seconds) * 1e6);
  return `[${seconds}.${String(micros).padStart(6, "0")}]\t${line}`;
}
