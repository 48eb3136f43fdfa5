/** The behavior of Services that traffic can show, for both families. */
import { describeGroup } from "./scenario.ts";
import { EXTERNAL, SOURCE_RANGES } from "./tables/external.ts";
import { HAIRPINS } from "./tables/hairpins.ts";
import { CLUSTER_IPS } from "./tables/internal.ts";
import { MODES } from "./tables/modes.ts";

describeGroup({ name: "clusterIPs", scenarios: CLUSTER_IPS });
describeGroup({ name: "external addresses", scenarios: EXTERNAL });
for (const group of HAIRPINS) describeGroup(group);
describeGroup({ name: "loadBalancerSourceRanges", scenarios: SOURCE_RANGES });
for (const group of MODES) describeGroup(group);
