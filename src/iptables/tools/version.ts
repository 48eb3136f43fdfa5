/** What the tools of a version can do: kubernetes pkg/util/iptables/iptables.go has the same numbers. Pure. */

export interface Capabilities {
  /** iptables-restore has `-w`. Before, it did not even take the lock. */
  readonly restoreWait: boolean;
  readonly randomFully: boolean;
}

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
    restoreWait: !known || since(RESTORE_WAIT),
    randomFully: !known || since(RANDOM_FULLY),
  };
}
