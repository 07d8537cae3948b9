import { assert, assertEquals } from "@std/assert";
import { EventFd, onlineProcessors, PollSet } from "deno_tun";
import { Vigil } from "../../src/dataplane/vigil.ts";

/** A set of one eventfd, which counts its calls. */
class Watched extends PollSet implements Disposable {
  readonly event = new EventFd();
  looks = 0;
  sleeps = 0;
  /** Signals at the n-th look from now on. */
  comesAt = Infinity;

  constructor() {
    super(1);
    this.set(0, this.event.fd);
  }

  override wait(milliseconds: number): number {
    if (milliseconds > 0) this.sleeps++;
    else if (++this.looks >= this.comesAt) this.event.signal();
    const ready = super.wait(milliseconds === 0 ? 0 : 1);
    if (ready > 0) this.event.drain();
    return ready;
  }

  /** What a wait came to: looks and sleeps. */
  counted(vigil: Vigil, busy: boolean): [looks: boolean, sleeps: number] {
    this.looks = this.sleeps = 0;
    vigil.wait(1, busy);
    return [this.looks > 0, this.sleeps];
  }

  [Symbol.dispose](): void {
    this.event.close();
  }
}

const alone = onlineProcessors() < 2;

Deno.test("Vigil goes to sleep at once when nothing has come before, or when it is told to", () => {
  using set = new Watched();
  assertEquals(set.counted(new Vigil(set, 50), false), [false, 1]);
  assertEquals(set.counted(new Vigil(set, 0), true), [false, 1]);
});

Deno.test({
  name: "Vigil does not sleep while packets come before its patience ends",
  ignore: alone, // on one processor it never looks
  fn() {
    using set = new Watched();
    const vigil = new Vigil(set, 1_000_000);
    set.comesAt = 5;
    for (let n = 0; n < 100; n++) assertEquals(set.counted(vigil, true), [true, 0]);
  },
});

Deno.test({
  name: "Vigil looks more and more rarely where looking is in vain, and always again once it was not",
  ignore: alone,
  fn() {
    using set = new Watched();
    const vigil = new Vigil(set, 20), looked: number[] = [];
    for (let n = 0; n < 400; n++) {
      const [looks, sleeps] = set.counted(vigil, true);
      assertEquals(sleeps, 1);
      if (looks) looked.push(n);
    }
    // After 1, 2, 4 … 64 turns without, and 64 from then on.
    assertEquals(looked, [0, 2, 5, 10, 19, 36, 69, 134, 199, 264, 329, 394]);
    set.comesAt = 1;
    let turns = 0;
    while (!set.counted(vigil, true)[0]) assert(++turns <= 64);
    for (let n = 0; n < 10; n++) assertEquals(set.counted(vigil, true), [true, 0]);
  },
});
