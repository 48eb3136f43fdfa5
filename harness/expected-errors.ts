/** Handles errors that a test expects, and errors that must not occur. */
import { SluiceError } from "../src/base/errors.ts";

/** A callback that must not be called. */
export function unexpectedError(error: unknown): never {
  throw error;
}

/**
 * Returns the error of an attempt.
 *
 * @throws if it succeeds, or fails with another kind of error
 */
export async function rejectionOf(attempt: Promise<unknown>): Promise<SluiceError> {
  try {
    await attempt;
  } catch (thrown) {
    if (thrown instanceof SluiceError) return thrown;
    throw thrown;
  }
  throw new Error("an error was expected");
}
