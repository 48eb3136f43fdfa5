/** What takes the bytes of an answer. */
import type { FeedResult } from "../core/core.ts";

/** One HTTP body being read. */
export interface Body {
  /** @throws SluiceError API_MALFORMED, CORE_MEMORY */
  take(chunk: Uint8Array): FeedResult;
  /** The body is complete. */
  end(): FeedResult;
  close(): void;
}
