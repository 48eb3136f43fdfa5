/**
 * The configuration file while the proxy runs. kube-proxy ends as soon as it is written to, and notices nothing of a
 * ConfigMap; here what can be taken up is, and the rules stay in any case.
 */
import type { Clock } from "../base/clock.ts";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { TellProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import type { Config } from "./config.ts";
import { type ConfigChange, changesBetween } from "./config-changes.ts";
import type { Note } from "./config-notes.ts";
import type { FlagValues } from "./flag-values.ts";
import { type FileContent, followFile } from "./follow-file.ts";
import { resolveConfig } from "./resolve-config.ts";

export interface ConfigFollowerOptions {
  /** What --config names. */
  readonly file: string;
  /** They count beside the file as they did at the start. */
  readonly flags: FlagValues;
  readonly clock: Clock;
  /** What the process started with, and the notes that were logged of it. */
  readonly current: Config;
  readonly notes: readonly Note[];
  /**
   * Takes up another configuration. All `changes` are live; none: only what /configz shows differs. The next file is
   * looked at when this is done. What it throws is fatal.
   */
  readonly apply: (config: Config, changes: readonly ConfigChange[]) => void | Promise<void>;
  /** A file that cannot be used while the last good one counts: CONFIG_INVALID, the subject is the file. */
  readonly problems: TellProblems;
  readonly log: Logger;
  /** Only a new process can go on: CONFIG_CHANGED names the settings. */
  readonly onFatal: (error: unknown) => void;
}

export class ConfigFollower {
  readonly #options: ConfigFollowerOptions;
  readonly #log: Logger;
  readonly #problems: ProblemSet;
  #current: Config;
  /** What was said already. */
  #notes: ReadonlySet<string>;
  #next: FileContent | undefined;
  #busy = false;
  #stopped = false;
  #stopFollowing = () => {};

  constructor(options: ConfigFollowerOptions) {
    this.#options = options;
    this.#log = options.log.from("follow.ts");
    this.#problems = new ProblemSet(options.problems);
    this.#current = options.current;
    this.#notes = new Set(options.notes.map(textOf));
  }

  /** Also looks at the file once, so that nothing is missed between the start and now. */
  start(): void {
    const { file, clock } = this.#options;
    this.#stopFollowing = followFile(file, clock, (content) => {
      this.#next = content;
      this.#work().catch((thrown: unknown) => this.#end(thrown));
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#stopFollowing();
  }

  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#next !== undefined && !this.#stopped) {
      const content = this.#next;
      this.#next = undefined;
      await this.#take(content);
    }
    this.#busy = false;
  }

  async #take(content: FileContent): Promise<void> {
    const { file, flags } = this.#options;
    const about = { subject: file, code: "CONFIG_INVALID", field: "" } as const;
    let resolved: Awaited<ReturnType<typeof resolveConfig>>;
    try {
      resolved = await resolveConfig(flags, async () => {
        if ("error" in content) throw content.error;
        return content.text;
      });
    } catch (thrown) {
      if (!(thrown instanceof SluiceError)) throw thrown;
      const message = `${messageOf(thrown)}; the last good configuration stays`;
      if (!this.#stopped) this.#problems.begin({ ...about, message });
      return;
    }
    if (this.#stopped) return;
    this.#problems.end(about);
    await this.#takeUp(resolved.config, resolved.notes);
  }

  async #takeUp(config: Config, notes: readonly Note[]): Promise<void> {
    const { file, apply } = this.#options;
    const changes = changesBetween(this.#current, config);
    if (changes.length === 0 && shownBy(config) === shownBy(this.#current)) return;
    for (const note of notes) {
      if (!this.#notes.has(textOf(note))) this.#log[note.severity](note.message, note.fields);
    }
    this.#notes = new Set(notes.map(textOf));
    const namesOf = (live: boolean) =>
      changes.flatMap((change) => (change.live === live ? [change.name] : [])).join(", ");
    if (changes.some(({ live }) => !live)) {
      const message = `Cannot take up configuration ${file} in this process: only a new one can change these settings: current value is ${namesOf(false)}`;
      this.#end(new SluiceError("CONFIG_CHANGED", message, file));
      return;
    }
    await apply(config, changes);
    this.#current = config;
    this.#log.info("Took up a changed configuration", { file, changed: namesOf(true) });
  }

  #end(error: unknown): void {
    this.stop();
    this.#options.onFatal(error);
  }
}

function textOf({ message, fields }: Note): string {
  return `${message} ${JSON.stringify(fields)}`;
}

function shownBy({ document, ownDocument }: Config): string {
  return JSON.stringify([document, ownDocument]);
}
