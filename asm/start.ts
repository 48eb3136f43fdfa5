// What must happen before anything else.

import { hashSeed } from "./hash";
import { initServices } from "./services";

/** Called once, first. False if there is no memory. */
export function start(seedLow: u32, seedHigh: u32): bool {
  hashSeed(seedLow, seedHigh);
  return initServices();
}
