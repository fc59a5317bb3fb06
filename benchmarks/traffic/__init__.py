"""What the gateway's benchmarks share: an instant engine, servers on one core, a load generator."""
