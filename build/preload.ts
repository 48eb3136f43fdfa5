/** What runs from source (tests, `bun src/main.ts`) loads this first: see bunfig.toml. */
import { plugin } from "bun";
import { realUndici } from "./real-undici.ts";

plugin(realUndici);
