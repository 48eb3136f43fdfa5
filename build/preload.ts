/** Loaded first by everything that runs from source (tests, `bun src/main.ts`): see bunfig.toml. */
import { plugin } from "bun";
import { realUndici } from "./real-undici.ts";

plugin(realUndici);
