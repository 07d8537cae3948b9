/**
 * Those who listen to what happens to flows (`weir conntrack -E`). Each keeps a conversation with the control socket for
 * as long as it listens, so one that is killed is not listened for any more as soon as the kernel has closed its end.
 */
import { type EventRing, LISTEN_EXPECTS, LISTEN_FLOWS } from "../conntrack/events.ts";
import { CommandError, type Request, type Result } from "./socket.ts";

/** What several want together. */
export class Listeners {
  readonly #wanted = new Set<{ readonly kinds: number }>();

  /** One more, until it is gone: `kinds` are LISTEN_* bits. It reads what comes behind the record that is answered. */
  listen(ring: EventRing, { kinds }: Request, gone: AbortSignal): Promise<Result> {
    if (typeof kinds !== "number" || kinds <= 0 || (kinds & ~(LISTEN_FLOWS | LISTEN_EXPECTS)) !== 0) {
      throw new CommandError(`${JSON.stringify(kinds)} are no kinds of events`);
    }
    const one = { kinds }, last = ring.newest;
    this.#wanted.add(one);
    this.#settle(ring);
    gone.addEventListener("abort", () => {
      this.#wanted.delete(one);
      this.#settle(ring);
    });
    return Promise.resolve({ last });
  }

  #settle(ring: EventRing): void {
    ring.wanted = [...this.#wanted].reduce((all, { kinds }) => all | kinds, 0);
  }
}
