/** What more `weir conntrack` shows, and how: the option `-o`, under conntrack's names. */
import type { EventOptions } from "../conntrack/event_format.ts";
import { Usage } from "./command.ts";

/** Names of labels, one `NUMBER NAME` per line, as iptables and conntrack read them. */
const LABEL_NAMES = "/etc/xtables/connlabel.conf";
/** What there is, for -L and for -E. */
const KNOWN = ["timestamp", "id", "extended", "ktimestamp", "labels"];

/** Reads `-o id,extended`. */
export function outputOf(text: string | undefined, events: boolean): EventOptions {
  const options: EventOptions = {};
  for (const word of text === undefined ? [] : text.split(",")) {
    if (!KNOWN.includes(word)) throw new Usage(`-o ${word}: it takes ${KNOWN.join(", ")}`);
    if (word === "labels") options.labels = labelNames();
    else if (word === "ktimestamp") options.ktimestamp = ctime;
    // A listing has no moment of its own; conntrack takes the word there, too.
    else if (word !== "timestamp" || events) {
      options[word as "timestamp" | "id" | "extended"] = true;
    }
  }
  return options;
}

/** As ctime(3) writes it, without its line end. */
function ctime(seconds: number): string {
  const [day, month, date, year, time] = new Date(seconds * 1000).toString().split(" ");
  return `${day} ${month} ${date.replace(/^0/, " ")} ${time} ${year}`;
}

/** Where the file has two names of a label, the first. */
export function labelNames(path = LABEL_NAMES): Map<number, string> {
  const names = new Map<number, string>();
  let text = "";
  try {
    text = Deno.readTextFileSync(path);
  } catch {
    // Few machines have one; labels are numbers then.
  }
  for (const [, number, name] of text.matchAll(/^(\d+)\s+(\S.*?)\s*$/gm)) {
    if (!names.has(Number(number))) names.set(Number(number), name);
  }
  return names;
}
