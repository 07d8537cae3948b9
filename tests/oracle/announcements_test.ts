/** Announcements in every spelling and in every unfortunate moment, asked of Linux and of Weir. */
import { CONVERSATIONS } from "./announcements/conversations.ts";
import { LINES } from "./announcements/lines.ts";
import { assertAlike } from "./ask.ts";
import { kernelAvailable } from "./kernel.ts";

const ignore = !kernelAvailable();

for (const [helper, list] of Object.entries(LINES)) {
  Deno.test({
    name: `X ${helper} makes of ${list.length} lines, right and nearly right, what it makes in Linux`,
    ignore,
    fn() {
      for (const [name, scenario] of list) assertAlike(scenario, name);
    },
  });
}

for (const [says, scenario] of CONVERSATIONS) {
  Deno.test({ name: `X announced ${says}`, ignore, fn: () => assertAlike(scenario) });
}
