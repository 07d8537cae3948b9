/**
 * At most so many matches in a time (iptables -m limit; xt_limit).
 *
 * A token bucket in the kernel's own arithmetic, so that the same packets at the same times come to the same answers:
 * credits grow by 128 for each tick of 4 ms (HZ = 250, as Debian's kernels have it), each match costs the period's
 * worth, and the bucket holds `burst` of them.
 */
import type { Arena } from "../arena.ts";
import type { Clock } from "../clock.ts";
import type { Packet } from "../packet/packet.ts";
import { defineMatch, type Kind, type Match, type MatchExtension, OptionError } from "../tables/extension.ts";
import { refuse, uint } from "../tables/kinds.ts";

/** Periods are counted in ten-thousandths of a second (XT_LIMIT_SCALE). */
const SCALE = 10000;
const HZ = 250;
/** The largest power of two that lets a day's credits fit into 32 bits (CREDITS_PER_JIFFY). */
const CREDITS_PER_TICK = 128;
/** Milliseconds per tick, as a shift. */
const TICK_SHIFT = 2;

/** Seconds of the units that rates are written in. */
const UNITS = [["second", 1], ["minute", 60], ["hour", 3600], ["day", 86400]] as const;

/** `3/hour`, what `-m limit` means without options. */
const DEFAULT_PERIOD = SCALE * 60 * 60 / 3;
const DEFAULT_BURST = 5;

/** A rate as the period between two matches, in so many parts of a second. */
export function rateKind(scale: number): Kind<number> {
  return {
    words: 1,
    expects: 'a rate such as "5/second", "3/minute", "10/hour" or "1/day"',
    read(input) {
      const found = /^\s*\+?(\d+)[^/]*(?:\/(.+))?$/.exec(String(input));
      if (found === null || (typeof input !== "string" && typeof input !== "number")) {
        return refuse(input, this.expects);
      }
      const unit = UNITS.find(([name]) => name.startsWith((found[2] ?? "second").toLowerCase()));
      const count = Number(found[1]);
      if (unit === undefined || count === 0) return refuse(input, this.expects);
      const period = Math.floor(unit[1] * scale / count);
      if (period === 0) throw new OptionError(`is too fast: ${scale}/second is the most that can be limited`);
      return period;
    },
    print(period) {
      const i = rateUnit(period, scale);
      return `${Math.floor(UNITS[i][1] * scale / period)}/${["sec", "min", "hour", "day"][i]}`;
    },
  };
}

/** The index of the unit that iptables prints a rate in: the smallest in which it is exact enough (print_rate). */
function rateUnit(period: number, scale: number): number {
  let i = 3;
  while (i > 0) {
    const per = UNITS[i - 1][1] * scale;
    if (period > per || Math.floor(per / period) < per % period) break;
    i--;
  }
  return i;
}

/** Seconds of the unit that a rate is printed in. */
export function rateSeconds(period: number, scale: number): number {
  return UNITS[rateUnit(period, scale)][1];
}

/** Seconds of the unit that a rate was written in. */
export function writtenSeconds(text: string): number {
  const unit = /\/(.+)$/.exec(text)?.[1] ?? "second";
  return UNITS.find(([name]) => name.startsWith(unit.toLowerCase()))?.[1] ?? 1;
}

const rate = rateKind(SCALE);

/** Credits that a period is worth, in 32-bit arithmetic as the kernel's user2credits. */
function credits(period: number): number {
  if (period > Math.floor(0xffffffff / (HZ * CREDITS_PER_TICK))) {
    return (Math.floor(period / SCALE) * HZ * CREDITS_PER_TICK) % 0x100000000;
  }
  return Math.floor(period * HZ * CREDITS_PER_TICK / SCALE);
}

/** Credits in the bucket, and the tick of the last packet. */
const CREDIT = 0, TICK = 1;

class LimitMatch implements Match {
  readonly #clock: Clock;
  readonly #cost: number;
  readonly #cap: number;
  readonly #bucket: Float64Array;

  constructor(clock: Clock, arena: Arena, period: number, burst: number) {
    this.#clock = clock;
    this.#cost = credits(period);
    this.#cap = credits(Math.imul(period, burst) >>> 0);
    this.#bucket = arena.float64(2);
    if (!arena.fresh) return;
    this.#bucket[CREDIT] = this.#cap;
    this.#bucket[TICK] = clock.now >>> TICK_SHIFT;
  }

  match(_p: Packet): boolean {
    const bucket = this.#bucket, tick = this.#clock.now >>> TICK_SHIFT;
    // Ticks wrap with the clock, at 30 bits.
    const elapsed = (tick - bucket[TICK]) & 0x3fffffff;
    bucket[TICK] = tick;
    const credit = Math.min(this.#cap, bucket[CREDIT] + elapsed * CREDITS_PER_TICK);
    const enough = credit >= this.#cost;
    bucket[CREDIT] = enough ? credit - this.#cost : credit;
    return enough;
  }
}

/** At most so many matches in a time, after a burst. */
export const limit: MatchExtension = defineMatch<{ limit: number; limitBurst: number }>({
  name: "limit",
  options: {
    limit: { flag: "limit", kind: rate },
    limitBurst: { flag: "limit-burst", kind: uint(1, 10000) },
  },
  finish(o) {
    const period = o.limit?.value ?? DEFAULT_PERIOD, burst = o.limitBurst?.value ?? DEFAULT_BURST;
    if (credits(Math.imul(period, burst) >>> 0) < credits(period)) {
      throw new OptionError(
        `limit ${rate.print(period, NONE)} with a burst of ${burst} overflows; choose a smaller burst`,
      );
    }
    return { limit: { value: period, invert: false }, limitBurst: { value: burst, invert: false } };
  },
  save(o, c) {
    const burst = o.limitBurst!.value;
    return ` --limit ${rate.print(o.limit!.value, c)}` +
      (burst === DEFAULT_BURST ? "" : ` --limit-burst ${burst}`);
  },
  create: (o, { services }) =>
    new LimitMatch(services.clock, services.arena, o.limit!.value, o.limitBurst!.value),
});

const NONE = { family: 4, protocol: 0 } as const;
