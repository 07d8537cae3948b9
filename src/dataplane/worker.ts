/**
 * The data plane worker: Weir's router in the frame of `serve`. Functions cannot be sent to a worker, so it imports the
 * configuration module itself and builds everything from it, as the control plane did to check it.
 *
 * @module
 */
import { arrange } from "../config/order.ts";
import { ruleNames, summarize } from "../config/summary.ts";
import { CHANGE_SET, CONTROL_EXPECTS, CONTROL_FLOWS, type Memory } from "../memory.ts";
import { Router, type RouterOptions } from "../router.ts";
import { importConfig, validated } from "./loading.ts";
import { serve } from "./serve.ts";
import { SetCommands } from "./set_commands.ts";

/** A router that shows how full its tables are. */
class ShownRouter extends Router {
  readonly busyPoll: number;
  readonly #memory: Memory;

  readonly #setCommands: SetCommands;
  readonly #mailbox: Uint8Array;

  constructor(options: RouterOptions & { readonly mailbox: Uint8Array }) {
    super({ ...options, changeable: true });
    this.#memory = options.memory;
    this.#mailbox = options.mailbox;
    this.#setCommands = new SetCommands(this.sets, options.clock);
    this.busyPoll = options.config.sysctl.get("weir.busy_poll");
  }

  override command(words: Int32Array): void {
    if (words[0] !== CHANGE_SET) return super.command(words);
    const mailbox = this.#mailbox,
      { done, text } = this.#setCommands.answer(
        new TextDecoder().decode(mailbox.slice(0, words[1])),
      );
    words.fill(0, 1);
    words[1] = done ? 1 : 0;
    words[2] = new TextEncoder().encodeInto(text, mailbox).written;
  }

  override sweep(): boolean {
    const more = super.sweep();
    const { control } = this.#memory;
    control[CONTROL_FLOWS] = this.conntrack.flows.count;
    control[CONTROL_EXPECTS] = this.conntrack.expects.count;
    return more;
  }
}

serve(async (url, path) => {
  const written = await importConfig(new URL(url), path), config = validated(path, written);
  return {
    summary: () => summarize(config),
    build(parts) {
      const { order } = parts;
      return new ShownRouter({
        config: order === null ? config : arrange(config, order),
        names: ruleNames(config),
        ...parts,
      });
    },
  };
});
