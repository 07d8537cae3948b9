/**
 * Rounds of scenarios. Contenders take turns within each round (A B C A B C …), because machines are shared and noisy:
 * what disturbs one disturbs its neighbours, and only ratios mean something. A run that fails or takes too long is
 * reported and costs nothing but its own numbers.
 *
 * Life-cycle: everything happens in labs (tests/netns/lab.ts), which end with their processes. `close` ends the one that
 * is open, at any moment.
 */
import { complain } from "../../src/cli/output.ts";
import type { Contender } from "./contender.ts";
import type { Results, ScenarioResults } from "./results.ts";
import { type Run, type Sample, type Scenario, USUAL } from "./scenario.ts";
import { Stage } from "./stage.ts";

const TOOLS = ["blast", "control", "floor", "flows", "pingpong", "probe", "reads", "uso"];
/** What has to wait for the end of the process, which comes as soon as all is cleaned up. */
const never = new Promise<never>(() => {});

/** See the head of this file. */
export class Play {
  readonly #tools: string;
  readonly #seconds: number;
  readonly #rounds: number;
  /** Those of the run that goes on now. */
  readonly #stages = new Set<Stage>();
  #abort = new AbortController();
  #closing = false;

  constructor({ rounds, seconds }: Results) {
    this.#rounds = rounds;
    this.#seconds = seconds;
    this.#tools = Deno.makeTempDirSync({ prefix: "weir-bench-" });
  }

  /** Compiles the tools; once, before anything is played. */
  async compile(): Promise<void> {
    await Promise.all(TOOLS.map(async (tool) => {
      const args = ["-O2", "-Wall", "-o", `${this.#tools}/${tool}`, `${import.meta.dirname}/tools/${tool}.c`];
      const { success, stderr } = await new Deno.Command("gcc", { args, stdin: "null" }).output();
      if (!success) throw new Error(new TextDecoder().decode(stderr));
    }));
  }

  /** All rounds of one scenario. */
  async rounds(scenario: Scenario, contenders: readonly Contender[]): Promise<ScenarioResults> {
    const results: ScenarioResults = { samples: {}, leftOut: {}, partly: {}, failed: {} };
    const asked = contenders.filter((contender) => {
      const why = scenario.leftOut(contender), some = scenario.partly?.(contender) ?? null;
      if (why !== null) results.leftOut[contender.name] = why;
      else if (some !== null) results.partly[contender.name] = some;
      return why === null;
    });
    const rounds = scenario.once ? 1 : this.#rounds;
    for (let round = 1; round <= rounds; round++) {
      for (const contender of asked) {
        const title = `${scenario.name}, round ${round} of ${rounds}, ${contender.title}`;
        const samples = results.samples[contender.name] ??= [];
        try {
          const sample = await this.#run(scenario, contender);
          samples.push(sample);
          const said = Object.entries(sample).map(([key, value]) => `${key} ${value.toPrecision(4)}`);
          complain(`${title}: ${said.join(", ")}`);
        } catch (error) {
          samples.push(null);
          const why = (error as Error).message;
          (results.failed[contender.name] ??= []).push(why.replaceAll(/\s+/g, " ").slice(0, 200));
          complain(`${title} failed: ${why}`);
        }
      }
    }
    return results;
  }

  /** One start of one contender. */
  async #run(scenario: Scenario, contender: Contender): Promise<Sample> {
    const limit = scenario.limit + 20 * this.#seconds;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      void this.#end();
    }, limit * 1000);
    try {
      return await scenario.run(contender, this.#means());
    } catch (error) {
      if (this.#closing) await never;
      if (late) throw new Error(`it took over ${limit} s`);
      const said = [...this.#stages].map((stage) => stage.router.process?.text.trim()).filter(Boolean);
      throw new Error([(error as Error).message, ...said].join("; the router said: ").slice(0, 2000));
    } finally {
      clearTimeout(timer);
      await this.#end();
      this.#stages.clear();
      this.#abort = new AbortController();
    }
  }

  /** What a run has to work with. */
  #means(): Run {
    const open = async () => {
      if (this.#closing) await never;
      return await Stage.open(this.#tools, (stage) => this.#stages.add(stage));
    };
    return {
      seconds: this.#seconds,
      tools: this.#tools,
      signal: this.#abort.signal,
      open,
      start: async (contender, setting) => {
        const stage = await open();
        await stage.start(contender, { ...USUAL, ...setting });
        return stage;
      },
    };
  }

  /** Ends what runs now, whatever it is. */
  async #end(): Promise<void> {
    this.#abort.abort();
    await Promise.all([...this.#stages].map((stage) => stage.lab.close()));
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#end();
    await Deno.remove(this.#tools, { recursive: true }).catch(() => {});
  }
}
