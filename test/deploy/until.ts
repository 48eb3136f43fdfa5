/** Waits until `condition` is true, at most half a minute. `explain` is asked for what to say if it never is. */
export async function until(
  condition: () => Promise<boolean>,
  explain: () => string,
): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`It did not come about:\n${explain()}`);
    await Bun.sleep(20);
  }
}
