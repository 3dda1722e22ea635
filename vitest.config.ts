import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Those want a whole Kubernetes: npm run test:cluster.
    exclude: ["test/cluster/**"],
    globalSetup: ["test/mesh/checkout-copy.ts"],
    // Whole-mesh tests start processes on two cores: a generous limit is no wait.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
