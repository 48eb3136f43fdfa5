/**
 * Follows the configuration file at run time. kube-proxy exits when its file is written, and misses
 * changes of a ConfigMap. Sluice applies what it can, and the rules stay in any case.
 */
import type { Clock } from "../base/clock.ts";
import { messageOf, SluiceError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import type { Config } from "./config.ts";
import { type ConfigChange, changesBetween } from "./config-changes.ts";
import type { ConfigWarning } from "./config-warnings.ts";
import type { FlagValues } from "./flag-values.ts";
import { type FileContent, followFile } from "./follow-file.ts";
import { resolveConfig } from "./resolve-config.ts";

export interface ConfigFollowerOptions {
  /** The value of --config. */
  readonly file: string;
  /** Applied together with the file, as at the start. */
  readonly flags: FlagValues;
  readonly clock: Clock;
  /**
   * The configuration that the process started with, and its warnings, which were logged.
   */
  readonly current: Config;
  readonly warnings: readonly ConfigWarning[];
  /**
   * Applies another configuration. All `changes` are live; without any, only the documents of
   * /configz differ. The next file is read after this resolves. An error that it throws is fatal.
   */
  readonly apply: (config: Config, changes: readonly ConfigChange[]) => void | Promise<void>;
  /**
   * Receives CONFIG_INVALID with the file as subject while the file is unusable. The last good one
   * stays.
   */
  readonly problems: ReportProblems;
  readonly log: Logger;
  /**
   * Called with CONFIG_CHANGED, which names the settings, if only a new process can apply a change.
   * The log has the reason then.
   */
  readonly onFatal: (error: unknown) => void;
}

export class ConfigFollower {
  readonly #options: ConfigFollowerOptions;
  readonly #log: Logger;
  readonly #problems: ProblemSet;
  #current: Config;
  /** Warnings that were already logged. */
  #loggedWarnings: ReadonlySet<string>;
  #next: FileContent | undefined;
  #busy = false;
  #stopped = false;
  #stopFollowing = () => {};

  constructor(options: ConfigFollowerOptions) {
    this.#options = options;
    this.#log = options.log.from("reload-config.ts");
    this.#problems = new ProblemSet(options.problems);
    this.#current = options.current;
    this.#loggedWarnings = new Set(options.warnings.map(warningKey));
  }

  /**
   * Starts following. It reads the file once, so that no change since the start of the process is
   * missed.
   */
  start(): void {
    const { file, clock } = this.#options;
    this.#stopFollowing = followFile(file, clock, (content) => {
      this.#next = content;
      this.#processNext().catch((thrown: unknown) => this.#fail(thrown));
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#stopFollowing();
  }

  async #processNext(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#next !== undefined && !this.#stopped) {
      const content = this.#next;
      this.#next = undefined;
      await this.#useContent(content);
    }
    this.#busy = false;
  }

  async #useContent(content: FileContent): Promise<void> {
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
      const message = `${messageOf(thrown)} (the last good configuration stays in effect)`;
      if (!this.#stopped) this.#problems.begin({ ...about, message });
      return;
    }
    if (this.#stopped) return;
    this.#problems.end(about);
    await this.#applyConfig(resolved.config, resolved.warnings);
  }

  async #applyConfig(config: Config, warnings: readonly ConfigWarning[]): Promise<void> {
    const { file, apply } = this.#options;
    const changes = changesBetween(this.#current, config);
    if (changes.length === 0 && documentsKey(config) === documentsKey(this.#current)) return;
    for (const warning of warnings) {
      if (this.#loggedWarnings.has(warningKey(warning))) continue;
      this.#log.warn(warning.message, warning.fields);
    }
    this.#loggedWarnings = new Set(warnings.map(warningKey));
    const namesOf = (live: boolean) =>
      changes.flatMap((change) => (change.live === live ? [change.name] : [])).join(", ");
    if (changes.some(({ live }) => !live)) {
      const settings = namesOf(false);
      const message = `reload ${file}: the supervisor must start a new process, because these settings changed: ${settings}`;
      const error = new SluiceError("CONFIG_CHANGED", message, file);
      this.#log.info(
        "Exiting so that a new process applies the changed settings; rules stay in place",
        { file, settings, code: error.code },
      );
      this.#fail(error);
      return;
    }
    await apply(config, changes);
    this.#current = config;
    this.#log.info("Reloaded configuration", { file, changed: namesOf(true) });
  }

  #fail(error: unknown): void {
    this.stop();
    this.#options.onFatal(error);
  }
}

function warningKey({ message, fields }: ConfigWarning): string {
  return `${message} ${JSON.stringify(fields)}`;
}

function documentsKey({ document, ownDocument }: Config): string {
  return JSON.stringify([document, ownDocument]);
}
