/**
 * The data plane worker: Weir's router in the frame of `serve`. Functions cannot be sent to a worker, so it imports the
 * configuration module itself and builds everything from it, as the control plane did to check it.
 *
 * @module
 */
import { validate } from "../config/validate.ts";
import { CONTROL_EXPECTS, CONTROL_FLOWS, type Memory } from "../memory.ts";
import { Router, type RouterOptions } from "../router.ts";
import { serve } from "./serve.ts";

/** A router that shows how full its tables are. */
class ShownRouter extends Router {
  readonly busyPoll: number;
  readonly #memory: Memory;

  constructor(options: RouterOptions) {
    super(options);
    this.#memory = options.memory;
    this.busyPoll = options.config.sysctl.get("weir.busy_poll");
  }

  override sweep(): boolean {
    const more = super.sweep();
    const { control } = this.#memory;
    control[CONTROL_FLOWS] = this.conntrack.flows.count;
    control[CONTROL_EXPECTS] = this.conntrack.expects.count;
    return more;
  }
}

serve(async (url) => {
  const module = await import(url);
  const config = validate(module.default);
  return (parts) => new ShownRouter({ config, ...parts });
});
