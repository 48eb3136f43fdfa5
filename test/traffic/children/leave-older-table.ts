/** Gives the table another layout. The arguments are the flags of the program that wrote it. */
import { giveOlderLayout } from "../../../harness/nftables/older-layout.ts";
import { resolveArgs } from "../../../harness/resolve-config.ts";
import { skeletonOptions } from "../../../src/daemon/backend-options.ts";

const { config } = await resolveArgs(process.argv.slice(2));
giveOlderLayout(skeletonOptions(config, []));
