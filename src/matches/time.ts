/** Hours of the day, days of the week and of the month, and dates, all in UTC (iptables -m time; xt_time). */
import type { Clock } from "../clock.ts";
import type { Packet } from "../packet/packet.ts";
import {
  defineMatch,
  type Kind,
  type Match,
  type MatchExtension,
  OptionError,
  type OptionValue,
  UnsupportedError,
} from "../tables/extension.ts";
import { flag, listOf, refuse, wholeNumber } from "../tables/kinds.ts";

interface TimeOptions {
  timestart: number;
  timestop: number;
  monthdays: number;
  weekdays: number;
  datestart: number;
  datestop: number;
  kerneltz: true;
  contiguous: true;
}

const DAY = 86400;
const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/** Bits 1 … 7, Monday first, and 1 … 31. */
const ALL_WEEKDAYS = 0xfe, ALL_MONTHDAYS = 0xfffffffe | 0;
/** The last second that iptables can name (INT_MAX), which it prints. */
const LAST = 0x7fffffff;

function two(n: number): string {
  return String(n).padStart(2, "0");
}

const clockTime: Kind<number> = {
  words: 1,
  expects: 'a time of day such as "8:00" or "17:30:00"',
  read(input) {
    const found = typeof input === "string" ? /^(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?$/.exec(input) : null;
    if (found === null) return refuse(input, this.expects);
    const [hour, minute, second] = found.slice(1).map((part) => Number(part ?? 0));
    return hour > 23 || minute > 59 || second > 59
      ? refuse(input, this.expects)
      : hour * 3600 + minute * 60 + second;
  },
  print: (s) => `${two(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`,
};

/** Days as bits. */
function days(all: number, last: number, names: readonly string[]): Kind<number> {
  const name = (day: number) => names[day - 1] ?? String(day);
  return {
    words: 1,
    expects: names.length > 0 ? `days by name (${names.join(", ")}) or number, 1 to 7` : "days from 1 to 31",
    read(input) {
      let mask = 0;
      for (const word of listOf(input, this.expects)) {
        const named = names.findIndex((known) =>
          word.length >= 2 && known.startsWith(title(word.slice(0, 3)))
        ) + 1;
        const day = named > 0 ? named : wholeNumber(word, 1, last);
        if (day === null) return refuse(word, this.expects);
        mask |= 1 << day;
      }
      return mask & all;
    },
    print: (mask) =>
      Array.from({ length: last }, (_, i) => i + 1).filter((day) => (mask & 1 << day) !== 0).map(name).join(
        ",",
      ),
  };
}

function title(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1).toLowerCase();
}

const date: Kind<number> = {
  words: 1,
  expects: 'a date such as "2026-01-31" or "2026-01-31T12:00:00", from 1970 to 2038',
  read(input) {
    const found = typeof input === "string"
      ? /^(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:T(\d\d?)(?::(\d\d?)(?::(\d\d?))?)?)?)?)?$/.exec(input)
      : null;
    if (found === null) return refuse(input, this.expects);
    const [year, month, day, hour, minute, second] = found.slice(1).map((part) =>
      part === undefined ? null : Number(part)
    );
    const seconds = Date.UTC(year!, (month ?? 1) - 1, day ?? 1, hour ?? 0, minute ?? 0, second ?? 0) / 1000;
    const printed = seconds >= 0 && seconds <= LAST ? date.print(seconds, NONE) : "";
    const right = printed !== "" && Number(printed.slice(8, 10)) === (day ?? 1) && (month ?? 1) <= 12 &&
      (hour ?? 0) < 24 && (minute ?? 0) < 60 && (second ?? 0) < 60;
    return right ? seconds : refuse(input, this.expects);
  },
  print(seconds) {
    const day = String(civil(Math.floor(seconds / DAY)));
    return `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}T${clockTime.print(seconds % DAY, NONE)}`;
  },
};
const NONE = { family: 4, protocol: 0 } as const;

/** The date of a day since 1970, as year * 10000 + month * 100 + day; counted over years that begin in March. */
function civil(day: number): number {
  const shifted = day + 719468, era = Math.floor(shifted / 146097), inEra = shifted - era * 146097;
  const yearOfEra = Math.floor(
    (inEra - Math.floor(inEra / 1460) + Math.floor(inEra / 36524) - Math.floor(inEra / 146096)) / 365,
  );
  const inYear = inEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const march = Math.floor((5 * inYear + 2) / 153), month = march < 10 ? march + 3 : march - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return year * 10000 + month * 100 + inYear - Math.floor((153 * march + 2) / 5) + 1;
}

/** A moment as rules write it, with the day of the week: `Thu 2026-01-29T22:00:00`. */
export function formatMoment(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${DAYS[weekdayOf(Math.floor(whole / DAY)) - 1]} ${date.print(whole, NONE)}`;
}

/** 1 for Monday: 1 January 1970 was a Thursday. */
function weekdayOf(day: number): number {
  return (day + 3) % 7 + 1;
}

class TimeMatch implements Match {
  readonly #clock: Clock;
  readonly #from: number;
  readonly #to: number;
  readonly #monthdays: number;
  readonly #weekdays: number;
  readonly #first: number;
  readonly #last: number;
  readonly #contiguous: boolean;

  constructor(clock: Clock, o: Partial<Record<keyof TimeOptions, OptionValue<number | true>>>) {
    const value = (key: keyof TimeOptions, otherwise: number) => Number(o[key]?.value ?? otherwise);
    this.#clock = clock;
    this.#from = value("timestart", 0);
    this.#to = value("timestop", DAY - 1);
    this.#monthdays = value("monthdays", ALL_MONTHDAYS);
    this.#weekdays = value("weekdays", ALL_WEEKDAYS);
    this.#first = value("datestart", 0);
    this.#last = value("datestop", LAST);
    this.#contiguous = o.contiguous !== undefined;
  }

  match(_p: Packet): boolean {
    const now = Math.floor(this.#clock.wall), from = this.#from, to = this.#to;
    if (now < this.#first || now > this.#last) return false;
    let day = Math.floor(now / DAY);
    const second = now - day * DAY;
    if (from < to) {
      if (second < from || second > to) return false;
    } else {
      if (second < from && second > to) return false;
      // What is left of a night belongs to the day before.
      if (this.#contiguous && second <= to) day--;
    }
    if ((this.#weekdays & 1 << weekdayOf(day)) === 0) return false;
    return this.#monthdays === ALL_MONTHDAYS || (this.#monthdays & 1 << civil(day) % 100) !== 0;
  }
}

/** Between two times of day, also over midnight; on some days; between two dates. */
export const time: MatchExtension = defineMatch<TimeOptions>({
  name: "time",
  options: {
    timestart: { flag: "timestart", kind: clockTime },
    timestop: { flag: "timestop", kind: clockTime },
    monthdays: { flag: "monthdays", kind: days(ALL_MONTHDAYS, 31, []), negatable: true },
    weekdays: { flag: "weekdays", kind: days(ALL_WEEKDAYS, 7, DAYS), negatable: true },
    datestart: { flag: "datestart", kind: date },
    datestop: { flag: "datestop", kind: date },
    kerneltz: { flag: "kerneltz", kind: flag },
    contiguous: { flag: "contiguous", kind: flag },
  },
  finish(o) {
    if (o.kerneltz !== undefined) {
      throw new UnsupportedError(
        "kerneltz (--kerneltz) is not known: Weir has UTC only; write times and days in UTC",
      );
    }
    const from = o.timestart?.value ?? 0, to = o.timestop?.value ?? DAY - 1;
    if (o.contiguous !== undefined && from < to) {
      throw new OptionError("contiguous is for times over midnight: timestart has to be behind timestop");
    }
    const positive = (given: OptionValue<number> | undefined, all: number) =>
      given === undefined
        ? undefined
        : { value: given.invert ? ~given.value & all : given.value, invert: false };
    const monthdays = positive(o.monthdays, ALL_MONTHDAYS), weekdays = positive(o.weekdays, ALL_WEEKDAYS);
    // Whole days, all days: what is meant anyway, and not printed.
    const { timestart: _, timestop: __, monthdays: ___, weekdays: ____, ...rest } = o;
    const set = (value: number) => ({ value, invert: false });
    return {
      ...(from === 0 && to === DAY - 1 ? {} : { timestart: set(from), timestop: set(to) }),
      ...(monthdays === undefined || monthdays.value === ALL_MONTHDAYS ? {} : { monthdays }),
      ...(weekdays === undefined || weekdays.value === ALL_WEEKDAYS ? {} : { weekdays }),
      ...rest,
    };
  },
  save(o, c) {
    let text = "";
    for (const key of ["timestart", "timestop", "monthdays", "weekdays", "datestart", "datestop"] as const) {
      const value = o[key]?.value ?? (key === "datestop" ? LAST : undefined);
      if (value !== undefined) text += ` --${key} ${time.options[key].kind.print(value, c)}`;
    }
    return text + (o.contiguous === undefined ? "" : " --contiguous");
  },
  create: (o, { services }) => new TimeMatch(services.clock, o),
});
