/** Collects the arguments of a callback. */

/** `push` is the callback, and `next` waits for its next call. */
export function collector<Value>() {
  const seen: Value[] = [];
  let wake = () => {};
  return {
    seen,
    push(value: Value) {
      seen.push(value);
      wake();
    },
    next: () =>
      new Promise<void>((resolve) => {
        wake = resolve;
      }),
  };
}
