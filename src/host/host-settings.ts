/**
 * Applies the host settings of the configuration. Failures are not fatal: each is reported as a
 * problem with a remedy. Settings that are already right are not written, so an unprivileged run
 * after a privileged one reports nothing.
 */
import type { Clock } from "../base/clock.ts";
import { withHint } from "../base/errors.ts";
import { SYSCTL_CHECK_MS } from "../base/limits.ts";
import type { Logger } from "../base/log.ts";
import type { Config, ConntrackSettings } from "../config/config.ts";
import type { Problem, ReportProblems } from "../problems/problem.ts";
import { ProblemSet } from "../problems/problem-set.ts";
import {
  CONNTRACK_SYSCTLS,
  type ConntrackValues,
  needsChange,
  type WantedSysctl,
  wantedSysctls,
} from "./conntrack-sysctls.ts";
import { hostFacts } from "./host-facts.ts";
import { KernelFiles, NETFILTER_SYSCTLS, setSysctl, subjectOf } from "./kernel-files.ts";
import { RouteLocalnet } from "./localnet.ts";

const OOM_SCORE = "/proc/self/oom_score_adj";
const CODE = "SYSCTL_REFUSED";

export interface HostSettingsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Receives each failure once, and its end when the setting is right. */
  readonly problems: ReportProblems;
  readonly files?: KernelFiles;
}

export class HostSettings {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #files: KernelFiles;
  /** Problems of connection tracking. */
  readonly #problems: ProblemSet;
  readonly #oomProblems: ProblemSet;
  readonly #localnet: RouteLocalnet;
  #cancelCheck = () => {};

  constructor({ clock, log, problems, files = new KernelFiles() }: HostSettingsOptions) {
    this.#clock = clock;
    this.#log = log.from("host-settings.ts");
    this.#problems = new ProblemSet(problems);
    this.#oomProblems = new ProblemSet(problems);
    this.#files = files;
    this.#localnet = new RouteLocalnet({ clock, log, problems, files });
  }

  /**
   * Sets the conntrack sysctls. Call it at the start and after each configuration change.
   * nf_conntrack_max is only raised. Returns false if the kernel has no connection tracking yet.
   * The first rules that need it load it, so call this after them. While a setting is wrong, it is
   * retried by a timer, because an operator may fix it or permit the write.
   */
  tuneConntrack(settings: ConntrackSettings): boolean {
    return this.#tune(wantedSysctls(settings, hostFacts(this.#files).cpus));
  }

  /**
   * If `wanted`, sets route_localnet, for node ports on 127.0.0.0/8. Call it again after each
   * configuration change. A failed write is retried.
   */
  routeLocalnet(wanted: boolean): void {
    this.#localnet.setWanted(wanted);
  }

  /** Stops the retries. */
  stop(): void {
    this.#cancelCheck();
    this.#localnet.stop();
  }

  /**
   * Sets the OOM score adjustment of this process, from -1000 (never killed) to 1000. It is tried
   * again only after a configuration change, because a process gets no rights later.
   */
  adjustOomScore(score: number): void {
    const current = this.#files.number(OOM_SCORE);
    const failure = current === score ? "" : this.#files.write(OOM_SCORE, score);
    if (failure === "") {
      this.#log.debug(2, "oom_score_adj matches the configuration", { score });
      this.#oomProblems.set([]);
      return;
    }
    const change = `change oom_score_adj from ${current} to ${score}: ${failure}`;
    const hint = "grant CAP_SYS_RESOURCE, or set OOMScoreAdjust= in the systemd unit";
    const message = withHint(change, hint);
    this.#oomProblems.set([
      { subject: "oom_score_adj", code: CODE, field: "oomScoreAdj", message },
    ]);
  }

  #tune(wanted: readonly WantedSysctl[]): boolean {
    this.#cancelCheck();
    const now = this.#conntrackValues();
    const present = now.nf_conntrack_max !== undefined;
    const problems: Problem[] = present ? [] : wanted.slice(0, 1).map(absent);
    // Settings that were applied are not checked again, because an operator may have changed them
    // since.
    const open = wanted.filter((one) => {
      if (!present) return true;
      const found = needsChange(one, now) ? this.#set(one, now) : [];
      problems.push(...found);
      return found.length > 0;
    });
    this.#problems.set(problems);
    if (open.length > 0) {
      this.#cancelCheck = this.#clock.after(SYSCTL_CHECK_MS, () => this.#tune(open));
    }
    return present;
  }

  #conntrackValues(): ConntrackValues {
    const entries = CONNTRACK_SYSCTLS.map((name) => [name, this.#files.number(pathOf(name))]);
    return Object.fromEntries(entries);
  }

  #set({ name, value, field }: WantedSysctl, now: ConntrackValues): Problem[] {
    const sysctl = { name: `net.netfilter.${name}`, path: pathOf(name), value, field };
    const problem = setSysctl(sysctl, now[name], this.#files, this.#log);
    return problem ? [problem] : [];
  }
}

/** The log line at the end of --init-only. It is kube-proxy's text, which scripts look for. */
export const INIT_ONLY_MESSAGE = "System initialized and --init-only specified";

/**
 * Runs --init-only: does everything that needs full privileges, so that a later run can have fewer.
 * Probes the kernel features that the rules need, which loads their modules, and sets the sysctls.
 * `probe` returns the capabilities of the backend that will serve. Returns the line to log.
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
  return INIT_ONLY_MESSAGE;
}

function pathOf(name: string): string {
  return `${NETFILTER_SYSCTLS}/${name}`;
}

function absent({ field }: WantedSysctl): Problem {
  const hint = "run `modprobe nf_conntrack` on the node";
  const message = `set conntrack sysctls: ${NETFILTER_SYSCTLS} is missing or not readable (${hint})`;
  return { subject: subjectOf("net.netfilter"), code: CODE, field, message };
}
