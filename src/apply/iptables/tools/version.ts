/** What the tools of a version can do: kubernetes pkg/util/iptables/iptables.go has the same numbers. Pure. */

export interface Capabilities {
  /** iptables has `-w`; with seconds behind it. */
  readonly wait: boolean;
  readonly waitSeconds: boolean;
  /** iptables-restore has it too. Before, it did not even take the lock. */
  readonly restoreWait: boolean;
  readonly randomFully: boolean;
}

const WAIT = [1, 4, 20] as const;
const WAIT_SECONDS = [1, 4, 22] as const;
const RESTORE_WAIT = [1, 6, 2] as const;
const RANDOM_FULLY = [1, 6, 2] as const;

/** `version`: `1.8.9`; one that cannot be read is taken for a new one. */
export function capabilitiesOf(version: string): Capabilities {
  const numbers = version.split(".").map(Number);
  const since = (first: readonly number[]) => {
    for (const [index, number] of first.entries()) {
      const has = numbers[index] ?? 0;
      if (has !== number) return !(has < number);
    }
    return true;
  };
  const known = version !== "";
  return {
    wait: !known || since(WAIT),
    waitSeconds: !known || since(WAIT_SECONDS),
    restoreWait: !known || since(RESTORE_WAIT),
    randomFully: !known || since(RANDOM_FULLY),
  };
}
