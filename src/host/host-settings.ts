/**
 * Sets the machine up as the configuration says. Nothing here is fatal: what cannot be written is
 * told as a problem, with what to do about it. What is as it should be is not written, so that a
 * run with fewer rights after one that had them has nothing to complain of.
 */
import type { Clock } from "../base/clock.ts";
import { SYSCTL_LOOK_MS } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { Config, ConntrackSettings } from "../config/config.ts";
import type { Problem, TellProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import {
  CONNTRACK_SYSCTLS,
  type ConntrackValues,
  differs,
  type Wanted,
  wantedOf,
} from "./conntrack-sysctls.ts";
import { hostFacts } from "./host-facts.ts";
import { KernelFiles, NETFILTER, setSysctl, subjectOf } from "./kernel-files.ts";
import { LocalnetRouting } from "./localnet.ts";

const OOM_SCORE = "/proc/self/oom_score_adj";
const CODE = "SYSCTL_REFUSED";

export interface HostSettingsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Is told each failure once, and its end when all is as it should be. */
  readonly problems: TellProblems;
  readonly files?: KernelFiles;
}

export class HostSettings {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #files: KernelFiles;
  /** Of connection tracking. */
  readonly #problems: ProblemSet;
  readonly #localnet: LocalnetRouting;
  #cancelLook = () => {};

  constructor({ clock, log, problems, files = new KernelFiles() }: HostSettingsOptions) {
    this.#clock = clock;
    this.#log = log.from("host-settings.ts");
    this.#problems = new ProblemSet(problems);
    this.#files = files;
    this.#localnet = new LocalnetRouting({ clock, log, problems, files });
  }

  /**
   * Sets the sysctls of connection tracking; again after every change of the configuration.
   * nf_conntrack_max is raised, and never lowered. False while there is no connection tracking in
   * the kernel: it comes with the first rules that need it, so a call after them is worth its
   * while. While anything is not as it should be, it is looked at again by itself: the operator, or
   * who else may, can have set it.
   */
  tuneConntrack(settings: ConntrackSettings): boolean {
    return this.#tune(wantedOf(settings, hostFacts(this.#files).cpus));
  }

  /**
   * With `wanted` sets route_localnet, for node ports on 127.0.0.0/8; again after a change, as
   * above.
   */
  routeLocalnet(wanted: boolean): void {
    this.#localnet.want(wanted);
  }

  /** Looks no more. */
  stop(): void {
    this.#cancelLook();
    this.#localnet.stop();
  }

  /**
   * Sets how soon the kernel ends this process when memory is short: -1000 (never) to 1000. A
   * failure is a line of the log and no problem: it takes nothing from what the process does.
   */
  adjustOomScore(score: number): void {
    const current = this.#files.number(OOM_SCORE);
    const failure = current === score ? "" : this.#files.write(OOM_SCORE, score);
    if (failure === "") {
      this.#log.debug(2, "The process's oom_score_adj is as configured", { score });
    } else if (this.#log.once(`${OOM_SCORE} ${score} ${failure}`)) {
      const message = `Cannot set oom_score_adj of this process: it must be ${score}, by CAP_SYS_RESOURCE here or by its supervisor (OOMScoreAdjust= of systemd), but writing it fails with ${failure}: current value is ${current}`;
      this.#log.warn(message, { code: CODE, field: "oomScoreAdj" });
    }
  }

  #tune(wanted: readonly Wanted[]): boolean {
    this.#cancelLook();
    const now = this.#conntrackValues();
    const present = now.nf_conntrack_max !== undefined;
    const problems: Problem[] = present ? [] : wanted.slice(0, 1).map(absent);
    // What could be set is looked at no more: an operator may have set it otherwise since.
    const open = wanted.filter((one) => {
      if (!present) return true;
      const found = differs(one, now) ? this.#set(one, now) : [];
      problems.push(...found);
      return found.length > 0;
    });
    this.#problems.set(problems);
    if (open.length > 0) {
      this.#cancelLook = this.#clock.after(SYSCTL_LOOK_MS, () => this.#tune(open));
    }
    return present;
  }

  #conntrackValues(): ConntrackValues {
    const entries = CONNTRACK_SYSCTLS.map((name) => [name, this.#files.number(pathOf(name))]);
    return Object.fromEntries(entries);
  }

  #set({ name, value, field }: Wanted, now: ConntrackValues): Problem[] {
    const sysctl = { name: `net.netfilter.${name}`, path: pathOf(name), value, field };
    const problem = setSysctl(sysctl, now[name], this.#files, this.#log);
    return problem ? [problem] : [];
  }
}

/**
 * The log line of --init-only when it is done. These are upstream's words, which scripts look for.
 */
export const INITIALIZED = "System initialized and --init-only specified";

/**
 * --init-only: does what needs full rights, so that a later run can do with fewer. Probes what the
 * rules need of the kernel, which loads its modules, and sets the sysctls. `probe` returns
 * what the backend that will serve can do. Returns the line to log.
 * @throws SluiceError KERNEL_UNSUPPORTED, PERMISSION_DENIED: as `probe` does
 */
export async function initializeHost(
  config: Pick<Config, "conntrack" | "localhostNodePorts">,
  settings: HostSettings,
  probe: () => Promise<{ readonly localhostNodePorts: boolean }>,
): Promise<string> {
  const { localhostNodePorts } = await probe();
  settings.tuneConntrack(config.conntrack);
  settings.routeLocalnet(localhostNodePorts && config.localhostNodePorts);
  return INITIALIZED;
}

function pathOf(name: string): string {
  return `${NETFILTER}/${name}`;
}

function absent({ field }: Wanted): Problem {
  const message = `Cannot set the sysctls of connection tracking: the kernel module nf_conntrack must be loaded ("modprobe nf_conntrack" on the machine) and ${NETFILTER} readable: current value is none`;
  return { subject: subjectOf("net.netfilter"), code: CODE, field, message };
}
